"""The word-wise coder: exact bytes, its slow twin, damage, and the payload of several strings."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dcvc_cli.entropy.tables import quantise_pmf
from dcvc_cli.errors import EnvironmentFault, StreamError
from dcvc_cli.families.float_codec.coder import MAX_SYMBOL, StringDecoder, StringEncoder, WordTable, joined, parted
from dcvc_cli.families.float_codec.tables import stored_table
from dcvc_cli.families.float_codec.twin import decode_words, encode_words

pytestmark = pytest.mark.native
TABLE = WordTable(
    np.stack([quantise_pmf([0.25, 0.5, 0.2, 0.05]), quantise_pmf([1e-9, 0.999, 1e-9, 1e-9])]),
    np.array([5, 5], np.int32),
    np.array([-1, -1], np.int32),
)
SYMBOLS = st.lists(
    st.tuples(st.one_of(st.integers(-3, 3), st.integers(-MAX_SYMBOL, MAX_SYMBOL)), st.integers(0, 1)), max_size=60
)


def encode(symbols: list[int], rows: list[int], table: WordTable = TABLE) -> bytes:
    encoder = StringEncoder()
    encoder.add(table, np.array(symbols, np.int32), np.array(rows, np.uint8))
    return encoder.finish()


def decode(string: bytes, rows: list[int], table: WordTable = TABLE) -> list[int]:
    decoder = StringDecoder(string)
    symbols = decoder.decode(table, np.array(rows, np.uint8))
    decoder.finish()
    return symbols.tolist()


def test_no_symbols_are_the_start_state():
    assert encode([], []) == bytes.fromhex("0000008000000000")


def test_exact_bytes():
    table = stored_table("laplace_64")[0]
    assert (
        encode([0, 1, -30, 70000], [3, 40, 60, 63], table).hex()
        == encode_words([0, 1, -30, 70000], [3, 40, 60, 63], table).hex()
    )


@settings(deadline=None, max_examples=60)
@given(SYMBOLS)
def test_the_coder_and_its_twin_give_the_same_bytes_and_symbols(pairs: list[tuple[int, int]]):
    symbols, rows = [symbol for symbol, _ in pairs], [row for _, row in pairs]
    string = encode(symbols, rows)
    assert string == encode_words(symbols, rows, TABLE)
    assert decode(string, rows) == decode_words(string, rows, TABLE) == symbols


@settings(deadline=None, max_examples=100)
@given(st.binary(max_size=40), st.lists(st.integers(0, 1), max_size=20))
def test_any_bytes_give_symbols_or_an_error_as_the_twin_does(string: bytes, rows: list[int]):
    try:
        expected = decode_words(string, rows, TABLE)
    except StreamError:
        with pytest.raises(StreamError):
            decode(string, rows)
    else:
        assert decode(string, rows) == expected
        assert encode(expected, rows) == string


def test_symbols_that_only_broken_networks_give_are_refused():
    with pytest.raises(EnvironmentFault, match="too large"):
        encode([MAX_SYMBOL + 1], [0])


@given(st.lists(st.binary(max_size=300), min_size=1, max_size=4))
def test_strings_come_back_from_a_payload(strings: list[bytes]):
    assert parted(joined(strings), len(strings)) == strings


@given(st.binary(max_size=30), st.integers(1, 4))
def test_a_damaged_payload_gives_strings_or_an_error(payload: bytes, count: int):
    try:
        strings = parted(payload, count)
    except StreamError:
        return
    assert len(strings) == count
    assert sum(map(len, strings)) <= len(payload)
