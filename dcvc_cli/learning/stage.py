"""One part of a training schedule."""

from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True)
class Stage:
    """One part of the schedule.

    Attributes:
        num_steps: how long it is; 0 where `epochs` says it.
        batch: samples of a step, of all processes together.
        patch: side of a crop in samples.
        rate_first: learning rate of the first step. It falls geometrically to that of the last step.
        rate_last: learning rate of the last step.
        num_frames: P frames that a gradient goes through; without meaning for images.
        num_lead_frames: most P frames that are coded ahead of them without a gradient. Each step draws their number.
        intra_qp_drop: the first frame is coded up to so many QPs lower than the others, at random. Short sequences so
            meet references as poor as those of long ones.
        sequence_frames: P frames of a sequence that consecutive steps train, `num_frames` each, every step from what
            the last one decoded (learning.segments); in place of `num_lead_frames` and `intra_qp_drop`. 0: each step
            has crops of its own.
        quantise_weights: trains with the 8-bit weights that ship.
        hold_weights: starts from the average with its 8-bit weights on their grid, and trains all other parameters, so
            that these fit what ships.
        gradient_checkpointing: computes every P frame twice and keeps only features between frames, for long sequences
            in little memory.
        epochs: how long it is in passes over the material. A run makes steps of them, and validates after each.
        train: parts of the network that learn (Trainee.parts), or beginnings of parameters' names; none: everything.
        freeze: parts that stay as they are, to the bit: without gradient, and their averages as they were.
        optimiser: whether the optimiser goes on with the state of the stage before, or begins anew.
        plateau_patience: validations without a lower loss after which the learning rate falls; 0: it never does.
        plateau_factor: what it is then multiplied with.
        plateau_min_rate: what it never falls below.
        own: the settings that the trained network's family adds (Trainee.stage_settings). In a file they stand beside
            the others.
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
    epochs: int = 0
    train: tuple[str, ...] = ()
    freeze: tuple[str, ...] = ()
    optimiser: Literal["keep", "fresh"] = "keep"
    plateau_patience: int = 0
    plateau_factor: float = 0.5
    plateau_min_rate: float = 1e-6
    own: Any = None

    @property
    def is_watched(self) -> bool:
        """Whether validation decides on its learning rate."""
        return self.plateau_patience > 0
