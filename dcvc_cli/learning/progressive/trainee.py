"""The video network of a codec with a coded flow, trained stage by stage."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch.utils.checkpoint import checkpoint

from dcvc_cli.entropy.tables import CdfTable
from dcvc_cli.learning.parameters import Parameters
from dcvc_cli.learning.progressive.codec import (
    MOTION_RATES,
    PICTURE_RATES,
    FrameAt,
    ProgressiveCodec,
    UnclampedOperations,
)
from dcvc_cli.learning.progressive.distortion import SMALLEST_MSSSIM_SIDE, distortion, rgb_psnr
from dcvc_cli.learning.progressive.i_frames import IFrames, IFrameStore
from dcvc_cli.learning.progressive.initial import initial_parameters
from dcvc_cli.learning.progressive.settings import ProgressiveSettings, ProgressiveStage
from dcvc_cli.learning.stage import Stage
from dcvc_cli.learning.surrogate import Surrogate
from dcvc_cli.learning.trainee import BatchLoss, Objective, ParameterGroup, State, Trainee, TrainingStep

MOTION_LOSSES = ("warp", "motion")
COUNTED = {
    "warp": (),
    "motion": MOTION_RATES,
    "picture": (),
    "contextual": PICTURE_RATES,
    "all": (*MOTION_RATES, *PICTURE_RATES),
}
"""Rates by the loss that counts them."""
GRID = 64
"""Sides of crops are multiples of this: four halvings to latents, two more to hyper-latents."""
Kept = Mapping[str, torch.Tensor]


@dataclass(frozen=True)
class CodedFrame:
    """A P frame of a batch.

    Attributes:
        loss: of each sample (N).
        bpp: of each sample (N), by name of the latent.
        psnr: of each sample (N), of the decoded picture, or of the warped one where only the motion was coded.
        warped_psnr: of the warped picture.
        kept: what the frame leaves for the next one.
    """

    loss: torch.Tensor
    bpp: Mapping[str, torch.Tensor]
    psnr: torch.Tensor
    warped_psnr: torch.Tensor
    kept: Kept


class ProgressiveTrainee(Trainee):
    """Trains behind I frames of the frozen image network.

    Args:
        codec: codes a frame.
        shapes: names and shapes of the network's parameters.
        num_rates: rates that the network has learned scales for; 1: it has one rate.
    """

    frozen = ("image",)
    settings = ProgressiveSettings
    stage_settings = ProgressiveStage
    weighs_by_qp = False
    is_rgb = True
    ships_rounded = False
    keeps_i_frames = True

    def __init__(self, codec: ProgressiveCodec, shapes: Mapping[str, tuple[int, ...]], num_rates: int = 1) -> None:
        self.codec, self.shapes, self.num_rates = codec, dict(shapes), num_rates
        self.parts = codec.parts
        self.i_frames = IFrames(codec)

    def keep_i_frames(self, folder: Path, max_bytes: int, num_processes: int) -> None:
        """Those of crops and of validation clips."""
        self.i_frames.store = IFrameStore(folder, max_bytes, num_processes)

    def initial_parameters(self, seed: int) -> dict[str, torch.Tensor]:
        """Makes a network that copies its reference."""
        parameters = initial_parameters(self.shapes, seed, self.codec.start)
        self.codec.adjust(parameters)
        return parameters

    def fitted_estimator(self, table: CdfTable, num_qps: int, fresh: Parameters) -> Parameters:
        """Fits the rows of the picture's z; others may stand beside them."""
        num_rows = fresh["bit_estimator_z.f1.h"].shape[1]
        first = self.codec.first_z_row if table.num_rows > num_rows else 0
        return super().fitted_estimator(table.rows(first, num_rows), num_qps, fresh)

    def num_frames(self, stage: Stage) -> int:
        """Counts the I frame and the P frames."""
        return 1 + stage.num_frames

    def group(self, parameter: str) -> ParameterGroup:
        """Quantiser steps, densities and normalisations are few numbers, which must not decay."""
        is_weight = len(self.shapes[parameter]) == 4 and parameter.endswith(".weight")
        return ParameterGroup.USUAL if is_weight or parameter.endswith(".bias") else ParameterGroup.FAST

    def problem(self, stages: Sequence[Stage], own: ProgressiveSettings) -> str | None:
        """Says what the codec cannot be trained with."""
        if len(own.lambdas) != self.num_rates:
            return f"lambdas: the network has {self.num_rates} rates, found {len(own.lambdas)} weights"
        if self.codec.has_context_model and own.surrogate != "noise":
            return (
                f"surrogate {own.surrogate}: a context model sees values in coding order, only noise stands for those"
            )
        problems = (
            f"stage {number}: {problem}"
            for number, stage in enumerate(stages)
            if (problem := self._stage_problem(stage, own))
        )
        return next(problems, None)

    def _stage_problem(self, stage: Stage, own: ProgressiveSettings) -> str | None:
        settings: ProgressiveStage = stage.own
        for name in ("num_lead_frames", "intra_qp_drop", "sequence_frames", "quantise_weights", "hold_weights"):
            if getattr(stage, name):
                return f"{name} is for networks that ship with 8 bits and follow QPs"
        if stage.patch % GRID:
            return f"patch {stage.patch} is no multiple of {GRID}, the grid of hyper-latents"
        if own.distortion == "ms-ssim" and stage.patch < SMALLEST_MSSSIM_SIDE:
            return f"MS-SSIM needs crops of {SMALLEST_MSSSIM_SIDE} samples and more, found patch {stage.patch}"
        if settings.weigh_frames and not own.frame_weights:
            return "weigh_frames needs frame_weights"
        if settings.weigh_frames and stage.num_frames < len(own.frame_weights):
            return f"{len(own.frame_weights)} frame_weights need as many P frames, found num_frames {stage.num_frames}"
        leaves_motion = settings.loss in ("picture", "contextual")
        if leaves_motion and self.learns(self.codec.parts["motion"][0], stage):
            return f"loss {settings.loss} counts no rate of the motion, which must be frozen (freeze: [motion])"
        return None

    # ---- losses

    def updates(
        self, parameters: State, frozen: Mapping[str, State], clip: torch.Tensor, objective: Objective, at: TrainingStep
    ) -> Iterator[BatchLoss]:
        """Yields one of the whole clip, or one after each P frame."""
        own: ProgressiveStage = at.stage.own
        if own.update == "clip":
            yield self.loss(parameters, frozen, clip, objective, at)
            return
        run = self._run(parameters, objective, at)
        rate = run.draw_rate(clip.shape[0], self.num_rates)
        kept = self._first(frozen, clip, rate, own)
        for place in self._places(clip, rate, at):
            frame = run.code(clip[:, place.position], kept, place)
            yield _batch_loss([frame])
            kept = {name: value.detach() for name, value in frame.kept.items()}

    def loss(
        self, parameters: State, frozen: Mapping[str, State], clip: torch.Tensor, objective: Objective, at: TrainingStep
    ) -> BatchLoss:
        """Takes the mean of the clip's P frames; where latents are rounded, of all rates too."""
        run = self._run(parameters, objective, at)
        if at.rounds:
            rates = [torch.full((1,), index, device=clip.device) for index in range(self.num_rates)]
        else:
            rates = [run.draw_rate(clip.shape[0], self.num_rates).to(clip.device)]
        frames = []
        for rate in rates:
            kept = self._first(frozen, clip, rate, at.stage.own)
            for place in self._places(clip, rate, at):
                frame = run.code(clip[:, place.position], kept, place)
                frames.append(replace(frame, kept={}))
                kept = frame.kept
        return _batch_loss(frames)

    def _run(self, parameters: State, objective: Objective, at: TrainingStep) -> "_FrameRun":
        return _FrameRun(self.codec, UnclampedOperations(parameters, at.share), objective.own, at)

    def _first(
        self, frozen: Mapping[str, State], clip: torch.Tensor, rate: torch.Tensor, own: ProgressiveStage
    ) -> Kept:
        if own.uncoded_reference:
            return {"picture": clip[:, 0]}
        return {"picture": self.i_frames.pictures(frozen["image"], clip[:, 0], rate)}

    def _places(self, clip: torch.Tensor, rate: torch.Tensor, at: TrainingStep) -> Iterator[FrameAt]:
        """Returns the P frames of a clip. Clips shorter than the cycle of adaptors begin it at a random place behind
        their first frame, so that all adaptors learn."""
        cycle, num_frames = self.codec.adaptors, clip.shape[1] - 1
        first = 0
        if cycle and num_frames < len(cycle) and not at.rounds:
            first = int(torch.randint(0, len(cycle), ()))
        for position in range(1, num_frames + 1):
            place = position + (first if position > 1 else 0)
            yield FrameAt(position, rate, cycle[place % len(cycle)] if cycle else 0)


