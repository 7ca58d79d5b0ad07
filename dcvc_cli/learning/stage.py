"""One part of a training schedule."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Stage:
    """One part of the schedule.

    num_frames counts P frames that are trained through (ignored for images), num_lead_frames the most P frames that are
    coded ahead of them without a gradient (a random number of them each step). The first frame is coded up to
    intra_qp_drop QPs lower than the others (random), so that short sequences meet references as poor as those of long
    ones. sequence_frames, in place of these two: the P frames of a sequence that consecutive steps train, num_frames
    each, every step from what the last one decoded (learning.segments); 0: a step has crops of its own. The learning
    rate falls geometrically from rate_first to rate_last over num_steps. quantise_weights trains with the 8-bit weights
    that ship; hold_weights starts from the average with those weights on their grid and trains all others, so that
    these fit what ships. gradient_checkpointing computes every P frame twice to keep only features between frames, for
    long sequences in little memory.
    """

    num_steps: int
    batch: int
    patch: int
    rate_first: float
    rate_last: float
    num_frames: int = 1
    num_lead_frames: int = 0
    intra_qp_drop: int = 0
    sequence_frames: int = 0
    quantise_weights: bool = False
    hold_weights: bool = False
    gradient_checkpointing: bool = False
