"""Damaged, truncated and random bytes end with StreamError, never with wrong memory, wrong symbols that pass, or a long
wait."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dcvc_cli.entropy import twin
from dcvc_cli.entropy.coder import FrameDecoder, FrameEncoder
from dcvc_cli.entropy.tables import TableError, gaussian_table
from dcvc_cli.errors import StreamError
from dcvc_cli.format.entropy_format import SHARED_FORMATS, EntropyFormat

native = pytest.importorskip("dcvc_cli._entropy")
pytestmark = pytest.mark.native
FORMATS = list(SHARED_FORMATS)
MARKED_FORMATS = [fmt for fmt in SHARED_FORMATS if fmt is not EntropyFormat.COMPACT]
"""Those whose states tell where the bytes end. Every string of a compact payload that ends in no zero stands for
symbols of its own."""


def make_frame(num_symbols: int, seed: int = 1) -> list[tuple[np.ndarray, np.ndarray]]:
    rng = np.random.default_rng(seed)
    parts = []
    for n in (num_symbols, num_symbols // 2):
        rows = rng.integers(0, 128, n).astype(np.uint8)
        parts.append(
            (np.clip(np.rint(rng.standard_normal(n) * rng.choice([0.3, 2, 30], n)), -128, 127).astype(np.int8), rows)
        )
    return parts


def encode(parts: list, fmt: EntropyFormat) -> bytes:
    encoder = FrameEncoder(fmt)
    for symbols, rows in parts:
        encoder.add_y(symbols, rows, gaussian_table())
    return encoder.finish()


def decode(data: bytes, fmt: EntropyFormat, parts: list) -> list[np.ndarray]:
    decoder = FrameDecoder(data, fmt)
    out = [decoder.decode_y(rows, gaussian_table()) for _, rows in parts]
    decoder.finish()
    return out


def twin_outcome(data: bytes, fmt: EntropyFormat, parts: list) -> list[list[int]] | None:
    try:
        decoder = twin.Decoder(data, fmt)
        out = [decoder.decode(rows, gaussian_table()) for _, rows in parts]
        decoder.finish()
    except StreamError:
        return None
    return out


def native_outcome(data: bytes, fmt: EntropyFormat, parts: list) -> list[list[int]] | None:
    try:
        return [symbols.tolist() for symbols in decode(data, fmt, parts)]
    except StreamError:
        return None


@pytest.mark.parametrize("fmt", MARKED_FORMATS)
@pytest.mark.parametrize("num_symbols", [3, 200])
def test_every_truncation_is_refused(fmt: EntropyFormat, num_symbols: int):
    parts = make_frame(num_symbols)
    data = encode(parts, fmt)
    for size in range(len(data)):
        with pytest.raises(StreamError):
            decode(data[:size], fmt, parts)


@pytest.mark.parametrize("num_symbols", [3, 200])
def test_no_truncation_of_a_compact_payload_passes_as_the_original(num_symbols: int):
    parts = make_frame(num_symbols)
    data = encode(parts, EntropyFormat.COMPACT)
    for size in range(len(data)):
        found = native_outcome(data[:size], EntropyFormat.COMPACT, parts)
        assert found == twin_outcome(data[:size], EntropyFormat.COMPACT, parts)
        assert found != [symbols.tolist() for symbols, _ in parts]


@pytest.mark.parametrize("fmt", FORMATS)
@pytest.mark.parametrize("extra", [b"\0", b"\xff", b"\0\0\0\0", b"data"])
def test_trailing_bytes_are_refused(fmt: EntropyFormat, extra: bytes):
    parts = make_frame(200)
    with pytest.raises(StreamError):
        decode(encode(parts, fmt) + extra, fmt, parts)


@pytest.mark.parametrize("fmt", FORMATS)
def test_bytes_without_symbols_are_refused(fmt: EntropyFormat):
    FrameDecoder(b"", fmt).finish()
    with pytest.raises(StreamError):
        FrameDecoder(b"\0\0\0\0\0", fmt).finish()


@pytest.mark.parametrize("fmt", FORMATS)
def test_single_byte_flips_never_pass_as_the_original(fmt: EntropyFormat):
    parts = make_frame(60)
    data = encode(parts, fmt)
    for position in range(len(data)):
        for flip in (1, 128, 255):
            damaged = bytearray(data)
            damaged[position] ^= flip
            outcome = native_outcome(bytes(damaged), fmt, parts)
            assert outcome is None or any(
                out != symbols.tolist() for out, (symbols, _) in zip(outcome, parts, strict=True)
            )


@pytest.mark.parametrize("fmt", FORMATS)
@settings(max_examples=150, deadline=None)
@given(data=st.binary(max_size=80), seed=st.integers(0, 50), num_symbols=st.integers(0, 60))
def test_random_bytes_end_as_in_the_twin(fmt: EntropyFormat, data: bytes, seed: int, num_symbols: int):
    parts = make_frame(num_symbols, seed)
    assert native_outcome(data, fmt, parts) == twin_outcome(data, fmt, parts)


@settings(max_examples=150, deadline=None)
@given(
    header=st.integers(0, 20),
    sizes=st.binary(max_size=70),
    body=st.binary(max_size=200),
    num_symbols=st.integers(0, 60),
)
def test_random_partition_headers_end_as_in_the_twin(header: int, sizes: bytes, body: bytes, num_symbols: int):
    parts = make_frame(num_symbols)
    data = bytes([header]) + bytes(size & 31 for size in sizes) + body
    assert native_outcome(data, EntropyFormat.PARTITIONED, parts) == twin_outcome(
        data, EntropyFormat.PARTITIONED, parts
    )


@pytest.mark.parametrize("fmt", FORMATS)
def test_an_error_stays(fmt: EntropyFormat):
    rows = np.zeros(50, dtype=np.uint8)
    # The compact string stands for an escape with more digits than there are.
    decoder = FrameDecoder(
        {EntropyFormat.PARTITIONED: b"\x08\xff", EntropyFormat.COMPACT: b"\xff" * 12}.get(fmt, b"\xff\xff"), fmt
    )
    for _ in range(2):
        with pytest.raises(StreamError):
            decoder.decode_y(rows, gaussian_table())
    with pytest.raises(StreamError):
        decoder.finish()


def test_a_huge_claim_of_symbols_costs_no_more_than_its_output():
    rows = np.full(4_000_000, 127, dtype=np.uint8)
    for fmt in FORMATS:
        with pytest.raises(StreamError):
            decode(b"\0\0\0\0\1\0\0", fmt, [(rows, rows)])


def test_wrong_arguments_are_refused():
    table = gaussian_table()
    encoder, decoder = FrameEncoder(EntropyFormat.PUBLISHED_ONE), FrameDecoder(b"\0\0\0\1", EntropyFormat.PUBLISHED_ONE)
    symbols, rows = np.zeros(4, dtype=np.int8), np.zeros(4, dtype=np.uint8)
    with pytest.raises(ValueError, match="int8"):
        encoder.add_y(symbols.astype(np.int16), rows, table)
    with pytest.raises(ValueError, match="one length"):
        encoder.add_y(symbols, rows[:3], table)
    with pytest.raises(ValueError, match="uint8"):
        decoder.decode_y(rows.astype(np.int64), table)
    with pytest.raises(ValueError, match="128 rows"):
        decoder.decode_y(rows + 128, table)
    encoder.add_y(symbols, rows + 200, table)
    with pytest.raises(ValueError, match="128 rows"):
        encoder.finish()
    with pytest.raises(TableError):
        encoder.add_z(symbols.reshape(4, 1, 1), table, 126)
    with pytest.raises(TableError):
        decoder.decode_z(4, 1, 1, table, -1)
    with pytest.raises(ValueError, match="channels"):
        decoder.decode_z(257, 1, 1, table, 0)
