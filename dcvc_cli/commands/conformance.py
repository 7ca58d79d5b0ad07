"""`dcvc conformance`: runs conformance cases and prints a line for each."""

import json
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dcvc_cli.commands.options import JsonOption, Threads
from dcvc_cli.errors import StreamError, UsageError

if TYPE_CHECKING:
    from dcvc_cli.conformance.cases import CheckResult

PRECISIONS = ("fp64", "fp32")
JSON_SCHEMA = 1


def conformance(
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="DIR", help="Folder with make_params.py and one folder a case, or a folder of such folders."
        ),
    ],
    case: Annotated[
        list[str] | None, typer.Option("--case", metavar="NAME", help="Run this case only; repeat for more.")
    ] = None,
    precision: Annotated[
        str,
        typer.Option(
            "--precision", metavar="fp64|fp32", help="Arithmetic. The cases were made in fp64; some fail in fp32."
        ),
    ] = "fp64",
    threads: Threads = None,
    json_output: JsonOption = False,
) -> None:
    """Run conformance cases: decode every stream and encode every clip, and compare byte for byte.

    A line for each case goes to standard output when the case ends. The exit code is 4 if any case failed. The command
    runs DIR/make_params.py, a Python program that makes the networks' parameters: use folders that you trust.
    """
    if precision not in PRECISIONS:
        raise UsageError(f"--precision {precision} is not known here, expected one of {', '.join(PRECISIONS)}")

    from dcvc_cli.codec.backends import PRECISION_NAMES
    from dcvc_cli.conformance.cases import family_folders, run_cases, run_vectors

    # Refuses a wrong folder or name before anything runs.
    folders = family_folders(folder, case or ())
    results = []
    runs = (
        chain(() if case else run_vectors(one), run_cases(one, names, PRECISION_NAMES[precision], threads))
        for one, names in folders
    )
    for result in chain.from_iterable(runs):
        results.append(result)
        if not json_output:
            typer.echo("\n".join(_lines(result)))
    num_failed = sum(not result.ok for result in results)
    if json_output:
        typer.echo(json.dumps(_document(results, precision), indent=2))
    else:
        typer.echo(
            f"{len(results) - num_failed} of {len(results)} passed in {sum(result.seconds for result in results):.1f} s"
        )
    if num_failed:
        raise StreamError(f"{num_failed} of {len(results)} conformance checks failed")


def _lines(result: "CheckResult") -> list[str]:
    verdict = "ok    " if result.ok else "FAILED"
    first = f"{verdict} {result.name:<26} {result.summary:<24} {result.seconds:7.1f} s"
    return [first, *(f"       {fault}" for fault in result.faults), *(f"       note: {note}" for note in result.notes)]


def _document(results: list["CheckResult"], precision: str) -> dict[str, Any]:
    return {
        "schema_version": JSON_SCHEMA,
        "precision": precision,
        "num_checks": len(results),
        "num_failed": sum(not result.ok for result in results),
        "checks": [
            {
                "name": result.name,
                "ok": result.ok,
                "summary": result.summary,
                "seconds": round(result.seconds, 3),
                "faults": list(result.faults),
                "notes": list(result.notes),
                **{key: round(value, 3) for key, value in result.figures.items()},
            }
            for result in results
        ],
    }
