"""Any sequence of filters comes back, any bytes end as in the slow twin, and filtering keeps what holds for every
picture and all filters."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dcvc_cli.errors import StreamError
from dcvc_cli.families.lite.filter.filters import FilterCoder, filter_planes
from dcvc_cli.families.lite.filter.parameters import Filters
from dcvc_cli.families.lite.filter.twin import TwinFilterCoder, filter_planes_twin
from dcvc_cli.format.range_coder import DecoderState, EncoderState, TwinRangeDecoder, TwinRangeEncoder

pytest.importorskip("dcvc_cli._filter")
pytestmark = pytest.mark.native
COEFFICIENTS = st.one_of(st.integers(-3, 3), st.integers(-127, 127), st.sampled_from([-127, 127]))
SIZES = [12] * 24 + [16] * 2
Rows = list[list[int]]
Outcome = tuple[Rows, DecoderState | None] | None


def filters_of(rows: Rows) -> Filters:
    return Filters(np.array(rows[:24], np.int8), np.array(rows[24:], np.int8))


def rows_of(filters: Filters) -> Rows:
    return [*filters.luma.tolist(), *filters.chroma.tolist()]


@st.composite
def sequences(draw: st.DrawFn) -> list[Filters | None]:
    """Filters of consecutive frames, None for a reset: each made of the one before by a few changes of filters."""
    rows, sequence = [[0] * size for size in SIZES], []
    for _ in range(draw(st.integers(1, 6))):
        kind = draw(st.sampled_from(["reset", "same", "new", "few", "few", "few"]))
        if kind == "reset":
            sequence.append(None)
        elif kind == "new":
            seed, reach = draw(st.integers(0, 2**32 - 1)), draw(st.sampled_from([0, 2, 127]))
            rng = np.random.default_rng(seed)
            rows = [rng.integers(-reach, reach + 1, size).tolist() for size in SIZES]
        elif kind == "few":
            for k, change in draw(
                st.lists(st.tuples(st.integers(0, 25), st.sampled_from(["before", "one", "flat"])), max_size=8)
            ):
                row = list(rows[k - 1] if change == "before" and k not in (0, 24) else rows[k])
                row[draw(st.integers(0, SIZES[k] - 1))] = draw(COEFFICIENTS)
                rows = [*rows[:k], [row[0]] * SIZES[k] if change == "flat" else row, *rows[k + 1 :]]
        if kind != "reset":
            sequence.append(filters_of(rows))
    return sequence


@st.composite
def shares(draw: st.DrawFn) -> list[tuple[int, int, int]]:
    """Draws arbitrary decisions (start, end, bits), as other coders of the same bytes make them."""
    decisions = []
    for _ in range(draw(st.integers(0, 12))):
        bits = draw(st.integers(1, 16))
        start = draw(st.integers(0, (1 << bits) - 1))
        decisions.append((start, draw(st.integers(start + 1, 1 << bits)), bits))
    return decisions


def after(
    coder: TwinRangeEncoder | TwinRangeDecoder, decisions: list[tuple[int, int, int]]
) -> EncoderState | DecoderState:
    for decision in decisions:
        coder.take(*decision)
    return coder.state


@settings(max_examples=80, deadline=None)
@given(sequence=sequences())
def test_filters_come_back(sequence: list[Filters | None]):
    encoder, twin_encoder, decoder, twin = coders = FilterCoder(), TwinFilterCoder(), FilterCoder(), TwinFilterCoder()
    for filters in sequence:
        if filters is None:
            for coder in coders:
                coder.reset()
            continue
        data = encoder.encode(filters)
        assert twin_encoder.encode(filters) == data
        assert not data.endswith(b"\0")
        assert decoder.decode(data).same_as(filters)
        assert twin.decode(data).same_as(filters)
        for coder in coders:
            assert coder.filters.same_as(filters)


@settings(max_examples=60, deadline=None)
@given(sequence=sequences(), before=shares(), behind=shares())
def test_filters_come_back_from_bytes_that_hold_more(sequence: list[Filters | None], before: list, behind: list):
    """The bytes hold any vectors before the filters and any symbols behind them."""
    encoder, twin_encoder, decoder, twin = coders = FilterCoder(), TwinFilterCoder(), FilterCoder(), TwinFilterCoder()
    start = after(TwinRangeEncoder(), before)
    for filters in sequence:
        if filters is None:
            for coder in coders:
                coder.reset()
            continue
        state = encoder.encode_open(filters, start)
        assert twin_encoder.encode_open(filters, start) == state
        symbols = TwinRangeEncoder(state)
        after(symbols, behind)
        data = symbols.finish()
        place = after(TwinRangeDecoder(data), before)
        found, rest = decoder.decode_open(data, place)
        twin_found, twin_rest = twin.decode_open(data, place)
        assert rest == twin_rest
        assert found.same_as(filters)
        assert twin_found.same_as(filters)
        read = TwinRangeDecoder(data, rest)
        for start_share, end_share, bits in behind:
            assert start_share <= read.share(bits) < end_share
            read.take(start_share, end_share, bits)
        read.finish()


def outcome(coder: FilterCoder | TwinFilterCoder, data: bytes, start: DecoderState | None, is_open: bool) -> Outcome:
    """Returns the filters as lists, checked to be legal, and the state behind them; None if the bytes are refused."""
    try:
        filters, state = coder.decode_open(data, start) if is_open else (coder.decode(data, start), None)
    except StreamError:
        return None
    assert filters.luma.shape == (24, 12)
    assert filters.chroma.shape == (2, 16)
    assert filters.luma.dtype == filters.chroma.dtype == np.int8
    assert abs(filters.luma.astype(int)).max() <= 127
    assert abs(filters.chroma.astype(int)).max() <= 127
    assert coder.filters.same_as(filters)
    return rows_of(filters), state


HOSTILE_BYTES = st.one_of(
    st.binary(max_size=60),
    st.integers(0, 80).map(lambda count: b"\xff" * count),
    st.integers(0, 80).map(lambda count: b"\xff" * 8 + b"\0" * count),
    st.binary(max_size=20).map(lambda data: data + b"\0"),
)


@settings(max_examples=300, deadline=None)
@given(
    data=st.lists(HOSTILE_BYTES, min_size=1, max_size=3),
    before=st.lists(st.integers(1, 16), max_size=5),
    is_open=st.booleans(),
    is_p=st.booleans(),
)
def test_any_bytes_end_as_in_the_twin(data: list[bytes], before: list[int], is_open: bool, is_p: bool):
    """Several frames, until one is refused. Its bytes may hold anything before the filters."""
    coders = FilterCoder(), TwinFilterCoder()
    if is_p:
        assert outcome(coders[0], b"", None, False) == outcome(coders[1], b"", None, False)
    for frame in data:
        reader = TwinRangeDecoder(frame)
        for bits in before:
            share = reader.share(bits)
            reader.take(share, share + 1, bits)
        start = reader.state if before else None
        found, expected = (outcome(coder, frame, start, is_open) for coder in coders)
        assert found == expected
        if found is None:
            break


@settings(max_examples=150, deadline=None)
@given(
    sequence=sequences(),
    where=st.integers(0, 10**6),
    change=st.sampled_from(["cut", "flip", "append"]),
    value=st.integers(1, 255),
)
def test_damaged_bytes_end_as_in_the_twin(sequence: list[Filters | None], where: int, change: str, value: int):
    """The coders may have learned something before."""
    encoder, coders = FilterCoder(), (FilterCoder(), TwinFilterCoder())
    for filters in sequence:
        if filters is None:
            for coder in (encoder, *coders):
                coder.reset()
            continue
        data = encoder.encode(filters)
        if filters is sequence[-1]:
            place = where % max(len(data), 1)
            if change == "append":
                data += bytes([value])
            elif change == "cut":
                data = data[:place]
            else:
                data = data[:place] + bytes(byte ^ value for byte in data[place : place + 1]) + data[place + 1 :]
            found, expected = (outcome(coder, data, None, False) for coder in coders)
            assert found == expected
        else:
            assert [outcome(coder, data, None, False) for coder in coders] == [(rows_of(filters), None)] * 2


@settings(max_examples=60, deadline=None)
@given(
    data=st.data(),
    rows=st.integers(1, 4),
    columns=st.integers(1, 4),
    halve_chroma=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)
def test_filtering_as_in_the_twin(data: st.DataObject, rows: int, columns: int, halve_chroma: bool, seed: int):
    """And samples stay in range; Cb and Cr are filtered alike; the filter of one does not change another."""
    rng = np.random.default_rng(seed)
    luma_size, levels = (
        (8 * rows, 8 * columns),
        np.array(data.draw(st.lists(st.integers(0, 8192), min_size=1, max_size=4)), np.int16),
    )
    size = (4 * rows, 4 * columns) if halve_chroma else luma_size
    luma, chroma = rng.choice(levels, luma_size), rng.choice(levels, size)
    of_luma, of_chroma = (
        data.draw(st.lists(COEFFICIENTS, min_size=12, max_size=12)),
        data.draw(st.lists(COEFFICIENTS, min_size=16, max_size=16)),
    )
    filters = filters_of([of_luma] * 24 + [of_chroma] * 2)
    expected = filter_planes_twin((luma, chroma, chroma), filters)
    found = filter_planes((luma, chroma, chroma), filters)
    for one, other in zip(expected, found, strict=True):
        np.testing.assert_array_equal(one, other)
        assert other.min() >= 0
        assert other.max() <= 8192
    np.testing.assert_array_equal(found[1], found[2])
    alone = filter_planes((luma, chroma, chroma), filters_of([[0] * 12] * 24 + [[0] * 16, of_chroma]))
    for part, unchanged in zip(alone, (luma, chroma, found[2]), strict=True):
        np.testing.assert_array_equal(part, unchanged)
