"""Checks of the vectors of DCVC-UF's entropy coder: tables, the scale rule, and payloads byte by byte."""

import json
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from dcvc_cli.entropy.scale_index import index_from_scale, is_coded
from dcvc_cli.families.conformance_form import Check, Findings
from dcvc_cli.families.uf.coder import UnitDecoder, UnitEncoder
from dcvc_cli.families.uf.tables import ZigzagTable, gaussian_table, published_z_table

Z_TABLE, Z_SEED, Z_QP = "z_cdf_dmci_seed1_qp17.npz", 1, 17
NUM_Z_CHANNELS = 128
THRESHOLDS = {"coded_T0": 0.0, "coded_T015": 0.15}


def entropy_checks(vectors: Path, generator: ModuleType) -> tuple[Check, ...]:
    """Returns the checks of a folder of vectors."""
    return (
        Check("entropy/gaussian_cdf", lambda: check_gaussian(vectors)),
        Check("entropy/scale_to_index", lambda: check_scales(vectors)),
        Check("entropy/z_cdf", lambda: check_z_tables(vectors, generator)),
        Check("entropy/sequences", lambda: check_sequences(vectors)),
    )


def _table(path: Path) -> ZigzagTable:
    with np.load(path, allow_pickle=False) as arrays:
        return ZigzagTable(arrays["cdf"], arrays["cdf_length"])


def check_gaussian(vectors: Path) -> Findings:
    """Compares the stored rows with the package's."""
    table, expected = gaussian_table(), _table(vectors / "gaussian_cdf.npz")
    differs = (table.cdf != expected.cdf).any(axis=1) | (table.cdf_length != expected.cdf_length)
    faults = (f"{differs.sum()} rows differ",) if differs.any() else ()
    return Findings(faults, summary=f"{table.num_rows} rows")


def check_scales(vectors: Path) -> Findings:
    """Compares rows and flags of scales."""
    with np.load(vectors / "scale_to_index.npz", allow_pickle=False) as arrays:
        stored = dict(arrays)
    scale = stored["scale"]
    found: dict[str, Any] = {
        name: is_coded(scale, threshold, limits_scales=False) for name, threshold in THRESHOLDS.items()
    }
    found["index"] = index_from_scale(scale, limits_scales=False)
    faults = []
    for name, values in found.items():
        wrong = np.flatnonzero(values != stored[name])
        if wrong.size:
            faults.append(f"{name} differs for {wrong.size} scales, first {scale[wrong[0]]!r}")
    return Findings(tuple(faults), summary=f"{scale.size} scales")


def check_z_tables(vectors: Path, generator: ModuleType) -> Findings:
    """Compares tables of z. Rows that differ are a note, not a fault: float32 functions differ between machines, and
    weights hold integer tables."""
    parameters = {
        f"bit_estimator_z.{part}": generator.generate(
            "dmci", f"bit_estimator_z.{part}", (64, NUM_Z_CHANNELS, stages), Z_SEED
        )
        for part, stages in (("h", 4), ("b", 4), ("a", 3))
    }
    rows = {name: value[Z_QP : Z_QP + 1] for name, value in parameters.items()}
    table, expected = published_z_table(rows), _table(vectors / Z_TABLE)
    differs = (table.cdf != expected.cdf).any(axis=1) | (table.cdf_length != expected.cdf_length)
    words = f"{differs.sum()} of {table.num_rows} z table rows differ on this machine; the cases' own tables are used"
    return Findings(notes=(words,) if differs.any() else (), summary=f"{table.num_rows} rows")


def check_sequences(vectors: Path) -> Findings:
    """Compares payloads of one to eight coders."""
    cases = json.loads((vectors / "sequences.json").read_text(encoding="utf-8"))
    table = _table(vectors / Z_TABLE)
    faults = tuple(fault for case in cases for fault in _sequence_faults(case, table))
    return Findings(faults, summary=f"{len(cases)} sequences")


def _sequence_faults(case: dict[str, Any], z_table: ZigzagTable) -> list[str]:
    encoder = UnitEncoder()
    parts = [_Part(part) for part in case["parts"]]
    for part in parts:
        part.encode(encoder, z_table)
    data, num_coders = encoder.finish(case["coders"])
    if data.hex() != case["hex"]:
        return [f"{case['name']}: other bytes than the published coder ({len(data)} bytes)"]
    decoder = UnitDecoder(data, num_coders)
    for number, part in enumerate(parts):
        if not np.array_equal(part.decode(decoder, z_table), part.symbols):
            return [f"{case['name']}: part {number} decodes to other symbols"]
    decoder.finish()
    return []


class _Part:
    """One sequence of symbols in coding order: y as one row of one channel, z by its channels."""

    def __init__(self, part: dict[str, Any]) -> None:
        self.is_z = part["kind"] == "z"
        flat = np.array(part["symbols"], np.int8)
        self.symbols = flat.reshape(1, -1, NUM_Z_CHANNELS if self.is_z else 1).transpose(2, 0, 1)
        self.index = None if self.is_z else np.array(part["index"], np.uint8).reshape(1, 1, -1)

    def encode(self, encoder: UnitEncoder, z_table: ZigzagTable) -> None:
        """Adds the symbols."""
        if self.index is None:
            encoder.add_z(self.symbols, z_table, 0)
        else:
            encoder.add_y(self.symbols, self.index, np.ones(self.index.shape, np.bool_), gaussian_table())

    def decode(self, decoder: UnitDecoder, z_table: ZigzagTable) -> Any:
        """Returns the symbols that the decoder reads."""
        if self.index is None:
            return decoder.decode_z(*self.symbols.shape, z_table, 0)
        return decoder.decode_y(self.index, np.ones(self.index.shape, np.bool_), gaussian_table())
