"""The integer parameters of one network, checked so that no sum can overflow. Source: docs/exact-arithmetic.md
("Weights").

Arrays come from weights files, which nobody trusts: every rule is checked before a kernel sees an array.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from dcvc_cli.backend.exact_rules import MAX_ADDEND, MAX_EXPONENT, MAX_MULTIPLIER, MAX_ROW_SUM, SHIFT
from dcvc_cli.errors import EnvironmentFault

Y_HAT = "y_hat"
"""Name of the one value whose exponent is chosen although no layer makes it: latents times step size."""


@dataclass(frozen=True)
class ExactValue:
    """An int16 tensor and the exponent that all its elements share: element v stands for v / 2^exponent.

    Attributes:
        data: int16, (c, h, w) in the twin, (h, w, c) in the native backend.
        cell: 1, or f where the data is still to be pixel-shuffled by f (native backend only).
    """

    data: NDArray[np.int16]
    exponent: int
    cell: int = 1


@dataclass(frozen=True, eq=False)
class ExactConv:
    """Integer weights of a convolution (cout, cin, k, k), or of a depthwise one (c, 1, 3, 3), and its rescale.

    y = sat16((sum w x * multiplier + addend) >> 32); the addend holds bias and rounding half.
    """

    weight: NDArray[np.int16]
    multiplier: NDArray[np.int32]
    addend: NDArray[np.int64]
    in_exponent: int
    out_exponent: int

    @property
    def is_narrow(self) -> bool:
        """Returns whether all weights fit 8 bits."""
        return bool(np.abs(self.weight.astype(np.int32)).max(initial=0) <= 127)


@dataclass(frozen=True, eq=False)
class ExactScale:
    """Rows of 16-bit factors (num_qps, c): y = sat16((x * factor + half) >> shift of the row)."""

    factors: NDArray[np.int16]
    shifts: NDArray[np.uint8]
    in_exponent: int
    out_exponent: int


ExactLayer: TypeAlias = ExactConv | ExactScale


class DecoderGraph(Protocol):
    """A network that can tell the parameters of its decoder."""

    def decoder_shapes(self) -> Iterable[tuple[str, tuple[int, ...]]]:
        """Returns names and shapes of the state dict."""


class ExactNetwork:
    """The layers of one network by name. Make it with `from_arrays`, which checks everything."""

    def __init__(self, layers: Mapping[str, ExactLayer], y_hat_exponent: int) -> None:
        self.layers, self.y_hat_exponent = dict(layers), y_hat_exponent

    def conv(self, name: str) -> ExactConv:
        """Returns integer parameters of a convolution or depthwise convolution."""
        layer = self.layers[name]
        if not isinstance(layer, ExactConv):
            raise TypeError(f"{name} is no convolution")
        return layer

    def scale(self, name: str) -> ExactScale:
        """Returns integer parameters of a scale vector."""
        layer = self.layers[name]
        if not isinstance(layer, ExactScale):
            raise TypeError(f"{name} is no scale vector")
        return layer

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Returns all parameters as integer arrays by name: what a weight file stores."""
        arrays: dict[str, NDArray[Any]] = {f"{Y_HAT}.exponent": np.array([self.y_hat_exponent], np.int8)}
        for name, layer in self.layers.items():
            arrays[f"{name}.exponents"] = np.array([layer.in_exponent, layer.out_exponent], np.int8)
            if isinstance(layer, ExactScale):
                arrays[f"{name}.factors"], arrays[f"{name}.shifts"] = layer.factors, layer.shifts
            else:
                weight = layer.weight.astype(np.int8) if layer.is_narrow else layer.weight
                arrays.update(
                    {f"{name}.weight": weight, f"{name}.multiplier": layer.multiplier, f"{name}.addend": layer.addend}
                )
        return arrays

    def float_parameters(self) -> dict[str, NDArray[np.float32]]:
        """Returns the state dict that this network's integers stand for. Float precisions and the encoder's analysis
        use it."""
        state: dict[str, NDArray[np.float32]] = {}
        for name, layer in self.layers.items():
            gain = 2.0 ** (layer.in_exponent - layer.out_exponent)
            if isinstance(layer, ExactScale):
                rows = layer.factors.astype(np.float64) * gain / 2.0 ** layer.shifts.astype(np.float64)[:, None]
                state[name] = rows[:, :, None, None].astype(np.float32)
                continue
            factor = layer.multiplier.astype(np.float64) * gain / 2.0**SHIFT
            state[f"{name}.weight"] = (layer.weight * factor[:, None, None, None]).astype(np.float32)
            bias = (layer.addend.astype(np.float64) - 2.0 ** (SHIFT - 1)) / 2.0 ** (SHIFT + layer.out_exponent)
            state[f"{name}.bias"] = bias.astype(np.float32)
        return state

    @staticmethod
    def stored_arrays(model: DecoderGraph) -> dict[str, tuple[tuple[int, ...], tuple[str, ...]]]:
        """Returns shapes and possible types, by name, of the arrays that `to_arrays` gives and `from_arrays` needs."""
        stored: dict[str, tuple[tuple[int, ...], tuple[str, ...]]] = {f"{Y_HAT}.exponent": ((1,), ("i1",))}
        for key, shape in model.decoder_shapes():
            name = key.removesuffix(".weight")
            if key.endswith(".weight"):
                stored[key] = shape, ("i1", "i2")
                stored[f"{name}.multiplier"], stored[f"{name}.addend"] = (shape[:1], ("i4",)), (shape[:1], ("i8",))
            elif not key.endswith(".bias"):
                stored[f"{name}.factors"], stored[f"{name}.shifts"] = (shape[:2], ("i2",)), (shape[:1], ("u1",))
            else:
                continue
            stored[f"{name}.exponents"] = (2,), ("i1",)
        return stored

    @classmethod
    def from_arrays(cls, model: DecoderGraph, arrays: Mapping[str, NDArray[Any]]) -> "ExactNetwork":
        """Makes the integer network of `model` from arrays; arrays of other names are ignored.

        Raises:
            EnvironmentFault: an array is missing, has the wrong type or shape, or breaks a bound.
        """
        reader = _ArrayReader(arrays)
        layers = _layers(reader, model.decoder_shapes())
        exponent = int(reader.array(f"{Y_HAT}.exponent", (1,), "i1")[0])
        reader.require(0 <= exponent <= MAX_EXPONENT, Y_HAT, f"exponent {exponent} is outside 0..{MAX_EXPONENT}")
        return cls(layers, exponent)


