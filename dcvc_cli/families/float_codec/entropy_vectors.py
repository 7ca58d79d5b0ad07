"""Checks of the word-wise coder's vectors: fixed tables, table rows of scales, and strings byte by byte."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dcvc_cli.errors import StreamError
from dcvc_cli.families.conformance_form import Check, Findings
from dcvc_cli.families.float_codec.coder import StringDecoder, StringEncoder, WordTable
from dcvc_cli.families.float_codec.tables import RowRule


@dataclass(frozen=True)
class VectorRules:
    """The fixed tables of a codec, and its rules that turn scales into table rows, by name of the distribution."""

    tables: Mapping[str, WordTable]
    rules: Mapping[str, RowRule]


def entropy_checks(vectors: Path, own: VectorRules) -> tuple[Check, ...]:
    """Returns the checks of a folder of vectors."""
    return (
        Check("entropy/tables", lambda: check_tables(vectors, own)),
        Check("entropy/scale_to_row", lambda: check_scales(vectors, own)),
        Check("entropy/sequences", lambda: check_sequences(vectors, own)),
    )


def check_tables(vectors: Path, own: VectorRules) -> Findings:
    """Compares the stored rows with the package's."""
    faults, num_rows = [], 0
    for name, table in own.tables.items():
        with np.load(vectors / f"{name}_cdf.npz", allow_pickle=False) as arrays:
            pairs = ((getattr(table, key), arrays[key]) for key in ("cdf", "cdf_length", "offset"))
            if not all(np.array_equal(_trimmed(found), _trimmed(wanted)) for found, wanted in pairs):
                faults.append(f"the {name} table differs")
        num_rows += table.cdf_length.size
    return Findings(tuple(faults), summary=f"{num_rows} rows")


def _trimmed(array: Any) -> Any:
    """Drops the columns of padding that no row uses."""
    if array.ndim < 2:
        return array
    used = np.flatnonzero((array != 0).any(axis=0))
    return array[:, : used[-1] + 1]


def check_scales(vectors: Path, own: VectorRules) -> Findings:
    """Compares table rows of scales in float64. In float32, the logarithm differs between machines, so differences
    become notes."""
    import torch

    with np.load(vectors / "scale_to_row.npz", allow_pickle=False) as arrays:
        stored = dict(arrays)
    scales = torch.from_numpy(stored["scales_float32"])
    faults: list[str] = []
    notes: list[str] = []
    for name, rule in own.rules.items():
        for kind, values in (("float64", scales.double()), ("float32", scales)):
            wrong = np.flatnonzero(rule(values) != stored[f"{name}_row_{kind}"])
            if wrong.size:
                words = f"{name} rows in {kind} differ for {wrong.size} scales, first {float(scales[wrong[0]])!r}"
                (faults if kind == "float64" else notes).append(words)
    return Findings(tuple(faults), tuple(notes), f"{scales.numel()} scales")


def check_sequences(vectors: Path, own: VectorRules) -> Findings:
    """Compares strings with the published coder's, encoded and decoded."""
    cases = json.loads((vectors / "sequences.json").read_text(encoding="utf-8"))
    faults = []
    for case in cases:
        table = own.tables[case["table"]]
        rows, symbols = np.array(case["rows"], np.uint8), np.array(case["symbols"], np.int32)
        encoder = StringEncoder()
        encoder.add(table, symbols, rows)
        string = encoder.finish()
        if string.hex() != case["hex"]:
            faults.append(f"{case['name']}: other bytes than the published coder ({len(string)} bytes)")
        try:
            decoder = StringDecoder(bytes.fromhex(case["hex"]))
            found = decoder.decode(table, rows)
            decoder.finish()
        except StreamError as error:
            faults.append(f"{case['name']}: {error}")
            continue
        if not np.array_equal(found, symbols):
            faults.append(f"{case['name']}: decodes to other symbols")
    return Findings(tuple(faults), summary=f"{len(cases)} sequences")
