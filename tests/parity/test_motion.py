"""Motion compensation and vector coding against their slow twin: any vectors, all small sizes, several pictures, and bytes that stay."""

import time
from pathlib import Path

import numpy as np
import pytest
from random_layers import first_mismatch

from dcvc_cli.errors import EnvironmentFault
from dcvc_cli.motion import reference
from dcvc_cli.motion.blocks import TWIN_VARIABLE, FieldCoder, compensate, compensate_squares, in_lines, in_squares
from dcvc_cli.motion.reference import ReferenceFieldCoder, compensate_reference

native = pytest.importorskip("dcvc_cli._motion")
pytestmark = pytest.mark.native
REACHES = (1, 6, 90, 400, 1023)


def random_frame(rng: np.random.Generator, height: int, width: int, planes: int = 3) -> np.ndarray:
    """Samples in 0..8192: noise, only the ends of the range, or all the same."""
    kind = rng.integers(3)
    if kind == 0:
        return rng.integers(0, 8193, (planes, height, width)).astype(np.int16)
    if kind == 1:
        return (rng.integers(0, 2, (planes, height, width)) * 8192).astype(np.int16)
    return np.full((planes, height, width), rng.choice([0, 1, 4095, 8192]), np.int16)


def random_field(rng: np.random.Generator, rows: int, columns: int) -> np.ndarray:
    """Vectors of one reach; areas of one vector, single ones, 16x16 squares of one vector, and the longest ones here and there."""
    reach = int(rng.choice(REACHES))
    field = rng.integers(-reach, reach + 1, (rows, columns, 2)).astype(np.int16)
    kind = rng.integers(4)
    if kind == 0:
        field[rng.random((rows, columns)) < 0.7] = field[0, 0]
    elif kind == 1:
        field = field[::2, ::2].repeat(2, 0).repeat(2, 1)[:rows, :columns]
    elif kind == 2:
        field = (field[:1, :1] + rng.integers(-2, 3, field.shape)).clip(-1023, 1023).astype(np.int16)
    field[rng.random((rows, columns)) < 0.05] = rng.choice([-1023, 1023], 2)
    return np.ascontiguousarray(field)


def assert_same(expected: np.ndarray, found: np.ndarray, told: str) -> None:
    assert np.array_equal(expected, found), f"{told}: {first_mismatch(expected, found)}"


def test_compensation():
    seconds = {"reference": 0.0, "native": 0.0}
    for seed in range(150):
        rng = np.random.default_rng(seed)
        rows, columns = (int(side) for side in rng.integers(1, 9, 2))
        frame, field = random_frame(rng, 8 * rows, 8 * columns, int(rng.integers(1, 4))), random_field(rng, rows, columns)
        start = time.perf_counter()
        expected = compensate_reference(frame, field)
        middle = time.perf_counter()
        found = compensate(frame, field)
        seconds["reference"] += middle - start
        seconds["native"] += time.perf_counter() - middle
        assert_same(expected, found, f"seed {seed} size {frame.shape}")
    print({name: f"{value:.3f} s" for name, value in seconds.items()})


