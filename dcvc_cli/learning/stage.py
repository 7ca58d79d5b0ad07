"""One part of a training schedule."""

from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True)
class Stage:
    """One part of the schedule.

    Attributes:
        num_steps: number of steps; 0 if `epochs` gives the length.
        batch: samples of a step, of all processes together.
        patch: side of a crop in samples.
        rate_first: learning rate of the first step. It falls geometrically to that of the last step.
        rate_last: learning rate of the last step.
        num_frames: P frames that a gradient goes through; without meaning for images.
        num_lead_frames: largest number of P frames that are coded ahead of them without a gradient. Each step draws the
            number.
        intra_qp_drop: the first frame is coded up to so many QPs lower than the others, at random. So short sequences
            meet references that are as poor as those of long ones.
        sequence_frames: P frames of a sequence that consecutive steps train, `num_frames` in each step. Each step goes
            on from the frame that the last one decoded (learning.segments). `num_lead_frames` and `intra_qp_drop` are
            not used then. 0: each step has crops of its own.
        quantise_weights: trains with the 8-bit weights that ship.
        hold_weights: starts from the average with its 8-bit weights on their grid and trains all other parameters, so
            that they fit the weights that ship.
        gradient_checkpointing: computes every P frame twice and keeps only features between frames, for long sequences
            in little memory.
        to_and_fro: plays clips that are shorter than a crop to their end, back to their start, and on.
        pad: puts pictures that are smaller than a crop in the middle of black.
        crops_per_source: each source has so many crops, which come again and again, the same ones in all stages whose
            clips are as long; 0: every crop is drawn anew.
        epochs: length in passes over the material. A run turns them into steps and validates after each pass.
        train: parts of the network that learn (Trainee.parts), or beginnings of parameters' names; none: everything.
        freeze: parts that do not change by a bit. They have no gradient, and their averages do not change either.
        optimiser: whether the optimiser goes on with the state of the stage before, or begins anew.
        plateau_patience: validations without a lower loss after which the learning rate falls; 0: it never falls.
        plateau_factor: factor by which the learning rate falls.
        plateau_min_rate: smallest learning rate.
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
    to_and_fro: bool = False
    pad: bool = False
    crops_per_source: int = 0
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
        """Returns whether validation decides on its learning rate."""
        return self.plateau_patience > 0
