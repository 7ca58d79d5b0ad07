"""Which latents each coding step codes: the 2x2 position classes of the image and the video model.

Position class of (row, column) on the 1/16 grid: 2 * (row mod 2) + column mod 2. In a step every channel group codes
the classes named here; at each position exactly one group is coded, so a step's symbols fit a plane of C / num_groups
channels.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True)
class CodingStep:
    """`classes[group]` = the position classes that the channel group codes in this step.

    limits_scales: scales are limited to the table's range before they are compared with the skip threshold; else they
    are compared as they are, and a scale beyond the range has the last row in every arithmetic.
    """

    classes: tuple[tuple[int, ...], ...]
    limits_scales: bool = True

    @property
    def num_groups(self) -> int:
        return len(self.classes)

    def group_at(self, position_class: int) -> int:
        """The group coded at positions of this class."""
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
    """Codes the latents of one frame step by step: an encoder quantises, a decoder reads, training adds noise.

    The networks drive it; what it does with symbols is the codec's (or the trainer's) matter.
    """

    def begin(self, step_size_inverse: Any) -> None:
        """Before step 0: the tensor that the analysis latents are multiplied with (a decoder ignores it)."""

    def step(self, step: CodingStep, scales: Any, means: Any) -> Any:
        """One step: returns its part of y_hat (C channels, zero outside the step's positions)."""