def test_compensation_of_a_long_picture():
    """Vectors from one end to the other, beyond the margin on one side only."""
    rng = np.random.default_rng(1)
    for shape in ((16, 640), (640, 16)):
        frame, field = random_frame(rng, *shape), rng.integers(-1023, 1024, (shape[0] // 8, shape[1] // 8, 2)).astype(np.int16)
        assert_same(compensate_reference(frame, field), compensate(frame, field), f"size {shape}")


@pytest.mark.parametrize("fraction", [(x, y) for x in range(4) for y in range(4)])
def test_compensation_of_every_fraction(fraction: tuple[int, int]):
    frame = random_frame(np.random.default_rng(4), 24, 32)
    for vector in (fraction, (fraction[0] - 8, fraction[1] - 48), (1020 + fraction[0], -1020 - fraction[1])):
        field = np.broadcast_to(np.array(vector, np.int16), (3, 4, 2)).clip(-1023, 1023)
        assert_same(compensate_reference(frame, field), compensate(frame, np.ascontiguousarray(field)), str(vector))


@pytest.mark.parametrize("implementation", ["native", "reference"])
def test_compensation_keeps_any_layout(monkeypatch: pytest.MonkeyPatch, implementation: str):
    """By squares, as the C++ kernels keep a picture, by lines, upside down: the same samples, and what comes out lies as what went in."""
    monkeypatch.setenv(TWIN_VARIABLE, implementation)
    rng = np.random.default_rng(7)
    frame, field = random_frame(rng, 32, 48), random_field(rng, 4, 6)
    squares, expected = in_squares(frame), compensate_reference(frame, field)
    cells = np.ascontiguousarray(squares.transpose(1, 3, 0, 2, 4)).transpose(2, 0, 3, 1, 4)
    for name, layout in {"lines": squares, "cells": cells, "from the end": np.ascontiguousarray(squares[:, ::-1])[:, ::-1]}.items():
        predicted = compensate_squares(layout, field)
        assert_same(expected, in_lines(predicted), name)
        if implementation == "native" and name != "from the end":
            assert predicted.strides == layout.strides


def test_weights_and_filters_sum_to_one():
    assert (reference.FILTERS.sum(axis=1) == 64).all()
    horizontal = 8 - reference.OWN_WEIGHT - reference.VERTICAL_WEIGHT
    assert horizontal[:4].tolist() == [[2, 1, 1, 1, 1, 1, 1, 2]] + [[2, 2, 1, 1, 1, 1, 2, 2]] * 3
    assert (horizontal[::-1] == horizontal).all()


def test_whole_vectors_move_the_picture():
    frame = random_frame(np.random.default_rng(0), 32, 48)
    moved = compensate(frame, np.broadcast_to(np.array([20, -12], np.int16), (4, 6, 2)).copy())
    assert_same(frame[:, :-3, 5:], moved[:, 3:, :-5], "moved by (5, -3)")
    assert (moved[:, :3] == moved[:, 3:4]).all()
    assert (moved[:, :, -5:] == moved[:, :, -6:-5]).all()


def test_the_variable_forces_the_twin(monkeypatch: pytest.MonkeyPatch):
    rng = np.random.default_rng(9)
    frame, field = random_frame(rng, 32, 32), random_field(rng, 4, 4)
    expected = compensate(frame, field)
    monkeypatch.setattr("dcvc_cli.motion.blocks.native_module", lambda: pytest.fail("the native module was asked"))
    monkeypatch.setenv(TWIN_VARIABLE, "reference")
    assert_same(expected, compensate(frame, field), "twin")
    monkeypatch.setenv(TWIN_VARIABLE, "slow")
    with pytest.raises(EnvironmentFault, match="'slow'"):
        compensate(frame, field)


def test_contexts_start_alike():
    coder = ReferenceFieldCoder()
    tables = [coder._split, coder._predicted[1], coder._predicted[2], [coder._candidate[1], coder._candidate[2]]]
    contexts = [context for table in tables for row in table for context in row]
    for axis in range(2):
        contexts += [*coder._zero[axis], coder._sign[axis], *coder._prefix[axis]]
    assert native.VectorCoder().probabilities().tolist() == [context.slow for context in contexts]


def test_the_document_tells_the_start_values():
    text = (Path(__file__).resolve().parents[2] / "docs" / "motion.md").read_text(encoding="utf-8")
    rows = {f"split[{k}][0..1]": starts for k, starts in enumerate(reference.START_SPLIT)}
    rows["zero, both axes, [0..1]"] = (reference.START_ZERO,) * 2
    for side in (1, 2):
        rows |= {f"predicted[{side}][{activity}][0..4]": starts for activity, starts in enumerate(reference.START_PREDICTED[side])}
        rows[f"candidate[{side}][0..3]"] = reference.START_CANDIDATE[side]
    for name, starts in rows.items():
        assert f"| {name} | {' '.join(map(str, starts))} |" in text, name


def test_bytes_of_sequences():
    for seed in range(60):
        rng = np.random.default_rng(seed)
        fast, slow, fast_decoder, slow_decoder = FieldCoder(), ReferenceFieldCoder(), FieldCoder(), ReferenceFieldCoder()
        rows, columns = (2 * int(side) for side in rng.integers(1, 6, 2))
        for picture in range(6):
            what = rng.integers(8)
            if what == 0:
                rows, columns = (2 * int(side) for side in rng.integers(1, 6, 2))
            elif what == 1:
                for coder in (fast, slow, fast_decoder, slow_decoder):
                    coder.reset()
            field, told = random_field(rng, rows, columns), f"seed {seed} picture {picture} size {rows} x {columns}"
            data = slow.encode(field)
            assert fast.encode(field).hex() == data.hex(), told
            assert_same(field, fast_decoder.decode(data, rows, columns), told)
            assert_same(field, slow_decoder.decode(data, rows, columns), told)


def test_searching_at_another_size_leaves_the_coder_as_it_is():
    rng = np.random.default_rng(2)
    coder, decoder = FieldCoder(), FieldCoder()
    for _ in range(3):
        field = random_field(rng, 4, 6)
        coder.search(rng.integers(0, 256, (16, 16), np.uint8), random_frame(rng, 16, 16), 30)
        assert_same(field, decoder.decode(coder.encode(field), 4, 6), "field")


def golden_fields() -> list[np.ndarray]:
    """A pan to the left, an area that moves against it, and one very long vector; in the second picture the area is faster."""
    field = np.zeros((4, 6, 2), np.int16)
    field[:] = (-9, 2)
    field[1:3, 2:5] = (14, -3)
    field[3, 0] = (-1023, 1023)
    later = field.copy()
    later[1:3, 2:5] = (15, -3)
    return [field, later]


GOLDEN = ["ff0fefc5f7c845f73f7e1e707358b440", "e1aca8e08df016c0"]


def test_known_bytes():
    """A stream written once is read for ever: these bytes change only with the format."""
    for coder in (FieldCoder(), ReferenceFieldCoder()):
        assert [coder.encode(field).hex() for field in golden_fields()] == GOLDEN
        coder.reset()
        for data, field in zip(GOLDEN, golden_fields(), strict=True):
            assert_same(field, coder.decode(bytes.fromhex(data), 4, 6), "golden")


def test_no_motion_is_no_bytes():
    for coder in (FieldCoder(), ReferenceFieldCoder()):
        assert [coder.encode(np.zeros((18, 22, 2), np.int16)) for _ in range(3)] == [b""] * 3
