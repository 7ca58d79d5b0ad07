"""Motion compensation and vector coding against their slow twin: any vectors, all small sizes, several pictures, and
bytes that stay."""

import time
from pathlib import Path

import numpy as np
import pytest

from dcvc_cli.errors import EnvironmentFault
from dcvc_cli.families.lite.motion import twin as reference
from dcvc_cli.families.lite.motion.field import (
    TWIN_VARIABLE,
    FieldCoder,
    compensate,
    compensate_squares,
    in_lines,
    in_squares,
)
from dcvc_cli.families.lite.motion.motion import Motion
from dcvc_cli.families.lite.motion.twin import TwinFieldCoder, compensate_twin
from dcvc_cli.format.range_coder import Context
from tests.support.motions import Following, differences, random_field, random_motion, still
from tests.support.random_layers import assert_same

native = pytest.importorskip("dcvc_cli._motion")
pytestmark = pytest.mark.native


def random_frame(rng: np.random.Generator, height: int, width: int, planes: int = 3) -> np.ndarray:
    """Makes samples in 0..8192: noise, only the ends of the range, or all the same."""
    kind = rng.integers(3)
    if kind == 0:
        return rng.integers(0, 8193, (planes, height, width)).astype(np.int16)
    if kind == 1:
        return (rng.integers(0, 2, (planes, height, width)) * 8192).astype(np.int16)
    return np.full((planes, height, width), rng.choice([0, 1, 4095, 8192]), np.int16)


def assert_same_motion(expected: Motion, found: Motion, told: str) -> None:
    assert differences(expected, found) == [], told


def test_compensation():
    seconds = {"twin": 0.0, "native": 0.0}
    for seed in range(150):
        rng = np.random.default_rng(seed)
        rows, columns = (int(side) for side in rng.integers(1, 9, 2))
        frame, motion = (
            random_frame(rng, 8 * rows, 8 * columns, int(rng.integers(1, 4))),
            Motion(random_field(rng, rows, columns)),
        )
        start = time.perf_counter()
        expected = compensate_twin(frame, motion)
        middle = time.perf_counter()
        found = compensate(frame, motion)
        seconds["twin"] += middle - start
        seconds["native"] += time.perf_counter() - middle
        assert_same(expected, found, f"seed {seed} size {frame.shape}")
    print({name: f"{value:.3f} s" for name, value in seconds.items()})


def test_compensation_with_a_long_term_reference():
    for seed in range(100):
        rng = np.random.default_rng(seed)
        rows, columns, planes = 2 * int(rng.integers(1, 6)), 2 * int(rng.integers(1, 6)), int(rng.integers(1, 4))
        frame, long_term = (random_frame(rng, 8 * rows, 8 * columns, planes) for _ in range(2))
        motion = random_motion(rng, rows, columns)
        assert_same(
            compensate_twin(frame, motion, long_term=long_term),
            compensate(frame, motion, long_term),
            f"seed {seed} size {frame.shape}",
        )


@pytest.mark.parametrize("implementation", ["native", "twin"])
def test_blends(monkeypatch: pytest.MonkeyPatch, implementation: str):
    """Each block is predicted from the reference alone, from the long-term reference alone, or from the mean of both,
    rounded up, of limited samples."""
    monkeypatch.setenv(TWIN_VARIABLE, implementation)
    rng = np.random.default_rng(6)
    frame, long_term, motion = random_frame(rng, 48, 80), random_frame(rng, 48, 80), random_motion(rng, 6, 10)
    near, far = compensate(frame, Motion(motion.vectors)), compensate(long_term, Motion(motion.tracks))
    for blend, expected in enumerate((near, (near + far + 1) >> 1, far)):
        whole = Motion(motion.vectors, motion.tracks, np.full((3, 5), blend, np.uint8))
        assert_same(expected, compensate(frame, whole, long_term), f"blend {blend}")
        one = Motion(motion.vectors, motion.tracks, np.zeros((3, 5), np.uint8))
        one.blends[1, 2] = blend
        mixed = near.copy()
        mixed[:, 16:32, 32:48] = expected[:, 16:32, 32:48]
        assert_same(mixed, compensate(frame, one, long_term), f"one block of blend {blend}")


