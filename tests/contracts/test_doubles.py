"""What a function does is written once."""

import ast
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LEAST_LENGTH = 100
"""Shorter bodies, such as a return of one call, may be alike by chance."""


def bodies(folder: str) -> dict[str, list[str]]:
    """Maps the code of each function's body, without its docstring -> the functions that have it."""
    found: dict[str, list[str]] = defaultdict(list)
    for path in sorted((ROOT / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef):
                code = "\n".join(ast.unparse(part) for part in node.body[ast.get_docstring(node) is not None :])
                found[code].append(f"{path.relative_to(ROOT)}: {node.name}")
    return found


def test_no_function_of_the_package_repeats_another():
    repeated = [places for code, places in bodies("dcvc_cli").items() if len(code) >= LEAST_LENGTH and len(places) > 1]
    assert repeated == []
