"""Training configuration: a YAML file under recipes/ read into frozen values."""

import math
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import yaml

from dcvc_cli.errors import UsageError
from dcvc_cli.learning.stage import Stage
from dcvc_cli.learning.trainee import Objective, ParameterGroup
from dcvc_cli.training.models import trainable


@dataclass(frozen=True)
class TrainConfig:
    """Everything that decides a run's result, apart from the data and the machine's arithmetic.

    Attributes:
        network: what is trained, one of the model's `trainees`.
        model: name of the model.
        stages: the schedule.
        lambda_first: weight of the distortion at QP 0 (samples in 0..1, bits per pixel).
        lambda_last: weight of the distortion at QP 63.
        chroma_weight_first: weight of chroma's squared error at QP 0 (losses.CHROMA_WEIGHTS). A smaller weight gives
            luma more of the bits.
        chroma_weight_last: weight of chroma's squared error at QP 63.
        gradient_limit: norm above which gradients are scaled down.
        fast_rate_factor: learning-rate factor of `ParameterGroup.FAST`.
        direct_rate_factor: learning-rate factor of `ParameterGroup.DIRECT`. It is small for images: every weight of the
            direct path sees whole grey levels, and a step of all of them at once moves a latent by several units.
        rate_factors: learning-rate factors by the beginning of parameters' names. They come before the two above, and
            the longest beginning counts.
        cost_exponent: a sample's loss is divided by its own cost, compared with others of its QP, to this power. 0 sums
            costs as they are. 1 makes ten per cent of an easy clip count as much as ten per cent of a hard one.
        ema_decay: share that the average of the parameters keeps of itself in a step.
        weight_decay: of AdamW, for `ParameterGroup.USUAL`.
        autocast: bf16, fp16 (with a gradient scaler) or none.
        seed: of all random numbers.
        validate_every: steps between codings of the validation clips.
        validate_frames: pictures of a validation clip that are coded, its first ones.
    """

    network: str
    model: str
    stages: tuple[Stage, ...]
    lambda_first: float
    lambda_last: float
    chroma_weight_first: float = 6.0
    chroma_weight_last: float = 4.0
    gradient_limit: float = 1.0
    fast_rate_factor: float = 10.0
    direct_rate_factor: float = 1.0
    rate_factors: dict[str, float] = field(default_factory=dict)
    cost_exponent: float = 0.0
    ema_decay: float = 0.999
    weight_decay: float = 1e-4
    autocast: str = "bf16"
    seed: int = 1
    validate_every: int = 1000
    validate_frames: int = 9

    @property
    def objective(self) -> Objective:
        """What every step minimises."""
        chroma_weights = self.chroma_weight_first, self.chroma_weight_last
        return Objective((self.lambda_first, self.lambda_last), self.cost_exponent, chroma_weights)

    @property
    def num_steps(self) -> int:
        return sum(stage.num_steps for stage in self.stages)

    def first_step_of(self, number: int) -> int:
        """The global step at which a stage begins."""
        return sum(stage.num_steps for stage in self.stages[:number])

    def rate_of(self, name: str, group: ParameterGroup) -> tuple[float, float]:
        """(learning-rate factor, weight decay) of a parameter; its trainee says the group."""
        factor = {
            ParameterGroup.USUAL: 1.0,
            ParameterGroup.FAST: self.fast_rate_factor,
            ParameterGroup.DIRECT: self.direct_rate_factor,
        }[group]
        beginnings = [beginning for beginning in self.rate_factors if name.startswith(beginning)]
        if beginnings:
            factor = self.rate_factors[max(beginnings, key=len)]
        return factor, self.weight_decay if group is ParameterGroup.USUAL else 0.0

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
    known = {setting.name for setting in fields(kind)}
    unknown = sorted(set(values) - known)
    if unknown:
        raise UsageError(
            f"{where}: unknown setting {', '.join(map(str, unknown))}", f"known: {', '.join(sorted(known))}"
        )
    for setting in fields(kind):
        if setting.name in values and setting.type in _NUMBER_KINDS:
            _check_value(f"{where}: {setting.name}", values[setting.name], setting.type)
    try:
        return kind(**values)
    except TypeError as error:
        raise UsageError(f"{where}: {error}") from error


