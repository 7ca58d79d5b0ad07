"""Rate-distortion curves as SVG text for a page: values under the pointer, colours that follow the page's theme."""

import math
from collections.abc import Sequence
from html import escape

from dcvc_cli.evaluating.comparison_plots import METRIC_LABELS, Panel

WIDTH, HEIGHT = 480, 360
LEFT, RIGHT, TOP, BOTTOM = 58, 12, 30, 58
_MAX_TICKS = 6
_LETTER = 7.0
"""Width of a digit of the axes, in units of the picture, to keep labels apart."""


def curves_svg(panel: Panel, metric: str, names: Sequence[str], *, over_frames: bool = False) -> str:
    """Draws one panel: an axis with plain numbers, a circle a point whose title tells its values.

    Args:
        names: all codecs of the page, so that each has one colour everywhere.
        over_frames: points are (frame number, quality) on a linear axis, else (bits per pixel, quality) on a
            logarithmic one.
    """
    points = [point for _, curve in panel.series for point in curve]
    parts = [
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(panel.title)}">',
        f'<text class="title" x="{LEFT}" y="18">{escape(panel.title)}</text>',
    ]
    if points:
        axes = _FrameAxes(points) if over_frames else _Axes(points)
        parts += axes.lines()
        parts += [_series(axes, name, curve, names.index(name) % 8, metric) for name, curve in panel.series]
        middle = (TOP + HEIGHT - BOTTOM) / 2
        parts += [
            f'<text x="{(LEFT + WIDTH - RIGHT) / 2:.1f}" y="{HEIGHT - 24}" text-anchor="middle">{axes.caption}</text>',
            f'<text x="14" y="{middle:.1f}" text-anchor="middle" transform="rotate(-90 14 {middle:.1f})">'
            f"{escape(METRIC_LABELS.get(metric, metric))}</text>",
        ]
        parts.append(_legend([name for name, _ in panel.series], names))
    return "\n".join([*parts, "</svg>"])


class _Axes:
    """Places of rates and qualities in a panel."""

    caption, radius = "bits per pixel", 4

    def __init__(self, points: Sequence[tuple[float, float]]) -> None:
        rates, qualities = [rate for rate, _ in points], [quality for _, quality in points]
        self.low, self.high = self.extent(rates)
        room = 0.05 * (max(qualities) - min(qualities)) or 0.5
        self.bottom, self.top = min(qualities) - room, max(qualities) + room

    def extent(self, rates: Sequence[float]) -> tuple[float, float]:
        """Ends of the axis below."""
        return math.log10(min(rates)) - 0.04, math.log10(max(rates)) + 0.04

    def told(self, rate: float) -> str:
        """Tells a place of the axis below in words."""
        return f"{plain(round(rate, 5))} bpp"

    def x(self, rate: float) -> float:
        return LEFT + (math.log10(rate) - self.low) / (self.high - self.low) * (WIDTH - LEFT - RIGHT)

    def y(self, quality: float) -> float:
        return HEIGHT - BOTTOM - (quality - self.bottom) / (self.top - self.bottom) * (HEIGHT - TOP - BOTTOM)

    def rate_ticks(self) -> list[float]:
        """Rates of 1, 2 and 5 in every decade whose labels do not meet."""
        decades = range(math.floor(self.low), math.ceil(self.high) + 1)
        ticks: list[float] = []
        edge = -math.inf
        for tick in (digit * 10.0**decade for decade in decades for digit in (1, 2, 5)):
            half = _LETTER * len(plain(tick)) / 2 + 3
            if self.low <= math.log10(tick) <= self.high and self.x(tick) - half > edge:
                ticks.append(tick)
                edge = self.x(tick) + half
        return ticks

    def quality_ticks(self) -> list[float]:
        """Returns round numbers, at most _MAX_TICKS."""
        return round_numbers(self.bottom, self.top)

    def lines(self) -> list[str]:
        """Draws grid and numbers."""
        below, right = HEIGHT - BOTTOM, WIDTH - RIGHT
        found = []
        for tick in self.rate_ticks():
            x = f"{self.x(tick):.1f}"
            found.append(f'<path class="grid" d="M{x} {TOP}V{below}"/>')
            found.append(f'<text class="tick" x="{x}" y="{below + 15}" text-anchor="middle">{plain(tick)}</text>')
        for tick in self.quality_ticks():
            y = f"{self.y(tick):.1f}"
            found.append(f'<path class="grid" d="M{LEFT} {y}H{right}"/>')
            found.append(f'<text class="tick" x="{LEFT - 6}" y="{y}" dy=".35em" text-anchor="end">{plain(tick)}</text>')
        return found


class _FrameAxes(_Axes):
    """Places of frame numbers and qualities in a panel."""

    caption, radius = "frame", 2

    def extent(self, rates: Sequence[float]) -> tuple[float, float]:
        return min(rates) - 0.5, max(rates) + 0.5

    def told(self, rate: float) -> str:
        return f"frame {plain(rate)}"

    def x(self, rate: float) -> float:
        return LEFT + (rate - self.low) / (self.high - self.low) * (WIDTH - LEFT - RIGHT)

    def rate_ticks(self) -> list[float]:
        return [tick for tick in round_numbers(self.low, self.high) if tick == round(tick)]


def round_numbers(first: float, last: float) -> list[float]:
    """Multiples of 1, 2 or 5 times a power of ten between two numbers, at most _MAX_TICKS + 1."""
    span = last - first
    step = next(
        size * 10.0**power
        for power in range(math.floor(math.log10(span / _MAX_TICKS)), 9)
        for size in (1, 2, 5)
        if span / (size * 10.0**power) <= _MAX_TICKS
    )
    return [step * number for number in range(math.ceil(first / step), math.floor(last / step) + 1)]


def plain(number: float) -> str:
    """Writes a number without an exponent: 0.02, 34.5, 1200."""
    text = f"{number:.6f}".rstrip("0").rstrip(".")
    return text or "0"


def _series(axes: _Axes, name: str, curve: Sequence[tuple[float, float]], colour: int, metric: str) -> str:
    path = "L".join(f"{axes.x(rate):.1f} {axes.y(quality):.1f}" for rate, quality in curve)
    unit = " dB" if metric.startswith("psnr") else ""
    circles = "".join(
        f'<circle cx="{axes.x(rate):.1f}" cy="{axes.y(quality):.1f}" r="{axes.radius}">'
        f"<title>{escape(name)}: {axes.told(rate)}, {quality:.4g}{unit}</title></circle>"
        for rate, quality in curve
    )
    return f'<g class="s{colour}"><path d="M{path}"/>{circles}</g>'


def _legend(shown: Sequence[str], names: Sequence[str]) -> str:
    parts, x = [], float(LEFT)
    for name in shown:
        colour = names.index(name) % 8
        parts.append(
            f'<g class="s{colour}"><circle cx="{x + 4:.1f}" cy="{HEIGHT - 8}" r="4"/></g>'
            f'<text class="tick" x="{x + 12:.1f}" y="{HEIGHT - 4}">{escape(name)}</text>'
        )
        x += 24 + 0.9 * _LETTER * len(name)
    return "".join(parts)
