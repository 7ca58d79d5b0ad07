"""The bits of symbols by the published estimates, without tables, escapes and words. Only conformance needs them.

Source: DCVC (2021), DCVC-TCM (2022).
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dcvc_cli.families.float_codec.coder import WordTable
from dcvc_cli.families.float_codec.context import ContextNetwork
from dcvc_cli.families.float_codec.layers import BOTTLENECK, Ops, Tensor
from dcvc_cli.families.float_codec.sides import EncodingSide, Layout, rounded
from dcvc_cli.families.float_codec.tables import SMALLEST_GAUSSIAN, RowRule
from dcvc_cli.families.wide_latents.tables import ADDED_PROBABILITY, SMALLEST_SCALE

LARGEST_SCALE = 1e10
SMALLEST_PROBABILITY, MOST_BITS = float(np.float32(1e-9)), 50.0


class EstimatingSide(EncodingSide):
    """An encoder's side that estimates bits by name of the latent and makes no payload.

    A latent with a context model is rounded without its means and predicted for all positions at once. Its pictures
    therefore differ from a stream's.

    Args:
        densities: prefix of the density by name of z, in a video network; None in an I-frame network.
    """

    def __init__(self, ops: Ops, layout: Layout, densities: Mapping[str, str] | None) -> None:
        super().__init__(ops, layout)
        self.densities = densities
        self.bits: dict[str, float] = {}

    def coded(self, name: str, table: WordTable, rows: NDArray[np.uint8], values: Tensor | None) -> NDArray[np.int32]:
        return rounded(values)

    def hyper(
        self, name: str, table: WordTable | None, z: Tensor | None, size: tuple[int, int], medians: Tensor | None = None
    ) -> Tensor:
        z_hat = super().hyper(name, table, z, size, medians)
        if self.densities is None:
            bits = _bits_of_bottleneck(self.ops.parameters, z_hat)
        else:
            bits = _bits_of_density(self.ops.parameters, self.densities[name], z_hat)
        self.bits[name] = float(bits)
        return z_hat

    def latent(
        self,
        name: str,
        table: WordTable,
        rule: RowRule,
        scales: Tensor,
        means: Tensor | None,
        y: Tensor | None,
    ) -> Tensor:
        restored = super().latent(name, table, rule, scales, means, y)
        self.bits[name] = self._bits(self.tensor(self.symbols[name]), scales)
        return restored

    def coded_by_context(
        self, name: str, table: WordTable, network: ContextNetwork, prior: Tensor, y: Tensor | None
    ) -> Tensor:
        assert y is not None
        values = y.round()
        means, scales = network.predicted(self.ops, prior, values)
        self.bits[name] = self._bits((y - means).round(), scales)
        return values

    def _bits(self, symbols: Tensor, scales: Tensor) -> float:
        return float((_gaussian_bits if self.densities is None else _laplace_bits)(symbols, scales).sum())


def _capped(probability: Tensor) -> Tensor:
    return (-(probability + ADDED_PROBABILITY).log2()).clamp(0, MOST_BITS)


def _laplace_bits(symbols: Tensor, scales: Tensor) -> Tensor:
    scales = scales.clamp(SMALLEST_SCALE, LARGEST_SCALE)
    low, high = symbols - 0.5, symbols + 0.5
    below, upto = (0.5 - 0.5 * point.sign() * (-point.abs() / scales).expm1() for point in (low, high))
    return _capped(upto - below)


def _gaussian_bits(symbols: Tensor, scales: Tensor) -> Tensor:
    scales, away = scales.clamp_min(SMALLEST_GAUSSIAN), symbols.abs()
    upper, lower = (0.5 * (-((side - away) / scales) / math.sqrt(2)).erfc() for side in (0.5, -0.5))
    return -(upper - lower).clamp_min(SMALLEST_PROBABILITY).log2()


def _bits_of_density(parameters: Mapping[str, Any], prefix: str, z_hat: Tensor) -> Tensor:
    from torch.nn.functional import softplus

    def cumulative(x: Tensor) -> Tensor:
        for k in (1, 2, 3, 4):
            x = x * softplus(parameters[f"{prefix}.f{k}.h"]) + parameters[f"{prefix}.f{k}.b"]
            if k < 4:
                x = x + x.tanh() * parameters[f"{prefix}.f{k}.a"].tanh()
        return x.sigmoid()

    return _capped(cumulative(z_hat + 0.5) - cumulative(z_hat - 0.5)).sum()


def _bits_of_bottleneck(parameters: Mapping[str, Any], z_hat: Tensor) -> Tensor:
    from torch.nn.functional import softplus

    def logits(x: Tensor) -> Tensor:
        for k in range(5):
            matrix, bias = (parameters[f"{BOTTLENECK}.{name}.{k}"] for name in ("_matrices", "_biases"))
            x = softplus(matrix) @ x + bias
            if k < 4:
                x = x + parameters[f"{BOTTLENECK}._factors.{k}"].tanh() * x.tanh()
        return x

    values = z_hat[0].reshape(z_hat.shape[1], 1, -1)
    low, high = logits(values - 0.5), logits(values + 0.5)
    sign = -(low + high).sign()
    probability = ((sign * high).sigmoid() - (sign * low).sigmoid()).abs()
    return -probability.clamp_min(SMALLEST_PROBABILITY).log2().sum()
