"""Base of the exact backends: exponent checks, coding steps on planes, and the encoder's one float step.

Exact operations meet floats in two places: an encoder hands in its picture, and `quantise_step` chooses symbols with
the analysis latents. Both are single operations that IEEE 754 rounds correctly, so every machine chooses alike. After
the choice, the encoder computes everything from the symbols, as a decoder does.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from dcvc_cli.backend import exact_rules as rules
from dcvc_cli.backend.exact_network import ExactNetwork, ExactValue
from dcvc_cli.backend.operations import Operations, PlaneFlags, PlaneIndex, PlaneSymbols
from dcvc_cli.backend.planes import plane_of
from dcvc_cli.errors import EnvironmentFault

if TYPE_CHECKING:
    from dcvc_cli.graph.latent_steps import CodingStep


def require_exponent(name: str, expected: int, *values: ExactValue) -> None:
    """Refuses values of another exponent. They come from parameters whose layers do not fit together."""
    for value in values:
        if value.exponent != expected:
            raise EnvironmentFault(
                f"integer weights: {name} expects exponent {expected}, found {value.exponent}",
                "the weight file is damaged or its networks do not belong together",
            )


class EncoderFactor:
    """A factor of the encoder's float latents. It becomes a float in that multiplication only.

    Args:
        values: step sizes or factors.
        to_float: converts `values` to the type of the latents: an array, or a tensor of PyTorch.
        inverse: multiply with 1 / values instead.

    Attributes:
        values, is_inverse: for latents that multiply on a device of their own.
    """

    __array_ufunc__ = None  # latents * factor comes here instead of to numpy

    def __init__(self, values: Any, to_float: Callable[[Any], Any], *, inverse: bool) -> None:
        self.values, self.is_inverse, self._to_float = values, inverse, to_float

    def __rmul__(self, latents: Any) -> Any:
        factor = self._to_float(self.values)
        return latents * (1 / factor if self.is_inverse else factor)


class ExactOperations(Operations):
    """Operations on ExactValue; the integer parameters were checked by ExactNetwork.from_arrays."""

    def __init__(self, network: ExactNetwork) -> None:
        self.network = network
        self._context_exponent = getattr(network, "context_exponent", 0)

    def quantise_step(
        self,
        step: "CodingStep",
        y: NDArray[np.float32],
        scales: ExactValue,
        means: ExactValue,
        skip_threshold: float | None,
        zero_below: NDArray[np.float32] | None = None,
    ) -> tuple[ExactValue, PlaneSymbols, PlaneIndex, PlaneFlags]:
        """y: float32 (C, h, w). Symbols are chosen in float; the part of y_hat is the decoder's."""
        index, coded = self.step_index(step, scales, skip_threshold)
        residual = plane_of(step, y) - plane_of(step, self.to_float(means))
        if zero_below is not None:
            coded_as_zero = np.abs(residual) < zero_below[index]
            residual[coded_as_zero] = 0
        symbols = np.where(coded, np.rint(residual), 0).clip(-128, 127).astype(np.int8)
        return self.restore_step(step, symbols, means), symbols, index, coded

    def reciprocal(self, x: ExactValue) -> EncoderFactor:
        """Computes 1 / x for the encoder's analysis latents only."""
        return EncoderFactor(x, self._float_of, inverse=True)

    def encoder_factor(self, x: ExactValue) -> EncoderFactor:
        return EncoderFactor(x, self._float_of, inverse=False)

    def _float_of(self, x: Any) -> Any:
        return self.to_tensor(x) if self.shares_with_torch else self.to_float(x)

    def round_z(self, z: ExactValue) -> PlaneSymbols:
        return np.rint(self.to_float(z)).clip(-128, 127).astype(np.int8)

    def frame_from_values(self, values: NDArray[np.float32]) -> ExactValue:
        planes, height, width = values.shape
        samples = np.rint(values * np.float32(1 << rules.FRAME_EXPONENT)).astype(np.int16)
        return self.frame_from_samples(
            samples.reshape(
                planes,
                height // rules.PICTURE_CELL,
                rules.PICTURE_CELL,
                width // rules.PICTURE_CELL,
                rules.PICTURE_CELL,
            )
        )

    def centre(self, x: ExactValue) -> ExactValue:
        """Computes x - 0.5 with the exponent of contexts, since networks read both together."""
        require_exponent("a picture", rules.FRAME_EXPONENT, x)
        bits = rules.FRAME_EXPONENT - self._context_exponent
        data = rules.shift_round(x.data.astype(np.int64) - rules.HALF_SAMPLE, bits)
        return ExactValue(data.astype(np.int16), self._context_exponent, x.cell)

    def from_float(self, x: NDArray[np.float32]) -> NoReturn:
        raise NotImplementedError("no float enters exact arithmetic but pictures")

    def context_from(self, synthesis: Operations, context: Any) -> ExactValue:
        if type(synthesis) is type(self):
            data = rules.shift_round(context.data.astype(np.int32), context.exponent - self._context_exponent)
            return ExactValue(np.clip(data, -32768, 32767).astype(np.int16), self._context_exponent)
        values = np.floor(synthesis.to_float(context) * np.float32(1 << self._context_exponent) + np.float32(0.5))
        return self._from_planes(np.clip(values, -32768, 32767).astype(np.int16), self._context_exponent)

    def _from_planes(self, planes: NDArray[np.int16], exponent: int) -> ExactValue:
        """Makes a value from (c, h, w)."""
        raise NotImplementedError("this backend takes no contexts of others")
