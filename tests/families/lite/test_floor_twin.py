"""The floor and its coder against their slow twin: any floor on any picture, bytes of sequences, numbers by hand."""

from pathlib import Path

import numpy as np
import pytest

from dcvc_cli.errors import EnvironmentFault
from dcvc_cli.families.lite.floor import twin
from dcvc_cli.families.lite.floor.frame_floor import (
    TWIN_VARIABLE,
    FloorCoder,
    FrameFloor,
    apply_floor,
    put_back,
    step_size,
)
from dcvc_cli.families.lite.floor.parts import COMPENSATED, EXACT_STEP, FLAT, PICTURE, FloorParts, Planes
from dcvc_cli.families.lite.floor.twin import TwinFloorCoder, reconstruct_twin
from tests.support.floors import random_floor, random_planes

pytest.importorskip("dcvc_cli._floor")
pytestmark = pytest.mark.native
DOCUMENT = (Path(__file__).resolve().parents[3] / "docs" / "floor.md").read_text(encoding="utf-8")
IMPLEMENTATIONS = pytest.mark.parametrize("implementation", ["native", "twin"])


def assert_same_planes(expected: Planes, found: Planes, told: str) -> None:
    for one, other in zip(expected, found, strict=True):
        assert other.dtype == np.int16, told
        np.testing.assert_array_equal(one, other, told)


@pytest.mark.parametrize("bit_depth", [8, 10])
@pytest.mark.parametrize("is_halved", [True, False])
def test_reconstruction(is_halved: bool, bit_depth: int):
    """Reconstruction gives the twin's samples and does not change its input."""
    for seed in range(14):
        rng = np.random.default_rng(seed)
        rows, columns = rng.integers(1, 3, 2)
        floor = random_floor(rng, rows, columns, is_halved, True, bit_depth)
        picture, compensated = (random_planes(rng, rows, columns, is_halved) for _ in range(2))
        before = tuple(plane.copy() for plane in picture)
        expected = reconstruct_twin(floor, picture, compensated)
        assert_same_planes(expected, apply_floor(FrameFloor.from_parts(floor), picture, compensated), f"seed {seed}")
        assert_same_planes(before, picture, f"seed {seed} afterwards")
        assert all(plane.min() >= 0 and plane.max() <= 8192 for plane in expected)


@pytest.mark.parametrize("bit_depth", [8, 10])
def test_bytes_of_sequences(bit_depth: int):
    """The sequences have frames with and without a floor, and I frames among them."""
    for seed in range(14):
        rng = np.random.default_rng(seed)
        is_halved, (rows, columns) = bool(rng.integers(2)), rng.integers(1, 3, 2)
        coders = encoder, twin_encoder, decoder, twin_decoder = (
            FloorCoder(bit_depth),
            TwinFloorCoder(bit_depth),
            FloorCoder(bit_depth),
            TwinFloorCoder(bit_depth),
        )
        is_p = False
        for _ in range(4):
            if is_p and rng.integers(4) == 0:
                for coder in coders:
                    coder.reset()
                is_p = False
            parts = random_floor(rng, rows, columns, is_halved, is_p, bit_depth) if rng.integers(4) else None
            floor = (
                FrameFloor.unused(rows, columns, is_halved, bit_depth)
                if parts is None
                else FrameFloor.from_parts(parts)
            )
            data = encoder.encode(floor)
            assert twin_encoder.encode(parts) == data, seed
            found, twin_found = (
                decoder.decode(data, rows, columns, is_halved).parts(),
                twin_decoder.decode(data, rows, columns, is_halved),
            )
            if parts is None:
                assert found is twin_found is None
            else:
                assert found is not None
                assert twin_found is not None
                assert found.same_as(parts)
                assert twin_found.same_as(parts)
            is_p = True


def small_floor() -> FloorParts:
    """Makes a picture of 2 x 3 blocks: flat ones, the picture with levels, untouched ones."""
    floor = FloorParts.empty(2, 3, True)
    floor.step_index = 30
    floor.bases[0] = FLAT, FLAT, PICTURE
    floor.flat[0, :2] = 235, 128, 60
    floor.levels[0, 2, 0, :10] = 5, -1, 0, 0, 0, 0, 0, 0, 300, 1
    floor.levels[0, 2, 5, 63] = -2
    return floor


@IMPLEMENTATIONS
def test_exact_bytes(implementation: str):
    """The bytes of an I frame, of a P frame with a compensated block, and of a P frame without a floor."""
    coder = FloorCoder() if implementation == "native" else TwinFloorCoder()
    second = small_floor()
    second.bases[1] = COMPENSATED
    second.levels[1, 2, 4, 0] = 7
    told = []
    for floor in (small_floor(), second, None):
        if isinstance(coder, TwinFloorCoder):
            told.append(coder.encode(floor).hex())
        else:
            told.append(
                coder.encode(FrameFloor.unused(2, 3, True) if floor is None else FrameFloor.from_parts(floor)).hex()
            )
    assert told == EXACT_BYTES


EXACT_BYTES = ["f389761b0cce03f4dfa09b1b3fc5d88a94", "ff96945a196e50f6afab5a8e32203bf469a040", ""]


