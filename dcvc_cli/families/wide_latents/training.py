"""Sides of a batch of frames without symbols, for codecs whose latents are coded in steps."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from dcvc_cli.backend.operations import Tensor
from dcvc_cli.entropy.tables import CdfTable
from dcvc_cli.families.wide_latents.tables import ScaleTable
from dcvc_cli.graph.latent_steps import CodingStep
from dcvc_cli.learning.surrogate import Surrogate


@dataclass(frozen=True)
class LatentNames:
    """What a part of a frame calls its latents.

    Attributes:
        hyper, latents: for their bits.
        density: beginning of the parameters of the hyper-latents' density.
    """

    hyper: str
    latents: str
    density: str


MOTION = LatentNames("mv_z", "mv_y", "bit_estimator_z_mv")
PICTURE = LatentNames("z", "y", "bit_estimator_z")


class SurrogateWideSide:
    """P frames in training, one part of a frame; as wide_latents.sides.WideSide."""

    def __init__(self, coder: Surrogate, names: LatentNames) -> None:
        self.coder, self.names = coder, names

    def analysed(self, ops: Any, analysis: Callable[[], Tensor]) -> Tensor:
        """Returns the latents."""
        return analysis()

    def hyper(self, ops: Any, z: Tensor | None, shape: tuple[int, int, int], table: CdfTable | None) -> Tensor:
        """Returns z, quantised."""
        assert z is not None, "training has latents"
        return self.coder.hyper(self.names.hyper, z, self.names.density)

    def step(
        self, ops: Any, step: CodingStep, y: Tensor | None, scales: Tensor, means: Tensor, by: ScaleTable | None
    ) -> Tensor:
        """Returns the step's part of y_hat."""
        assert y is not None, "training has latents"
        mask = ops.mask(step, scales.shape[1], ops.size(scales), scales)
        return self.coder.latent(self.names.latents, y, scales, means, mask)


class DecodedWideSide:
    """I frames as a decoder has them; as wide_latents.sides.WideSide."""

    def analysed(self, ops: Any, analysis: Callable[[], Tensor]) -> Tensor:
        """Returns the latents."""
        return analysis()

    def hyper(self, ops: Any, z: Tensor | None, shape: tuple[int, int, int], table: CdfTable | None) -> Tensor:
        """Returns z, rounded."""
        assert z is not None, "an encoder has latents"
        return z.round()

    def step(
        self, ops: Any, step: CodingStep, y: Tensor | None, scales: Tensor, means: Tensor, by: ScaleTable | None
    ) -> Tensor:
        """Returns the step's part of y_hat, rounded."""
        assert y is not None, "an encoder has latents"
        mask = ops.mask(step, scales.shape[1], ops.size(scales), scales)
        return ((y - means).round() + means) * mask
