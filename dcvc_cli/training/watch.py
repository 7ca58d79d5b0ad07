"""The decisions of validation within a stage: when the learning rate falls, and which parameters are kept."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from dcvc_cli.learning.stage import Stage
from dcvc_cli.training.checkpointing import read_checkpoint, write_checkpoint


@dataclass
class StageWatch:
    """The validations of a stage so far.

    Attributes:
        lowest: the lowest loss; infinite before the first validation.
        num_waited: validations since the lowest loss, or since the rate fell.
        factor: factor of the stage's learning rate.
    """

    lowest: float = math.inf
    num_waited: int = 0
    factor: float = 1.0

    def see(self, loss: float, stage: Stage) -> bool:
        """Takes a validation's loss into account. Returns whether it is the lowest; a loss that is not finite never
        is."""
        if loss < self.lowest:
            self.lowest, self.num_waited = loss, 0
            return True
        self.num_waited += 1
        if stage.is_watched and self.num_waited > stage.plateau_patience:
            self.factor, self.num_waited = self.factor * stage.plateau_factor, 0
        return False

    def rate(self, rate: float, stage: Stage) -> float:
        """Returns the learning rate in place of the stage's own."""
        return rate if self.factor == 1.0 else max(rate * self.factor, min(rate, stage.plateau_min_rate))

    def stored(self) -> dict[str, float]:
        """Returns the state for a checkpoint."""
        return asdict(self)


def best_path(folder: Path, stage: int) -> Path:
    """Returns the path of a stage's best parameters. Each stage has a file, because a run that is resumed before the
    end of a stage must find that stage's parameters."""
    return folder / f"best-{stage}.pt"


def write_best(folder: Path, stage: int, parameters: Mapping[str, torch.Tensor], step: int, loss: float) -> None:
    """Writes parameters as the best of a stage, to a file that `dcvc train export` takes."""
    kept = {name: value.detach() for name, value in parameters.items()}
    state = {"parameters": {}, "average": kept, "optimiser": {}, "step": step, "elapsed_seconds": 0.0, "loss": loss}
    write_checkpoint(best_path(folder, stage), state)


def read_best(folder: Path, stage: int) -> dict[str, torch.Tensor]:
    """Reads the best parameters of a stage; none if no validation kept any.

    Raises:
        InputError: the file is damaged.
    """
    path = best_path(folder, stage)
    return dict(read_checkpoint(path)["average"]) if path.exists() else {}
