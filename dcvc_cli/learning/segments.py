"""The places of a batch's samples in sequences that are longer than a step. A place is a pure function of (seed, step,
slot)."""

from dataclasses import dataclass

import numpy as np

from dcvc_cli.learning.share import BatchShare
from dcvc_cli.learning.stage import Stage

SEQUENCE_QPS = 2
"""Part of the seed, which keeps the random numbers of QPs apart from those of crops."""


@dataclass(frozen=True)
class Segment:
    """The frames of sample `slot` of a batch at a step: the frames behind `first_frame` of the slot's sequence number
    `sequence`."""

    slot: int
    sequence: int
    first_frame: int


def segment_of(step: int, slot: int, stage: Stage) -> Segment:
    """Returns the segment of sample `slot` of a stage's batch at `step`."""
    num_segments = stage.sequence_frames // stage.num_frames
    sequence, position = divmod(step + slot * num_segments // stage.batch, num_segments)
    return Segment(slot, sequence, position * stage.num_frames)


def segments_of(step: int, stage: Stage, share: BatchShare) -> list[Segment]:
    """Returns the segments of the samples of `share`."""
    return [segment_of(step, slot, stage) for slot in range(share.num_before, stage.batch - share.num_after)]


def sequence_qp(seed: int, segment: Segment, batch: int, num_qps: int) -> int:
    """Returns the QP of a sequence. The slots divide the range of QPs among them, so that every batch has low and high
    QPs."""
    drawn = np.random.default_rng((seed, SEQUENCE_QPS, segment.slot, segment.sequence)).random()
    return int((segment.slot + drawn) * num_qps / batch)
