"""Makes one self-contained HTML page of a comparison: tables, inline SVG curves, and embedded PNG crops side by
side."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from dcvc_cli.errors import InputError
from dcvc_cli.evaluating.comparison import CodecComparison
from dcvc_cli.evaluating.comparison_plots import Panel, class_panels, draw, rendered, sequence_panels
from dcvc_cli.metrics.bdrate import BdRate

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
LARGEST_CROP_BYTES = 16 << 20

STYLE = """
:root { color-scheme: light; font: 15px/1.5 system-ui, sans-serif; color: #222; background: #fff; }
body { max-width: 76rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; margin: 1rem 0; }
th, td { padding: .2rem .8rem; text-align: right; border-bottom: 1px solid #ddd; }
th:first-child, td:first-child { text-align: left; }
tr.average td { font-weight: 600; background: #f4f4f4; }
.better { color: #14692b; } .worse { color: #a3222f; } .none { color: #666; font-size: .85em; }
.curves, .crops { display: flex; flex-wrap: wrap; gap: 1rem; }
.curves svg { max-width: 100%; height: auto; }
figure { margin: 0; } figcaption { font-size: .9em; }
.crops img { image-rendering: pixelated; max-width: 100%; }
"""


@dataclass(frozen=True)
class Crop:
    """A picture for the side-by-side row: its caption and the bytes of a PNG file."""

    caption: str
    png: bytes


def read_crop(caption: str, path: Path) -> Crop:
    """Reads a PNG file. InputError where it is unreadable, larger than 16 MiB, or no PNG file."""
    try:
        size_bytes = path.stat().st_size
        if size_bytes > LARGEST_CROP_BYTES:
            raise InputError(f"{path}: {size_bytes} bytes, expected a PNG crop of at most {LARGEST_CROP_BYTES}")
        png = path.read_bytes()
    except OSError as fault:
        raise InputError(f"{path}: cannot be read: {fault.strerror}") from fault
    if not png.startswith(PNG_SIGNATURE):
        raise InputError(f"{path}: not a PNG file")
    return Crop(caption, png)


def html_report(
    anchor: str, tests: Sequence[CodecComparison], metric: str, interpolation: str, crops: Sequence[Crop] = ()
) -> str:
    """The page as text; it refers to nothing outside itself. EnvironmentFault where matplotlib is not installed."""
    names = ", ".join(test.name for test in tests)
    title = f"{names} against {anchor}"
    parts = [
        '<!doctype html>\n<html lang="en">\n<head>\n<meta '
        f'charset="utf-8">\n<title>{escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>',
        f"<h1>{escape(title)}</h1>",
        f"<p>BD-rate in percent, {escape(metric)}, {escape(interpolation)} interpolation of log-rate over quality. "
        "Negative: fewer bits than the anchor at equal quality.</p>",
        *(_test_table(test) for test in tests),
        "<h2>Classes</h2>",
        _curves(class_panels(anchor, tests), metric),
        _crops(crops),
        "<h2>Sequences</h2>",
        _curves(sequence_panels(anchor, tests), metric),
        "</body>\n</html>\n",
    ]
    return "\n".join(part for part in parts if part)


def _test_table(test: CodecComparison) -> str:
    rows = []
    for compared in test.classes:
        average = compared.average
        rows.append(
            f'<tr class="average"><td>{escape(average.name)} (class average)</td>{_cells(average.bd_rate)}</tr>'
        )
        rows += [
            f"<tr><td>{escape(sequence.name)}</td>{_cells(sequence.bd_rate)}</tr>" for sequence in compared.sequences
        ]
    notes = [*test.notes, *(note for compared in test.classes for note in compared.notes)]
    listed = "".join(f"<li>{escape(note)}</li>" for note in notes)
    return (
        f"<h2>{escape(test.name)}</h2>\n<table>\n<tr><th></th><th>BD-rate</th><th>overlap</th><th></th></tr>\n"
        + "\n".join(rows)
        + "\n</table>"
        + (f"\n<ul>{listed}</ul>" if listed else "")
    )


def _cells(result: BdRate) -> str:
    if result.percent is None:
        return f'<td>–</td><td></td><td class="none">{escape(result.reason or "")}</td>'  # noqa: RUF001
    kind = "better" if result.percent < 0 else "worse"
    return (
        f'<td class="{kind}">{result.percent:+.2f} %</td><td>{result.overlap:.0%}</td><td '
        f'class="none">{escape(result.note or "")}</td>'
    )


def _curves(panels: Sequence[Panel], metric: str) -> str:
    return '<div class="curves">\n' + "\n".join(_inline_svg(panel, metric) for panel in panels) + "\n</div>"


def _inline_svg(panel: Panel, metric: str) -> str:
    svg = rendered(draw([panel], metric), "svg").decode()
    return svg[svg.index("<svg") :]  # without the XML prologue, which has no place inside a page


def _crops(crops: Sequence[Crop]) -> str:
    if not crops:
        return ""
    figures = [
        f'<figure><img alt="{escape(crop.caption)}" src="data:image/png;base64,{base64.b64encode(crop.png).decode()}">'
        f"<figcaption>{escape(crop.caption)}</figcaption></figure>"
        for crop in crops
    ]
    return '<h2>Side by side</h2>\n<div class="crops">\n' + "\n".join(figures) + "\n</div>"
