"""Tables of the factorised density of z: our own, which are the same on every machine, and the published codec's.

Source: docs/entropy-coding.md ("Tables"). A table is made once and stored beside the weights. The weights' fingerprint
covers it. The published codec evaluates the density in float32 by PyTorch's functions, whose last bits differ between
machines. Our own tables are computed in float64 by functions of correctly rounded operations alone. So each import of a
checkpoint gives the same integers.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from dcvc_cli.entropy.tables import CdfTable, TableError, quantise_pmf

if TYPE_CHECKING:
    import torch

    Parameters = Mapping[str, NDArray[np.float32] | torch.Tensor]
    """State dict of a network, as weights files or as checkpoints have it."""
    TorchLayer = tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]
Layer = tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64] | None]
Probabilities = NDArray[np.floating]
"""float64 of our own densities, float32 of published ones."""

LN2_HIGH, LN2_LOW = 0.693147180369123816490, 1.90821492927058770002e-10
"""ln 2 in two parts. The first has so few bits that its product with any exponent is exact."""
EXP_TERMS, LOG_TERMS = 14, 18
LARGEST_EXPONENT = 700.0


def exponential(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns e^x, elementwise, with the same bits on every machine, within a few units in the last place. x outside
    -700..700 counts as the nearest end."""
    x = np.clip(x, -LARGEST_EXPONENT, LARGEST_EXPONENT)
    power = np.rint(x / (LN2_HIGH + LN2_LOW))
    rest = x - power * LN2_HIGH - power * LN2_LOW
    total = np.ones_like(rest)
    for term in range(EXP_TERMS, 0, -1):
        total = 1 + total * rest / term
    return np.asarray(np.ldexp(total, power.astype(np.int64)))


