"""Probability tables of the float codecs. The integers are normative, not the formulas. Fixed tables ship with the
package; tables of z are in the weights."""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from importlib.resources import files
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dcvc_cli.entropy.factorised import hyperbolic_tangent, sigmoid, softplus
from dcvc_cli.entropy.scale_index import SCALE_MIN
from dcvc_cli.entropy.tables import CdfTable, TableError, quantise_pmf
from dcvc_cli.families.float_codec.coder import WordTable
from dcvc_cli.families.float_codec.layers import BOTTLENECK, Tensor
from dcvc_cli.families.wide_latents.tables import SMALLEST_SCALE

SMALLEST_GAUSSIAN = float(np.float32(SCALE_MIN))


@lru_cache
def stored_table(name: str) -> tuple[WordTable, NDArray[np.float32]]:
    """Loads a fixed table, `laplace_64` or `gaussian_64`. Returns (table, scales of its rows)."""
    path = files("dcvc_cli.families.float_codec") / f"{name}.npz"
    with path.open("rb") as stream, np.load(stream, allow_pickle=False) as arrays:
        table = WordTable(arrays["cdf"], arrays["cdf_length"], arrays["offset"])
        return table, arrays["scales"]


RowRule = Callable[[Tensor], NDArray[np.uint8]]
"""Turns each scale into a table row. Any value gives a row that exists."""


def rows_by_table(name: str, smallest: float) -> RowRule:
    """Makes a rule that takes the row with the next larger scale of a table. Scales below `smallest` count as
    `smallest`."""

    def rows(scales: Tensor) -> NDArray[np.uint8]:
        values = np.nan_to_num(scales.cpu().numpy())
        limits = stored_table(name)[1][:-1].astype(values.dtype)
        found = np.searchsorted(limits, np.maximum(values, values.dtype.type(smallest)), side="left")
        return np.asarray(found, np.uint8)

    return rows


def rows_by_logarithm(first: float, last: float, num_rows: int, added: int) -> RowRule:
    """Makes a rule by the logarithm: rows have evenly spaced logarithms of scales from `first` to `last`. `added` is
    added to the place of a scale's logarithm; the sum is cut to a whole number."""
    start, step = math.log(first), (math.log(last) - math.log(first)) / (num_rows - 1)

    def rows(scales: Tensor) -> NDArray[np.uint8]:
        place = (scales.nan_to_num().clamp_min(SMALLEST_SCALE).log() - start) / step + added
        return np.asarray(place.clamp(0, num_rows - 1).cpu().numpy(), np.uint8)

    return rows


def _rows_of(pmfs: Sequence[NDArray[Any]], tails: Sequence[Any], offsets: Sequence[int]) -> CdfTable:
    width = max(pmf.size for pmf in pmfs) + 2
    cdf = np.zeros((len(pmfs), width), np.int32)
    for row, (pmf, tail) in enumerate(zip(pmfs, tails, strict=True)):
        cdf[row, : pmf.size + 2] = quantise_pmf(np.append(np.maximum(pmf, 0), max(tail, 0)))
    return CdfTable(cdf, np.array([pmf.size + 2 for pmf in pmfs], np.int32), np.array(offsets, np.int32))


class BottleneckDensity:
    """The density of z in an I-frame model, computed in float64, the same on every machine."""

    def __init__(self, state: Mapping[str, Any]) -> None:
        def parameter(name: str) -> NDArray[np.float64]:
            key = f"{BOTTLENECK}.{name}"
            if key not in state:
                raise TableError(f"parameter {key} is missing")
            value = state[key]
            return np.asarray(value.detach().cpu() if hasattr(value, "detach") else value, np.float64)

        self.quantiles = parameter("quantiles")[:, 0]
        self._layers = [
            (
                softplus(parameter(f"_matrices.{k}")),
                parameter(f"_biases.{k}"),
                hyperbolic_tangent(parameter(f"_factors.{k}")) if k < 4 else None,
            )
            for k in range(5)
        ]

    def logits(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Returns the logits (c, n) of the cumulative distribution at points (c, n)."""
        values = points[:, None]
        for matrix, bias, factor in self._layers:
            # One product after the other: the order of sums in a matrix product differs between machines.
            values = sum(matrix[:, :, k, None] * values[:, k, None] for k in range(matrix.shape[2])) + bias
            if factor is not None:
                values = values + factor * hyperbolic_tangent(values)
        return np.asarray(values[:, 0])

    def probabilities(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Returns the probabilities (c, n) of the bins around values (c, n)."""
        low, high = self.logits(points - 0.5), self.logits(points + 0.5)
        sign = -np.sign(low + high)
        return np.abs(sigmoid(sign * high) - sigmoid(sign * low))


MAX_BOTTLENECK_REACH = 127


def bottleneck_table(state: Mapping[str, Any]) -> CdfTable:
    """Makes the table of z of an I-frame model, one row a channel, the same on every machine.

    Raises:
        TableError: a parameter is missing, quantiles are not finite or too far apart, or the parameters give no
            density.
    """
    density = BottleneckDensity(state)
    low, median, high = density.quantiles.T
    if not np.isfinite(density.quantiles).all():
        raise TableError("quantiles are not finite")
    lower, upper = (np.maximum(np.ceil(span), 0) for span in (median - low, high - median))
    if max(lower.max(), upper.max()) > MAX_BOTTLENECK_REACH:
        raise TableError(f"quantiles are more than {MAX_BOTTLENECK_REACH} apart")
    length = (lower + upper + 1).astype(np.int64)
    longest = int(length.max())
    points = np.arange(longest) + (median - lower)[:, None]
    pmf = density.probabilities(points)
    first, last = density.logits(points[:, :1] - 0.5)[:, 0], density.logits(points[:, -1:] + 0.5)[:, 0]
    tails = sigmoid(first) + sigmoid(-last)
    rows = [pmf[row, :count] for row, count in enumerate(length)]
    return _rows_of(rows, list(tails), [-int(lo) for lo in lower])
