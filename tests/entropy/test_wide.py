"""The coder of 16-bit symbols: the bytes of docs/entropy-coding.md ("Wide symbols"), its slow twin's bytes, and every
damage an error or other symbols."""

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dcvc_cli.entropy.wide import MAX_CODERS, WideDecoder, WideEncoder, WideKind
from dcvc_cli.errors import StreamError
from dcvc_cli.families.wide_latents.payload import join_strings, split_payload
from dcvc_cli.families.wide_latents.tables import gaussian_scales, laplace_scales
from tests.support.processes import ROOT

pytestmark = pytest.mark.native
KINDS = {WideKind.LONG_WORDS: (1 << 31, 32, 8, 4), WideKind.BYTES: (1 << 23, 8, 4, 2)}
"""Lower bound of the state, bits of a unit, bytes of the state, bits of a digit."""


def twin_string(symbols: list[int], rows: list[int], kind: WideKind) -> bytes:
    """Makes one coder's string by the page's formulas, in Python's integers."""
    lower, unit, state_bytes, bits = KINDS[kind]
    table, largest = gaussian_scales().table, (1 << KINDS[kind][3]) - 1
    steps = []
    for symbol, row in zip(symbols, rows, strict=True):
        cdf = [int(value) for value in table.cdf[row, : table.cdf_length[row]]]
        escape, value = len(cdf) - 2, symbol - int(table.offset[row])
        entry = value if 0 <= value < escape else escape
        steps.append((cdf[entry], cdf[entry + 1] - cdf[entry], 16))
        if entry == escape:
            raw = -2 * value - 1 if value < 0 else 2 * (value - escape)
            digits = []
            while raw:
                digits.append(raw & largest)
                raw >>= bits
            pieces = [largest] * (len(digits) // largest) + [len(digits) % largest] + digits
            steps += [(piece, 1, bits) for piece in pieces]
    x, units = lower, []
    for start, freq, width in reversed(steps):
        while x >= freq * (lower >> width << unit):
            units.append((x & ((1 << unit) - 1)).to_bytes(unit // 8, "little"))
            x >>= unit
        x = (x // freq << width) + x % freq + start
    return x.to_bytes(state_bytes, "little") + b"".join(reversed(units))


def encoder_of(symbols: list[int], rows: list[int], kind: WideKind) -> WideEncoder:
    encoder = WideEncoder(kind)
    encoder.add(np.array(symbols, np.int16), np.array(rows, np.uint8), gaussian_scales().table)
    return encoder


def test_the_example_of_the_page():
    page = (ROOT / "docs" / "entropy-coding.md").read_text(encoding="utf-8").split("## Wide symbols")[1]
    one, two = re.findall(r"`([0-9a-f]{16,})`", page)[:2]
    encoder = encoder_of([0, 1, -3, 300], [10, 60, 90, 255], WideKind.LONG_WORDS)
    assert encoder.finish()[0].hex() == one
    assert join_strings(encoder.finish(2)).hex() == two


@given(st.data(), st.sampled_from(list(WideKind)))
@settings(max_examples=40, deadline=None)
def test_the_coder_and_its_slow_twin_make_the_same_bytes(data: st.DataObject, kind: WideKind):
    size = st.sampled_from([2, 200, 32767])
    symbols = data.draw(st.lists(size.flatmap(lambda most: st.integers(-most - 1, most)), max_size=60))
    rows = data.draw(st.lists(st.integers(0, 255), min_size=len(symbols), max_size=len(symbols)))
    assert encoder_of(symbols, rows, kind).finish() == [twin_string(symbols, rows, kind)]


@given(st.data(), st.sampled_from(list(WideKind)), st.integers(1, MAX_CODERS))
@settings(max_examples=40, deadline=None)
def test_symbols_come_back_from_every_number_of_coders(data: st.DataObject, kind: WideKind, num_coders: int):
    generator = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    encoder = WideEncoder(kind)
    for scales in (gaussian_scales(), laplace_scales()):
        shape = data.draw(st.sampled_from([(3, 5), (40,), (0,), (2, 7, 9)]))
        symbols = np.clip(np.rint(generator.laplace(0, 200, shape)), -32768, 32767).astype(np.int16)
        encoder.add(symbols, generator.integers(0, 256, shape).astype(np.uint8), scales.table)
    strings = split_payload(join_strings(encoder.finish(num_coders)))
    assert len(strings) == num_coders
    decoder = WideDecoder(strings, kind)
    for part in encoder.parts:
        np.testing.assert_array_equal(decoder.decode(part.rows, part.table), part.symbols)
    decoder.finish()


@given(st.binary(max_size=60), st.sampled_from(list(WideKind)))
@settings(max_examples=100, deadline=None)
def test_any_bytes_give_symbols_or_an_error(data: bytes, kind: WideKind):
    rows = np.arange(24, dtype=np.uint8) * 10
    try:
        decoder = WideDecoder(split_payload(data), kind)
        decoded = decoder.decode(rows, gaussian_scales().table)
        decoder.finish()
    except StreamError:
        return
    encoder = WideEncoder(kind)
    encoder.add(decoded, rows, gaussian_scales().table)
    assert encoder.finish(len(split_payload(data))) == split_payload(data)


@pytest.mark.parametrize("kind", list(WideKind))
def test_what_is_missing_or_left_over_is_told(kind: WideKind):
    (string,) = encoder_of([5, -900, 0, 31000], [3, 200, 100, 255], kind).finish()
    rows = np.array([3, 200, 100, 255], np.uint8)
    for cut in range(len(string)):
        with pytest.raises(StreamError, match="damaged"):
            WideDecoder([string[:cut]], kind).decode(rows, gaussian_scales().table)
    decoder = WideDecoder([string + b"\0\0\0\0"], kind)
    decoder.decode(rows, gaussian_scales().table)
    with pytest.raises(StreamError, match="damaged"):
        decoder.finish()


def test_sizes_take_four_bytes_where_one_does_not_fit_two():
    strings = [b"a" * 65536, b"b", b"c"]
    payload = join_strings(strings)
    assert payload[:9] == bytes([0x20]) + (65536).to_bytes(4, "little") + (1).to_bytes(4, "little")
    assert split_payload(payload) == strings
    assert join_strings([b"a" * 65535, b"b"])[:3] == b"\x11\xff\xff"
