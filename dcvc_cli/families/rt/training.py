"""The two networks in training."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from dcvc_cli.families.rt.image import ImageModel
from dcvc_cli.families.rt.initial_parameters import initial_image_parameters, initial_video_parameters
from dcvc_cli.families.rt.objective import Conditions, VideoNetworks, image_loss, video_loss
from dcvc_cli.families.rt.sizes import ModelSpec
from dcvc_cli.families.rt.training_sequences import BatchPlace, Sequences, sequence_loss
from dcvc_cli.families.rt.video import VideoModel
from dcvc_cli.learning.segments import segments_of, sequence_qp
from dcvc_cli.learning.stage import Stage
from dcvc_cli.learning.trainee import BatchLoss, Objective, ParameterGroup, State, Trainee, TrainingStep


class RtTrainee(Trainee):
    """The part that both networks share."""

    def group(self, parameter: str) -> ParameterGroup:
        """Returns FAST for vectors with a row for each QP and for bit estimators, DIRECT for layers of the direct path,
        which have it in their names, else USUAL."""
        if parameter.startswith(("q_", "bit_estimator_z")):
            return ParameterGroup.FAST
        return ParameterGroup.DIRECT if "direct" in parameter.split(".") else ParameterGroup.USUAL


class ImageTrainee(RtTrainee):
    """The image network: single pictures."""

    keyint = 1

    def __init__(self, spec: ModelSpec, image: ImageModel) -> None:
        self._spec, self._image = spec, image

    def initial_parameters(self, seed: int) -> dict[str, torch.Tensor]:
        """Makes random parameters."""
        return initial_image_parameters(self._image, seed)

    def num_frames(self, stage: Stage) -> int:
        """Returns 1: crops are single pictures."""
        return 1

    def loss(
        self, parameters: State, frozen: Mapping[str, State], clip: torch.Tensor, objective: Objective, at: TrainingStep
    ) -> BatchLoss:
        """Computes the loss of single pictures. Each sample has a QP of its own."""
        return image_loss(self._image, parameters, clip, objective, Conditions(at.share), self._spec.intra_dead_zone)


class VideoTrainee(RtTrainee):
    """The video network: P frames behind I frames of the frozen image network."""

    frozen = ("image",)

    def __init__(self, spec: ModelSpec, image: ImageModel, video: VideoModel) -> None:
        self._spec, self._image, self._video = spec, image, video
        self._sequences = Sequences()

    def initial_parameters(self, seed: int) -> dict[str, torch.Tensor]:
        """Makes random parameters."""
        return initial_video_parameters(self._video, seed)

    def num_frames(self, stage: Stage) -> int:
        """Returns the number of frames: one before the lead frames, the lead frames, and the trained ones."""
        return 1 + stage.num_lead_frames + stage.num_frames

    def loss(
        self, parameters: State, frozen: Mapping[str, State], clip: torch.Tensor, objective: Objective, at: TrainingStep
    ) -> BatchLoss:
        """Computes the loss of crops behind a random number of lead frames, or of the next frames of long sequences."""
        stage = at.stage
        networks = VideoNetworks(self._video, parameters, self._image, frozen["image"], self._spec)
        conditions = Conditions(at.share, stage.num_frames, stage.gradient_checkpointing, stage.intra_qp_drop)
        if not stage.sequence_frames:
            first = int(np.random.default_rng((at.seed, at.step)).integers(0, stage.num_lead_frames + 1))
            return video_loss(networks, clip[:, first:], objective, conditions)
        segments = segments_of(at.step, stage, at.share)
        num_qps = self._image.spec.num_qps
        qps = [sequence_qp(at.seed, segment, stage.batch, num_qps) for segment in segments]
        place = BatchPlace(self._sequences, segments, torch.tensor(qps, device=clip.device))
        return sequence_loss(networks, place, clip, objective, conditions)

    def forget(self) -> None:
        """Drops what the slots have decoded. Each slot then begins with an I frame."""
        self._sequences = Sequences()

    def stored(self) -> list[dict[str, Any]]:
        """Returns what the slots have decoded."""
        return self._sequences.stored()

    def restore(self, stored: Sequence[Mapping[str, Any]], device: torch.device) -> None:
        """Inverts `stored`."""
        self._sequences = Sequences.restored(stored, device, self._video)
