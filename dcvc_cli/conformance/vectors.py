"""Runs the entropy coder's own conformance vectors: tables, the scale rule, and range-coder sequences to the byte."""

import hashlib
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dcvc_cli.conformance import uf_vectors
from dcvc_cli.conformance.folder import CheckResult, load_generator
from dcvc_cli.entropy.coder import FrameDecoder, FrameEncoder
from dcvc_cli.entropy.factorised import published_factorised_table
from dcvc_cli.entropy.scale_index import index_from_scale, is_coded
from dcvc_cli.entropy.tables import CdfTable, TableError, gaussian_table, quantise_pmf
from dcvc_cli.errors import DcvcError
from dcvc_cli.families.rt.sizes import RT
from dcvc_cli.format.entropy_format import EntropyFormat
from dcvc_cli.graph.blocks import BitEstimator

Z_SEED = 1
Z_TABLES = (("dmci", RT.image.num_qps, RT.image.hyper), ("dmc", RT.video.num_qps, RT.video.hyper))
SKIP_THRESHOLD = 0.12
"""The threshold that the stored coded flags were made with."""
Findings = tuple[str, list[str], list[str]]
"""(summary, faults, notes) of a check."""
Check = tuple[str, Callable[[], Findings]]


def run_entropy_vectors(folder: Path) -> Iterator[CheckResult]:
    """Every check of FOLDER/entropy, or nothing where there is no such folder. InputError if make_params.py does not
    run."""
    vectors = folder / "entropy"
    if not vectors.is_dir():
        return
    generator = load_generator(folder)
    is_zigzag = (vectors / uf_vectors.Z_TABLE).exists()
    for name, check in _zigzag_checks(vectors, generator) if is_zigzag else _checks(vectors, generator):
        began = time.perf_counter()
        try:
            summary, faults, notes = check()
        except (DcvcError, TableError, OSError, ValueError, KeyError, TypeError, EOFError) as error:
            summary, faults, notes = "", [f"{type(error).__name__}: {error}"], []
        yield CheckResult(name, summary, time.perf_counter() - began, tuple(faults), tuple(notes))


def _zigzag_checks(vectors: Path, generator: ModuleType) -> list[Check]:
    return [
        ("entropy/gaussian_cdf", lambda: uf_vectors.check_gaussian(vectors)),
        ("entropy/scale_to_index", lambda: uf_vectors.check_scales(vectors)),
        ("entropy/z_cdf", lambda: uf_vectors.check_z_tables(vectors, generator)),
        ("entropy/sequences", lambda: uf_vectors.check_sequences(vectors)),
    ]


def _checks(vectors: Path, generator: ModuleType) -> list[Check]:
    return [
        ("entropy/gaussian_cdf", lambda: _check_gaussian(vectors)),
        ("entropy/pmf_to_cdf", lambda: _check_pmf(vectors)),
        ("entropy/scale_to_index", lambda: _check_scales(vectors)),
        ("entropy/z_cdf", lambda: _check_z_tables(vectors, generator)),
        ("entropy/sequences", lambda: _check_sequences(vectors)),
    ]


def _table(path: Path) -> CdfTable:
    with np.load(path, allow_pickle=False) as arrays:
        return CdfTable(arrays["cdf"], arrays["cdf_length"], arrays["offset"])


def _rows_apart(one: CdfTable, other: CdfTable) -> NDArray[np.intp]:
    """Indices of the rows in which two tables of one shape differ."""
    if one.cdf.shape != other.cdf.shape:
        raise TableError(f"tables of {one.cdf.shape} and {other.cdf.shape} values cannot be compared")
    return np.flatnonzero(
        (one.cdf != other.cdf).any(axis=1) | (one.cdf_length != other.cdf_length) | (one.offset != other.offset)
    )


def _check_gaussian(vectors: Path) -> Findings:
    table = gaussian_table()
    rows = _rows_apart(table, _table(vectors / "gaussian_cdf.npz"))
    return f"{table.num_rows} rows", [f"{rows.size} rows differ, first {rows[0]}"] if rows.size else [], []


