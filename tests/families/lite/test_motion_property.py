"""Any sequence of fields comes back, and compensation keeps what holds for every picture and every vector."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dcvc_cli.families.lite.motion.field import FieldCoder, compensate
from dcvc_cli.families.lite.motion.motion import Motion
from dcvc_cli.families.lite.motion.twin import TwinFieldCoder
from tests.support.motions import Following, differences

pytest.importorskip("dcvc_cli._motion")
pytestmark = pytest.mark.native
COMPONENTS = st.one_of(st.integers(-3, 3), st.integers(-1023, 1023), st.sampled_from([-1023, 1023]))
SIDES = st.integers(1, 4).map(lambda blocks: 2 * blocks)


@st.composite
def motions(draw: st.DrawFn) -> Motion:
    """A few vectors spread over a field, whole 16x16 squares and split ones, and over the tracks of some blocks."""
    rows, columns = draw(SIDES), draw(SIDES)
    vectors = np.array(draw(st.lists(st.tuples(COMPONENTS, COMPONENTS), min_size=1, max_size=5)), np.int16)
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    chosen, tracked = rng.integers(0, len(vectors), (2, rows, columns))
    if draw(st.booleans()):
        chosen = chosen[::2, ::2].repeat(2, 0).repeat(2, 1)
    return Motion(vectors[chosen], vectors[tracked], rng.integers(0, 3, (rows // 2, columns // 2), np.uint8))


@settings(max_examples=100, deadline=None)
@given(sequence=st.lists(st.tuples(motions(), st.booleans()), min_size=1, max_size=5))
def test_motions_come_back(sequence: list[tuple[Motion, bool]]):
    """At any size, motion comes back with the tracks that follow from the vectors and the frames before."""
    encoder, decoder, twin, following = FieldCoder(), FieldCoder(), TwinFieldCoder(), Following()
    for motion, reset in sequence:
        if reset:
            following = Following()
            for coder in (encoder, decoder, twin):
                coder.reset()
        expected = following.complete(motion)
        rows, columns, _ = motion.vectors.shape
        data = encoder.encode(motion)
        assert not data.endswith(b"\0")
        assert differences(expected, decoder.decode(data, rows, columns)) == []
        assert differences(expected, twin.decode(data, rows, columns)) == []


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), rows=SIDES, columns=SIDES, num_pictures=st.integers(10, 28))
def test_long_sequences_come_back(seed: int, rows: int, columns: int, num_pictures: int):
    """A decoder's motion can be coded again, to the same bytes."""
    rng, following, encoder, again, decoder = (
        np.random.default_rng(seed),
        Following(),
        FieldCoder(),
        FieldCoder(),
        FieldCoder(),
    )
    for picture in range(num_pictures):
        motion = following.random(rng, rows, columns)
        data = encoder.encode(motion)
        found = decoder.decode(data, rows, columns)
        assert differences(motion, found) == [], picture
        assert again.encode(found) == data, picture


@settings(max_examples=60, deadline=None)
@given(motion=motions(), value=st.integers(0, 8192), of_long_term=st.integers(0, 8192))
def test_flat_pictures_stay_flat(motion: Motion, value: int, of_long_term: int):
    frame, long_term = (
        np.full((1, 8 * motion.vectors.shape[0], 8 * motion.vectors.shape[1]), level, np.int16)
        for level in (value, of_long_term)
    )
    np.testing.assert_array_equal(compensate(frame, Motion(motion.vectors)), frame)
    levels = np.array([value, (value + of_long_term + 1) >> 1, of_long_term], np.int16)
    np.testing.assert_array_equal(
        compensate(frame, motion, long_term)[0], levels[motion.blends].repeat(16, 0).repeat(16, 1)
    )


@settings(max_examples=60, deadline=None)
@given(motion=motions(), seed=st.integers(0, 1000))
def test_planes_are_compensated_alike_and_stay_in_range(motion: Motion, seed: int):
    size = (8 * motion.vectors.shape[0], 8 * motion.vectors.shape[1])
    plane, of_long_term = np.random.default_rng(seed).choice(np.array([0, 4096, 8192], np.int16), (2, *size))
    first, second = compensate(np.stack([plane, plane]), motion, np.stack([of_long_term, of_long_term]))
    np.testing.assert_array_equal(first, second)
    assert first.min() >= 0
    assert first.max() <= 8192
