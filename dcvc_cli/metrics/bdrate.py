"""Bjontegaard-delta rate between two rate-distortion curves, through the library `bjontegaard` (extra `eval`).

The library fits and integrates any curves. This module refuses curves that no honest figure follows from: too few
points, quality that falls while the rate rises, or no common range of quality.
"""

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise

from dcvc_cli.errors import EnvironmentFault

WIDE_OVERLAP = 0.75
"""A figure carries a note where the curves have less than this share of their quality range in common."""


class Interpolation(StrEnum):
    """How the curve of log-rate over quality runs between the measured points.

    Attributes:
        CUBIC: one third-degree polynomial fitted to all points, as for published DCVC figures.
        AKIMA: a piecewise curve through every point.
        PCHIP: a piecewise curve through every point, monotone where the points are.
    """

    CUBIC = "cubic"
    AKIMA = "akima"
    PCHIP = "pchip"


FEWEST_POINTS = {Interpolation.CUBIC: 4, Interpolation.AKIMA: 3, Interpolation.PCHIP: 2}


@dataclass(frozen=True)
class BdRate:
    """Outcome of one comparison.

    Attributes:
        percent: mean rate difference at equal quality, negative where the test curve needs fewer bits; None where no
            figure follows.
        overlap: share of the joint quality range that both curves cover, 0..1.
        reason: why percent is None, else None.
        note: a caution about the figure, or None.
    """

    percent: float | None
    overlap: float = 0.0
    reason: str | None = None
    note: str | None = None


def bd_rate(
    anchor: Sequence[tuple[float, float]],
    test: Sequence[tuple[float, float]],
    interpolation: Interpolation = Interpolation.CUBIC,
) -> BdRate:
    """Computes the BD-rate of `test` against `anchor`, in percent.

    Args:
        anchor: (rate, quality) points in any order: rate in any unit (bpp, kbit/s), quality in dB or any other
            increasing measure.
        test: points in the same units; the number of points may differ.
        interpolation: how the curves run between the points.

    Returns:
        a BdRate; its percent is None, with a reason, for curves that do not allow a figure. Nothing is extrapolated.

    Raises:
        EnvironmentFault: the package `bjontegaard` is not installed.

    Floating point: the last digits may differ between machines. Source: G. Bjontegaard, VCEG-M33, 2001.
    """
    compute = _library()
    ordered_anchor, ordered_test = _ordered(anchor), _ordered(test)
    for name, points in (("anchor", ordered_anchor), ("test", ordered_test)):
        fault = _fault(points, interpolation)
        if fault:
            return BdRate(None, reason=f"{name} curve: {fault}")
    lowest, highest = _common_quality(ordered_anchor, ordered_test)
    if lowest >= highest:
        anchor_range, test_range = _quality_range(ordered_anchor), _quality_range(ordered_test)
        return BdRate(None, reason=f"no common quality: anchor {anchor_range}, test {test_range}")
    joint = max(ordered_anchor[-1][1], ordered_test[-1][1]) - min(ordered_anchor[0][1], ordered_test[0][1])
    overlap = (highest - lowest) / joint
    anchor_rates, anchor_qualities = zip(*ordered_anchor, strict=True)
    test_rates, test_qualities = zip(*ordered_test, strict=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a narrow overlap is said in the note; the library would print it
        percent = float(
            compute(
                anchor_rates,
                anchor_qualities,
                test_rates,
                test_qualities,
                method=interpolation.value,
                require_matching_points=False,
                min_overlap=0,
            )
        )
    if not math.isfinite(percent):
        return BdRate(None, overlap, reason=f"the {interpolation} curve through these points gives no finite figure")
    note = None if overlap >= WIDE_OVERLAP else f"the curves have only {overlap:.0%} of their quality range in common"
    return BdRate(percent, overlap, note=note)


def _library() -> Callable[..., float]:
    try:
        from bjontegaard import bd_rate as compute
    except ImportError as missing:
        raise EnvironmentFault(
            "BD-rate needs the package bjontegaard, which is not installed", "pip install dcvc[eval]"
        ) from missing
    return compute


def _ordered(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Sorts points by rate; a point that stands twice counts once."""
    return sorted({(float(rate), float(quality)) for rate, quality in points})


def _fault(points: list[tuple[float, float]], interpolation: Interpolation) -> str | None:
    if not all(math.isfinite(rate) and math.isfinite(quality) and rate > 0 for rate, quality in points):
        return "rates must be above zero and all values finite"
    fewest = FEWEST_POINTS[interpolation]
    if len(points) < fewest:
        return f"{interpolation} needs {fewest} different rate points, found {len(points)}"
    for (low_rate, low_quality), (high_rate, high_quality) in pairwise(points):
        if high_rate <= low_rate or high_quality <= low_quality:
            return (
                f"quality does not rise with the rate ({low_quality:.4g} at {low_rate:.4g}, then {high_quality:.4g} at "
                f"{high_rate:.4g})"
            )
    return None


def _common_quality(anchor: list[tuple[float, float]], test: list[tuple[float, float]]) -> tuple[float, float]:
    return max(anchor[0][1], test[0][1]), min(anchor[-1][1], test[-1][1])


def _quality_range(points: list[tuple[float, float]]) -> str:
    return f"{points[0][1]:.4g}..{points[-1][1]:.4g}"