def _check_pmf(vectors: Path) -> Findings:
    cases = json.loads((vectors / "pmf_to_cdf.json").read_text(encoding="utf-8"))
    faults = []
    for number, case in enumerate(cases):
        pmf = np.array(case["pmf_float32_bits"], dtype=np.uint32).view(np.float32)
        if quantise_pmf(pmf).tolist() != case["cdf"]:
            faults.append(f"vector {number} gives another table")
    return f"{len(cases)} probability vectors", faults[:1], []


def _check_scales(vectors: Path) -> Findings:
    faults = []
    with np.load(vectors / "scale_to_index.npz", allow_pickle=False) as arrays:
        stored = dict(arrays)
    for kind in ("float64", "float32"):
        scale = stored["scale"].astype(kind)
        for what, found in (("index", index_from_scale(scale)), ("coded_T0.12", is_coded(scale, SKIP_THRESHOLD))):
            wrong = np.flatnonzero(found != stored[f"{what}_{kind}"])
            if wrong.size:
                faults.append(f"{what} differs for {wrong.size} scales in {kind}, first {scale[wrong[0]]!r}")
    return f"{stored['scale'].size} scales", faults, []


def _check_z_tables(vectors: Path, generator: ModuleType) -> Findings:
    """Rows that differ are a note, not a fault: float32 functions differ between machines, and streams bring integer
    tables."""
    notes, num_rows = [], 0
    for kind, num_qps, channels in Z_TABLES:
        shapes = dict(BitEstimator("bit_estimator_z", num_qps, channels).shapes())
        table = published_factorised_table(
            {name: generator.generate(name, shape, Z_SEED) for name, shape in shapes.items()}
        )
        rows = _rows_apart(table, _table(vectors / f"z_cdf_{kind}_seed{Z_SEED}.npz"))
        num_rows += table.num_rows
        if rows.size:
            notes.append(
                f"{rows.size} of {table.num_rows} z table rows of {kind} differ on this machine; the cases' "
                "own tables are used"
            )
    return f"{num_rows} rows", [], notes


def _check_sequences(vectors: Path) -> Findings:
    cases = json.loads((vectors / "sequences.json").read_text(encoding="utf-8"))
    tables = gaussian_table(), _table(vectors / f"z_cdf_dmci_seed{Z_SEED}.npz")
    with np.load(vectors / "sequences.npz", allow_pickle=False) as arrays:
        faults = [fault for case in cases for fault in _sequence_faults(case, arrays, *tables)]
    return f"{len(cases)} sequences", faults, []


def _sequence_faults(case: dict[str, Any], arrays: Any, gaussian: CdfTable, z_table: CdfTable) -> list[str]:
    channels = RT.image.hyper
    entropy_format = EntropyFormat.REFERENCE_TWO if case["two_coders"] else EntropyFormat.REFERENCE_ONE
    encoder = FrameEncoder(entropy_format)
    parts = [(part, arrays[part["key"]]) for part in case["parts"]]
    for part, symbols in parts:
        if part["kind"] == "y":
            encoder.add_y(symbols, arrays[part["index"]], gaussian)
        else:
            encoder.add_z(symbols.reshape(channels, 1, part["per_channel"]), z_table, part["qp"] * channels)
    data = encoder.finish()
    # Where the reference fails no bytes are defined; then ours only have to come back.
    if case["reference_error"] is None and hashlib.sha256(data).hexdigest() != case["sha256"]:
        return [f"{case['name']}: other bytes than the reference ({len(data)} bytes, expected {case['bytes']})"]
    decoder = FrameDecoder(data, entropy_format)
    for number, (part, symbols) in enumerate(parts):
        if part["kind"] == "y":
            decoded = decoder.decode_y(arrays[part["index"]], gaussian)
        else:
            decoded = decoder.decode_z(channels, 1, part["per_channel"], z_table, part["qp"] * channels)
        if not np.array_equal(decoded.reshape(-1), symbols.reshape(-1)):
            return [f"{case['name']}: part {number} decodes to other symbols"]
    decoder.finish()
    return []
