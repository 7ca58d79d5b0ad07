"""What progressive training asks of a codec."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from dcvc_cli.learning.losses import TrainingOperations
from dcvc_cli.learning.progressive.initial import CopyingStart
from dcvc_cli.learning.surrogate import Surrogate
from dcvc_cli.learning.trainee import State

MOTION_RATES = ("mv_z", "mv_y")
PICTURE_RATES = ("z", "y")
"""Names of the latents, of motion and of the picture, hyper-latents first."""


class UnclampedOperations(TrainingOperations):
    """Leaves pictures unclamped, so that samples outside 0..1 keep a gradient."""

    def clamp_unit(self, x: torch.Tensor) -> torch.Tensor:
        return x


@dataclass(frozen=True)
class FrameAt:
    """Which P frame is coded, and how well.

    Attributes:
        position: its number after its I frame, 1 for the first.
        rate: index of each sample's rate (N); one index for all has shape (1).
        adaptor: number of the feature adaptor, of codecs that choose one.
    """

    position: int
    rate: torch.Tensor
    adaptor: int = 0


@dataclass(frozen=True)
class Motion:
    """The coded motion of a P frame.

    Attributes:
        flow: (N, 2, h, w).
        own: what the codec wants to know of it again.
    """

    flow: torch.Tensor
    own: Any = None


class ProgressiveCodec(ABC):
    """A codec whose P frames have a coded flow, driven frame by frame.

    What a frame leaves for the next one (`kept`) is a mapping of tensors (N, ...) by name, one of which is `picture`.

    Attributes:
        parts: names of parts of the video network, by how parameters' names begin; one of them is `motion`.
        has_context_model: whether latents are predicted from their own values before; then only noise stands for
            rounding.
        start: what an untrained network begins as.
        first_z_row: of the picture's z in the video network's table.
        adaptors: numbers of feature adaptors by position, cyclic; none: the codec has no choice.
    """

    parts: Mapping[str, tuple[str, ...]]
    start: CopyingStart
    has_context_model: bool = False
    first_z_row: int = 0
    adaptors: tuple[int, ...] = ()

    def adjust(self, parameters: dict[str, torch.Tensor]) -> None:  # noqa: B027  most starts are said by `start`
        """Changes the start of a network where `start` does not say enough."""

    @abstractmethod
    def i_frame(self, state: State, x: torch.Tensor, rate: torch.Tensor) -> torch.Tensor:
        """Returns the pictures (N, 3, h, w) as decoders have them after I frames; `rate` as in FrameAt. No gradient."""

    @abstractmethod
    def motion(self, coder: Surrogate, x: torch.Tensor, kept: Mapping[str, torch.Tensor], at: FrameAt) -> Motion:
        """Codes the motion from what the frame before left to x; bits of MOTION_RATES."""

    @abstractmethod
    def warped(self, picture: torch.Tensor, motion: Motion) -> torch.Tensor:
        """Warps the picture before along the flow."""

    @abstractmethod
    def picture(
        self, coder: Surrogate, x: torch.Tensor, kept: Mapping[str, torch.Tensor], motion: Motion, at: FrameAt
    ) -> dict[str, torch.Tensor]:
        """Codes the rest of a frame; what it leaves, its picture unclamped. Bits of PICTURE_RATES."""

    def after_motion(self, picture: torch.Tensor, motion: Motion) -> dict[str, torch.Tensor]:
        """Returns what a frame leaves of which only the motion was coded: `picture` is the warped one."""
        return {"picture": picture}