def test_compensation_of_a_long_picture():
    """Vectors from one end to the other, beyond the margin on one side only."""
    rng = np.random.default_rng(1)
    for shape in ((16, 640), (640, 16)):
        frame, long_term, size = random_frame(rng, *shape), random_frame(rng, *shape), (shape[0] // 8, shape[1] // 8, 2)
        vectors, tracks = (rng.integers(-1023, 1024, size).astype(np.int16) for _ in range(2))
        motion = Motion(vectors, tracks, rng.integers(0, 3, (size[0] // 2, size[1] // 2), np.uint8))
        assert_same(
            compensate_twin(frame, motion, long_term=long_term), compensate(frame, motion, long_term), f"size {shape}"
        )


@pytest.mark.parametrize("fraction", [(x, y) for x in range(4) for y in range(4)])
def test_compensation_of_every_fraction(fraction: tuple[int, int]):
    frame = random_frame(np.random.default_rng(4), 24, 32)
    for vector in (fraction, (fraction[0] - 8, fraction[1] - 48), (1020 + fraction[0], -1020 - fraction[1])):
        motion = Motion(np.ascontiguousarray(np.broadcast_to(np.array(vector, np.int16), (3, 4, 2)).clip(-1023, 1023)))
        assert_same(compensate_twin(frame, motion), compensate(frame, motion), str(vector))


LAYOUTS = {
    "lines": lambda squares: squares,
    "cells": lambda squares: np.ascontiguousarray(squares.transpose(1, 3, 0, 2, 4)).transpose(2, 0, 3, 1, 4),
    "from the end": lambda squares: np.ascontiguousarray(squares[:, ::-1])[:, ::-1],
}


@pytest.mark.parametrize("implementation", ["native", "twin"])
def test_compensation_keeps_any_layout(monkeypatch: pytest.MonkeyPatch, implementation: str):
    """By squares, as the C++ kernels keep a picture, by lines, or upside down: the samples are the same, and the output
    has the layout of the input."""
    monkeypatch.setenv(TWIN_VARIABLE, implementation)
    rng = np.random.default_rng(7)
    frame, long_term, motion = random_frame(rng, 32, 48), random_frame(rng, 32, 48), random_motion(rng, 4, 6)
    expected, alone = (
        compensate_twin(frame, motion, long_term=long_term),
        compensate_twin(frame, Motion(motion.vectors)),
    )
    for name, arranged in LAYOUTS.items():
        layout = arranged(in_squares(frame))
        predicted = compensate_squares(layout, motion, arranged(in_squares(long_term)))
        assert_same(expected, in_lines(predicted), name)
        assert_same(
            expected,
            in_lines(compensate_squares(layout, motion, in_squares(long_term))),
            f"{name} and a long-term reference by lines",
        )
        assert_same(
            alone, in_lines(compensate_squares(layout, Motion(motion.vectors))), f"{name} without a long-term reference"
        )
        if implementation == "native" and name != "from the end":
            assert predicted.strides == layout.strides


def test_weights_and_filters_sum_to_one():
    assert (reference.FILTERS.sum(axis=1) == 64).all()
    horizontal = 8 - reference.OWN_WEIGHT - reference.VERTICAL_WEIGHT
    assert horizontal[:4].tolist() == [[2, 1, 1, 1, 1, 1, 1, 2]] + [[2, 2, 1, 1, 1, 1, 2, 2]] * 3
    assert (horizontal[::-1] == horizontal).all()


def test_whole_vectors_move_the_picture():
    frame = random_frame(np.random.default_rng(0), 32, 48)
    moved = compensate(frame, Motion(np.broadcast_to(np.array([20, -12], np.int16), (4, 6, 2)).copy()))
    assert_same(frame[:, :-3, 5:], moved[:, 3:, :-5], "moved by (5, -3)")
    assert (moved[:, :3] == moved[:, 3:4]).all()
    assert (moved[:, :, -5:] == moved[:, :, -6:-5]).all()


def test_the_variable_forces_the_twin(monkeypatch: pytest.MonkeyPatch):
    rng = np.random.default_rng(9)
    frame, long_term, motion = random_frame(rng, 32, 32), random_frame(rng, 32, 32), random_motion(rng, 4, 4)
    expected = compensate(frame, motion, long_term)
    monkeypatch.setattr("dcvc_cli.families.lite.motion.field.native", None)
    monkeypatch.setenv(TWIN_VARIABLE, "twin")
    assert_same(expected, compensate(frame, motion, long_term), "twin")
    monkeypatch.setenv(TWIN_VARIABLE, "slow")
    with pytest.raises(EnvironmentFault, match="'slow'"):
        compensate(frame, motion, long_term)


def test_contexts_start_alike():
    coder = TwinFieldCoder()
    # The native code has a third activity for vectors into the long-term reference too, which nothing has.
    predicted = [
        *coder._predicted[1],
        *coder._predicted[2],
        *coder._predicted[reference.TRACK],
        [Context() for _ in range(5)],
    ]
    contexts = [context for row in (*coder._split, *predicted, *coder._candidate.values()) for context in row]
    for differences_of in (coder._differences, coder._track_differences):
        for axis in range(2):
            contexts += [*differences_of.zero[axis], differences_of.sign[axis], *differences_of.prefix[axis]]
    contexts += [coder._any_blend, *coder._blended, *coder._only]
    assert native.VectorCoder().probabilities().tolist() == [context.slow for context in contexts]


def test_the_document_tells_the_start_values():
    text = (Path(__file__).resolve().parents[3] / "docs" / "motion.md").read_text(encoding="utf-8")
    rows = {f"split[{k}][0..1]": starts for k, starts in enumerate(reference.START_SPLIT)}
    rows |= {
        "zero, both axes, [0..1]": (reference.START_ZERO,) * 2,
        "track_zero, both axes, [0..1]": (reference.START_TRACK_ZERO,) * 2,
    }
    rows |= {"any_blend": (32768,), "blended[0..2]": reference.START_BLENDED, "only[0..2]": reference.START_ONLY}
    assert reference.TRACK == 3
    for side in (1, 2, 3):
        rows |= {
            f"predicted[{side}][{activity}][0..4]": starts
            for activity, starts in enumerate(reference.START_PREDICTED[side])
        }
        rows[f"candidate[{side}][0..3]"] = reference.START_CANDIDATE[side]
    for name, starts in rows.items():
        assert f"| {name} | {' '.join(map(str, starts))} |" in text, name


class FourCoders:
    """The native coders and their twins, of encoder and decoder, of one sequence."""

    def __init__(self) -> None:
        self.encoders, self.decoders = (FieldCoder(), TwinFieldCoder()), (FieldCoder(), TwinFieldCoder())

    def reset(self) -> None:
        for coder in (*self.encoders, *self.decoders):
            coder.reset()

    def code(self, wanted: Motion, expected: Motion, told: str) -> bytes:
        """Returns the bytes, which must be the same of both, and hold what is expected."""
        fast, slow = (coder.encode(wanted) for coder in self.encoders)
        assert fast.hex() == slow.hex(), told
        for coder in self.decoders:
            assert_same_motion(
                expected, coder.decode(slow, *expected.vectors.shape[:2]), f"{told} by {type(coder).__name__}"
            )
        return slow


@pytest.mark.parametrize("seed", range(20))
def test_bytes_of_sequences(seed: int):
    """Long enough for long-term references to change; sizes change and I frames come in between. A frame's tracks tell
    which frame it followed."""
    rng = np.random.default_rng(seed)
    coders, following, numbers = FourCoders(), Following(), []
    rows, columns = (2 * int(side) for side in rng.integers(1, 6, 2))
    for picture in range(22):
        what = rng.integers(24) if seed % 2 else 24  # every other sequence is one without events
        if what < 2:
            rows, columns = (rows, 2 * int(rng.integers(1, 6))) if what else (columns, rows)
        elif what == 2:
            coders.reset()
            following = Following()
        numbers.append(following.number)
        assert [coder.has_long_term for coder in (coders.encoders[0], coders.decoders[0])] == [following.number > 1] * 2
        motion, told = (
            following.random(rng, rows, columns),
            f"seed {seed} picture {picture} number {numbers[-1]} size {rows} x {columns}",
        )
        coders.code(motion, motion, told)
    assert seed % 2 or numbers == list(range(1, 23))


def test_the_encoder_derives_what_no_bits_stand_for():
    """Of the tracks only those of blended blocks count, of these the upper left square's; without blends nothing is
    blended."""
    rng = np.random.default_rng(11)
    coders, following = FourCoders(), Following()
    for picture in range(12):
        wanted = random_motion(rng, 4, 6)
        if picture % 5 == 0:
            wanted = Motion(wanted.vectors)
        coders.code(wanted, following.complete(wanted), f"picture {picture}")


def test_a_steady_pan_is_followed_to_the_long_term():
    """Every frame moves by 3 samples; the long-term reference stays behind, and moves up after pictures 9 and 17."""
    steady = Motion(np.broadcast_to(np.array([12, -4], np.int16), (4, 6, 2)).copy())
    coder, slow, distances = FieldCoder(), TwinFieldCoder(), []
    coder.decode(slow.encode(steady), 4, 6)
    for _ in range(2, 20):
        motion = coder.decode(slow.encode(steady), 4, 6)
        assert not motion.blends.any()
        assert (motion.tracks == motion.tracks[:1, :1]).all()
        assert (motion.tracks[0, 0] * [1, -3] == motion.tracks[0, 0, 0]).all()
        distances.append(int(motion.tracks[0, 0, 0]) // 12)
    assert distances == [*range(2, 10), *range(2, 10), 2, 3]


@pytest.mark.parametrize("vector", [(1023, -1023), (-1023, 1023), (1023, 1023)])
def test_the_longest_vectors(vector: tuple[int, int]):
    """Followed vectors stop at the limit, and a coded vector may jump from one limit to the other."""
    coders, following = FourCoders(), Following()
    longest = np.broadcast_to(np.array(vector, np.int16), (4, 6, 2)).copy()
    for picture in range(4):
        opposite = Motion(longest, -longest, np.array([[1, 0, 2], [0, 2, 0]], np.uint8))
        expected = following.complete(opposite)
        coders.code(opposite, expected, f"picture {picture}")
    tracks = expected.tracks.reshape(2, 2, 3, 2, 2).swapaxes(1, 2)  # by blocks
    assert (abs(tracks.astype(int)) <= 1023).all()
    assert (tracks[0, 0] == np.negative(vector)).all()


def test_searching_at_another_size_leaves_the_coder_as_it_is():
    rng = np.random.default_rng(2)
    coder, decoder, following = FieldCoder(), FieldCoder(), Following()
    for _ in range(3):
        motion, long_term = following.random(rng, 4, 6), random_frame(rng, 16, 16) if coder.has_long_term else None
        coder.search(rng.integers(0, 256, (16, 16), np.uint8), random_frame(rng, 16, 16), 30, long_term)
        assert_same_motion(motion, decoder.decode(coder.encode(motion), 4, 6), "motion")


def golden_motions() -> list[Motion]:
    """A pan to the left, an area that moves against it, one very long vector; then the area is faster, and some is from
    the long-term reference."""
    following, motions = Following(), []
    for picture in range(4):
        field = np.zeros((4, 6, 2), np.int16)
        field[:] = (-9, 2)
        field[1:3, 2:5] = (14 + picture, -3)
        if picture == 0:
            field[3, 0] = (-1023, 1023)
        blends = np.array([[0, 1, 2], [0, 0, picture % 3]], np.uint8)
        motions.append(following.complete(Motion(field, field * np.int16(2), blends)))
    return motions


GOLDEN = [
    "ff0fefc5f7c845f73f7e1e707358b440",
    "e1aca8e087408fb3c0a0",
    "d923bd01819ab5108820b9bc",
    "d1f4a2e43ff368b988d0",
]


def test_known_bytes():
    """A stream written once is read for ever: these bytes change only with the format."""
    for coder in (FieldCoder(), TwinFieldCoder()):
        assert [coder.encode(motion).hex() for motion in golden_motions()] == GOLDEN
        coder.reset()
        for data, motion in zip(GOLDEN, golden_motions(), strict=True):
            assert_same_motion(motion, coder.decode(bytes.fromhex(data), 4, 6), "golden")


def test_no_motion_is_no_bytes():
    for coder in (FieldCoder(), TwinFieldCoder()):
        assert [coder.encode(still(18, 22)) for _ in range(20)] == [b""] * 20
