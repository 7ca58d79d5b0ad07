"""The kernels as NVRTC compiles them for every target, without a GPU: no spills, the instructions that were meant, the
recorded sizes."""

import importlib.util
import json
import shutil
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from dcvc_cli.backend.cuda import compiler
from dcvc_cli.backend.cuda.kernels import KERNELS
from dcvc_cli.errors import EnvironmentFault

ROOT = Path(__file__).resolve().parents[2]
MAX_SHARED_BYTES = {"sm_80": 163 << 10, "sm_89": 99 << 10, "sm_90": 227 << 10, "sm_100": 227 << 10, "sm_120": 99 << 10}
REGISTERS_OF_A_MULTIPROCESSOR = 65536
MIN_BLOCKS = {"matrix_small": 3, "matrix_large": 1, "matrix_wide": 2, "coding_scan": 1, "compensate_squares": 8}
"""By prefix, as the sources ask; 4 for the others."""


def load_tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_cuda_page", ROOT / "tools" / "make_cuda_page.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


TOOL = load_tool()


@pytest.fixture(scope="module")
def facts_by_target() -> dict[str, dict[str, dict[str, Any]]]:
    try:
        compiler.find_nvrtc()
        TOOL.disassembler()
    except (EnvironmentFault, FileNotFoundError) as error:
        pytest.skip(str(error))
    return TOOL.facts_of()


def min_blocks(name: str) -> int:
    return next((count for prefix, count in MIN_BLOCKS.items() if name.startswith(prefix)), 4)


@pytest.mark.parametrize("target", TOOL.TARGETS)
def test_kernels_compile_without_spills(target, facts_by_target):
    facts, recorded = facts_by_target[target], json.loads(TOOL.RECORD.read_text())
    assert set(facts) == set(KERNELS)
    for name, found in facts.items():
        kernel, instructions = KERNELS[name], found["instructions"]
        assert (found["stack"], found["spills"], found["odd"]) == (0, 0, []), name
        assert not [op for op in instructions if op.startswith(("LDL", "STL"))], f"{name} uses local memory"
        limit = REGISTERS_OF_A_MULTIPROCESSOR // (min_blocks(name) * kernel.threads)
        assert found["registers"] <= min(limit, 255), name
        assert kernel.shared_bytes <= MAX_SHARED_BYTES[target], name
        check_products(name, instructions)
        if recorded["nvrtc"] == ".".join(map(str, compiler.find_nvrtc().version)):
            of = recorded["kernels"][name]["targets"][target]
            assert found["registers"] == of["registers"], f"{name}: run tools/make_cuda_page.py"
            assert sum(instructions.values()) == of["instructions"], f"{name}: run tools/make_cuda_page.py"


def check_products(name: str, instructions: dict[str, int]) -> None:
    """Tensor-core products of bytes only, as many of each kind; matrices loaded and copied 16 bytes at a time."""
    products = {op: count for op, count in instructions.items() if op.startswith(("IMMA", "HMMA", "QGMMA", "IGMMA"))}
    if not name.startswith("matrix_"):
        signs = ("S8.S8", "U8.S8", "S8.U8", "U8.U8") if name == "primitives" else ()
        assert products == {f"IMMA.16832.{sign}": 1 for sign in signs}
        return
    kinds = {"S8.S8", "U8.S8", "S8.U8", "U8.U8"} if name.startswith("matrix_wide") else {"S8.S8", "U8.S8"}
    assert set(products) == {f"IMMA.16832.{kind}" for kind in kinds}, name
    assert len(set(products.values())) == 1, name
    assert {op for op in instructions if op.startswith("LDSM")} == {"LDSM.16.M88.4"}, name
    assert all(".128" in op for op in instructions if op.startswith("LDGSTS")), name
    assert {op for op in instructions if op.startswith("STG")} == {"STG.E.128"}, name
    assert instructions["BAR.SYNC.DEFER_BLOCKING"] == 3, name


def test_the_page_shows_the_record():
    text = TOOL.PAGE.read_text()
    assert TOOL.page_with(text, json.loads(TOOL.RECORD.read_text())) == text, "run tools/make_cuda_page.py"


def test_the_record_knows_every_kernel():
    recorded = json.loads(TOOL.RECORD.read_text())["kernels"]
    assert {n: (k["threads"], k["shared_bytes"]) for n, k in recorded.items()} == {
        name: (kernel.threads, kernel.shared_bytes) for name, kernel in KERNELS.items()
    }


def test_a_gpu_gets_the_cubin_of_its_major_number():
    expected = {(8, 0): "sm_80", (8, 9): "sm_80", (9, 0): "sm_90", (10, 3): "sm_100", (12, 1): "sm_120", (11, 0): None}
    assert {capability: compiler.shipped_target(capability) for capability in expected} == expected


def test_an_old_gpu_is_refused():
    with pytest.raises(EnvironmentFault, match=r"compute capability 7\.5, the kernels need 8\.0"):
        compiler.cubins_for((7, 5))


def test_cubins_are_compiled_once_and_kept(tmp_path, monkeypatch):
    """By GPU and by what they are made of; a folder that cannot be written costs nothing but time."""
    calls = []
    monkeypatch.setenv("DCVC_HOME", str(tmp_path))
    monkeypatch.setattr(
        compiler,
        "compile_all",
        lambda target, _: calls.append(target) or {s: target.encode() for s in compiler.SOURCES},
    )
    first, again = compiler.cubins_for((8, 6)), compiler.cubins_for((8, 6))
    assert first == again == dict.fromkeys(compiler.SOURCES, b"sm_86")
    assert compiler.cubins_for((8, 9)) != first
    assert calls == ["sm_86", "sm_89"]
    monkeypatch.setattr(compiler, "source_hash", lambda target: "other")
    compiler.cubins_for((8, 6))
    assert calls[-1] == "sm_86"
    (tmp_path / "file").touch()
    monkeypatch.setenv("DCVC_HOME", str(tmp_path / "file"))
    assert compiler.cubins_for((8, 6)) == first


def test_shipped_cubins_are_those_of_the_sources(tmp_path, monkeypatch):
    """A wheel's cubins are taken before any compiler. Cubins of other sources are never loaded."""
    shutil.copytree(compiler.kernel_folder(), tmp_path / "cuda", ignore=shutil.ignore_patterns("cubin"))
    monkeypatch.setenv("DCVC_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(compiler, "kernel_folder", lambda: tmp_path / "cuda")
    made = dict.fromkeys(compiler.SOURCES, b"compiled now")
    monkeypatch.setattr(compiler, "compile_all", lambda target, _: made)
    shipped = dict.fromkeys(compiler.SOURCES, b"from the wheel")
    assert not compiler.has_shipped("sm_90")
    compiler.write_all(compiler.shipped_folder("sm_90"), shipped)
    assert compiler.has_shipped("sm_90")
    assert compiler.cubins_for((9, 0)) == shipped
    assert compiler.cubins_for((9, 0), driver_major=12) == made, "the driver is older than the compiler"
    texts = compiler.kernel_sources() | {"kernels/cuda/matrix.hpp": "// changed"}
    monkeypatch.setattr(compiler, "kernel_sources", lambda: texts)
    assert compiler.cubins_for((9, 0)) == made, "a stale cubin was loaded"


def test_a_fault_in_a_source_is_told():
    try:
        nvrtc = compiler.find_nvrtc()
    except EnvironmentFault as error:
        pytest.skip(str(error))
    with pytest.raises(EnvironmentFault, match=r"do not compile for sm_90: a\.cu"):
        nvrtc.compile("a.cu", {"a.cu": "nonsense"}, "sm_90")
