"""The integer form of the layers that only an encoder runs: their stored weights, with an exponent before and behind
each layer.

A stored weight already is an integer with a step for its output channel. A weights file therefore needs only the
exponents beside the weights, two bytes a layer. The fingerprint, by which decoders know the file, stays the same.
Multipliers and
addends follow from steps, biases and exponents, by operations that IEEE 754 rounds correctly: the same on every
machine. Source: docs/exact-arithmetic.md ("The encoder's half").
"""

from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from dcvc_cli.backend import exact_rules as rules
from dcvc_cli.backend.exact_network import ExactLayer, ExactNetwork, ExactScale, checked_layers
from dcvc_cli.errors import EnvironmentFault
from dcvc_cli.graph.blocks import Conv, Depthwise, ScaleVector, encoder_layers

Float64: TypeAlias = NDArray[np.float64]

REMEDY = "prepare the weights again"


class AnalysisNetwork(ExactNetwork):
    """The layers that only an encoder runs.

    Attributes:
        context_exponent: of the context that the decoder's half hands over, and of pictures around zero.
    """

    def __init__(self, layers: Mapping[str, ExactLayer], context_exponent: int) -> None:
        super().__init__(layers, rules.MAX_EXPONENT)
        self.context_exponent = context_exponent


def num_exponents(model: Any) -> int:
    """Counts the exponents that the encoder's half of a network has: two a layer, and that of the context."""
    return 2 * len(list(encoder_layers(model))) + 1


def analysis_network(model: Any, arrays: Mapping[str, NDArray[Any]], exponents: NDArray[np.int8]) -> AnalysisNetwork:
    """Makes the integer form of the encoder's half of a network.

    Args:
        model: the network.
        arrays: its parameters as a weights file stores them: weights int8 or int16 (cout, cin, k, k) with float32 steps
            (cout,) under KEY.step, everything else float32.
        exponents: int8, in and out of each layer in order of making, then the context's.

    Raises:
        EnvironmentFault: exponents or arrays that do not fit the network.
    """
    layers = list(encoder_layers(model))
    if exponents.shape != (2 * len(layers) + 1,) or not ((exponents >= 0) & (exponents <= rules.MAX_EXPONENT)).all():
        raise EnvironmentFault("integer weights: exponents of the encoder's half do not fit the network", REMEDY)
    integers: dict[str, NDArray[Any]] = {}
    for layer, before, after in zip(layers, exponents[0::2].tolist(), exponents[1::2].tolist(), strict=False):
        integers |= _integers(layer, arrays, before, after)
    shapes = (shape for layer in layers for shape in layer.shapes())
    return AnalysisNetwork(checked_layers(shapes, integers), int(exponents[-1]))


def largest_factor(layer: Conv | Depthwise, arrays: Mapping[str, NDArray[Any]]) -> float:
    """Returns the largest step of a layer's integer weights. The layer's multipliers grow with it."""
    return float(_rows_within_bound(*_stored(layer, arrays))[1].max())


def _integers(
    layer: Conv | Depthwise | ScaleVector, arrays: Mapping[str, NDArray[Any]], before: int, after: int
) -> dict[str, NDArray[Any]]:
    name = layer.name
    exponents = {f"{name}.exponents": np.array([before, after], np.int8)}
    if isinstance(layer, ScaleVector):
        rows = np.asarray(arrays[name], np.float64).reshape(layer.num_qps, layer.channels)
        scale = quantise_scale(rows, before, after)
        return exponents | {f"{name}.factors": scale.factors, f"{name}.shifts": scale.shifts}
    weight, step = _rows_within_bound(*_stored(layer, arrays))
    factor = np.rint(step * 2.0 ** (after - before + rules.SHIFT))
    if float(factor.max()) > rules.MAX_MULTIPLIER:
        raise EnvironmentFault(f"integer weights of {name}: a multiplier does not fit 32 bits", REMEDY)
    bias = np.asarray(arrays[f"{name}.bias"], np.float64) if f"{name}.bias" in arrays else np.zeros(len(step))
    addend = np.rint(bias * 2.0 ** (after + rules.SHIFT)).clip(-(2.0**61), 2.0**61)
    return exponents | {
        f"{name}.weight": weight,
        f"{name}.multiplier": factor.astype(np.int32),
        f"{name}.addend": addend.astype(np.int64) + (1 << (rules.SHIFT - 1)),
    }


def _stored(layer: Conv | Depthwise, arrays: Mapping[str, NDArray[Any]]) -> tuple[NDArray[np.int16], Float64]:
    key = f"{layer.name}.weight"
    weight = arrays[key]
    if weight.dtype not in (np.int8, np.int16):
        raise EnvironmentFault(f"integer weights of {layer.name}: stored as floating-point numbers", REMEDY)
    return weight.astype(np.int16), arrays[f"{key}.step"].astype(np.float64)


def _rows_within_bound(weight: NDArray[np.int16], step: Float64) -> tuple[NDArray[np.int16], Float64]:
    """Halves the weights of a row until their sum cannot overflow. Nearly every row stays as it is."""
    weight, step = weight.copy(), step.copy()
    while True:
        sums = np.abs(weight.astype(np.int64)).reshape(len(weight), -1).sum(axis=1)
        over = sums > rules.MAX_ROW_SUM
        if not over.any():
            return weight, step
        weight[over] = np.rint(weight[over] / 2).astype(np.int16)
        step[over] *= 2


def quantise_scale(rows: Float64, in_exponent: int, out_exponent: int) -> ExactScale:
    """Factors (num_qps, c) as 16-bit integers, each row with the largest shift that its largest factor allows."""
    factors = rows * 2.0 ** (out_exponent - in_exponent)
    peak = np.maximum(np.abs(factors).max(axis=1), 2.0**-16)
    shifts = np.clip(np.frexp(32767 / peak)[1] - 1, 1, 30).astype(np.uint8)
    integers = np.clip(np.rint(factors * 2.0 ** shifts[:, None].astype(np.float64)), -32768, 32767).astype(np.int16)
    return ExactScale(integers, shifts, in_exponent, out_exponent)
