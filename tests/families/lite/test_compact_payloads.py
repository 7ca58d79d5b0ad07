"""Vectors and symbols in one string: they come back, the twins write and read the same bytes, and no other bytes
stand for them."""

from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dcvc_cli.entropy import twin
from dcvc_cli.entropy.coder import FrameDecoder, FrameEncoder
from dcvc_cli.entropy.tables import wide_gaussian_table
from dcvc_cli.errors import StreamError
from dcvc_cli.families.lite.motion.field import FieldCoder
from dcvc_cli.families.lite.motion.motion import Motion
from dcvc_cli.families.lite.motion.twin import TwinFieldCoder
from dcvc_cli.format.entropy_format import EntropyFormat
from dcvc_cli.format.range_coder import (
    FIRST_RANGE,
    DecoderState,
    EncoderState,
    TwinRangeDecoder,
    TwinRangeEncoder,
    shortest_in,
)
from tests.support.motions import Following, differences

native = pytest.importorskip("dcvc_cli._entropy")
pytest.importorskip("dcvc_cli._motion")
pytestmark = pytest.mark.native
COMPACT = EntropyFormat.COMPACT
Parts = list[tuple[np.ndarray, np.ndarray]]
Lists = dict[str, list | None]
T = TypeVar("T")
GOLDEN = "fce1c395dac8a3be18d1dc6bdbbaa054ed690483eb994b933c92ec1354d1269d7e555f65264a5abc16e0"


def random_size(rng: np.random.Generator) -> tuple[int, int]:
    return 2 * int(rng.integers(1, 5)), 2 * int(rng.integers(1, 5))


def as_lists(motion: Motion) -> Lists:
    """Turns a motion into lists. Two motions that differ have lists that differ."""
    return {name: None if values is None else values.tolist() for name, values in vars(motion).items()}


def random_parts(rng: np.random.Generator) -> Parts:
    parts = []
    for _ in range(int(rng.integers(0, 4))):
        n = int(rng.integers(0, 120))
        rows = rng.integers(0, int(rng.choice([2, 128])), n).astype(np.uint8)
        parts.append(
            (np.clip(np.rint(rng.standard_normal(n) * rng.choice([0.2, 2, 40])), -128, 127).astype(np.int8), rows)
        )
    return parts


def encode(coder: FieldCoder, motion: Motion, parts: Parts) -> bytes:
    encoder = FrameEncoder(COMPACT)
    for symbols, rows in parts:
        encoder.add_y(symbols, rows, wide_gaussian_table())
    return encoder.finish(coder.encode_open(motion))


def read_parts(one: Callable[..., Iterable[int]], finish: Callable[[], None], parts: Parts) -> list[list[int]]:
    symbols = [list(map(int, one(rows, wide_gaussian_table()))) for _, rows in parts]
    finish()
    return symbols


def decode(coder: FieldCoder, data: bytes, shape: tuple[int, int], parts: Parts) -> tuple[Lists, list[list[int]]]:
    motion, state = coder.decode_open(data, *shape)
    decoder = FrameDecoder(data, COMPACT, state)
    return as_lists(motion), read_parts(decoder.decode_y, decoder.finish, parts)


def decode_slowly(
    coder: TwinFieldCoder, data: bytes, shape: tuple[int, int], parts: Parts
) -> tuple[Lists, list[list[int]]]:
    motion, state = coder.decode_open(data, *shape)
    decoder = twin.Decoder(data, COMPACT, state)
    return as_lists(motion), read_parts(decoder.decode, decoder.finish, parts)


def outcome(read: Callable[[], T]) -> T | None:
    """Returns what is read; None if it is refused."""
    try:
        return read()
    except StreamError:
        return None


