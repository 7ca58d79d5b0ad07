"""Runs conformance cases: finds their folders, asks the family that claims each case, and collects the results."""

import json
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dcvc_cli.bitstream.sps import Precision
from dcvc_cli.entropy.tables import TableError
from dcvc_cli.errors import DcvcError, InputError, UsageError
from dcvc_cli.families.case_files import GENERATOR, load_generator
from dcvc_cli.families.conformance_form import Case, CaseRun, ConformanceForm
from dcvc_cli.families.registry import families

DESCRIPTION = "case.json"


@dataclass(frozen=True)
class CheckResult:
    """The result of a case or a check. Without faults it has passed. Notes do not change the result."""

    name: str
    summary: str
    seconds: float
    faults: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    figures: Mapping[str, Any] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        return not self.faults


def family_folders(folder: Path, names: Sequence[str] = ()) -> list[tuple[Path, list[str]]]:
    """Finds folders of cases: the folder itself if it has a make_params.py, else the folders in it that have one.

    Args:
        names: names of the wanted cases; none: all.

    Returns:
        (folder, the wanted names in it) for each folder.

    Raises:
        InputError: there is no such folder, or it has no cases.
        UsageError: there is no case of a wanted name.
    """
    families = sorted(path.parent for path in folder.glob(f"*/{GENERATOR}"))
    if (folder / GENERATOR).is_file() or not families:
        find_cases(folder, names)
        return [(folder, list(names))]
    there = {family: [path.name for path in find_cases(family)] for family in families}
    known = [name for found in there.values() for name in found]
    unknown = [name for name in names if name not in known]
    if unknown:
        raise UsageError(f"there is no case {unknown[0]!r}; found: {', '.join(known)}")
    chosen = [(family, [name for name in names if name in found]) for family, found in there.items()]
    return [(family, wanted) for family, wanted in chosen if wanted or not names]


def find_cases(folder: Path, names: Iterable[str] = ()) -> list[Path]:
    """Finds the folders of the cases called `names`, or of all cases without names, in the order of names.

    Raises:
        InputError: the folder does not exist or has no cases.
        UsageError: there is no case of this name.
    """
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder", "give the folder that holds make_params.py and one folder a case")
    found = {path.parent.name: path.parent for path in sorted(folder.glob(f"*/{DESCRIPTION}"))}
    if not found or not (folder / GENERATOR).is_file():
        what = "no case.json in any folder below" if not found else f"no {GENERATOR} in"
        raise InputError(f"there is {what} {folder}", "give the folder that holds make_params.py and one folder a case")
    wanted = list(names) or list(found)
    unknown = [name for name in wanted if name not in found]
    if unknown:
        raise UsageError(f"there is no case {unknown[0]!r}; found: {', '.join(found)}")
    return [found[name] for name in dict.fromkeys(wanted)]


def read_case(folder: Path) -> Case:
    """Reads and checks a case.json.

    Raises:
        InputError: the file is missing or describes no case. The message names the file and the fault.
    """
    path = folder / DESCRIPTION
    try:
        description = json.loads(path.read_text(encoding="utf-8"))
        return form_of(description).read_case(folder, description)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path} is no description of a conformance case: {type(error).__name__}: {error}") from error


def form_of(description: Mapping[str, Any]) -> ConformanceForm:
    """Finds the form that claims a case.json.

    Raises:
        ValueError: no form claims it.
    """
    for family in families().values():
        form = family.conformance_form()
        if form is not None and form.claims(description):
            return form
    raise ValueError("it is of no codec family that is known here")


def run_cases(
    folder: Path, names: Iterable[str] = (), precision: Precision = Precision.FLOAT64, threads: int | None = None
) -> Iterator[CheckResult]:
    """Runs cases one after the other, those with the same parameters together. Each case passes or fails on its own.

    Raises:
        InputError, UsageError: the folder or the names are wrong. No case has run then.
    """
    folders = find_cases(folder, names)
    run = CaseRun(load_generator(folder), precision, threads)
    described: list[Case] = []
    for path in folders:
        try:
            described.append(read_case(path))
        except InputError as error:
            yield CheckResult(path.name, "", 0.0, (str(error),))
    for case in sorted(described, key=lambda case: tuple(map(str, case.parameters))):
        yield run_case(case, run)


def run_case(case: Case, run: CaseRun) -> CheckResult:
    """Runs one case step by step."""
    began = time.perf_counter()
    faults: list[str] = []
    notes: list[str] = []
    figures: dict[str, float] = {}
    try:
        run.begin((type(case), *case.parameters))
        for step in case.steps(run):
            step_began = time.perf_counter()
            found = step.run()
            faults += [f"{step.name}: {fault}" for fault in found.faults]
            notes += found.notes
            figures[f"{step.name}_seconds"] = time.perf_counter() - step_began
    except (DcvcError, TableError, OSError) as error:
        faults.append(str(error))
    return CheckResult(case.name, case.summary, time.perf_counter() - began, tuple(faults), tuple(notes), figures)


def run_vectors(folder: Path) -> Iterator[CheckResult]:
    """Runs the checks of vectors beside the cases. They belong to the family of the first readable case.

    Raises:
        InputError: make_params.py does not run.
    """
    form = _form_of_folder(folder)
    if form is None:
        return
    for check in form.vector_checks(folder, load_generator(folder)):
        began = time.perf_counter()
        try:
            found = check.run()
            summary, faults, notes = found.summary, found.faults, found.notes
        except (DcvcError, TableError, OSError, ValueError, KeyError, TypeError, EOFError) as error:
            summary, faults, notes = "", (f"{type(error).__name__}: {error}",), ()
        yield CheckResult(check.name, summary, time.perf_counter() - began, faults, notes)


def _form_of_folder(folder: Path) -> ConformanceForm | None:
    for path in find_cases(folder):
        try:
            return form_of(json.loads((path / DESCRIPTION).read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError, AttributeError):
            continue
    return None