def log_one_plus(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns ln(1 + x) for x in 0..1, elementwise, with the same bits on every machine."""
    ratio = x / (x + 2.0)
    square = ratio * ratio
    total = np.zeros_like(square)
    for term in range(LOG_TERMS, -1, -1):
        total = total * square + 1.0 / (2 * term + 1)
    return np.asarray(2 * ratio * total)


def softplus(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns ln(1 + e^x), with the same bits on every machine."""
    return np.maximum(x, 0) + log_one_plus(exponential(-np.abs(x)))


def sigmoid(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns 1 / (1 + e^-x), with the same bits on every machine."""
    small = exponential(-np.abs(x))
    return np.where(x < 0, small, 1.0) / (1 + small)


def hyperbolic_tangent(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns tanh x, with the same bits on every machine."""
    small = exponential(-2 * np.abs(x))
    return np.copysign((1 - small) / (1 + small), x)


class Density(Protocol):
    """Gives the cumulative distribution of every row at given points, (num_rows, len(points))."""

    num_rows: int

    def cumulative(self, points: Sequence[float]) -> Probabilities: ...


def factorised_table(parameters: "Parameters", prefix: str = "bit_estimator_z") -> CdfTable:
    """Makes the tables of the factorised density of z, with row qp * num_channels + channel, the same on every machine.

    Args:
        parameters: `prefix`.f1.h, .b, .a, ..., f4.h, f4.b: arrays or tensors (num_qps, num_channels, 1, 1).

    Raises:
        TableError: a parameter is missing or misshapen, or the parameters give no density.
    """
    return _tables(ReproducibleDensity.of(parameters, prefix))


def published_factorised_table(parameters: "Parameters", prefix: str = "bit_estimator_z") -> CdfTable:
    """Makes the tables as the published codec does, for its own elementary streams.

    PyTorch's vectorised functions compute them in float32, so they are NOT the same on every machine.
    """
    return _tables(PublishedDensity.of(parameters, prefix))


def _tables(density: Density) -> CdfTable:
    lower, upper = np.full(density.num_rows, 8), np.full(density.num_rows, 8)
    at_integers = density.cumulative([float(x) for x in range(-8, 9)])
    one = at_integers.dtype.type(1)
    for i in range(8, 1, -1):
        lower[at_integers[:, 8 - i] < at_integers.dtype.type(0.0001)] = i
        upper[at_integers[:, 8 + i] > at_integers.dtype.type(0.9999)] = i
    at_halves = density.cumulative([x + 0.5 for x in range(-9, 9)])
    cdf = np.zeros((density.num_rows, 19), dtype=np.int32)
    for row, (lo, hi) in enumerate(zip(lower, upper, strict=True)):
        halves = at_halves[row, 8 - lo : 10 + hi]
        pmf = np.maximum(halves[1:] - halves[:-1], 0)
        # The upper tail starts at hi, not hi + 0.5: the published tables count half a bin twice.
        tail = halves[0] + (one - at_integers[row, 8 + hi])
        cdf[row, : lo + hi + 3] = quantise_pmf(np.append(pmf, tail))
    return CdfTable(cdf, (lower + upper + 3).astype(np.int32), (-lower).astype(np.int32))


def _parameter(parameters: "Parameters", key: str) -> NDArray[np.float32]:
    """Returns a parameter as float32 (num_rows, 1)."""
    if key not in parameters:
        raise TableError(f"parameter {key} is missing")
    value = parameters[key]
    array = np.asarray(value.detach().cpu() if hasattr(value, "detach") else value, np.float32)
    return np.ascontiguousarray(array.reshape(-1, 1))


class ReproducibleDensity:
    """The density in float64, by the functions of this file.

    Args:
        layers: slope, shift and gate of each of the four layers, (num_rows, 1); the last one has no gate.
        num_rows: number of rows: channels times QPs.
    """

    def __init__(self, layers: Sequence[Layer], num_rows: int) -> None:
        self._layers, self.num_rows = layers, num_rows

    @classmethod
    def of(cls, parameters: "Parameters", prefix: str) -> "ReproducibleDensity":
        """Makes the density of eleven parameters below `prefix`."""

        def parameter(name: str) -> NDArray[np.float64]:
            return _parameter(parameters, f"{prefix}.{name}").astype(np.float64)

        layers = [
            (
                softplus(parameter(f"f{k}.h")),
                parameter(f"f{k}.b"),
                hyperbolic_tangent(parameter(f"f{k}.a")) if k < 4 else None,
            )
            for k in (1, 2, 3, 4)
        ]
        return cls(layers, _common_rows([part for layer in layers for part in layer if part is not None], prefix))

    def cumulative(self, points: Sequence[float]) -> Probabilities:
        x = np.tile(np.array(points, np.float64), (self.num_rows, 1))
        for slope, shift, gate in self._layers:
            x = x * slope + shift
            if gate is not None:
                x = x + hyperbolic_tangent(x) * gate
        return sigmoid(x)


class PublishedDensity:
    """The density in float32, by PyTorch, of the same layers."""

    def __init__(self, layers: "Sequence[TorchLayer]", num_rows: int) -> None:
        self._layers, self.num_rows = layers, num_rows

    @classmethod
    def of(cls, parameters: "Parameters", prefix: str) -> "PublishedDensity":
        """Makes the density of eleven parameters below `prefix`."""
        import torch
        from torch.nn.functional import softplus

        def parameter(name: str) -> torch.Tensor:
            return torch.from_numpy(_parameter(parameters, f"{prefix}.{name}"))

        layers = [
            (softplus(parameter(f"f{k}.h")), parameter(f"f{k}.b"), torch.tanh(parameter(f"f{k}.a")) if k < 4 else None)
            for k in (1, 2, 3, 4)
        ]
        return cls(layers, _common_rows([part for layer in layers for part in layer if part is not None], prefix))

    def cumulative(self, points: Sequence[float]) -> Probabilities:
        import torch

        x = torch.tensor(points, dtype=torch.float32).repeat(self.num_rows, 1)
        for slope, shift, gate in self._layers:
            x = x * slope + shift
            if gate is not None:
                x = x + torch.tanh(x) * gate
        return np.asarray(torch.sigmoid(x).numpy(), dtype=np.float32)


def _common_rows(parts: "Sequence[NDArray[np.float64] | torch.Tensor]", prefix: str) -> int:
    sizes = [part.shape[0] for part in parts]
    if len(set(sizes)) > 1:
        raise TableError(f"the parameters of {prefix} differ in size")
    return int(sizes[0])
