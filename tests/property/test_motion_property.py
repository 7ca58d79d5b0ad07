"""Any sequence of fields comes back, and compensation keeps what holds for every picture and every vector."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dcvc_cli.motion.blocks import FieldCoder, compensate
from dcvc_cli.motion.reference import ReferenceFieldCoder

pytest.importorskip("dcvc_cli._motion")
pytestmark = pytest.mark.native
COMPONENTS = st.one_of(st.integers(-3, 3), st.integers(-1023, 1023), st.sampled_from([-1023, 1023]))


@st.composite
def fields(draw: st.DrawFn) -> np.ndarray:
    """A few vectors spread over a field: whole 16x16 squares and split ones."""
    rows, columns = 2 * draw(st.integers(1, 4)), 2 * draw(st.integers(1, 4))
    vectors = np.array(draw(st.lists(st.tuples(COMPONENTS, COMPONENTS), min_size=1, max_size=5)), np.int16)
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    chosen = rng.integers(0, len(vectors), (rows, columns))
    if draw(st.booleans()):
        chosen = chosen[::2, ::2].repeat(2, 0).repeat(2, 1)
    return vectors[chosen]


@settings(max_examples=100, deadline=None)
@given(sequence=st.lists(st.tuples(fields(), st.booleans()), min_size=1, max_size=5))
def test_fields_come_back(sequence: list[tuple[np.ndarray, bool]]):
    encoder, decoder, twin = FieldCoder(), FieldCoder(), ReferenceFieldCoder()
    for field, reset in sequence:
        if reset:
            for coder in (encoder, decoder, twin):
                coder.reset()
        rows, columns, _ = field.shape
        data = encoder.encode(field)
        assert not data.endswith(b"\0")
        np.testing.assert_array_equal(decoder.decode(data, rows, columns), field)
        np.testing.assert_array_equal(twin.decode(data, rows, columns), field)


@settings(max_examples=60, deadline=None)
@given(field=fields(), value=st.integers(0, 8192))
def test_a_flat_picture_stays_flat(field: np.ndarray, value: int):
    frame = np.full((1, 8 * field.shape[0], 8 * field.shape[1]), value, np.int16)
    np.testing.assert_array_equal(compensate(frame, field), frame)


@settings(max_examples=60, deadline=None)
@given(field=fields(), seed=st.integers(0, 1000))
def test_planes_are_compensated_alike_and_stay_in_range(field: np.ndarray, seed: int):
    plane = np.random.default_rng(seed).choice(np.array([0, 4096, 8192], np.int16), (8 * field.shape[0], 8 * field.shape[1]))
    first, second = compensate(np.stack([plane, plane]), field)
    np.testing.assert_array_equal(first, second)
    assert first.min() >= 0
    assert first.max() <= 8192
