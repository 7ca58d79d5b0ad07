"""Constants that Python and C++ both need are the same, and the stubs name what the extensions have."""

import ast
from pathlib import Path

import pytest

from dcvc_cli.backend import exact_native, exact_rules
from dcvc_cli.entropy import tables, wide
from dcvc_cli.entropy import twin as entropy_twin
from dcvc_cli.families.lite import samples
from dcvc_cli.families.lite.filter import parameters
from dcvc_cli.families.lite.filter import twin as filter_twin
from dcvc_cli.families.lite.floor import frame_floor, parts
from dcvc_cli.families.lite.floor import twin as floor_twin
from dcvc_cli.families.lite.motion import field, motion
from dcvc_cli.families.lite.motion import twin as motion_twin
from dcvc_cli.families.uf import coder as uf_coder
from dcvc_cli.format import constants, range_coder

_entropy = pytest.importorskip("dcvc_cli._entropy")
_filter = pytest.importorskip("dcvc_cli._filter")
_floor = pytest.importorskip("dcvc_cli._floor")
_lossless = pytest.importorskip("dcvc_cli._lossless")
_kernels = pytest.importorskip("dcvc_cli._kernels")
_motion = pytest.importorskip("dcvc_cli._motion")
PACKAGE = Path(exact_native.__file__).parents[1]


def test_motion():
    assert motion.SQUARE == _motion.SQUARE
    assert len(motion_twin.FILTERS) == _motion.SUBPEL
    assert _motion.MAX_VECTOR == motion_twin.MAX_VECTOR
    assert _motion.MAX_CANDIDATES == motion_twin.MAX_CANDIDATES
    assert _motion.MAX_VECTOR_PREFIX == motion_twin.MAX_VECTOR_PREFIX
    assert _motion.MAX_SAMPLE == samples.MAX_SAMPLE
    assert _motion.KEPT_INTERVAL == field.KEPT_INTERVAL


def test_filter():
    assert (parameters.NUM_CLASSES, parameters.NUM_LUMA_TERMS, parameters.NUM_CHROMA_TERMS) == (
        _filter.NUM_CLASSES,
        _filter.NUM_LUMA_TERMS,
        _filter.NUM_CHROMA_TERMS,
    )
    assert _filter.MAX_COEFFICIENT == parameters.MAX_COEFFICIENT
    assert _filter.MAX_SAMPLE == samples.MAX_SAMPLE
    assert _filter.MAX_LIMITED_STEP == filter_twin.MAX_LIMITED_STEP
    assert _filter.MAX_COEFFICIENT_PREFIX == filter_twin.MAX_COEFFICIENT_PREFIX
    assert (_filter.CLASS_BLOCK, _filter.REACH) == (filter_twin.CLASS_BLOCK, filter_twin.REACH)


def test_floor():
    assert (_floor.BLOCK, _floor.PART, _floor.EXACT_STEP) == (parts.BLOCK, parts.PART, parts.EXACT_STEP)
    assert _floor.MAX_SAMPLE == samples.MAX_SAMPLE
    assert _floor.MAX_SIDE == constants.MAX_SIDE
    assert _floor.MAX_LEVEL_BITS == floor_twin.MAX_LEVEL_BITS
    for step_index in range(parts.EXACT_STEP):
        assert _floor.step_size(step_index) == frame_floor.step_size(step_index), step_index


def test_entropy():
    assert _entropy.PROBABILITY_BITS == tables.PROBABILITY_BITS
    assert _entropy.MAX_ROWS == tables.MAX_NATIVE_ROWS
    assert _entropy.NUM_LANES == entropy_twin.NUM_LANES
    assert _entropy.MIN_INTERLEAVED_SYMBOLS == entropy_twin.MIN_INTERLEAVED_SYMBOLS
    assert _entropy.MAX_LOG2_PARTITIONS == entropy_twin.MAX_LOG2_PARTITIONS
    assert _entropy.MAX_ESCAPE_DIGITS == entropy_twin.MAX_ESCAPE_DIGITS
    assert _entropy.MAX_WIDE_CODERS == wide.MAX_CODERS
    assert _entropy.MAX_ZIGZAG_CODERS == uf_coder.MAX_CODERS
    assert (_entropy.WORD_BITS, _entropy.MIN_RANGE) == (range_coder.WORD_BITS, range_coder.MIN_RANGE)


def test_kernels():
    assert _kernels.MAX_THREADS == exact_native.MAX_THREADS
    assert _kernels.MAX_ROW_SUM == exact_rules.MAX_ROW_SUM
    assert range(_kernels.MIN_ACTIVATION_EXPONENT, _kernels.MAX_ACTIVATION_EXPONENT + 1) == exact_rules.WSILU_EXPONENTS


@pytest.mark.parametrize(
    "module", [_entropy, _filter, _floor, _kernels, _lossless, _motion], ids=lambda module: module.__name__
)
def test_stubs_name_what_extensions_have(module):
    """Functions, classes, their methods and constants: no name is missing on either side. Stubs also name types."""
    stub = ast.parse((PACKAGE / f"{module.__name__.split('.')[-1]}.pyi").read_text())
    named = {node.name for node in stub.body if isinstance(node, (ast.FunctionDef, ast.ClassDef))}
    named |= {
        node.target.id for node in stub.body if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
    }
    assert named == {name for name in vars(module) if not name.startswith("_")}
    for node in stub.body:
        if isinstance(node, ast.ClassDef) and not any(isinstance(base, ast.Attribute) for base in node.bases):
            methods = {part.name for part in node.body if isinstance(part, ast.FunctionDef)} - {"__init__"}
            native = {name for name in vars(getattr(module, node.name)) if name[0] != "_" or name == "__copy__"}
            assert methods == native, node.name
