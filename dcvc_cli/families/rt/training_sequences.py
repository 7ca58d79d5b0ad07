"""Training on sequences that are longer than a gradient: each step goes on where the last one stopped.

Every sample of a batch is a slot that plays sequences one after the other. A step trains the next `num_frames` P frames
of each slot. Their reference is the frame that the step before has decoded. So the model meets references of its own,
three or a hundred frames behind the last I frame, and each coded frame is trained. Slots stand at different places of
their sequences, and have QPs of different parts of the range.

The frames of a slot are a pure function of (seed, step, slot). The slot keeps its decoded reference between steps, and
a checkpoint holds it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from dcvc_cli.codec.choices import DEFAULT_RESET_INTERVAL
from dcvc_cli.families.rt.objective import (
    Conditions,
    Reference,
    UnclampedOperations,
    VideoNetworks,
    code_trained_frame,
    decoded_image,
    sequence_cost,
)
from dcvc_cli.families.rt.prediction import BatchMemory
from dcvc_cli.families.rt.video import VideoModel
from dcvc_cli.learning.losses import TrainingOperations, frame_weight, lambda_of_qp
from dcvc_cli.learning.segments import Segment
from dcvc_cli.learning.trainee import BatchLoss, Objective


@dataclass
class SlotState:
    """The state of a slot between steps: the decoded picture (3, h, w) in 0..1, the feature, the memory of the
    prediction, and the segment that follows."""

    next_segment: Segment
    frame: torch.Tensor
    feature: torch.Tensor | None = None
    memory: BatchMemory | None = None

    def stored(self) -> dict[str, Any]:
        """Returns the state for a checkpoint, on the CPU."""
        segment = self.next_segment
        return {
            "segment": (segment.slot, segment.sequence, segment.first_frame),
            "frame": self.frame.cpu().clone(),  # torch.save stores the whole batch with a view of it
            "feature": None if self.feature is None else self.feature.cpu().clone(),
            **({} if self.memory is None else self.memory.stored()),
        }

    @classmethod
    def restored(cls, stored: Mapping[str, Any], device: torch.device, model: VideoModel) -> "SlotState":
        """Inverts `stored`."""
        feature = stored["feature"]
        memory = model.restored_memory(stored, device)
        return cls(
            Segment(*stored["segment"]),
            stored["frame"].to(device),
            None if feature is None else feature.to(device),
            memory,
        )


class Sequences:
    """The slots of one process."""

    def __init__(self, states: Mapping[int, SlotState] | None = None) -> None:
        self.states = dict(states or {})

    def stored(self) -> list[dict[str, Any]]:
        """Returns the states for a checkpoint."""
        return [state.stored() for state in self.states.values()]

    @classmethod
    def restored(cls, stored: Sequence[Mapping[str, Any]], device: torch.device, model: VideoModel) -> "Sequences":
        """Inverts `stored`. The numbers of processes may differ."""
        states = [SlotState.restored(one, device, model) for one in stored]
        return cls({state.next_segment.slot: state for state in states})

    def take(self, segment: Segment, shape: torch.Size) -> SlotState | None:
        """Takes the state before a segment of pictures of that shape; None at the start of a sequence or of a run."""
        state = self.states.pop(segment.slot, None)
        return state if state is not None and state.next_segment == segment and state.frame.shape == shape else None


@dataclass(frozen=True)
class BatchPlace:
    """The places of a batch's samples in their sequences.

    Attributes:
        sequences: the states of the slots.
        segments: the segment of each sample.
        base: base QPs (N).
    """

    sequences: Sequences
    segments: Sequence[Segment]
    base: torch.Tensor


def sequence_loss(
    models: VideoNetworks,
    at: BatchPlace,
    clip: torch.Tensor,
    objective: Objective,
    conditions: Conditions,
) -> BatchLoss:
    """Computes the loss of all P frames of a clip. A slot without a state codes frame 0 as an I frame. Afterwards
    `at.sequences` has the states behind the last frame.

    Args:
        clip: (N, 1 + P frames, 3, h, w) in 0..1. Frame 0 is the frame before the segments.
    """
    model, ops = models.video, UnclampedOperations(models.parameters, conditions.share)
    sequences, segments, base = at.sequences, at.segments, at.base
    weight = lambda_of_qp(base, *objective.lambdas)
    states = [sequences.take(segment, clip.shape[2:]) for segment in segments]
    _code_first_frames(models, states, segments, clip, base)
    slots = [state for state in states if state is not None]
    prediction = model.batch_prediction([slot.memory for slot in slots])
    frame = torch.stack([slot.frame for slot in slots])
    known = [slot.feature for slot in slots if slot.feature is not None]
    feature = None
    if known:
        nothing = torch.zeros_like(known[0])
        feature = torch.stack([nothing if slot.feature is None else slot.feature for slot in slots])
        feature = feature.contiguous(memory_format=torch.channels_last)
    has_feature = [slot.feature is not None for slot in slots]
    frames = []
    for index in range(1, clip.shape[1]):
        x = clip[:, index]
        positions = [segment.first_frame + index for segment in segments]
        offsets = [models.spec.qp_offsets[position % 8] for position in positions]
        dead_zones = torch.tensor([models.spec.dead_zones[position % 8] for position in positions], device=base.device)
        qp = base + torch.tensor(offsets, device=base.device)
        has_feature = [
            there and position % DEFAULT_RESET_INTERVAL != 1
            for there, position in zip(has_feature, positions, strict=True)
        ]
        reference = _reference(prediction.predict(frame, x, qp), feature, has_feature)
        coded = code_trained_frame(
            model,
            ops,
            x,
            reference,
            qp,
            conditions.gradient_checkpointing,
            dead_zones if any(models.spec.dead_zones) else None,
        )
        frame, feature, has_feature = coded.x_hat.clamp(0, 1), coded.feature, [True] * len(slots)
        weights = weight * torch.tensor([frame_weight(offset) for offset in offsets], device=base.device)
        frames.append(coded.cost(x, base, weights, objective.chroma_weights))
    sequences.states = {}
    memories = prediction.memories() or [None] * len(slots)
    for segment, picture, own, memory in zip(segments, frame.detach(), coded.feature.detach(), memories, strict=True):
        if bool(torch.isfinite(picture).all()):
            following = Segment(segment.slot, segment.sequence, segment.first_frame + len(frames))
            sequences.states[segment.slot] = SlotState(following, picture, own, memory)
    return sequence_cost(frames, weight, objective.cost_exponent)


def _reference(frame: torch.Tensor, feature: torch.Tensor | None, has_feature: Sequence[bool]) -> Reference:
    if feature is None or not any(has_feature):
        return Reference(frame)
    if all(has_feature):
        return Reference(frame, feature)
    return Reference(frame, feature, torch.tensor(has_feature, device=frame.device)[:, None, None, None])


@torch.no_grad()
def _code_first_frames(
    models: VideoNetworks,
    states: list[SlotState | None],
    segments: Sequence[Segment],
    clip: torch.Tensor,
    base: torch.Tensor,
) -> None:
    """Fills missing states with I frames."""
    fresh = [index for index, state in enumerate(states) if state is None]
    if not fresh:
        return
    ops = TrainingOperations(models.image_parameters)
    decoded = decoded_image(models.image, ops, clip[fresh, 0], base[fresh], models.spec.intra_dead_zone).clamp(0, 1)
    for index, picture in zip(fresh, decoded, strict=True):
        states[index] = SlotState(segments[index], picture, None, models.video.new_memory())