@settings(max_examples=80, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_frames_come_back(seed: int):
    """Four frames of a sequence, each with states, bytes and values as the twins have them."""
    rng = np.random.default_rng(seed)
    encoder, decoder, slow_encoder, slow_decoder = FieldCoder(), FieldCoder(), TwinFieldCoder(), TwinFieldCoder()
    following, size = Following(), random_size(rng)
    for _ in range(4):
        motion, parts = following.random(rng, *size), random_parts(rng)
        data = encode(encoder, motion, parts)
        state = slow_encoder.encode_open(motion)
        assert (
            data.hex()
            == twin.encode_compact([(symbols, rows, wide_gaussian_table()) for symbols, rows in parts], state).hex()
        )
        expected = (as_lists(motion), [symbols.tolist() for symbols, _ in parts])
        assert decode(decoder, data, size, parts) == expected
        assert decode_slowly(slow_decoder, data, size, parts) == expected


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_states_are_those_of_the_twin(seed: int):
    rng = np.random.default_rng(seed)
    following, size = Following(), random_size(rng)
    fast, slow, closed, fast_decoder, slow_decoder = (
        FieldCoder(),
        TwinFieldCoder(),
        FieldCoder(),
        FieldCoder(),
        TwinFieldCoder(),
    )
    for _ in range(3):
        motion = following.random(rng, *size)
        state = fast.encode_open(motion)
        assert state == slow.encode_open(motion)
        data = TwinRangeEncoder(state).finish()
        assert data == closed.encode(motion)
        (found, where), (expected, there) = (coder.decode_open(data, *size) for coder in (fast_decoder, slow_decoder))
        assert differences(expected, found) == []
        assert where == there


@settings(max_examples=300, deadline=None)
@given(data=st.binary(max_size=40), seed=st.integers(0, 200))
@example(data=b"\xff" * 8, seed=1)
@example(data=b"\xff" * 30, seed=2)
@example(data=b"\xff" * 7 + b"\xfe", seed=3)
def test_bytes_that_decode_are_those_of_their_shares(data: bytes, seed: int):
    """Any bytes end alike in both implementations; those that decode are what an encoder makes of the shares that were
    found."""
    parts = random_parts(np.random.default_rng(seed))
    fast, slow = FrameDecoder(data, COMPACT), twin.Decoder(data, COMPACT)
    encoder, take = TwinRangeEncoder(), slow.compact.coder.take
    slow.compact.coder.take = lambda *share: (encoder.take(*share), take(*share))
    found = outcome(lambda: read_parts(slow.decode, slow.finish, parts))
    assert found == outcome(lambda: read_parts(fast.decode_y, fast.finish, parts))
    if found is not None:
        assert encoder.finish() == data


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), share=st.floats(0, 1), flip=st.integers(1, 255))
def test_damage_never_passes_as_the_original(seed: int, share: float, flip: int):
    rng = np.random.default_rng(seed)
    following, size, parts = Following(), random_size(rng), random_parts(rng)
    first, motion = following.random(rng, *size), following.random(rng, *size)
    encoder = FieldCoder()
    before = encoder.encode(first)
    data = encode(encoder, motion, parts)
    place = int(share * len(data))
    changed = bytearray(data)
    if place < len(data):
        changed[place] ^= flip
    for damaged in (data[:place], bytes(changed), data + bytes([flip]), data + b"\0"):
        if damaged == data:
            continue
        fast, slow = FieldCoder(), TwinFieldCoder()
        for coder in (fast, slow):
            coder.decode(before, *size)
        found = outcome(partial(decode, fast, damaged, size, parts))
        assert found == outcome(partial(decode_slowly, slow, damaged, size, parts))
        assert found != (as_lists(motion), [symbols.tolist() for symbols, _ in parts])


@settings(max_examples=300, deadline=None)
@given(
    steps=st.lists(
        st.tuples(st.sampled_from([1, 2, 15, 16]), st.integers(0, 65535), st.integers(1, 65536)), max_size=60
    )
)
@example(steps=[(1, 1, 1), *[(16, 65535, 1)] * 4])
def test_the_shortest_bytes(steps: list[tuple[int, int, int]]):
    """Every decision comes back. One byte less, however it ends, is another run of decisions or a number that no run
    of decisions has: a decoder takes a number above the range for the last share, but `finish` refuses it."""
    encoder = TwinRangeEncoder()
    taken = []
    for bits, start, width in steps:
        begin = start % (1 << bits)
        end = min(begin + width, 1 << bits)
        encoder.take(begin, end, bits)
        taken.append((begin, end, bits))
    data = encoder.finish()

    def stands_for_the_same(candidate: bytes) -> bool:
        decoder = TwinRangeDecoder(candidate)
        for begin, end, bits in taken:
            if decoder.state.value >= decoder.state.range or not begin <= decoder.share(bits) < end:
                return False
            decoder.take(begin, end, bits)
        return True

    assert stands_for_the_same(data)
    if data:
        number = int.from_bytes(data[:-1], "big")
        shorter = [(number + step) for step in (0, 1) if number + step < 1 << 8 * (len(data) - 1)]
        assert not any(stands_for_the_same(candidate.to_bytes(len(data) - 1, "big")) for candidate in shorter)


