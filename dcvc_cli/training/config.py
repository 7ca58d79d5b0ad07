"""Training configuration: a YAML file under recipes/ read into frozen values."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import yaml

from dcvc_cli.errors import UsageError
from dcvc_cli.learning.stage import Stage
from dcvc_cli.learning.trainee import Objective, ParameterGroup, Trainee
from dcvc_cli.training.models import trainable
from dcvc_cli.training.settings import check_names, check_number, construct, setting_names

MAX_CONFIG_BYTES = 1 << 16


@dataclass(frozen=True)
class TrainConfig:
    """Everything that decides a run's result, apart from the data and the machine's arithmetic.

    Attributes:
        network: the network to train, one of the model's `trainees`.
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
        rate_factors: learning-rate factors by the beginning of parameters' names. They replace the two factors above.
            The longest beginning counts.
        cost_exponent: a sample's loss is divided by its own cost, compared with others of its QP, to this power. 0 sums
            costs as they are. 1 makes ten per cent of an easy clip count as much as ten per cent of a hard one.
        ema_decay: share that the average of the parameters keeps of itself in a step.
        weight_decay: weight decay of AdamW, for `ParameterGroup.USUAL`.
        autocast: bf16, fp16 (with a gradient scaler) or none.
        seed: seed of all random numbers.
        validate_every: steps between codings of the validation clips.
        validate_frames: number of a validation clip's first pictures that are coded.
        optimiser: adamw, or adam, whose weight decay is part of the gradient.
        keep_best: validation also decides between the parameters and their average: the one with the lowest loss of a
            stage is kept, and the next stage starts from it.
        own: the settings that the trained network's family adds (Trainee.settings). In a file they stand beside the
            others.
    """

    network: str
    model: str
    stages: tuple[Stage, ...]
    lambda_first: float = 0.0
    lambda_last: float = 0.0
    chroma_weight_first: float = 6.0
    chroma_weight_last: float = 4.0
    gradient_limit: float = 1.0
    fast_rate_factor: float = 10.0
    direct_rate_factor: float = 1.0
    rate_factors: dict[str, float] = field(default_factory=dict)
    cost_exponent: float = 0.0
    ema_decay: float = 0.999
    weight_decay: float = 1e-4
    autocast: Literal["bf16", "fp16", "none"] = "bf16"
    seed: int = 1
    validate_every: int = 1000
    validate_frames: int = 9
    optimiser: Literal["adamw", "adam"] = "adamw"
    keep_best: bool = False
    own: Any = None

    @property
    def objective(self) -> Objective:
        """Returns the objective that every step minimises."""
        chroma_weights = self.chroma_weight_first, self.chroma_weight_last
        return Objective((self.lambda_first, self.lambda_last), self.cost_exponent, chroma_weights, self.own)

    @property
    def watches_validation(self) -> bool:
        """Returns whether validation decides learning rates or which parameters are kept."""
        return self.keep_best or any(stage.plateau_patience for stage in self.stages)

    @property
    def num_steps(self) -> int:
        return sum(stage.num_steps for stage in self.stages)

    def in_steps(self, num_sources: Callable[[Stage], int]) -> "TrainConfig":
        """Turns epochs into steps. `num_sources` gives the number of sources that a stage has crops of."""
        stages = [
            replace(stage, num_steps=stage.epochs * -(-num_sources(stage) // stage.batch)) if stage.epochs else stage
            for stage in self.stages
        ]
        return replace(self, stages=tuple(stages))

    def validates_after(self, step: int) -> bool:
        """Returns whether the validation clips are coded after so many steps: at the end of a run and of each epoch, or
        every `validate_every` steps."""
        number, stage, _ = self.stage_at(step - 1)
        if not stage.epochs:
            return step % self.validate_every == 0 or step == self.num_steps
        return (step - self.first_step_of(number)) % (stage.num_steps // stage.epochs) == 0

    def first_step_of(self, number: int) -> int:
        """Returns the global step at which a stage begins."""
        return sum(stage.num_steps for stage in self.stages[:number])

    def rate_of(self, name: str, group: ParameterGroup) -> tuple[float, float]:
        """Returns (learning-rate factor, weight decay) of a parameter of a group."""
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
        """Returns (number of the stage, the stage, learning rate) of global step `step`."""
        for number, stage in enumerate(self.stages):
            if step < stage.num_steps:
                share = step / max(1, stage.num_steps - 1)
                return number, stage, stage.rate_first * (stage.rate_last / stage.rate_first) ** share
            step -= stage.num_steps
        return len(self.stages) - 1, self.stages[-1], self.stages[-1].rate_last


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
    if stage.sequence_frames and stage.crops_per_source:
        raise UsageError(f"{where}: sequence_frames goes without crops_per_source", "a sequence is long as it is")


def recipes_folder() -> Path:
    """Returns the folder with training presets: inside the installed package, or beside it in a source tree."""
    package = Path(__file__).resolve().parents[1]
    return package / "recipes" if (package / "recipes").is_dir() else package.parent / "recipes"


def recipe_names() -> list[str]:
    """Returns the names of the training presets that come with dcvc."""
    return sorted(path.stem for path in recipes_folder().glob("*.yaml"))


def read_train_config(path: Path, model: str | None = None) -> TrainConfig:
    """Reads and checks a training preset.

    Args:
        path: a file, or the name of a preset that comes with dcvc, such as `lite-image`.
        model: the model to train in place of the file's.

    Raises:
        UsageError: a setting is wrong. The message names the file and the setting.
    """
    shipped = recipes_folder() / f"{path}.yaml"
    if not path.exists() and len(path.parts) == 1 and shipped.exists():
        path = shipped
    try:
        with open(path, "rb") as file:
            content = file.read(MAX_CONFIG_BYTES + 1)
        if len(content) > MAX_CONFIG_BYTES:
            raise UsageError(f"{path} is larger than {MAX_CONFIG_BYTES} bytes, the limit of a training configuration")
        values = yaml.safe_load(content)
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        hint = f"a file, or one of {', '.join(recipe_names())}"
        reason = error.strerror if isinstance(error, OSError) else " ".join(str(error).split())
        raise UsageError(f"cannot read training configuration {path}: {reason}", hint) from error
    if not isinstance(values, dict) or not isinstance(values.get("stages"), list) or not values["stages"]:
        raise UsageError(f"{path}: expected a mapping with a list of stages")
    values |= {} if model is None else {"model": model}
    if "model" not in values:
        raise UsageError(f"{path} names no model", f"--model chooses one: {', '.join(trainable())}")
    trainee, parameters = _trainee_of(values, str(path))
    defaults = values.pop("defaults", {})
    stages = tuple(
        _read_stage(defaults, stage, trainee, parameters, f"{path}: stage {number}")
        for number, stage in enumerate(values["stages"])
    )
    config: TrainConfig = _split(TrainConfig, trainee.settings, values | {"stages": stages}, str(path))
    if not isinstance(config.rate_factors, dict):
        raise UsageError(f"{path}: rate_factors: expected a mapping of names to numbers, found {config.rate_factors!r}")
    for name, factor in config.rate_factors.items():
        check_number(f"{path}: rate_factors: {name}", factor, float)
    if trainee.weighs_by_qp and not (config.lambda_first and config.lambda_last):
        raise UsageError(f"{path} needs lambda_first and lambda_last, the weights of the distortion")
    if config.watches_validation and any(stage.sequence_frames for stage in config.stages):
        raise UsageError(f"{path}: keep_best and plateau_patience go without sequence_frames")
    if problem := trainee.problem(config.stages, config.own):
        raise UsageError(f"{path}: {problem}")
    return config


def _trainee_of(values: Mapping[str, Any], where: str) -> tuple[Trainee, list[str]]:
    """Returns (the network that a file's values name, its parameters' names).

    Raises:
        UsageError: there is no such network.
    """
    model, network = values["model"], values.get("network")
    if not isinstance(model, str) or model not in trainable():
        raise UsageError(f"{where}: there is no model {model!r}", f"known: {', '.join(trainable())}")
    networks = trainable()[model].trainees
    if not isinstance(network, str) or network not in networks:
        raise UsageError(f"{where}: network is {' or '.join(networks)}, not {network!r}")
    return trainable()[model].trainee(network), [name for name, _ in trainable()[model].networks[network].shapes()]


def _split(kind: Any, own_kind: Any, values: object, where: str) -> Any:
    """Makes a dataclass whose field `own` holds the family's settings. In a file they stand among the others."""
    if not isinstance(values, Mapping):
        raise UsageError(f"{where}: expected a mapping, found {type(values).__name__}")
    general, own = setting_names(kind) - {"own"}, setting_names(own_kind)
    check_names(values, general | own, where)
    made = None
    if own_kind is not None:
        made = construct(own_kind, {name: value for name, value in values.items() if name in own}, where)
    taken = {name: value for name, value in values.items() if name not in own}
    return replace(construct(kind, taken, where), own=made)


def _read_stage(defaults: object, values: object, trainee: Trainee, parameters: Collection[str], where: str) -> Stage:
    if isinstance(defaults, Mapping) and isinstance(values, Mapping):
        values = {"num_steps": 0, **defaults, **values}
    stage: Stage = _split(Stage, trainee.stage_settings, values, where)
    if bool(stage.num_steps) == bool(stage.epochs):
        raise UsageError(f"{where}: num_steps or epochs says how long it is")
    _check_sequences(where, stage)
    for setting, names in (("train", stage.train), ("freeze", stage.freeze)):
        for name in names:
            if name not in trainee.parts and not any(parameter.startswith(name) for parameter in parameters):
                hint = f"parts: {', '.join(trainee.parts)}" if trainee.parts else "or how names of parameters begin"
                raise UsageError(f"{where}: {setting}: the network has no part {name!r}", hint)
    return stage
