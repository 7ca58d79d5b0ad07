"""The entropy-only conformance vectors: tables, scale indices and range-coder sequences (their place:
DCVC_CONFORMANCE)."""

import hashlib
import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest

from dcvc_cli.entropy import twin
from dcvc_cli.entropy.coder import FrameDecoder, FrameEncoder
from dcvc_cli.entropy.factorised import published_factorised_table
from dcvc_cli.entropy.scale_index import index_from_scale, is_coded
from dcvc_cli.entropy.tables import CdfTable, gaussian_table, quantise_pmf
from dcvc_cli.format.entropy_format import EntropyFormat
from tests.support.published import CONFORMANCE

VECTORS = CONFORMANCE / "entropy"
NUM_Z_CHANNELS = 128


def load_table(name: str) -> CdfTable:
    with np.load(VECTORS / name) as arrays:
        return CdfTable(arrays["cdf"], arrays["cdf_length"], arrays["offset"])


def sequences() -> list[dict]:
    return json.loads((VECTORS / "sequences.json").read_text())


def test_gaussian_table_is_the_normative_one():
    table = gaussian_table()
    digest = hashlib.sha256(
        b"".join(np.ascontiguousarray(a, dtype="<i4").tobytes() for a in (table.cdf, table.cdf_length, table.offset))
    )
    assert digest.hexdigest() == "adaf237e035ea71d12a9284dd6881ae5e73addc57e7e4a4ac1b8a47a8ddef250"


def test_gaussian_table_equals_the_vectors():
    vectors = load_table("gaussian_cdf.npz")
    for name in ("cdf", "cdf_length", "offset"):
        np.testing.assert_array_equal(getattr(gaussian_table(), name), getattr(vectors, name))


def test_quantise_pmf_gives_every_vector():
    for case in json.loads((VECTORS / "pmf_to_cdf.json").read_text()):
        pmf = np.array(case["pmf_float32_bits"], dtype=np.uint32).view(np.float32)
        assert quantise_pmf(pmf).tolist() == case["cdf"]


@pytest.mark.parametrize("kind", ["float64", "float32"])
def test_scale_index_and_coded_flag(kind: str):
    with np.load(VECTORS / "scale_to_index.npz") as arrays:
        scale = arrays["scale"].astype(kind)
        np.testing.assert_array_equal(index_from_scale(scale), arrays[f"index_{kind}"])
        np.testing.assert_array_equal(is_coded(scale, 0.12), arrays[f"coded_T0.12_{kind}"])


@pytest.mark.parametrize(("model", "num_qps"), [("dmci", 64), ("dmc", 72)])
def test_published_factorised_tables_of_seed_1(model: str, num_qps: int):
    spec = importlib.util.spec_from_file_location("make_params", CONFORMANCE / "make_params.py")
    make_params = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(make_params)
    names = [f"bit_estimator_z.f{k}.{p}" for k in (1, 2, 3, 4) for p in "hba" if (k, p) != (4, "a")]
    parameters = {name: make_params.generate(name, (num_qps, NUM_Z_CHANNELS, 1, 1), 1) for name in names}
    table, vectors = published_factorised_table(parameters), load_table(f"z_cdf_{model}_seed1.npz")
    rows = np.flatnonzero(
        (table.cdf != vectors.cdf).any(axis=1)
        | (table.cdf_length != vectors.cdf_length)
        | (table.offset != vectors.offset)
    )
    assert rows.size == 0, f"{rows.size} of {table.num_rows} rows differ, first {rows[:5]}"


@pytest.mark.native
@pytest.mark.parametrize("case", sequences(), ids=lambda case: case["name"])
def test_sequence(case: dict):
    pytest.importorskip("dcvc_cli._entropy")
    gaussian, z_table = gaussian_table(), load_table("z_cdf_dmci_seed1.npz")
    fmt = EntropyFormat.PUBLISHED_TWO if case["two_coders"] else EntropyFormat.PUBLISHED_ONE
    encoder = FrameEncoder(fmt)
    parts, twin_parts = [], []
    with np.load(VECTORS / "sequences.npz") as arrays:
        expected = bytes.fromhex(case["hex"]) if case["hex"] is not None else arrays[case["name"] + ".stream"].tobytes()
        for part in case["parts"]:
            symbols = arrays[part["key"]]
            if part["kind"] == "y":
                rows = arrays[part["index"]]
                encoder.add_y(symbols, rows, gaussian)
                twin_parts.append((symbols, rows, gaussian))
            else:
                shape = (NUM_Z_CHANNELS, 1, part["per_channel"])
                encoder.add_z(symbols.reshape(shape), z_table, part["qp"] * NUM_Z_CHANNELS)
                rows = part["qp"] * NUM_Z_CHANNELS + np.repeat(np.arange(NUM_Z_CHANNELS), part["per_channel"])
                twin_parts.append((symbols, rows, z_table))
            parts.append((part, symbols, rows))
    data = encoder.finish()
    assert data == twin.encode(twin_parts, fmt)
    if case["reference_error"] is None:
        assert hashlib.sha256(data).hexdigest() == case["sha256"]
        assert data == expected
    decoder = FrameDecoder(data, fmt)
    for part, symbols, rows in parts:
        if part["kind"] == "y":
            decoded = decoder.decode_y(rows, gaussian)
        else:
            decoded = decoder.decode_z(
                NUM_Z_CHANNELS, 1, part["per_channel"], z_table, part["qp"] * NUM_Z_CHANNELS
            ).reshape(-1)
        np.testing.assert_array_equal(decoded, symbols)
    decoder.finish()


@pytest.mark.native
@pytest.mark.parametrize("path", sorted(CONFORMANCE.glob("*/symbols.npz")), ids=lambda path: path.parent.name)
def test_payloads_of_whole_frames(path: Path):
    """The stored symbols of frames 0 and 1 of every case code to the payload in its stream and come back from it."""
    pytest.importorskip("dcvc_cli._entropy")
    case = json.loads((path.parent / "case.json").read_text())
    stream = (path.parent / "stream.bin").read_bytes()
    units = [unit for unit in case["units"] if unit["type"] != "SPS"]
    fmt = EntropyFormat.PUBLISHED_TWO if case["two_coders"] else EntropyFormat.PUBLISHED_ONE
    with np.load(path) as arrays:
        for frame, unit in enumerate(units[:2]):
            name = f"{unit['type'].lower()}_qp{int(arrays[f'f{frame}_qp'])}"
            z_table = CdfTable(arrays[f"zcdf_{name}"], arrays[f"zcdflen_{name}"], arrays[f"zoff_{name}"])
            z = arrays[f"f{frame}_z"]
            payload = stream[unit["offset"] + unit["size"] - unit["payload_size"] :][: unit["payload_size"]]
            encoder, decoder = FrameEncoder(fmt), FrameDecoder(payload, fmt)
            encoder.add_z(z, z_table, 0)
            np.testing.assert_array_equal(decoder.decode_z(*z.shape, z_table, 0), z)
            for step in range(4 if unit["type"] == "I" else 2):
                coded = arrays[f"f{frame}_coded{step}"].reshape(-1)
                symbols, rows = (arrays[f"f{frame}_{kind}{step}"].reshape(-1)[coded] for kind in ("y", "index"))
                encoder.add_y(symbols, rows, gaussian_table())
                np.testing.assert_array_equal(decoder.decode_y(rows, gaussian_table()), symbols)
            decoder.finish()
            assert encoder.finish() == payload
