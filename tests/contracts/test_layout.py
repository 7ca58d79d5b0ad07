"""The shape of the project: who imports whom, what starts without torch, names and lengths of files."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "dcvc_cli"
SOURCES = sorted(PACKAGE.rglob("*.py"))
OWN_FILES = sorted(
    path
    for folder in ("dcvc_cli", "entropy_cpp", "kernels", "tests", "tools")
    for path in (ROOT / folder).rglob("*")
    if path.suffix in {".py", ".cpp", ".hpp", ".cu", ".cuh"}
)
MAX_LINES = 400
FORBIDDEN_NAMES = re.compile(r"(^|_)(utils?|helpers?|common|misc|manager|proxy)(_|$)")
FOUNDATION = {"errors", "stages", "staged_files", "format", "__init__"}
"""What every layer may import; these import each other only."""


def layer_table() -> dict[str, set[str]]:
    """Returns what each layer may import besides itself and the foundation, as the table of docs/architecture.md
    says."""
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([\w.]+)/?` \| .* \| ([^|]*) \|$", text, flags=re.M)
    return {name.removesuffix(".py"): set(re.findall(r"\w+", allowed)) for name, allowed in rows}


ALLOWED = layer_table()


def layer_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports_of(path: Path) -> Iterator[tuple[str, bool]]:
    """Returns (module, whether it is imported when the module is): imports for type checkers only are left out."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    type_only = {
        id(node)
        for branch in ast.walk(tree)
        if isinstance(branch, ast.If) and "TYPE_CHECKING" in ast.dump(branch.test)
        for node in ast.walk(branch)
    }
    inside = {
        id(node)
        for owner in ast.walk(tree)
        if isinstance(owner, ast.FunctionDef)
        for node in ast.walk(owner)
        if node is not owner
    }
    for node in ast.walk(tree):
        if id(node) in type_only:
            continue
        if isinstance(node, ast.Import):
            yield from ((name.name, id(node) not in inside) for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path}: relative import"
            yield node.module, id(node) not in inside
            if node.module == "dcvc_cli":
                yield from ((f"dcvc_cli.{name.name}", id(node) not in inside) for name in node.names)


def test_the_table_names_layers_that_there_are_and_has_no_circle():
    there = {layer_of(path) for path in SOURCES} - FOUNDATION
    assert set(ALLOWED) == there
    assert set().union(*ALLOWED.values()) <= there
    left = dict(ALLOWED)
    while left:
        lowest = [layer for layer, allowed in left.items() if not allowed & set(left)]
        assert lowest, f"a circle among {sorted(left)}"
        for layer in lowest:
            del left[layer]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_dependencies_point_one_way(path: Path):
    layer = layer_of(path)
    if layer in FOUNDATION:
        allowed: set[str] = set()
    else:
        assert layer in ALLOWED, f"{layer} is no known layer: the table of docs/architecture.md names them all"
        allowed = ALLOWED[layer] | {layer}
    for module, _ in imports_of(path):
        if not module.startswith("dcvc_cli."):
            continue
        target = module.split(".")[1]
        if target in FOUNDATION or target.startswith("_"):
            continue
        assert target in allowed, f"{path.relative_to(ROOT)} imports {module}: {layer} may import {sorted(allowed)}"


def test_no_two_files_import_each_other():
    """Not even inside a function: what two files share lies in a third."""
    names = {path: ".".join(path.relative_to(ROOT).with_suffix("").parts) for path in SOURCES}
    known = set(names.values())
    imported = {
        name: {module for module, _ in imports_of(path) if module in known} - {name} for path, name in names.items()
    }
    pairs = {
        tuple(sorted((name, other))) for name, others in imported.items() for other in others if name in imported[other]
    }
    assert pairs == set()


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_who_may_import_which_package(path: Path):
    layer = layer_of(path)
    for module, at_start in imports_of(path):
        package = module.split(".")[0]
        if package == "rich":
            assert layer == "ui", f"only ui imports rich, not {path.relative_to(ROOT)}"
        if layer == "bitstream":
            assert package in sys.stdlib_module_names or package == "dcvc_cli", (
                f"bitstream is standard library only, not {module}"
            )
        if path.parent.name in {"motion", "filter"}:
            known = package in sys.stdlib_module_names or package in {"dcvc_cli", "numpy"}
            assert known, f"{path.parent.name} needs arrays and nothing else, not {module}"
        if layer in {"commands", "app", "__init__", "errors", "format"}:
            heavy = package in {"torch", "safetensors", "matplotlib", "av", "PIL"} and at_start
            assert not heavy, f"{path.relative_to(ROOT)} imports {module} when it is loaded"


@pytest.mark.parametrize(
    "statement",
    [
        "import dcvc_cli",
        "import dcvc_cli.app",
        "import dcvc_cli.families.lite.motion.field, dcvc_cli.families.lite.motion.twin, "
        "dcvc_cli.families.lite.filter.filters",
        "from dcvc_cli.families.registry import models; models()",
        "from dcvc_cli.app import run; run(['--help']); run(['encode', '--help'])",
    ],
)
def test_starts_without_heavy_packages(statement: str):
    code = (
        f"{statement}\nimport sys\nprint('LOADED', [m for m in ('torch', 'matplotlib', 'av', 'safetensors', 'PIL') if "
        "m in sys.modules])"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True, timeout=60
    )
    assert result.stdout.splitlines()[-1] == "LOADED []"


@pytest.mark.parametrize("path", OWN_FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_are_short_and_well_named(path: Path):
    is_test = "tests" in path.relative_to(ROOT).parts
    num_lines = len(path.read_text(encoding="utf-8").splitlines())
    # A table of cases may be long; a file of the project may not.
    assert is_test or num_lines <= MAX_LINES, f"{num_lines} lines"
    assert not FORBIDDEN_NAMES.search(path.stem), path.stem


def test_one_network_definition():
    """Blocks are built in graph/ and families/ only: no backend and no kernel binding builds a network of its own."""
    builders = {"DepthConvBlock", "DownBlock", "UpBlock", "SubPixelConv", "ScaleVector", "BitEstimator"}
    for path in SOURCES:
        if layer_of(path) in {"graph", "families"}:
            continue
        calls = {
            node.func.id
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
        }
        found = calls & builders - ({"BitEstimator"} if path.name == "vectors.py" else set())
        assert not found, f"{path.relative_to(ROOT)} builds {found}"
