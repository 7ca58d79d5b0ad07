"""Any tables and symbols come back, in every byte format, and the slow twin writes and reads the same bytes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dcvc_cli.entropy import twin
from dcvc_cli.entropy.coder import FrameDecoder, FrameEncoder
from dcvc_cli.entropy.tables import CdfTable, gaussian_table, quantise_pmf
from dcvc_cli.format.entropy_format import SHARED_FORMATS, EntropyFormat

native = pytest.importorskip("dcvc_cli._entropy")
pytestmark = pytest.mark.native
MIN_INTERLEAVED = twin.MIN_INTERLEAVED_SYMBOLS


@st.composite
def tables(draw: st.DrawFn) -> CdfTable:
    num_rows = draw(st.integers(1, 5))
    lengths = [draw(st.integers(3, 30)) for _ in range(num_rows)]
    cdf = np.zeros((num_rows, 30), dtype=np.int32)
    offsets = []
    for row, length in enumerate(lengths):
        masses = draw(
            st.lists(st.sampled_from([0.0, 1e-6, 0.01, 0.3, 1.0, 100.0]), min_size=length - 1, max_size=length - 1)
        )
        cdf[row, :length] = quantise_pmf(np.array(masses, dtype=np.float32) / max(sum(masses), 1.0) + np.float32(1e-5))
        offsets.append(draw(st.integers(-128, 127 - (length - 3))))
    return CdfTable(cdf, np.array(lengths), np.array(offsets))


@st.composite
def frames(draw: st.DrawFn) -> tuple[CdfTable, list[tuple[np.ndarray, np.ndarray]]]:
    table = draw(tables())
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    parts = []
    for _ in range(draw(st.integers(0, 4))):
        n = draw(st.integers(0, 90))
        rows = rng.integers(0, table.num_rows, n).astype(np.uint8)
        near = table.offset[rows] + rng.integers(0, 30, n) % (table.cdf_length[rows] - 1)
        symbols = np.where(rng.random(n) < 0.1, rng.integers(-128, 128, n), np.clip(near, -128, 127)).astype(np.int8)
        parts.append((symbols, rows))
    return table, parts


def decode_both(data: bytes, fmt: EntropyFormat, table: CdfTable, parts: list) -> None:
    decoder, slow = FrameDecoder(data, fmt), twin.Decoder(data, fmt)
    for symbols, rows in parts:
        np.testing.assert_array_equal(decoder.decode_y(rows, table), symbols)
        assert slow.decode(rows, table) == symbols.tolist()
    decoder.finish()
    slow.finish()


@pytest.mark.parametrize("fmt", list(SHARED_FORMATS))
@settings(max_examples=60, deadline=None)
@given(frame=frames())
def test_round_trip_and_twin(fmt: EntropyFormat, frame: tuple):
    table, parts = frame
    encoder = FrameEncoder(fmt)
    for symbols, rows in parts:
        encoder.add_y(symbols, rows, table)
    data = encoder.finish()
    assert data == twin.encode([(symbols, rows, table) for symbols, rows in parts], fmt)
    decode_both(data, fmt, table, parts)


@settings(max_examples=60, deadline=None)
@given(frame=frames(), interleaved=st.booleans(), log2_partitions=st.integers(0, 6))
def test_every_layout_of_partitions(frame: tuple, interleaved: bool, log2_partitions: int):
    table, parts = frame
    data = native.encode_partitioned(
        [(table.native(), symbols, rows) for symbols, rows in parts], interleaved, log2_partitions
    )
    assert data == twin.encode_partitioned(
        [(symbols, rows, table) for symbols, rows in parts], interleaved, log2_partitions
    )
    decode_both(data, EntropyFormat.PARTITIONED, table, parts)


@pytest.mark.parametrize(
    ("num_symbols", "header"),
    [(1, 0), (MIN_INTERLEAVED - 1, 0), (MIN_INTERLEAVED, 8), (4 * MIN_INTERLEAVED, 10)],
)
def test_layout_follows_the_symbol_count(num_symbols: int, header: int):
    table, rng = gaussian_table(), np.random.default_rng(5)
    rows = rng.integers(0, 128, num_symbols).astype(np.uint8)
    symbols = rng.integers(-6, 7, num_symbols).astype(np.int8)
    encoder = FrameEncoder(EntropyFormat.PARTITIONED)
    encoder.add_y(symbols, rows, table)
    data = encoder.finish()
    assert data[0] == header
    decoder = FrameDecoder(data, EntropyFormat.PARTITIONED)
    np.testing.assert_array_equal(decoder.decode_y(rows, table), symbols)
    decoder.finish()
    if num_symbols < 70000:
        assert data == twin.encode([(symbols, rows, table)], EntropyFormat.PARTITIONED)
    reference = FrameEncoder(EntropyFormat.PUBLISHED_ONE)
    reference.add_y(symbols, rows, table)
    # One byte for small frames; a fraction of the payload for large ones.
    assert len(data) <= len(reference.finish()) + (1 if header == 0 else num_symbols // 2500)


@pytest.mark.parametrize("fmt", list(SHARED_FORMATS))
@pytest.mark.parametrize("num_channels", [1, 7, 64, 128, 256])
def test_z_of_any_channel_count(fmt: EntropyFormat, num_channels: int):
    rng = np.random.default_rng(num_channels)
    gaussian = gaussian_table()
    table = CdfTable(*(np.concatenate([array] * 5) for array in (gaussian.cdf, gaussian.cdf_length, gaussian.offset)))
    z = rng.integers(-4, 5, (num_channels, 3, 2)).astype(np.int8)
    encoder = FrameEncoder(fmt)
    encoder.add_z(z, table, 130)
    encoder.add_y(np.zeros(9, dtype=np.int8), np.arange(9, dtype=np.uint8), gaussian)
    data = encoder.finish()
    rows = 130 + np.repeat(np.arange(num_channels), 6)
    assert data == twin.encode([(z.reshape(-1), rows, table), ([0] * 9, list(range(9)), gaussian)], fmt)
    decoder = FrameDecoder(data, fmt)
    np.testing.assert_array_equal(decoder.decode_z(num_channels, 3, 2, table, 130), z)
    assert not decoder.decode_y(np.arange(9, dtype=np.uint8), gaussian).any()
    decoder.finish()
