"""Draws the stages of a benchmark as stacked bars with matplotlib (extra `eval`)."""

from typing import Any

from dcvc_cli.errors import EnvironmentFault
from dcvc_cli.evaluating.comparison_plots import COLOURS, rendered
from dcvc_cli.stages import COMMON_STAGES


def stage_plot(document: dict[str, Any], file_format: str) -> bytes:
    """Draws a bar for each candidate, direction and frame type: the median milliseconds of its stages, stacked.

    Args:
        document: as `dcvc bench --json` prints it.
        file_format: "png" or "svg".

    Raises:
        EnvironmentFault: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as missing:
        raise EnvironmentFault(
            "plots need the package matplotlib, which is not installed", "pip install dcvc[eval]"
        ) from missing
    bars = [
        (f"{result['label']}\n{direction} {kind}", result[direction][kind]["stage_ms"])
        for result in document["results"]
        for direction in ("encode", "decode")
        for kind in "IP"
        if kind in result[direction]
    ]
    figure = Figure(figsize=(8, 1.2 + 0.55 * len(bars)), layout="constrained")
    axes = figure.add_subplot()
    ends = [0.0] * len(bars)
    palette = ("#c9a227", *COLOURS, "#6b4a2b", "#999999")
    named = dict.fromkeys(stage for _, stages in bars for stage in stages)
    order = [
        *(stage for stage in COMMON_STAGES if stage in named),
        *(stage for stage in named if stage not in COMMON_STAGES),
    ]
    for stage in order:
        colour = palette[(COMMON_STAGES.index(stage) if stage in COMMON_STAGES else order.index(stage)) % len(palette)]
        widths = [stages.get(stage, 0.0) for _, stages in bars]
        if any(widths):
            axes.barh(range(len(bars)), widths, left=ends, label=stage, color=colour)
            ends = [end + width for end, width in zip(ends, widths, strict=True)]
    axes.set_yticks(range(len(bars)), [label for label, _ in bars], fontsize=8)
    axes.invert_yaxis()
    axes.set_xlabel("milliseconds a frame, median by stage")
    axes.set_title(
        f"{document['width']}x{document['height']}, {document['processor']}",
        fontsize=9,
    )
    axes.legend(fontsize=8)
    return rendered(figure, file_format)
