"""What the exact backends share: exponent checks, coding steps on planes, and the encoder's one float step.

Exact operations never see a float but in `quantise_step`, which only an encoder runs: it chooses symbols with the
analysis latents, and everything after the choice is computed from the symbols as a decoder does.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from dcvc_cli.backend.exact_network import ExactNetwork, ExactValue
from dcvc_cli.backend.operations import Operations, PlaneFlags, PlaneIndex, PlaneSymbols
from dcvc_cli.backend.planes import plane_of
from dcvc_cli.errors import EnvironmentFault

if TYPE_CHECKING:
    from dcvc_cli.graph.latent_steps import CodingStep


def require_exponent(name: str, expected: int, *values: ExactValue) -> None:
    """Refuses values of another exponent: parameters whose layers do not fit together."""
    for value in values:
        if value.exponent != expected:
            raise EnvironmentFault(
                f"integer weights: {name} expects exponent {expected}, found {value.exponent}",
                "the weight file is damaged or its networks do not belong together",
            )


class EncoderFactor:
    """What an encoder multiplies its float latents with; only that multiplication ever makes a float of it.

    Args:
        values: step sizes or factors.
        to_float: gives them as latents are given: an array, or a tensor of PyTorch.
        inverse: multiply with 1 / values instead.
    """

    __array_ufunc__ = None  # latents * factor comes here instead of to numpy

    def __init__(self, values: Any, to_float: Callable[[Any], Any], *, inverse: bool) -> None:
        self._values, self._to_float, self._inverse = values, to_float, inverse

    def __rmul__(self, latents: Any) -> Any:
        factor = self._to_float(self._values)
        return latents * (1 / factor if self._inverse else factor)


class ExactOperations(Operations):
    """Operations on ExactValue; the integer parameters were checked by ExactNetwork.from_arrays."""

    def __init__(self, network: ExactNetwork) -> None:
        self.network = network

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
        """1 / x for the encoder's analysis latents only."""
        return EncoderFactor(x, self._float_of, inverse=True)

    def encoder_factor(self, x: ExactValue) -> EncoderFactor:
        return EncoderFactor(x, self._float_of, inverse=False)

    def _float_of(self, x: Any) -> Any:
        return self.to_tensor(x) if self.shares_with_torch else self.to_float(x)

    def round_z(self, z: NDArray[np.float32]) -> PlaneSymbols:
        return np.rint(z).clip(-128, 127).astype(np.int8)

    def pad_replicate(self, x: ExactValue, multiple: int) -> NoReturn:
        raise NotImplementedError("padding belongs to the analysis, which runs in float")

    def frame_from_values(self, values: NDArray[np.float32]) -> NoReturn:
        raise NotImplementedError("source pictures enter the analysis, which runs in float")

    def from_float(self, x: NDArray[np.float32]) -> NoReturn:
        raise NotImplementedError("no float enters exact arithmetic")