def test_shortest_numbers():
    assert [
        shortest_in(low, size)
        for low, size in ((0, 1), (1, 1), (5, 3), (5, 4), (2**64 - 2, 4), (2**63 + 1, FIRST_RANGE))
    ] == [
        0,
        1,
        6,
        8,
        2**64,
        2**64,
    ]


def test_known_bytes():
    """A stream written once is read for ever: these bytes change only with the format."""
    field = np.zeros((4, 6, 2), np.int16)
    field[1:3, 2:5] = (14, -3)
    rows = np.arange(0, 120, 3, dtype=np.uint8)
    parts = [
        ((rows % 5).astype(np.int8) - 2, rows),
        (np.array([-128, 127, 0], np.int8), np.array([0, 60, 127], np.uint8)),
    ]
    assert encode(FieldCoder(), Motion(field), parts).hex() == GOLDEN
    expected = (as_lists(Motion(field)), [symbols.tolist() for symbols, _ in parts])
    for coder, read in ((FieldCoder(), decode), (TwinFieldCoder(), decode_slowly)):
        assert read(coder, bytes.fromhex(GOLDEN), (4, 6), parts) == expected


def test_the_example_of_the_document():
    encoder = TwinRangeEncoder()
    for start, end, bits in ((40000, 50000, 16), (3, 4, 2), (0, 1, 1), *((65535, 65536, 16),) * 3):
        encoder.take(start, end, bits)
    document = Path(__file__).resolve().parents[3] / "docs" / "entropy-coding.md"
    assert f"`{encoder.finish().hex()}`" in document.read_text(encoding="utf-8")


def test_nothing_is_no_bytes():
    assert FrameEncoder(COMPACT).finish(EncoderState()) == b""
    assert TwinRangeEncoder().finish() == b""
    FrameDecoder(b"", COMPACT, DecoderState(8, 0, FIRST_RANGE)).finish()


def test_a_carry_runs_through_bytes_of_another_layer():
    state = EncoderState(b"\x01" + b"\xff" * 11, (1 << 64) - 5, 1 << 40)
    rows = np.full(3, 127, np.uint8)
    encoder = FrameEncoder(COMPACT)
    encoder.add_y(np.array([3, -3, 60], np.int8), rows, wide_gaussian_table())
    data = encoder.finish(state)
    assert data == twin.encode_compact([([3, -3, 60], rows.tolist(), wide_gaussian_table())], state)
    assert data.startswith(b"\x02" + b"\0" * 11)


@pytest.mark.parametrize(
    "call",
    [
        lambda: FrameEncoder(EntropyFormat.PARTITIONED).finish(EncoderState()),
        lambda: FrameDecoder(b"", EntropyFormat.PUBLISHED_ONE, DecoderState(8, 0, FIRST_RANGE)),
        lambda: FrameEncoder(COMPACT).finish(EncoderState(range=(1 << 32) - 1)),
        lambda: FrameDecoder(b"", COMPACT, DecoderState(8, 0, 0)),
        lambda: FrameDecoder(b"", COMPACT, DecoderState(7, 0, FIRST_RANGE)),
        lambda: FrameDecoder(b"", COMPACT, DecoderState(FIRST_RANGE, 0, FIRST_RANGE)),
    ],
)
def test_wrong_states_are_refused(call):
    with pytest.raises(ValueError, match=r"coder"):
        call()
