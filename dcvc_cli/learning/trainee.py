"""What training knows of a network: where it starts, what it needs beside it, and the loss of a batch."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

import torch

from dcvc_cli.learning.losses import CHROMA_WEIGHTS
from dcvc_cli.learning.share import BatchShare
from dcvc_cli.learning.stage import Stage

State = Mapping[str, torch.Tensor]


@dataclass(frozen=True)
class Objective:
    """What a step minimises: lambda D + R.

    Attributes:
        lambdas: weight of the distortion at the lowest and at the highest QP (samples in 0..1, bits per pixel).
        cost_exponent: power of a sample's own cost that its loss is divided by.
        chroma_weights: of chroma's squared error at the lowest and at the highest QP.
    """

    lambdas: tuple[float, float]
    cost_exponent: float = 0.0
    chroma_weights: tuple[float, float] = CHROMA_WEIGHTS


@dataclass(frozen=True)
class TrainingStep:
    """Where a run stands.

    Attributes:
        seed: of the run.
        step: global number of the step.
        stage: the part of the schedule that the step belongs to.
        share: the samples of the batch that this process has.
    """

    seed: int
    step: int
    stage: Stage
    share: BatchShare


@dataclass(frozen=True)
class BatchLoss:
    """Loss to differentiate, and means over the batch for the log."""

    loss: torch.Tensor
    weighted: float
    bpp: float
    psnr: float


class ParameterGroup(Enum):
    """Parameters that learn alike. A schedule has a learning-rate factor for each group (`TrainConfig.rate_of`).

    Attributes:
        USUAL: the rate of the stage, with weight decay.
        FAST: few numbers with much effect, such as quantiser steps and bit estimators; `fast_rate_factor`, no decay.
        DIRECT: layers that carry samples straight to latents or back; `direct_rate_factor`, no decay.
    """

    USUAL = auto()
    FAST = auto()
    DIRECT = auto()


class Trainee(ABC):
    """One network of a model in training.

    Attributes:
        frozen: names of the networks that it is trained behind; their parameters stay as they are.
        keyint: interval of I frames with which validation codes; -1: the first frame alone is one.
    """

    frozen: tuple[str, ...] = ()
    keyint: int = -1

    @abstractmethod
    def initial_parameters(self, seed: int) -> dict[str, torch.Tensor]:
        """Parameters that an untrained network begins with."""

    @abstractmethod
    def num_frames(self, stage: Stage) -> int:
        """Frames of a crop."""

    @abstractmethod
    def loss(
        self, parameters: State, frozen: Mapping[str, State], clip: torch.Tensor, objective: Objective, at: TrainingStep
    ) -> BatchLoss:
        """The loss of a batch.

        Args:
            parameters: those that learn.
            frozen: those of the networks in `frozen`.
            clip: the own samples (N, frames, 3, h, w) in 0..1.
            at: every random number follows from it and from torch's generator, which is seeded for the step.
        """

    def group(self, parameter: str) -> ParameterGroup:
        """The group that a parameter belongs to; by default all are alike."""
        return ParameterGroup.USUAL

    def forget(self) -> None:  # noqa: B027  most networks keep nothing
        """Drops what is kept between steps, at the start of a stage."""

    def stored(self) -> list[dict[str, Any]]:
        """What is kept between steps, sample by sample, for a checkpoint; on the CPU."""
        return []

    def restore(self, stored: Sequence[Mapping[str, Any]], device: torch.device) -> None:
        """The inverse of `stored`, of whatever processes.

        Raises:
            AttributeError, KeyError, TypeError, ValueError: another version of dcvc stored it.
        """
        if stored:
            raise ValueError("nothing is kept between steps of this network")
