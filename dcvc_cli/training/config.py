"""Training configuration: a YAML file under presets/train/ read into frozen values."""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import yaml

from dcvc_cli.errors import UsageError


@dataclass(frozen=True)
class Stage:
    """One part of the schedule.

    num_frames counts P frames that are trained through (ignored for images), num_lead_frames the most P frames that are coded ahead of them
    without a gradient (a random number of them each step); the learning rate falls geometrically from rate_first to rate_last over
    num_steps. quantise_weights trains with the 8-bit weights that ship.
    """

    num_steps: int
    batch: int
    patch: int
    rate_first: float
    rate_last: float
    num_frames: int = 1
    num_lead_frames: int = 0
    quantise_weights: bool = False


@dataclass(frozen=True)
class TrainConfig:
    """Everything that decides a run's result, apart from the data and the machine's arithmetic.

    lambda_first, lambda_last: weight of the distortion at QP 0 and QP 63 (samples in 0..1, bits per pixel).
    gradient_limit: norm above which gradients are scaled down. fast_rate_factor: learning-rate factor of QP vectors and bit estimators.
    """

    network: str
    model: str
    stages: tuple[Stage, ...]
    lambda_first: float
    lambda_last: float
    gradient_limit: float = 1.0
    fast_rate_factor: float = 10.0
    ema_decay: float = 0.999
    weight_decay: float = 1e-4
    autocast: str = "bf16"
    seed: int = 1

    @property
    def num_steps(self) -> int:
        return sum(stage.num_steps for stage in self.stages)

    def stage_at(self, step: int) -> tuple[int, Stage, float]:
        """(number of the stage, the stage, learning rate) of global step `step`."""
        for number, stage in enumerate(self.stages):
            if step < stage.num_steps:
                share = step / max(1, stage.num_steps - 1)
                return number, stage, stage.rate_first * (stage.rate_last / stage.rate_first) ** share
            step -= stage.num_steps
        return len(self.stages) - 1, self.stages[-1], self.stages[-1].rate_last


def _construct(kind: Any, values: object, where: str) -> Any:
    if not isinstance(values, dict):
        raise UsageError(f"{where}: expected a mapping, found {type(values).__name__}")
    known = {field.name for field in fields(kind)}
    unknown = sorted(set(values) - known)
    if unknown:
        raise UsageError(f"{where}: unknown setting {', '.join(map(str, unknown))}", f"known: {', '.join(sorted(known))}")
    try:
        return kind(**values)
    except TypeError as error:
        raise UsageError(f"{where}: {error}") from error


def read_train_config(path: Path) -> TrainConfig:
    """Reads and checks a training preset; UsageError names the file and the setting."""
    try:
        values = yaml.safe_load(path.read_text())
    except (OSError, yaml.YAMLError) as error:
        raise UsageError(f"cannot read training configuration {path}: {error}") from error
    if not isinstance(values, dict) or not isinstance(values.get("stages"), list) or not values["stages"]:
        raise UsageError(f"{path}: expected a mapping with a list of stages")
    stages = tuple(_construct(Stage, stage, f"{path}: stage {number}") for number, stage in enumerate(values["stages"]))
    config: TrainConfig = _construct(TrainConfig, values | {"stages": stages}, str(path))
    if config.network not in ("image", "video"):
        raise UsageError(f"{path}: network is image or video, not {config.network!r}")
    return config