def checked_layers(
    shapes: Iterable[tuple[str, tuple[int, ...]]], arrays: Mapping[str, NDArray[Any]]
) -> dict[str, ExactLayer]:
    """Returns the layers of some parameters, whose names and shapes are those of a state dict; arrays of other names
    are ignored.

    Raises:
        EnvironmentFault: an array is missing, has the wrong type or shape, or breaks a bound.
    """
    return _layers(_ArrayReader(arrays), shapes)


def _layers(reader: "_ArrayReader", shapes: Iterable[tuple[str, tuple[int, ...]]]) -> dict[str, ExactLayer]:
    layers: dict[str, ExactLayer] = {}
    for key, shape in shapes:
        name = key.removesuffix(".weight")
        if key.endswith(".weight"):
            layers[name] = reader.conv(name, shape)
        elif not key.endswith(".bias"):
            layers[name] = reader.scale(name, (shape[0], shape[1]))
    return layers


class _ArrayReader:
    """Takes layers out of untrusted arrays."""

    def __init__(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        self._arrays = arrays

    @staticmethod
    def require(condition: bool, name: str, why: str) -> None:
        if not condition:
            raise EnvironmentFault(
                f"integer weights of {name}: {why}", "the weight file is damaged or made for another model"
            )

    def array(self, name: str, shape: tuple[int, ...], *kinds: str) -> NDArray[Any]:
        array = self._arrays.get(name)
        self.require(isinstance(array, np.ndarray), name, "missing")
        assert array is not None
        found = f"{array.dtype.kind}{array.dtype.itemsize}"
        self.require(found in kinds, name, f"expected type {' or '.join(kinds)}, found {found}")
        self.require(array.shape == shape, name, f"expected shape {shape}, found {array.shape}")
        return array

    def exponents(self, name: str) -> tuple[int, int]:
        first, second = (int(value) for value in self.array(f"{name}.exponents", (2,), "i1"))
        self.require(
            min(first, second) >= 0 and max(first, second) <= MAX_EXPONENT,
            name,
            f"exponents {first}, {second} outside 0..{MAX_EXPONENT}",
        )
        return first, second

    def scale(self, name: str, shape: tuple[int, int]) -> ExactScale:
        factors, shifts = self.array(f"{name}.factors", shape, "i2"), self.array(f"{name}.shifts", shape[:1], "u1")
        self.require(bool((shifts >= 1).all() and (shifts <= 30).all()), name, "a shift is outside 1..30")
        return ExactScale(
            np.ascontiguousarray(factors, np.int16), np.ascontiguousarray(shifts, np.uint8), *self.exponents(name)
        )

    def conv(self, name: str, shape: tuple[int, ...]) -> ExactConv:
        weight = np.ascontiguousarray(self.array(f"{name}.weight", shape, "i1", "i2"), np.int16)
        multiplier = np.ascontiguousarray(self.array(f"{name}.multiplier", shape[:1], "i4"), np.int32)
        addend = np.ascontiguousarray(self.array(f"{name}.addend", shape[:1], "i8"), np.int64)
        row_sum = np.abs(weight.astype(np.int64)).reshape(shape[0], -1).sum(axis=1)
        self.require(
            bool((row_sum <= MAX_ROW_SUM).all()),
            name,
            f"a row of weights sums to {row_sum.max()}, at most {MAX_ROW_SUM} is safe",
        )
        self.require(bool((np.abs(weight.astype(np.int64)) <= 32767).all()), name, "a weight is -32768")
        self.require(bool((multiplier >= 0).all()), name, f"a multiplier is outside 0..{MAX_MULTIPLIER}")
        self.require(bool(((addend >= -MAX_ADDEND) & (addend <= MAX_ADDEND)).all()), name, "an addend is beyond 2^62")
        # |acc| <= row_sum * 2^15, so |acc * M| < 2^31 * 2^31; with the addend the product must stay below 2^63.
        peak = (row_sum << 15) * multiplier.astype(np.int64)
        self.require(
            bool((peak <= np.iinfo(np.int64).max - np.abs(addend)).all()),
            name,
            "multiplier and addend overflow 64 bits",
        )
        return ExactConv(weight, multiplier, addend, *self.exponents(name))
