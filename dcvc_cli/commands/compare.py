"""`dcvc compare`: BD-rate tables, plots and a report from result files."""

import json
import shlex
import sys
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dcvc_cli.commands.options import plot_format
from dcvc_cli.errors import UsageError
from dcvc_cli.metrics.bdrate import Interpolation

if TYPE_CHECKING:
    from dcvc_cli.evaluating.comparison import CodecComparison

METRICS = ("psnr", "psnr_y", "psnr_u", "psnr_v", "msssim", "msssim_y", "msssim_u", "msssim_v", "vmaf", "xpsnr")


def compare(
    anchor: Annotated[
        list[str],
        typer.Option(
            "--anchor",
            metavar="NAME=FILE",
            help="Result file to compare against; the same NAME again adds a file to it.",
        ),
    ],
    test: Annotated[
        list[str],
        typer.Option(
            "--test",
            metavar="NAME=FILE",
            help="Result file to judge; another NAME adds a codec, the same NAME a file to it.",
        ),
    ],
    metric: Annotated[
        str, typer.Option("--metric", metavar="NAME", help=f"Measure of quality: {', '.join(METRICS)}.")
    ] = "psnr",
    interpolation: Annotated[
        Interpolation, typer.Option("--interpolation", help="How curves run between the points.")
    ] = Interpolation.CUBIC,
    json_file: Annotated[
        str | None, typer.Option("--json", metavar="FILE", help="Write the comparison as JSON; - is standard output.")
    ] = None,
    html_file: Annotated[
        str | None, typer.Option("--html", metavar="FILE", help="Write one self-contained page: tables, curves, crops.")
    ] = None,
    plot_file: Annotated[
        str | None, typer.Option("--plot", metavar="FILE", help="Write the class curves as .png or .svg.")
    ] = None,
    crop: Annotated[
        list[str] | None,
        typer.Option(
            "--crop", metavar="CAPTION=FILE", help="PNG that the page shows side by side with the others; repeatable."
        ),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", "-y", help="Replace existing files.")] = False,
) -> None:
    """Compare result files: BD-rate by class and by sequence.

    A negative figure means that the test codec needs fewer bits than the anchor at equal quality. Sequences are matched
    by name; notes name the sequences that only one side has, which are left out. The table goes to standard output.
    """
    if metric not in METRICS:
        raise UsageError(f"--metric {metric} is not known, expected one of {', '.join(METRICS)}")
    drawn_format = plot_format("--plot", plot_file)
    anchors, tests, crops = _named_files("--anchor", anchor), _named_files("--test", test), _crop_files(crop or [])
    if len(anchors) != 1:
        raise UsageError(f"--anchor was given under {len(anchors)} names, expected one: {', '.join(anchors)}")
    anchor_name = next(iter(anchors))

    from dcvc_cli.evaluating import comparison, comparison_plots, comparison_report
    from dcvc_cli.media.endings import HTML, JSON, check_ending
    from dcvc_cli.media.output import OutputFile

    check_ending("--json", json_file, JSON)
    check_ending("--html", html_file, HTML)
    anchor_results = comparison.read_merged(anchors[anchor_name])
    test_results = {name: comparison.read_merged(paths) for name, paths in tests.items()}
    compared = [
        comparison.compare_results(name, anchor_results, results, metric, interpolation)
        for name, results in test_results.items()
    ]
    outputs: list[tuple[str, bytes]] = []
    if json_file is not None:
        document = comparison.as_document(anchor_name, compared, metric, interpolation)
        outputs.append((json_file, (json.dumps(document, indent=2) + "\n").encode()))
    if html_file is not None:
        pictures = [comparison_report.read_crop(caption, path) for caption, path in crops]
        outputs.append(
            (
                html_file,
                comparison_report.html_report(
                    anchor_name,
                    compared,
                    metric,
                    interpolation.value,
                    pictures,
                    measured={anchor_name: anchor_results, **test_results},
                    command=shlex.join(["dcvc", *sys.argv[1:]]),
                ).encode(),
            )
        )
    if plot_file is not None and drawn_format is not None:
        figure = comparison_plots.draw(comparison_plots.class_panels(anchor_name, compared), metric)
        outputs.append((plot_file, comparison_plots.rendered(figure, drawn_format)))
    for name, content in outputs:
        if name == "-":
            sys.stdout.write(content.decode())  # OutputFile refuses a terminal, and text may go to one
            continue
        with OutputFile(name, overwrite=overwrite) as output:
            output.write(content)
    _print_comparison(anchor_name, compared, metric, to_stdout=json_file != "-")


def _named_files(option: str, values: Sequence[str]) -> dict[str, list[Path]]:
    """Lists the files of each name, in the order given."""
    files: dict[str, list[Path]] = {}
    for value in values:
        name, separator, path = value.partition("=")
        if not (name and separator and path):
            raise UsageError(f"{option} {value}: expected NAME=FILE", f"{option} x264=x264.json")
        files.setdefault(name, []).append(Path(path))
    if not files:
        raise UsageError(f"{option} is missing, expected NAME=FILE", f"{option} x264=x264.json")
    return files


def _crop_files(values: Sequence[str]) -> list[tuple[str, Path]]:
    return [
        (caption, path)
        for value in values
        for caption, paths in _named_files("--crop", [value]).items()
        for path in paths
    ]


def _print_comparison(anchor: str, tests: Sequence["CodecComparison"], metric: str, *, to_stdout: bool) -> None:
    from dcvc_cli.ui.console import say
    from dcvc_cli.ui.tables import print_table

    rows: list[list[str]] = []
    averages: set[int] = set()
    for class_name in dict.fromkeys(compared.name for test in tests for compared in test.classes):
        columns = [next((compared for compared in test.classes if compared.name == class_name), None) for test in tests]
        averages.add(len(rows))
        rows.append(
            [
                f"{class_name}, average curve",
                *(_percent(column.average.bd_rate.percent) if column else "" for column in columns),
            ]
        )
        rows.append(["  mean of sequences", *(_percent(column.mean_percent) if column else "" for column in columns)])
        percents = [
            {sequence.name: sequence.bd_rate.percent for sequence in column.sequences} if column else {}
            for column in columns
        ]
        rows += [
            [f"  {sequence}", *(_percent(column[sequence]) if sequence in column else "" for column in percents)]
            for sequence in dict.fromkeys(chain(*percents))
        ]
    heads = [f"BD-rate against {anchor} ({metric})", *(test.name for test in tests)]
    print_table(heads, rows, emphasised=frozenset(averages), to_stdout=to_stdout)
    for remark in chain.from_iterable(_remarks(test) for test in tests):
        say(f"note: {remark}")


def _percent(percent: float | None) -> str:
    return "none" if percent is None else f"{percent:+.2f} %"


def _remarks(test: "CodecComparison") -> list[str]:
    """Notes that a reader of the table needs besides the figures, the most general first."""
    remarks = list(test.notes)
    for compared in test.classes:
        remarks += compared.notes
        for entry in (compared.average, *compared.sequences):
            remark = entry.bd_rate.reason or entry.bd_rate.note
            if remark:
                remarks.append(f"{test.name}, {entry.name}: {remark}")
    return remarks
