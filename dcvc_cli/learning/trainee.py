"""The interface between training and a network: start values, frozen networks, and the loss of a batch."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch

from dcvc_cli.entropy.tables import CdfTable
from dcvc_cli.learning.estimator_fit import fitted_estimator, symbols_in_order
from dcvc_cli.learning.losses import CHROMA_WEIGHTS, factorised_bits
from dcvc_cli.learning.parameters import Parameters
from dcvc_cli.learning.share import BatchShare
from dcvc_cli.learning.stage import Stage

State = Mapping[str, torch.Tensor]


@dataclass(frozen=True)
class Objective:
    """The objective lambda D + R, which a step minimises.

    Attributes:
        lambdas: weight of the distortion at the lowest and at the highest QP (samples in 0..1, bits per pixel).
        cost_exponent: a sample's loss is divided by its own cost to this power.
        chroma_weights: weights of chroma's squared error at the lowest and at the highest QP.
        own: the settings that the network's family adds (Trainee.settings).
    """

    lambdas: tuple[float, float]
    cost_exponent: float = 0.0
    chroma_weights: tuple[float, float] = CHROMA_WEIGHTS
    own: Any = None


@dataclass(frozen=True)
class TrainingStep:
    """The place of a step in a run.

    Attributes:
        seed: seed of the run.
        step: global number of the step.
        stage: the part of the schedule that the step belongs to.
        share: the samples of the batch that this process has.
        rounds: whether latents are rounded, as in a stream. Validation rounds; nothing learns then.
    """

    seed: int
    step: int
    stage: Stage
    share: BatchShare
    rounds: bool = False


@dataclass(frozen=True)
class BatchLoss:
    """Loss to differentiate, and means over the batch for the log.

    Attributes:
        parts: other values that the family logs, by name. The names are always the same.
    """

    loss: torch.Tensor
    weighted: float
    bpp: float
    psnr: float
    parts: Mapping[str, float] = field(default_factory=dict)


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
        frozen: names of the networks that must be trained before. Training does not change them.
        keyint: interval of I frames in validation; -1: only the first frame is one.
        parts: beginnings of parameters' names by the name of a part. Stages train and freeze parts, or parameters by
            the beginnings of their own names.
        settings: dataclass of the settings that the family adds to a run; None: it adds none.
        stage_settings: dataclass of the settings that the family adds to a stage; None: it adds none.
        weighs_by_qp: whether lambda_first and lambda_last weight the distortion; else settings of the family do.
        is_rgb: whether crops are R G B; else they are Y Cb Cr.
        ships_rounded: whether weights ship rounded to 8 bits; else they ship unrounded.
        keeps_i_frames: whether it can keep the pictures of frozen I frames in a folder (keep_i_frames).
    """

    frozen: tuple[str, ...] = ()
    keyint: int = -1
    parts: Mapping[str, tuple[str, ...]] = MappingProxyType({})
    settings: type | None = None
    stage_settings: type | None = None
    weighs_by_qp: bool = True
    is_rgb: bool = False
    ships_rounded: bool = True
    keeps_i_frames: bool = False

    @abstractmethod
    def initial_parameters(self, seed: int) -> dict[str, torch.Tensor]:
        """Makes a network that copies its reference."""

    @abstractmethod
    def num_frames(self, stage: Stage) -> int:
        """Counts the I frame and the P frames."""

    @abstractmethod
    def loss(
        self, parameters: State, frozen: Mapping[str, State], clip: torch.Tensor, objective: Objective, at: TrainingStep
    ) -> BatchLoss:
        """Takes the mean of the clip's P frames;

        Args:
            parameters: the parameters that learn.
            frozen: the parameters of the networks in `frozen`.
            clip: the own samples (N, frames, 3, h, w) in 0..1.
            objective: the weights of the objective.
            at: the step. All random numbers follow from it and from torch's generator, which is seeded for the step.
        """

    def updates(
        self, parameters: State, frozen: Mapping[str, State], clip: torch.Tensor, objective: Objective, at: TrainingStep
    ) -> Iterator[BatchLoss]:
        """Yields one of the whole clip, or one after each P frame. The parameters have changed before the next loss is
        computed. The default yields one loss."""
        yield self.loss(parameters, frozen, clip, objective, at)

    def problem(self, stages: Sequence[Stage], own: Any) -> str | None:
        """Says what the codec cannot be trained with. None if it can do everything."""
        return None

    def learns(self, parameter: str, stage: Stage) -> bool:
        """Returns whether a stage trains a parameter, by the parts that it names."""
        trained = not stage.train or parameter.startswith(self._beginnings(stage.train))
        return trained and not (stage.freeze and parameter.startswith(self._beginnings(stage.freeze)))

    def _beginnings(self, names: Sequence[str]) -> tuple[str, ...]:
        return tuple(beginning for name in names for beginning in self.parts.get(name, (name,)))

    def group(self, parameter: str) -> ParameterGroup:
        """Returns the group of a parameter. The default is USUAL for all."""
        return ParameterGroup.USUAL

    def fitted_estimator(self, table: CdfTable, num_qps: int, fresh: Parameters) -> Parameters:
        """Fits the parameters of a density of z that says what a stored table says, from the values in `fresh`; by
        default the density of losses.factorised_bits."""
        return fitted_estimator(table, symbols_in_order(table), num_qps, fresh, factorised_bits)

    def keep_i_frames(self, folder: Path, max_bytes: int, num_processes: int) -> None:
        """Keeps the pictures of frozen I frames in a folder, for the next step that begins with the same crop. Training
        gives the same bits with and without it.

        Args:
            max_bytes: of all files together.
            num_processes: processes of the run that share the folder.
        """
        raise NotImplementedError("this network keeps no I frames")

    def forget(self) -> None:  # noqa: B027  most networks keep nothing
        """Drops the state that is kept between steps. Each stage starts with it."""

    def stored(self) -> list[dict[str, Any]]:
        """Returns the state that is kept between steps, sample by sample, for a checkpoint, on the CPU."""
        return []

    def restore(self, stored: Sequence[Mapping[str, Any]], device: torch.device) -> None:
        """Inverts `stored`. The numbers of processes may differ.

        Raises:
            AttributeError, KeyError, TypeError, ValueError: another version of dcvc stored it.
        """
        if stored:
            raise ValueError("nothing is kept between steps of this network")
