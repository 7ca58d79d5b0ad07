"""The latents of each coding step: the 2x2 position classes of the image and the video model.

The position class of (row, column) on the 1/16 grid is 2 * (row mod 2) + column mod 2. In a step, each channel group
codes the classes named here. At each position exactly one group is coded, so a step's symbols fit a plane of C /
num_groups channels.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from dcvc_cli.graph.blocks import Tensor


@dataclass(frozen=True)
class CodingStep:
    """One coding step.

    Attributes:
        classes: the position classes that each channel group codes in this step, by group.
        limits_scales: whether scales are clamped to the table's range before the skip threshold is compared. Without
            clamping, a scale beyond the range has the last row in every arithmetic.
    """

    classes: tuple[tuple[int, ...], ...]
    limits_scales: bool = True

    @property
    def num_groups(self) -> int:
        return len(self.classes)

    def group_at(self, position_class: int) -> int:
        """Returns the group that is coded at positions of this class."""
        return next(group for group, classes in enumerate(self.classes) if position_class in classes)


IMAGE_STEPS: Sequence[CodingStep] = (
    CodingStep(((0,), (1,), (2,), (3,))),
    CodingStep(((3,), (2,), (1,), (0,))),
    CodingStep(((2,), (3,), (0,), (1,))),
    CodingStep(((1,), (0,), (3,), (2,))),
)
VIDEO_STEPS: Sequence[CodingStep] = (
    CodingStep(((0, 3), (1, 2))),
    CodingStep(((1, 2), (0, 3))),
)


class LatentCoder(Protocol):
    """Codes the latents of one frame step by step. An encoder quantises, a decoder reads, training adds noise.

    The networks call it. The codec or the trainer decides what happens with symbols.
    """

    def begin(self, step_size_inverse: Tensor) -> None:
        """Takes the factor of the analysis latents, before step 0. A decoder ignores it."""

    def step(self, step: CodingStep, scales: Tensor, means: Tensor) -> Tensor:
        """Codes one step. Returns its part of y_hat: C channels, 0 outside the step's positions."""
