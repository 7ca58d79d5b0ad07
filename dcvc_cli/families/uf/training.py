"""DCVC-UF's networks in training, as its authors train them. Source: DCVC-UF (2026)."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch

from dcvc_cli.entropy.tables import CdfTable
from dcvc_cli.families.uf.image import UfImageModel
from dcvc_cli.families.uf.objective import (
    Estimator,
    UnclampedOperations,
    UnitLoss,
    UnitLosses,
    hyper_bits,
    image_loss,
    initial_parameters,
    pending_picture,
    pending_source,
)
from dcvc_cli.families.uf.recipe import Memory
from dcvc_cli.families.uf.video import UfVideoModel
from dcvc_cli.format.constants import NUM_QPS
from dcvc_cli.learning.estimator_fit import fitted_estimator
from dcvc_cli.learning.losses import lambda_of_qp
from dcvc_cli.learning.parameters import Parameters
from dcvc_cli.learning.stage import Stage
from dcvc_cli.learning.trainee import BatchLoss, Objective, State, Trainee, TrainingStep

UNUSED_SETTINGS = ("num_lead_frames", "intra_qp_drop", "sequence_frames")
"""Of a stage; the published training has nothing of the kind."""


class UfTrainee(Trainee):
    """What all networks have in common."""

    def fitted_estimator(self, table: CdfTable, num_qps: int, fresh: Parameters) -> Parameters:
        """Fits the density of a table whose rows are in zigzag order."""
        places = np.arange(table.cdf.shape[1] - 1)
        symbols = np.where(places % 2, (places + 1) // 2, -(places // 2))
        return fitted_estimator(table, np.tile(symbols, (table.cdf.shape[0], 1)), num_qps, fresh, hyper_bits)


class UfImageTrainee(UfTrainee):
    """The image network: single pictures, each at a QP of its own."""

    keyint = 1

    def __init__(self, image: UfImageModel) -> None:
        self._image = image

    def initial_parameters(self, seed: int) -> dict[str, torch.Tensor]:
        """Makes random parameters."""
        return initial_parameters(self._image, seed)

    def num_frames(self, stage: Stage) -> int:
        """Returns 1: one picture."""
        return 1

    def problem(self, stages: Sequence[Stage], own: Any) -> str | None:
        """Settings of stages that would have no effect."""
        return _unused(stages)

    def loss(
        self, parameters: State, frozen: Mapping[str, State], clip: torch.Tensor, objective: Objective, at: TrainingStep
    ) -> BatchLoss:
        """Computes lambda D + R, the mean of the samples."""
        ops = UnclampedOperations(parameters, at.share)
        qp = at.share.qps(clip.shape[0], NUM_QPS).to(clip.device)
        return image_loss(self._image, ops, clip[:, 0], qp, objective.lambdas, Estimator(at.rounds))


@dataclass(frozen=True)
class UnitStageSettings:
    """What the video networks add to a stage.

    Attributes:
        update: after every unit of a clip, from what the one before left and without a gradient to it, or once after
            the last one, with gradients through the whole clip.
        reference: what the first P unit is predicted from: the picture that the image network codes, or the source.
    """

    update: Literal["unit", "clip"] = "clip"
    reference: Literal["coded", "source"] = "coded"


class UfVideoTrainee(UfTrainee):
    """A video network behind the frozen image network; every clip has a QP of its own."""

    frozen = ("image",)
    stage_settings = UnitStageSettings

    def __init__(self, image: UfImageModel, video: UfVideoModel) -> None:
        self._image, self._video = image, video

    def initial_parameters(self, seed: int) -> dict[str, torch.Tensor]:
        """Makes random parameters."""
        return initial_parameters(self._video, seed)

    def num_frames(self, stage: Stage) -> int:
        """Counts the I frame and the P frames."""
        return 1 + stage.num_frames

    def problem(self, stages: Sequence[Stage], own: Any) -> str | None:
        """Clips that are no whole units, and settings that would have no effect."""
        pictures = self._video.sizes.pictures
        for number, stage in enumerate(stages):
            if stage.num_frames % pictures:
                return f"stage {number}: num_frames {stage.num_frames} is no multiple of a unit's {pictures} pictures"
        return _unused(stages)

    def loss(
        self, parameters: State, frozen: Mapping[str, State], clip: torch.Tensor, objective: Objective, at: TrainingStep
    ) -> BatchLoss:
        """Takes the mean of all units, with gradients from each to those before it."""
        units, kept = self._begin(parameters, frozen, clip, objective, at)
        losses: list[UnitLoss] = []
        for number in range(units.num_units):
            losses.append(units.code(number, kept))
            kept = losses[-1].kept
        return self._mean(losses)

    def updates(
        self, parameters: State, frozen: Mapping[str, State], clip: torch.Tensor, objective: Objective, at: TrainingStep
    ) -> Iterator[BatchLoss]:
        """Yields one loss, or one for every unit: its memory and feature come from slightly older parameters."""
        if at.stage.own.update == "clip":
            yield self.loss(parameters, frozen, clip, objective, at)
            return
        units, kept = self._begin(parameters, frozen, clip, objective, at)
        for number in range(units.num_units):
            unit = units.code(number, kept)
            kept = Memory(memory=_detached(unit.kept.memory), feature=_detached(unit.kept.feature))
            yield self._mean([unit])

    def _begin(
        self, parameters: State, frozen: Mapping[str, State], clip: torch.Tensor, objective: Objective, at: TrainingStep
    ) -> tuple[UnitLosses, Memory]:
        qp = at.share.qps(clip.shape[0], NUM_QPS).to(clip.device)
        if at.stage.own.reference == "source":
            kept = pending_source(clip[:, 0])
        else:
            kept = pending_picture(self._image, frozen["image"], clip[:, 0], qp)
        units = UnitLosses(
            self._video,
            UnclampedOperations(parameters, at.share),
            clip,
            qp,
            lambda_of_qp(qp, *objective.lambdas),
            Estimator(at.rounds),
            recomputes=at.stage.gradient_checkpointing,
        )
        return units, kept

    def _mean(self, losses: Sequence[UnitLoss]) -> BatchLoss:
        cost = torch.stack([unit.cost for unit in losses]).mean()
        bpp = torch.stack([unit.bpp for unit in losses]).mean() / self._video.sizes.pictures
        return BatchLoss(cost, cost.item(), bpp.item(), torch.stack([unit.psnr for unit in losses]).mean().item())


def _detached(value: torch.Tensor | None) -> torch.Tensor | None:
    return None if value is None else value.detach()


def _unused(stages: Sequence[Stage]) -> str | None:
    for number, stage in enumerate(stages):
        for setting in UNUSED_SETTINGS:
            if getattr(stage, setting):
                return f"stage {number}: {setting} has no effect on this model"
    return None
