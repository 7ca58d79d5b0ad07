"""Makes one self-contained HTML page of a comparison: tables, inline SVG curves, and embedded PNG crops side by
side."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from dcvc_cli import __version__
from dcvc_cli.errors import InputError
from dcvc_cli.evaluating.comparison import CodecComparison, Curve
from dcvc_cli.evaluating.comparison_plots import MAX_PANELS, Panel, class_panels, sequence_panels
from dcvc_cli.evaluating.report_curves import curves_svg, plain
from dcvc_cli.metrics.bdrate import BdRate
from dcvc_cli.metrics.results import RatePoint, Results, class_key, sequence_key

SERIES_COLOURS = ("#8a8a8a", "#e0606f", "#1f9bb4", "#c98a37", "#8079e8", "#4fa653", "#c05fae", "#3d8fe0")
"""The anchor's first; readable on light and on dark."""
SHOWN_FIGURES = {
    "psnr": ("PSNR", 3),
    "psnr_y": ("PSNR Y", 3),
    "msssim": ("MS-SSIM", 5),
    "vmaf": ("VMAF", 2),
    "xpsnr": ("XPSNR", 3),
}
"""Measures of the table of points, with their decimals; those that no file has are left out."""
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
LARGEST_CROP_BYTES = 16 << 20

STYLE = """
:root { color-scheme: light dark; --text: #222; --back: #fff; --line: #ccc; --soft: #f4f4f4; --good: #14692b;
  --bad: #a3222f; font: 15px/1.5 system-ui, sans-serif; color: var(--text); background: var(--back); }
@media (prefers-color-scheme: dark) {
  :root { --text: #ddd; --back: #16181b; --line: #444; --soft: #24272b; --good: #6fce86; --bad: #ef8a92; }
}
body { max-width: 76rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; margin: 1rem 0; }
th, td { padding: .2rem .8rem; text-align: right; border-bottom: 1px solid var(--line); }
th:first-child, td:first-child { text-align: left; }
tr.average td { font-weight: 600; background: var(--soft); }
.better { color: var(--good); } .worse { color: var(--bad); } .none { opacity: .7; font-size: .85em; }
.curves, .crops { display: flex; flex-wrap: wrap; gap: 1rem; }
.curves svg { width: 30rem; max-width: 100%; height: auto; font: 13px system-ui, sans-serif; fill: var(--text); }
.curves .title { font-size: 14px; font-weight: 600; } .curves .tick { font-size: 12px; }
.curves .grid { stroke: var(--line); stroke-width: .6; }
.curves g path { fill: none; stroke-width: 1.6; } .curves circle:hover { r: 6; }
.curves title { pointer-events: none; }
figure { margin: 0; } figcaption { font-size: .9em; } code { font-size: .85em; }
.crops img { image-rendering: pixelated; max-width: 100%; }
""" + "\n".join(
    f".s{number} path {{ stroke: {colour}; }} .s{number} circle {{ fill: {colour}; }}"
    for number, colour in enumerate(SERIES_COLOURS)
)


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
    anchor: str,
    tests: Sequence[CodecComparison],
    metric: str,
    interpolation: str,
    crops: Sequence[Crop] = (),
    *,
    measured: Mapping[str, Results] | None = None,
    command: str = "",
) -> str:
    """Makes the page as text; it refers to nothing outside itself.

    Args:
        measured: the results of each codec by its name, for settings, speeds and the table of points.
        command: the command line that made the page, or "".
    """
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
        _frames(measured or {}),
        _codecs(measured or {}),
        _points(measured or {}),
        f"<h2>How it was made</h2>\n<p>dcvc {__version__}</p>"
        + (f"<p><code>{escape(command)}</code></p>" if command else ""),
        "</body>\n</html>\n",
    ]
    return "\n".join(part for part in parts if part)


def _test_table(test: CodecComparison) -> str:
    rows = []
    percents = [sequence.bd_rate.percent for compared in test.classes for sequence in compared.sequences]
    known = [percent for percent in percents if percent is not None]
    if known and len(known) == len(percents):
        mean = sum(known) / len(known)
        kind = "better" if mean < 0 else "worse"
        cells = f'<td class="{kind}">{mean:+.2f} %</td><td></td><td></td>'
        rows.append(f'<tr class="average"><td>all {len(known)} sequences (mean)</td>{cells}</tr>')
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
    names = list(dict.fromkeys(name for panel in panels for name, _ in panel.series))
    return '<div class="curves">\n' + "\n".join(curves_svg(panel, metric, names) for panel in panels) + "\n</div>"