@IMPLEMENTATIONS
def test_samples_by_hand(monkeypatch: pytest.MonkeyPatch, implementation: str):
    """The first coefficient alone: 64 * 64 of 2^15 of it in every sample, so 8 units of step 64 add 8 * 64 / 8."""
    monkeypatch.setenv(TWIN_VARIABLE, implementation)
    picture = tuple(np.full(size, 1000, np.int16) for size in ((16, 16), (8, 8), (8, 8)))
    compensated = tuple(np.full(size, 2000, np.int16) for size in ((16, 16), (8, 8), (8, 8)))
    for base, expected in ((PICTURE, 1000), (COMPENSATED, 2000), (FLAT, (8192 * 77 + 127) // 255)):
        floor = FloorParts.empty(1, 1, True)
        floor.bases[0, 0], floor.step_index, floor.flat[0, 0] = base, 12, 77
        floor.levels[0, 0, 1, 0] = 8
        luma, cb, _ = apply_floor(FrameFloor.from_parts(floor), picture, compensated)
        assert (luma[:8, 8:] == expected + 64).all()
        assert (luma[:8, :8] == expected).all()
        assert (luma[8:] == expected).all()
        assert (cb == expected).all()


@IMPLEMENTATIONS
def test_exact_levels_by_hand(monkeypatch: pytest.MonkeyPatch, implementation: str):
    """Step number 63: 8-bit levels of the base plus differences, limited. A part without differences does not
    change."""
    monkeypatch.setenv(TWIN_VARIABLE, implementation)
    picture = tuple(np.full(size, 1003, np.int16) for size in ((16, 16), (8, 8), (8, 8)))  # level 31
    floor = FloorParts.empty(1, 1, True)
    floor.bases[0, 0], floor.step_index = PICTURE, EXACT_STEP
    floor.levels[0, 0, 0, :4] = 1, -32, 300, 0
    luma, cb, _ = apply_floor(FrameFloor.from_parts(floor), picture, None)
    assert luma[0, :4].tolist() == [1028, 0, 8192, 996]
    assert (luma[8:] == 1003).all()
    assert (cb == 1003).all()


def test_squares_get_halved_chroma_in_all_four_places():
    rng = np.random.default_rng(0)
    planes = random_planes(rng, 2, 1, True)
    squares = rng.integers(0, 8193, (3, 4, 8, 2, 8)).astype(np.int16)
    floor = FloorParts.empty(2, 1, True)
    floor.bases[1, 0] = PICTURE
    changed = put_back(
        FrameFloor.from_parts(floor), planes, squares.transpose(0, 2, 1, 3, 4).copy().transpose(0, 2, 1, 3, 4)
    )
    lines, before = changed.reshape(3, 32, 16), squares.reshape(3, 32, 16)
    np.testing.assert_array_equal(lines[:, :16], before[:, :16])
    np.testing.assert_array_equal(lines[0, 16:], planes[0][16:])
    for k in (1, 2):
        np.testing.assert_array_equal(lines[k, 16:], planes[k][8:].repeat(2, 0).repeat(2, 1))


def test_the_document_has_the_numbers():
    """Start values, steps and the transform of docs/floor.md are the twin's, and its steps are the encoder's."""
    for row, numbers in enumerate(twin.TRANSFORM.tolist()):
        assert f"| {row} | {' '.join(map(str, numbers))} |" in DOCUMENT
    for activity, starts in enumerate(twin.LONGER):
        assert f"| longer[..][..][{activity}][0..4] | {' '.join(map(str, starts))} |" in DOCUMENT
    assert " ".join(map(str, twin.ACTIVITY_LIMITS)) in DOCUMENT
    assert str(twin.STEPS) in DOCUMENT
    assert [step_size(k) for k in range(12)] == [*twin.STEPS, *(2 * step for step in twin.STEPS)]
    fresh = TwinFloorCoder()
    for name, contexts in {
        "used[0..1]": fresh._used,
        "same_step[0..1]": fresh._same_step,
        "touched[0][0..2]": fresh._touched[0],
        "touched[1][0..2]": fresh._touched[1],
        "compensated[0..2], flat[0..1][0..2]": fresh._compensated,
        "residual[0..1]": fresh._residual,
        "same_flat": [fresh._same_flat],
        "coded[0][0..2]": fresh._coded[0],
        "coded[1..2][0..2]": fresh._coded[1],
        "second_bit[0..1][1]": fresh._second_bit[0][1:2],
    }.items():
        assert f"| {name} | {' '.join(str(context.fast) for context in contexts)} |" in DOCUMENT, name


def test_bad_arrays_are_refused():
    planes = random_planes(np.random.default_rng(0), 1, 1, True)
    floor = FloorParts.empty(1, 1, True)
    floor.bases[0, 0] = COMPENSATED
    with pytest.raises(ValueError, match="compensated"):
        apply_floor(FrameFloor.from_parts(floor), planes, None)
    with pytest.raises(ValueError, match="another size"):
        apply_floor(FrameFloor.from_parts(FloorParts.empty(1, 2, True)), planes, None)
    floor.levels[0, 0, 0, 0] = 16384
    with pytest.raises(ValueError, match="14 bits"):
        FrameFloor.from_parts(floor)
    for rows, columns in ((0, 1), (1, 1025), (-1, 5)):
        with pytest.raises(ValueError, match="blocks"):
            FrameFloor.unused(rows, columns, True)


def test_an_unknown_implementation_is_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(TWIN_VARIABLE, "fast")
    with pytest.raises(EnvironmentFault, match=TWIN_VARIABLE):
        apply_floor(FrameFloor.unused(1, 1, True), random_planes(np.random.default_rng(0), 1, 1, True), None)