@dataclass(frozen=True)
class _FrameRun:
    """The frames of a step.

    Attributes:
        own: the settings of the run.
    """

    codec: ProgressiveCodec
    ops: UnclampedOperations
    own: ProgressiveSettings
    at: TrainingStep

    def draw_rate(self, num_samples: int, num_rates: int) -> torch.Tensor:
        """Indices of the samples' rates, (N), or (1) where all have one."""
        if num_rates == 1:
            return torch.zeros(1, dtype=torch.int64)
        if self.own.draw == "sample":
            return self.at.share.qps(num_samples, num_rates)
        return torch.randint(0, num_rates, (1,))

    def code(self, x: torch.Tensor, kept: Kept, place: FrameAt) -> CodedFrame:
        """Codes one P frame, computed twice where only what is handed on shall be kept."""
        if self.at.stage.gradient_checkpointing and torch.is_grad_enabled():
            frame: CodedFrame = checkpoint(self._code, x, kept, place, use_reentrant=False)
            return frame
        return self._code(x, kept, place)

    def _code(self, x: torch.Tensor, kept: Kept, place: FrameAt) -> CodedFrame:
        settings: ProgressiveStage = self.at.stage.own
        coder = Surrogate(self.ops, self.own.surrogate, rounds=self.at.rounds)
        motion = self.codec.motion(coder, x, kept, place)
        warped = self.codec.warped(kept["picture"], motion)
        if settings.loss in MOTION_LOSSES:
            decoded, left = warped, self.codec.after_motion(warped, motion)
        else:
            left = self.codec.picture(coder, x, kept, motion, place)
            decoded = left["picture"].float()
        bpp = coder.bits_per_pixel(x.shape[-1] * x.shape[-2])
        handed_on: dict[str, Any] = {} if settings.frame_only else dict(left)
        handed_on["picture"] = decoded.clamp(0, 1)
        loss = self._loss(x, decoded, bpp, place)
        if not bool(torch.isfinite(motion.flow).all()):
            loss = loss * math.nan  # warps replace such vectors; the update is skipped all the same
        return CodedFrame(
            loss,
            {name: value.detach() for name, value in bpp.items()},
            rgb_psnr(x, decoded.detach()),
            rgb_psnr(x, warped.detach()),
            handed_on,
        )

    def _loss(
        self, x: torch.Tensor, decoded: torch.Tensor, bpp: Mapping[str, torch.Tensor], place: FrameAt
    ) -> torch.Tensor:
        """Computes the loss of each sample."""
        settings: ProgressiveStage = self.at.stage.own
        weight = torch.tensor(self.own.lambdas, device=x.device)[place.rate.to(x.device)]
        if settings.weigh_frames:
            weight = weight * self.own.frame_weights[(place.position - 1) % len(self.own.frame_weights)]
        loss = weight * distortion(x, decoded, self.own.distortion)
        for name, value in bpp.items():
            share = 1.0 if name in COUNTED[settings.loss] else settings.uncounted_rate_weight
            loss = loss + share * value if share else loss
        return loss


def _batch_loss(frames: Sequence[CodedFrame]) -> BatchLoss:
    """Means over frames and samples."""
    count = len(frames)
    loss = sum((frame.loss.mean() for frame in frames[1:]), frames[0].loss.mean()) / count

    def mean(values: Sequence[torch.Tensor]) -> float:
        return sum(float(value.mean()) for value in values) / count

    bpp = {name: mean([frame.bpp[name] for frame in frames if name in frame.bpp]) for name in COUNTED["all"]}
    parts = {"warped_psnr": mean([frame.warped_psnr for frame in frames])}
    parts |= {f"{name}_bpp": value for name, value in bpp.items()}
    return BatchLoss(loss, loss.item(), sum(bpp.values()), mean([frame.psnr for frame in frames]), parts)