def _frames(measured: Mapping[str, Results]) -> str:
    """Draws the PSNR of each frame at the middle rate of each codec, a panel a sequence; "" where no file has it."""
    series: dict[str, list[tuple[str, Curve]]] = {}
    for name, results in measured.items():
        for class_name, sequences in results.classes.items():
            for sequence, points in sequences.items():
                point = points[len(points) // 2]
                curve = [(float(number), psnr) for number, psnr in enumerate(point.frame_psnr)]
                if curve:
                    title = f"{class_key(class_name)}: {sequence_key(sequence)}"
                    series.setdefault(title, []).append((f"{name}, {plain(round(point.bpp, 4))} bpp", curve))
    if not series:
        return ""
    names = list(dict.fromkeys(name for curves in series.values() for name, _ in curves))
    panels = [Panel(title, tuple(curves)) for title, curves in list(series.items())[:MAX_PANELS]]
    drawn = "\n".join(curves_svg(panel, "psnr", names, over_frames=True) for panel in panels)
    return f'<h2>Frames</h2>\n<p>At the middle rate of each codec.</p>\n<div class="curves">\n{drawn}\n</div>'


def _crops(crops: Sequence[Crop]) -> str:
    if not crops:
        return ""
    figures = [
        f'<figure><img alt="{escape(crop.caption)}" src="data:image/png;base64,{base64.b64encode(crop.png).decode()}">'
        f"<figcaption>{escape(crop.caption)}</figcaption></figure>"
        for crop in crops
    ]
    return '<h2>Side by side</h2>\n<div class="crops">\n' + "\n".join(figures) + "\n</div>"


def _all_points(results: Results) -> list[tuple[str, RatePoint]]:
    return [
        (f"{class_name}: {sequence}", point)
        for class_name, sequences in results.classes.items()
        for sequence, points in sequences.items()
        for point in points
    ]


def _codecs(measured: Mapping[str, Results]) -> str:
    """Settings and speeds of each codec; "" where nothing is known of them."""
    rows = []
    for name, results in measured.items():
        points = [point for _, point in _all_points(results)]
        settings = dict.fromkeys(point.settings for point in points if point.settings)
        speeds = [_speed(points, "encoding"), _speed(points, "decoding")]
        told = "<br>".join(f"<code>{escape(text)}</code>" for text in list(settings)[:3]) or "not told"
        rows.append(f"<tr><td>{escape(name)}</td><td>{'</td><td>'.join(speeds)}</td><td>{told}</td></tr>")
    head = "<tr><th></th><th>encoded fps</th><th>decoded fps</th><th>settings</th></tr>"
    return f"<h2>Codecs</h2>\n<table>\n{head}\n" + "\n".join(rows) + "\n</table>" if rows else ""


def _speed(points: Sequence[RatePoint], kind: str) -> str:
    """Frames a second over all points, from the mean seconds a frame of each."""
    seconds = [point.figures.get(f"avg_frame_{kind}_time", 0.0) for point in points]
    return f"{len(seconds) / sum(seconds):.4g}" if seconds and all(second > 0 for second in seconds) else ""


def _points(measured: Mapping[str, Results]) -> str:
    """Lists every rate point of every codec; "" without results."""
    listed = [(name, place, point) for name, results in measured.items() for place, point in _all_points(results)]
    if not listed:
        return ""
    shown = [name for name in SHOWN_FIGURES if any(point.quality(name) is not None for _, _, point in listed)]
    heads = "".join(f"<th>{text}</th>" for text in ("frames", "bpp", *(SHOWN_FIGURES[name][0] for name in shown)))
    rows = []
    for name, place, point in listed:
        figures = [(point.quality(figure), SHOWN_FIGURES[figure][1]) for figure in shown]
        cells = [str(point.num_frames), plain(point.bpp), *("" if v is None else f"{v:.{d}f}" for v, d in figures)]
        rows.append(
            f"<tr><td>{escape(name)}</td><td>{escape(place)}</td><td>{escape(point.label)}</td>"
            + "".join(f"<td>{cell}</td>" for cell in cells)
            + "</tr>"
        )
    head = f"<tr><th>codec</th><th>sequence</th><th>rate</th>{heads}</tr>"
    table = f"<table>\n{head}\n" + "\n".join(rows) + "\n</table>"
    return f"<h2>Points</h2>\n<details><summary>{len(rows)} points</summary>\n{table}\n</details>"
