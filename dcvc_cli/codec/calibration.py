"""The side of a frame in calibration: it makes symbols and drops them."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dcvc_cli.backend.operations import Operations, Tensor
from dcvc_cli.codec.choices import DEFAULT_SKIP_THRESHOLD
from dcvc_cli.graph.latent_steps import CodingStep

Analysis = Callable[[Operations, Tensor], Tensor]


class CalibrationSide:
    """One frame's symbols.

    Args:
        ops: recording operations, also a backend.
        values: network input, float32 (3, Hp, Wp).
    """

    def __init__(self, ops: Any, values: NDArray[np.float32]) -> None:
        self.ops, self.values = ops, values
        self.latent_size = (values.shape[1] // 16, values.shape[2] // 16)
        self._y: Any = None

    def hyper_latents(self, analysis: Analysis, hyper_analysis: Analysis, qp: int) -> Tensor:
        """Analyses the picture. The ranges of the encoder's half are recorded apart."""
        own = self.ops.analysis
        y = analysis(own, own.frame_from_values(self.values))
        z = hyper_analysis(own, y)
        self._y = y.tensor
        return self.ops.z_from_symbols(self.ops.round_z(z.tensor))

    def for_analysis(self, context: Tensor) -> Tensor:
        """Returns the context at its true scale."""
        return self.ops.analysis.context(self.ops.at_true_scale(context))

    def begin(self, step_size_inverse: Any) -> None:
        """Scales the latents."""
        self._y = self._y * step_size_inverse

    def step(self, step: CodingStep, scales: Tensor, means: Tensor) -> Tensor:
        """Quantises the elements of one step."""
        return self.ops.quantise_step(step, self._y, scales, means, DEFAULT_SKIP_THRESHOLD)[0]

    def finish(self) -> None:
        """Does nothing: no symbol was kept."""
