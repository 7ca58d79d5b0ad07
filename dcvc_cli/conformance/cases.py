"""Runs conformance cases: the decoder must turn each stream into its pictures, the encoder each clip into its stream,
byte for byte."""

import json
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from dcvc_cli.bitstream.sps import Precision
from dcvc_cli.conformance.folder import Case, CheckResult, ParameterSource, find_cases, stored_tables
from dcvc_cli.conformance.rt_cases import rt_case
from dcvc_cli.conformance.uf_cases import uf_case
from dcvc_cli.entropy.tables import TableError
from dcvc_cli.errors import DcvcError, InputError


def read_case(folder: Path) -> Case:
    """Reads and checks case.json; InputError names the file and what is wrong with it. Cases of DCVC-UF name a
    variant."""
    path = folder / "case.json"
    try:
        case = json.loads(path.read_text(encoding="utf-8"))
        return uf_case(folder, case) if "variant" in case else rt_case(folder, case)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path} is no description of a conformance case: {type(error).__name__}: {error}") from error


def run_cases(
    folder: Path, names: Iterable[str] = (), precision: Precision = Precision.FLOAT64, threads: int | None = None
) -> Iterator[CheckResult]:
    """Runs cases one after the other, those of one model and seed together. Each case passes or fails on its own.

    Raises:
        InputError, UsageError: the folder or the names are wrong; nothing was run then.
    """
    folders = find_cases(folder, names)
    source = ParameterSource(folder, precision, threads)
    described: list[Case] = []
    for path in folders:
        try:
            described.append(read_case(path))
        except InputError as error:
            yield CheckResult(path.name, "", 0.0, (str(error),))
    for case in sorted(described, key=lambda case: (case.model.name, case.seed)):
        yield run_case(case, source)


def run_case(case: Case, source: ParameterSource) -> CheckResult:
    """Decodes and encodes one case."""
    summary = f"{case.size}, {case.num_frames} frames"
    began = time.perf_counter()
    faults: list[str] = []
    notes: list[str] = []
    figures: dict[str, float] = {}
    try:
        networks, notes = stored_tables(case, source.networks(case))
        figures["prepare_seconds"] = time.perf_counter() - began
        for step, check in (("decode", case.decoding_faults), ("encode", case.encoding_faults)):
            step_began = time.perf_counter()
            faults += [f"{step}: {fault}" for fault in check(networks)]
            figures[f"{step}_seconds"] = time.perf_counter() - step_began
    except (DcvcError, TableError, OSError) as error:
        faults.append(str(error))
    return CheckResult(case.name, summary, time.perf_counter() - began, tuple(faults), tuple(notes), figures)
