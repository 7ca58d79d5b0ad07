"""Draws rate-distortion plots of a comparison with matplotlib (extra `eval`). No display is needed, and no global state
changes."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dcvc_cli.errors import EnvironmentFault
from dcvc_cli.evaluating.comparison import CodecComparison, Comparison, Curve

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = ("#444444", "#d1495b", "#00798c", "#b5792a", "#5a4fcf", "#3c8d40", "#a23e90", "#0a6ebd")
MARKERS = "osD^vP*X"
PANEL_INCHES = (5.2, 3.9)
MAX_PANELS = 60
METRIC_LABELS = {
    "psnr": "PSNR (6Y+U+V)/8 [dB]",
    "psnr_y": "PSNR Y [dB]",
    "psnr_u": "PSNR U [dB]",
    "psnr_v": "PSNR V [dB]",
    "vmaf": "VMAF",
    "xpsnr": "XPSNR (6Y+U+V)/8 [dB]",
}


@dataclass(frozen=True)
class Panel:
    """One set of axes: a title and named curves, the anchor's first."""

    title: str
    series: tuple[tuple[str, Curve], ...]


def class_panels(anchor: str, tests: Sequence[CodecComparison]) -> list[Panel]:
    """Makes a panel for each class, with the class-average curves of all codecs."""
    panels: dict[str, tuple[str, list[tuple[str, Comparison]]]] = {}
    for test in tests:
        for compared in test.classes:
            title = (
                f"{compared.name} (average of {len(compared.sequences)})"
                if len(compared.sequences) > 1
                else compared.name
            )
            panels.setdefault(compared.name, (title, []))[1].append((test.name, compared.average))
    return [_panel(anchor, title, entries) for title, entries in panels.values()]


def sequence_panels(anchor: str, tests: Sequence[CodecComparison]) -> list[Panel]:
    """Makes a panel for each sequence, with the curves of all codecs."""
    panels: dict[str, list[tuple[str, Comparison]]] = {}
    for test in tests:
        for compared in test.classes:
            for sequence in compared.sequences:
                panels.setdefault(f"{compared.name}: {sequence.name}", []).append((test.name, sequence))
    return [_panel(anchor, title, entries) for title, entries in panels.items()]


def _panel(anchor: str, title: str, entries: Sequence[tuple[str, Comparison]]) -> Panel:
    series: list[tuple[str, Curve]] = []
    for name, comparison in entries:
        # Test codecs with different sequences share different parts of the anchor, so its average differs.
        if comparison.anchor_curve and comparison.anchor_curve not in [drawn for _, drawn in series]:
            series.append((anchor if not series else f"{anchor} (same sequences as {name})", comparison.anchor_curve))
        if comparison.test_curve:
            series.append((name, comparison.test_curve))
    return Panel(title, tuple(series))


def draw(panels: Sequence[Panel], metric: str) -> "Figure":
    """Draws panels in one figure, three in a row, on a logarithmic rate axis. Panels beyond MAX_PANELS are left out.

    Raises:
        EnvironmentFault: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as missing:
        raise EnvironmentFault(
            "plots need the package matplotlib, which is not installed", "pip install dcvc[eval]"
        ) from missing
    panels = panels[:MAX_PANELS]
    num_columns = min(3, max(1, len(panels)))
    num_rows = -(-max(1, len(panels)) // num_columns)
    figure = Figure(figsize=(PANEL_INCHES[0] * num_columns, PANEL_INCHES[1] * num_rows), layout="constrained")
    names = list(dict.fromkeys(name for panel in panels for name, _ in panel.series))
    for position, panel in enumerate(panels, 1):
        _draw_panel(figure.add_subplot(num_rows, num_columns, position), panel, names, metric)
    return figure


def _draw_panel(axes: "Axes", panel: Panel, names: Sequence[str], metric: str) -> None:
    for name, curve in panel.series:
        style = names.index(name)
        rates, qualities = zip(*curve, strict=True)
        axes.plot(
            rates,
            qualities,
            label=name,
            color=COLOURS[style % len(COLOURS)],
            marker=MARKERS[style % len(MARKERS)],
            markersize=4,
            linewidth=1.4,
        )
    axes.set_xscale("log")
    axes.set_title(panel.title, fontsize=10)
    axes.set_xlabel("bits per pixel")
    axes.set_ylabel(METRIC_LABELS.get(metric, metric))
    axes.grid(True, which="both", linewidth=0.4, alpha=0.5)
    if panel.series:
        axes.legend(fontsize=8)


def rendered(figure: "Figure", file_format: str) -> bytes:
    """Renders the figure as "png" or "svg" bytes; the same input gives the same bytes with one release of
    matplotlib."""
    import matplotlib as mpl

    buffer = io.BytesIO()
    metadata = {"Date": None} if file_format == "svg" else {}
    with mpl.rc_context(
        {
            "svg.hashsalt": "dcvc",
            "svg.fonttype": "none",
            "font.family": "sans-serif",
            "font.sans-serif": ["DejaVu Sans"],
        }
    ):
        figure.savefig(buffer, format=file_format, dpi=130, metadata=metadata)
    return buffer.getvalue()
