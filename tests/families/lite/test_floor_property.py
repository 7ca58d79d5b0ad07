"""Any floors come back from bytes that hold more, and any bytes end as in the slow twin."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dcvc_cli.errors import StreamError
from dcvc_cli.families.lite.floor.frame_floor import FloorCoder, FrameFloor
from dcvc_cli.families.lite.floor.parts import FloorParts
from dcvc_cli.families.lite.floor.twin import TwinFloorCoder
from dcvc_cli.format.range_coder import DecoderState, TwinRangeDecoder, TwinRangeEncoder
from tests.support.floors import random_floor

pytest.importorskip("dcvc_cli._floor")
pytestmark = pytest.mark.native
SIZE = (1, 2)


@st.composite
def shares(draw: st.DrawFn) -> list[tuple[int, int, int]]:
    """Draws arbitrary decisions (start, end, bits), as other coders of the same bytes make them."""
    decisions = []
    for _ in range(draw(st.integers(0, 8))):
        bits = draw(st.integers(1, 16))
        start = draw(st.integers(0, (1 << bits) - 1))
        decisions.append((start, draw(st.integers(start + 1, 1 << bits)), bits))
    return decisions


@settings(max_examples=12, deadline=None)
@given(
    seeds=st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=3),
    is_halved=st.booleans(),
    before=shares(),
    behind=shares(),
)
def test_floors_come_back_from_bytes_that_hold_more(seeds: list[int], is_halved: bool, before: list, behind: list):
    """The bytes hold any filters before the floors and any symbols behind them."""
    encoder, twin_encoder, decoder, twin = FloorCoder(), TwinFloorCoder(), FloorCoder(), TwinFloorCoder()
    first = TwinRangeEncoder()
    for share in before:
        first.take(*share)
    for k, seed in enumerate(seeds):
        parts = random_floor(np.random.default_rng(seed), *SIZE, is_halved, k > 0)
        state = encoder.encode_open(FrameFloor.from_parts(parts), first.state)
        assert twin_encoder.encode_open(parts, first.state) == state
        symbols = TwinRangeEncoder(state)
        for share in behind:
            symbols.take(*share)
        data = symbols.finish()
        reader = TwinRangeDecoder(data)
        for start, end, bits in before:
            assert start <= reader.share(bits) < end
            reader.take(start, end, bits)
        found, rest = decoder.decode_open(data, *SIZE, is_halved, reader.state)
        twin_found, twin_rest = twin.decode_open(data, *SIZE, is_halved, reader.state)
        assert rest == twin_rest
        for one in (found.parts(), twin_found):
            assert one is not None
            assert one.same_as(parts)
        reader = TwinRangeDecoder(data, rest)
        for start, end, bits in behind:
            assert start <= reader.share(bits) < end
            reader.take(start, end, bits)
        reader.finish()


def outcome(coder: FloorCoder | TwinFloorCoder, data: bytes, is_halved: bool, is_open: bool) -> tuple | None:
    """Returns the floor, checked to be legal, and the state behind it; None if the bytes are refused."""
    try:
        floor, state = (
            coder.decode_open(data, *SIZE, is_halved) if is_open else (coder.decode(data, *SIZE, is_halved), None)
        )
    except StreamError:
        return None
    parts = floor.parts() if isinstance(floor, FrameFloor) else floor
    assert parts is None or isinstance(parts, FloorParts)
    if parts is None:
        return None, state
    assert 0 <= parts.step_index <= 63
    assert parts.bases.max() <= 3
    assert abs(parts.levels.astype(int)).max() <= 16383
    return parts.step_index, parts.bases.tolist(), parts.flat.tolist(), parts.levels.tobytes(), state


HOSTILE_BYTES = st.one_of(
    st.binary(max_size=80),
    st.integers(0, 200).map(lambda count: b"\xff" * count),
    st.integers(0, 80).map(lambda count: b"\xff" * 8 + b"\0" * count),
    st.binary(min_size=40, max_size=300).map(lambda data: b"\xf0" + data),
)


@settings(max_examples=40, deadline=None)
@given(frames=st.lists(HOSTILE_BYTES, min_size=1, max_size=3), is_halved=st.booleans(), is_open=st.booleans())
def test_any_bytes_end_as_in_the_twin(frames: list[bytes], is_halved: bool, is_open: bool):
    """Several frames, until one is refused."""
    coders = FloorCoder(), TwinFloorCoder()
    for data in frames:
        found, expected = (outcome(coder, data, is_halved, is_open) for coder in coders)
        assert found == expected
        if found is None:
            break


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    where=st.integers(0, 10**6),
    change=st.sampled_from(["cut", "flip", "append"]),
    value=st.integers(1, 255),
)
def test_damaged_bytes_end_as_in_the_twin(seed: int, where: int, change: str, value: int):
    data = FloorCoder().encode(FrameFloor.from_parts(random_floor(np.random.default_rng(seed), *SIZE, True, False)))
    place = where % max(len(data), 1)
    if change == "append":
        data += bytes([value])
    elif change == "cut":
        data = data[:place]
    else:
        data = data[:place] + bytes(byte ^ value for byte in data[place : place + 1]) + data[place + 1 :]
    found, expected = (outcome(coder, data, True, False) for coder in (FloorCoder(), TwinFloorCoder()))
    assert found == expected


def states_are_checked() -> DecoderState:
    return DecoderState(0, 0, 1)


def test_a_coder_starts_only_where_one_can_stand():
    with pytest.raises(ValueError, match="coder"):
        FloorCoder().decode_open(b"", *SIZE, True, states_are_checked())
