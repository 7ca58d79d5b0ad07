"""The slow twin of the context model, for tests. It computes one position after the other, and every sum in the order
of the C++ coder."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dcvc_cli.families.float_codec.context import TAPS, Passed

Weights = dict[str, NDArray[Any]]
"""The weights as from ContextNetwork.weights."""


def encode_context(
    weights: Weights,
    base: NDArray[Any],
    values: NDArray[Any],
    size: tuple[int, int],
    *,
    means_first: bool,
    smallest: float,
) -> Passed:
    """Quantises a latent position by position.

    Args:
        base: the prior's part of the first 1x1 layer, (h * w, outputs).
        values: the latent, (h * w, c).
        size: (h, w).
        means_first: whether the means are the first half of the last layer's output, else the scales.
        smallest: smaller scales count as this one.

    Returns:
        (symbols, table rows, restored values), each (h * w, c).
    """
    height, width = size
    kind, channels = values.dtype.type, values.shape[1]
    margin = np.zeros((height + 2, width + 4, channels), values.dtype)
    symbols, rows = np.zeros(values.shape, np.int32), np.zeros(values.shape, np.uint8)
    restored = np.zeros_like(values)
    kernel = np.concatenate([weights["above"], weights["left"]], axis=1)
    for position in range(height * width):
        i, j = divmod(position, width)
        window = np.concatenate([margin[i + row, j + column] for row, column in TAPS])
        context = _summed(kernel, weights["above_bias"], window)
        hidden = _leaky(_summed(weights["first"], base[position], context))
        hidden = _leaky(_summed(weights["second"], weights["second_bias"], hidden))
        halves = np.split(_summed(weights["third"], weights["third_bias"], hidden), 2)
        means, scales = halves if means_first else halves[::-1]
        rows[position] = [(weights["thresholds"] < max(scale, kind(smallest))).sum() for scale in scales]
        symbols[position] = np.rint(values[position] - means)
        restored[position] = margin[i + 2, j + 2] = symbols[position].astype(values.dtype) + means
    return symbols, rows, restored


def _summed(weight: NDArray[Any], start: NDArray[Any], inputs: NDArray[Any]) -> NDArray[Any]:
    total = start.copy()
    for column, value in zip(weight.T, inputs, strict=True):
        total += column * value
    return total


def _leaky(values: NDArray[Any]) -> NDArray[Any]:
    return np.where(values > 0, values, values * values.dtype.type(0.01))
