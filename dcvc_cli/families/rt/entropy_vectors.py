"""Checks of DCVC-RT's vectors of the entropy coder: tables, the scale rule, and coded sequences byte by byte."""

import hashlib
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dcvc_cli.entropy.coder import FrameDecoder, FrameEncoder
from dcvc_cli.entropy.factorised import published_factorised_table
from dcvc_cli.entropy.scale_index import index_from_scale, is_coded
from dcvc_cli.entropy.tables import CdfTable, TableError, gaussian_table, quantise_pmf
from dcvc_cli.families.conformance_form import Check, Findings
from dcvc_cli.families.rt.sizes import RT
from dcvc_cli.format.entropy_format import EntropyFormat
from dcvc_cli.graph.blocks import BitEstimator

Z_SEED = 1
Z_TABLES = (("dmci", RT.image.num_qps, RT.image.hyper), ("dmc", RT.video.num_qps, RT.video.hyper))
SKIP_THRESHOLD = 0.12
"""The threshold of the stored coded flags."""


def entropy_checks(vectors: Path, generator: ModuleType) -> tuple[Check, ...]:
    """Returns the checks of a folder of vectors."""
    return (
        Check("entropy/gaussian_cdf", lambda: _check_gaussian(vectors)),
        Check("entropy/pmf_to_cdf", lambda: _check_pmf(vectors)),
        Check("entropy/scale_to_index", lambda: _check_scales(vectors)),
        Check("entropy/z_cdf", lambda: _check_z_tables(vectors, generator)),
        Check("entropy/sequences", lambda: _check_sequences(vectors)),
    )


def _table(path: Path) -> CdfTable:
    with np.load(path, allow_pickle=False) as arrays:
        return CdfTable(arrays["cdf"], arrays["cdf_length"], arrays["offset"])


def _rows_apart(one: CdfTable, other: CdfTable) -> NDArray[np.intp]:
    """Returns the indices of the rows in which two tables of one shape differ."""
    if one.cdf.shape != other.cdf.shape:
        raise TableError(f"tables of {one.cdf.shape} and {other.cdf.shape} values cannot be compared")
    return np.flatnonzero(
        (one.cdf != other.cdf).any(axis=1) | (one.cdf_length != other.cdf_length) | (one.offset != other.offset)
    )


def _check_gaussian(vectors: Path) -> Findings:
    table = gaussian_table()
    rows = _rows_apart(table, _table(vectors / "gaussian_cdf.npz"))
    faults = (f"{rows.size} rows differ, first {rows[0]}",) if rows.size else ()
    return Findings(faults, summary=f"{table.num_rows} rows")


def _check_pmf(vectors: Path) -> Findings:
    cases = json.loads((vectors / "pmf_to_cdf.json").read_text(encoding="utf-8"))
    faults = []
    for number, case in enumerate(cases):
        pmf = np.array(case["pmf_float32_bits"], dtype=np.uint32).view(np.float32)
        if quantise_pmf(pmf).tolist() != case["cdf"]:
            faults.append(f"vector {number} gives another table")
    return Findings(tuple(faults[:1]), summary=f"{len(cases)} probability vectors")


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
    return Findings(tuple(faults), summary=f"{stored['scale'].size} scales")


def _check_z_tables(vectors: Path, generator: ModuleType) -> Findings:
    """Compares tables of z. Rows that differ are a note, not a fault: float32 functions differ between machines, and
    weights hold integer tables."""
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
    return Findings(notes=tuple(notes), summary=f"{num_rows} rows")


def _check_sequences(vectors: Path) -> Findings:
    cases = json.loads((vectors / "sequences.json").read_text(encoding="utf-8"))
    tables = gaussian_table(), _table(vectors / f"z_cdf_dmci_seed{Z_SEED}.npz")
    with np.load(vectors / "sequences.npz", allow_pickle=False) as arrays:
        faults = [fault for case in cases for fault in _sequence_faults(case, arrays, *tables)]
    return Findings(tuple(faults), summary=f"{len(cases)} sequences")


def _sequence_faults(case: dict[str, Any], arrays: Any, gaussian: CdfTable, z_table: CdfTable) -> list[str]:
    channels = RT.image.hyper
    entropy_format = EntropyFormat.PUBLISHED_TWO if case["two_coders"] else EntropyFormat.PUBLISHED_ONE
    encoder = FrameEncoder(entropy_format)
    parts = [(part, arrays[part["key"]]) for part in case["parts"]]
    for part, symbols in parts:
        if part["kind"] == "y":
            encoder.add_y(symbols, arrays[part["index"]], gaussian)
        else:
            encoder.add_z(symbols.reshape(channels, 1, part["per_channel"]), z_table, part["qp"] * channels)
    data = encoder.finish()
    # Where the published coder fails, no bytes are defined. Then our own bytes only have to decode to the symbols.
    if case["reference_error"] is None and hashlib.sha256(data).hexdigest() != case["sha256"]:
        return [f"{case['name']}: other bytes than the published coder ({len(data)} bytes, expected {case['bytes']})"]
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