_NUMBER_KINDS: dict[Any, str] = {int: "a whole number", float: "a number", bool: "true or false"}
_FROM_ZERO = {
    "num_lead_frames",
    "intra_qp_drop",
    "sequence_frames",
    "cost_exponent",
    "weight_decay",
    "ema_decay",
    "seed",
}


def _check_value(where: str, value: object, kind: Any) -> None:
    allowed = (int, float) if kind is float else kind
    if not isinstance(value, allowed) or isinstance(value, bool) is not (kind is bool):
        raise UsageError(f"{where}: expected {_NUMBER_KINDS[kind]}, found {value!r}")
    least_is_zero = where.rpartition(" ")[2] in _FROM_ZERO
    if kind is not bool and not (math.isfinite(value) and (value > 0 or (least_is_zero and value == 0))):
        raise UsageError(
            f"{where}: expected a number {'of 0 or more' if least_is_zero else 'above 0'}, found {value!r}"
        )


def _check_sequences(where: str, stage: Stage) -> None:
    if stage.sequence_frames % stage.num_frames:
        raise UsageError(
            f"{where}: sequence_frames {stage.sequence_frames} is no multiple of num_frames {stage.num_frames}"
        )
    if stage.sequence_frames and (stage.num_lead_frames or stage.intra_qp_drop):
        raise UsageError(
            f"{where}: sequence_frames goes without num_lead_frames and intra_qp_drop",
            "a sequence's frames have what went before them",
        )


def recipes_folder() -> Path:
    """The folder with training presets: inside the installed package, or beside it in a source tree."""
    package = Path(__file__).resolve().parents[1]
    return package / "recipes" if (package / "recipes").is_dir() else package.parent / "recipes"


def recipe_names() -> list[str]:
    """Names of the training presets that come with dcvc."""
    return sorted(path.stem for path in recipes_folder().glob("*.yaml"))


def read_train_config(path: Path, model: str | None = None) -> TrainConfig:
    """Reads and checks a training preset; UsageError names the file and the setting.

    Args:
        path: a file, or the name of one that comes with dcvc, such as `lite-image`.
        model: the model to train in place of the file's.
    """
    shipped = recipes_folder() / f"{path}.yaml"
    if not path.exists() and len(path.parts) == 1 and shipped.exists():
        path = shipped
    try:
        values = yaml.safe_load(path.read_text())
    except (OSError, yaml.YAMLError) as error:
        hint = f"a file, or one of {', '.join(recipe_names())}"
        raise UsageError(f"cannot read training configuration {path}: {error}", hint) from error
    if not isinstance(values, dict) or not isinstance(values.get("stages"), list) or not values["stages"]:
        raise UsageError(f"{path}: expected a mapping with a list of stages")
    stages = tuple(_construct(Stage, stage, f"{path}: stage {number}") for number, stage in enumerate(values["stages"]))
    for number, stage in enumerate(stages):
        _check_sequences(f"{path}: stage {number}", stage)
    values |= {"stages": stages} | ({} if model is None else {"model": model})
    if "model" not in values:
        raise UsageError(f"{path} names no model", f"--model chooses one: {', '.join(trainable())}")
    config: TrainConfig = _construct(TrainConfig, values, str(path))
    if not isinstance(config.rate_factors, dict):
        raise UsageError(f"{path}: rate_factors: expected a mapping of names to numbers, found {config.rate_factors!r}")
    for name, factor in config.rate_factors.items():
        _check_value(f"{path}: rate_factors: {name}", factor, float)
    if config.autocast not in ("bf16", "fp16", "none"):
        raise UsageError(f"{path}: autocast is bf16, fp16 or none, not {config.autocast!r}")
    if config.model not in trainable():
        raise UsageError(f"{path}: there is no model {config.model!r}", f"known: {', '.join(trainable())}")
    networks = trainable()[config.model].trainees
    if config.network not in networks:
        raise UsageError(f"{path}: network is {' or '.join(networks)}, not {config.network!r}")
    return config
