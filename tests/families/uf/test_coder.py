"""DCVC-UF's payload bytes: the published sequences to the byte, every damage an error or other symbols, never a
crash."""

import json
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dcvc_cli import _entropy
from dcvc_cli.entropy.scale_index import index_from_scale, is_coded
from dcvc_cli.entropy.tables import TableError
from dcvc_cli.errors import StreamError
from dcvc_cli.families.uf.coder import MAX_CODERS, UnitDecoder, UnitEncoder, coders_for, in_coding_order
from dcvc_cli.families.uf.tables import ZigzagTable, gaussian_table
from tests.families.uf.twin import twin_payload
from tests.support.published import FAMILY_CASES

VECTORS = FAMILY_CASES / "dcvc-uf" / "entropy"
SEQUENCES = json.loads((VECTORS / "sequences.json").read_text())
Z_TABLE = ZigzagTable(*(np.load(VECTORS / "z_cdf_dmci_seed1_qp17.npz")[name] for name in ("cdf", "cdf_length")))
pytestmark = pytest.mark.native


def parts_of(sequence: dict) -> list[tuple[ZigzagTable, np.ndarray, np.ndarray]]:
    parts = []
    for part in sequence["parts"]:
        symbols = np.array(part["symbols"], np.int8)
        is_z = part["kind"] == "z"
        rows = np.arange(symbols.size) % 128 if is_z else np.array(part["index"])
        parts.append((Z_TABLE if is_z else gaussian_table(), symbols, rows.astype(np.uint8)))
    return parts


@pytest.mark.parametrize("sequence", SEQUENCES, ids=lambda sequence: sequence["name"])
def test_published_sequences(sequence: dict):
    parts = parts_of(sequence)
    native = [(table.native(), symbols, rows) for table, symbols, rows in parts]
    payload = _entropy.encode_zigzag(native, sequence["coders"])
    assert payload.hex() == sequence["hex"]
    decoder = _entropy.ZigzagDecoder(payload, sequence["coders"])
    for table, symbols, rows in native:
        decoded = np.zeros_like(symbols)
        assert decoder.decode(table, rows, decoded) == _entropy.Status.OK
        np.testing.assert_array_equal(decoded, symbols)
    assert decoder.finish() == _entropy.Status.OK


@given(st.data())
@settings(max_examples=40, deadline=None)
def test_the_coder_and_its_slow_twin_make_the_same_bytes(data: st.DataObject):
    num_coders = data.draw(st.integers(1, MAX_CODERS))
    generator = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    parts = []
    for _ in range(data.draw(st.integers(0, 4))):
        count = data.draw(st.integers(0, 60))
        symbols = np.clip(np.rint(generator.laplace(0, data.draw(st.sampled_from([0.3, 3, 60])), count)), -128, 127)
        parts.append((gaussian_table(), symbols.astype(np.int8), generator.integers(0, 128, count).astype(np.uint8)))
    payload = _entropy.encode_zigzag([(table.native(), s, r) for table, s, r in parts], num_coders)
    assert payload == twin_payload(parts, num_coders)


def test_symbols_go_in_row_column_channel_order():
    planes = np.arange(2 * 3 * 4).reshape(2, 3, 4)
    assert in_coding_order(planes)[1, 2].tolist() == [planes[0, 1, 2], planes[1, 1, 2]]


def test_a_unit_comes_back():
    generator = np.random.default_rng(0)
    z = generator.integers(-64, 64, (128, 1, 2)).astype(np.int8)
    symbols = generator.integers(-128, 128, (8, 5, 7)).astype(np.int8)
    index, coded = generator.integers(0, 128, symbols.shape).astype(np.uint8), generator.random(symbols.shape) < 0.4
    encoder = UnitEncoder()
    encoder.add_z(z, Z_TABLE, 0)
    encoder.add_y(symbols, index, coded, gaussian_table())
    payload, num_coders = encoder.finish()
    assert (num_coders, encoder.num_coded) == (1, np.count_nonzero(coded))
    decoder = UnitDecoder(payload, num_coders)
    np.testing.assert_array_equal(decoder.decode_z(128, 1, 2, Z_TABLE, 0), z)
    np.testing.assert_array_equal(decoder.decode_y(index, coded, gaussian_table()), np.where(coded, symbols, 0))
    decoder.finish()


@pytest.mark.parametrize(
    ("num_symbols", "expected"), [(0, 1), (32767, 1), (65535, 1), (65536, 2), (262143, 7), (262144, 8), (10**7, 8)]
)
def test_coders_follow_from_the_number_of_symbols(num_symbols: int, expected: int):
    assert coders_for(num_symbols) == expected


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_damage_is_an_error_or_other_symbols(data: st.DataObject):
    num_coders = data.draw(st.integers(1, MAX_CODERS))
    generator = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    rows = generator.integers(0, 128, 200).astype(np.uint8)
    symbols = generator.integers(-20, 20, 200).astype(np.int8)
    payload = bytearray(_entropy.encode_zigzag([(gaussian_table().native(), symbols, rows)], num_coders))
    kind = data.draw(st.sampled_from(["cut", "grown", "changed"]))
    if kind == "cut":
        del payload[data.draw(st.integers(0, len(payload) - 1)) :]
    elif kind == "grown":
        payload += data.draw(st.binary(min_size=1, max_size=9))
    else:
        payload[data.draw(st.integers(0, len(payload) - 1))] ^= data.draw(st.integers(1, 255))
    flags = np.ones((1, 1, 200), np.bool_)
    try:
        decoder = UnitDecoder(bytes(payload), num_coders)
        decoded = decoder.decode_y(rows[None, None], flags, gaussian_table())
        decoder.finish()
    except StreamError:
        return
    assert (decoded[0, 0] != symbols).any()


@pytest.mark.parametrize("num_coders", [0, 9, 127])
def test_a_header_with_another_number_of_coders_is_refused(num_coders: int):
    with pytest.raises(StreamError, match=r"expected 1\.\.8"):
        UnitDecoder(b"\0" * 64, num_coders)


def test_starts_of_groups_that_run_backwards_are_refused():
    payload = bytearray(_entropy.encode_zigzag([], 5))
    payload[:8] = (9).to_bytes(4, "little") + (3).to_bytes(4, "little")
    with pytest.raises(StreamError, match="damaged"):
        UnitDecoder(bytes(payload), 5).finish()


def test_rows_of_even_length_are_no_zigzag_table():
    with pytest.raises(TableError, match="odd"):
        ZigzagTable(np.array([[0, 1, 2, 65536]]), np.array([4]))


def test_the_gaussian_table_is_the_published_one():
    with np.load(VECTORS / "gaussian_cdf.npz") as arrays:
        np.testing.assert_array_equal(gaussian_table().cdf, arrays["cdf"])
    reach = (gaussian_table().cdf_length - 3) // 2
    changes = [row for row, (before, after) in enumerate(pairwise(reach), start=1) if before != after]
    assert changes == [46, 56, 63, 69, 74, 78]


def test_scales_are_compared_as_they_are():
    with np.load(VECTORS / "scale_to_index.npz") as arrays:
        scales = arrays["scale"]
        np.testing.assert_array_equal(index_from_scale(scales, limits_scales=False), arrays["index"])
        np.testing.assert_array_equal(is_coded(scales, 0.0, limits_scales=False), arrays["coded_T0"])
        np.testing.assert_array_equal(is_coded(scales, 0.15, limits_scales=False), arrays["coded_T015"])
