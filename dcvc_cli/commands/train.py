"""`dcvc train`: trains the networks that families list as trainable, and turns checkpoints into a weights file."""

import dataclasses
import inspect
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dcvc_cli.commands.option_list import takes_options
from dcvc_cli.commands.options import Overwrite, WeightsOutput
from dcvc_cli.errors import InputError, UsageError
from dcvc_cli.format.constants import DEFAULT_MODEL
from dcvc_cli.ui.progress import ProgressMode

if TYPE_CHECKING:
    from dcvc_cli.families.base import Model
    from dcvc_cli.training.logs import TrainRecord
    from dcvc_cli.training.run import Validation
    from dcvc_cli.training.trainer import Trainer


class TrainGroup(typer.core.TyperGroup):
    """`export`, and a command for each network that some model lists as trainable.

    The families are asked when a command is looked for, so that no other start of the program waits for them.
    """

    def list_commands(self, context: Any) -> list[str]:
        """Names of the commands in the order of training, `export` last."""
        from dcvc_cli.training.models import trainee_names

        return [*trainee_names(), *super().list_commands(context)]

    def get_command(self, context: Any, name: str) -> Any:
        """Finds a command by name; None where there is none."""
        from dcvc_cli.training.models import trainee_names

        if name not in trainee_names():
            return super().get_command(context, name)
        one = typer.Typer(add_completion=False)
        one.command(name)(_train_command(name))
        return typer.main.get_command(one)


app = typer.Typer(
    name="train",
    cls=TrainGroup,
    help="Train the networks of a model one after the other; export checkpoints as weights.",
    no_args_is_help=True,
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainOptions:
    """The options of every command that trains a network."""

    config: Annotated[
        Path,
        typer.Option(
            "--config", metavar="NAME|F.yaml", help="Schedule and loss: a preset such as lite-image, or a file."
        ),
    ]
    data: Annotated[
        list[Path],
        typer.Option(
            "--data",
            metavar="DIR",
            help="Folder that is searched for videos, pictures and folders of numbered PNG frames; repeatable.",
        ),
    ]
    output: Annotated[
        Path,
        typer.Option(
            "-o",
            "--output",
            metavar="DIR",
            help="Folder of checkpoint.pt and log.csv. Training resumes from a checkpoint in it.",
        ),
    ]
    model: Annotated[
        str | None,
        typer.Option("--model", metavar="NAME", help="Model to train. Default: the one that --config names."),
    ] = None
    cache: Annotated[
        Path | None,
        typer.Option("--cache", metavar="DIR", help="Folder that keeps decoded material. Default: OUTPUT/cache."),
    ] = None
    device: Annotated[
        str,
        typer.Option(
            "--device", metavar="auto|cpu|cuda:N", help="Where the networks run. Several processes take a GPU each."
        ),
    ] = "auto"
    threads: Annotated[int | None, typer.Option("--threads", min=1, help="CPU threads. Default: all cores.")] = None
    stop_at_step: Annotated[
        int | None,
        typer.Option("--stop-at-step", min=1, help="End at this step of the schedule; the run can be resumed."),
    ] = None
    start_from: Annotated[
        str | None,
        typer.Option(
            "--start-from",
            metavar="NAME",
            help="Weights to start from, such as lite. Default: parameters that begin as a transform codec.",
        ),
    ] = None
    flow_checkpoint: Annotated[
        Path | None,
        typer.Option(
            "--flow-checkpoint",
            metavar="FILE|DIR",
            help="Motion estimation (SpyNet) to start from: a checkpoint of DCVC or a successor, or DVC's folder "
            "flow_pretrain_np.",
        ),
    ] = None
    i_frame_cache: Annotated[
        str | None,
        typer.Option(
            "--i-frame-cache",
            metavar="SIZE",
            help="Keep up to so much of frozen I frames' pictures in the cache folder, such as 20G. The run has the "
            "same bits with and without.",
        ),
    ] = None
    validate: Annotated[
        list[str] | None,
        typer.Option(
            "--validate",
            metavar="CLIP",
            help="Clip that is coded now and then, with figures in validation.csv; repeatable.",
        ),
    ] = None
    tensorboard: Annotated[
        bool, typer.Option("--tensorboard", help="Log for TensorBoard too, in OUTPUT/tensorboard.")
    ] = False
    progress: Annotated[
        ProgressMode,
        typer.Option(
            "--progress", help="auto: a bar if standard error is a terminal. json: a JSON line for each report."
        ),
    ] = ProgressMode.AUTO


def _checkpoint_option(network: str) -> inspect.Parameter:
    """Makes `--NETWORK-checkpoint`, for a network that another one may be trained behind."""
    text = f"Checkpoint of the trained {network} network, of dcvc or published. Default: that of --start-from."
    option = typer.Option(f"--{network}-checkpoint", metavar="checkpoint.pt", help=text)
    return inspect.Parameter(
        f"{network}_checkpoint",
        inspect.Parameter.KEYWORD_ONLY,
        default=None,
        annotation=Annotated[Path | None, option],
    )


def _train_command(network: str) -> Callable[..., None]:
    """Makes the command that trains a network, with an option for each one that some model trains before it."""
    from dcvc_cli.training.models import models_with, trained_before

    before = {f"{name}_checkpoint": name for name in trained_before(network)}

    def train(options: TrainOptions, **paths: Path | None) -> None:
        _train(network, options, {before[name]: path for name, path in paths.items() if path is not None})

    checkpoints = [_checkpoint_option(name) for name in before.values()]
    train.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [inspect.signature(train).parameters["options"], *checkpoints]
    )
    train.__annotations__ |= {parameter.name: parameter.annotation for parameter in checkpoints}
    paragraphs = (
        f"Train the {network} network of a model. Models that have one: {', '.join(models_with(network))}.",
        "The same command resumes a run that was stopped, from its last checkpoint. Networks that are trained already "
        "stay as they are.",
        f"On several GPUs or machines: `accelerate launch -m dcvc_cli train {network} ...`. The processes share each "
        "batch; the result is that of one process.",
    )
    train.__doc__ = "\n\n".join(paragraphs)
    return takes_options(train)


@app.command()
def export(
    checkpoints: Annotated[
        list[Path],
        typer.Argument(
            metavar="CHECKPOINT...",
            help="One checkpoint a network, of dcvc or published, in the model's order: image first.",
        ),
    ],
    output: WeightsOutput,
    model: Annotated[str, typer.Option("--model", help="Model of the checkpoints.")] = DEFAULT_MODEL,
    description: Annotated[
        str, typer.Option("--description", help="Text that the file keeps, such as what the model was trained on.")
    ] = "",
    exact: Annotated[
        bool,
        typer.Option("--exact", help="Prepare the weights for exact arithmetic, with dcvc's own calibration material."),
    ] = False,
    calibrate: Annotated[
        list[str] | None,
        typer.Option("--calibrate", metavar="CLIP", help="As --exact, and calibrate with this clip too; repeatable."),
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Turn training checkpoints into a weights file.

    With --exact the file holds the integers of the exact profile too. A name that ends in .gz makes a compressed file.
    """
    from dcvc_cli.media.endings import WEIGHTS, check_ending
    from dcvc_cli.training.export import as_trained, export_model, network_state
    from dcvc_cli.training.models import trainable_model
    from dcvc_cli.ui.console import say
    from dcvc_cli.weights.file import write_weights

    names = _networks_of(checkpoints, trainable_model(model))
    check_ending("-o", str(output).removesuffix(".gz"), WEIGHTS)
    if output.exists() and not overwrite:
        raise UsageError(f"{output} exists", "-y replaces it")
    networks = trainable_model(model).networks
    states = {name: network_state(path, networks[name]) for name, path in zip(names, checkpoints, strict=True)}
    weights = export_model(model, states, description)
    if exact or calibrate:
        from dcvc_cli.preparing.quantise import prepare_from_box, read_clips

        weights = prepare_from_box(
            weights, read_clips(calibrate or ()), {name: as_trained(state) for name, state in states.items()}
        )
    write_weights(output, weights)
    prints = ", ".join(f"{part} {network.fingerprint:016x}" for part, network in weights.networks.items())
    say(f"{output}: {prints}")


def _networks_of(checkpoints: Sequence[Path], model: "Model") -> list[str]:
    """Returns the networks that checkpoints are of, by their order on the command line."""
    names = list(model.networks)
    if len(checkpoints) != len(names):
        raise UsageError(
            f"expected {len(names)} checkpoints of model {model.name}, found {len(checkpoints)}",
            f"in this order: {', '.join(names)}",
        )
    return names


def _train(network: str, options: TrainOptions, checkpoints: Mapping[str, Path]) -> None:
    from dcvc_cli.codec.backends import choose_device
    from dcvc_cli.format.limits import parse_memory
    from dcvc_cli.training.config import read_train_config
    from dcvc_cli.training.processes import TrainingProcesses, join_processes, num_launched, set_up_arithmetic
    from dcvc_cli.training.run import RunSettings, open_trainer

    config = read_train_config(options.config, options.model)
    if config.network != network:
        raise UsageError(f"{options.config} trains the {config.network} network", f"dcvc train {config.network}")
    for folder in options.data:
        if not folder.is_dir():
            raise InputError(f"{folder} is not a folder", "--data takes folders with videos and pictures")
    set_up_arithmetic(options.threads)
    processes = (
        join_processes(options.device) if num_launched() > 1 else TrainingProcesses(choose_device(options.device))
    )
    settings = RunSettings(
        options.data,
        options.output,
        options.cache,
        options.start_from,
        checkpoints,
        options.validate or (),
        options.flow_checkpoint,
        0 if options.i_frame_cache is None else parse_memory(options.i_frame_cache, "--i-frame-cache"),
    )
    trainer, validation = open_trainer(config, settings, processes)
    _resume(trainer)
    _run(trainer, options, validation)
    processes.close()


def _resume(trainer: "Trainer") -> None:
    from dcvc_cli.ui.console import say

    resumed = trainer.resume()
    if trainer.processes.is_main:
        say(f"{len(trainer.shots)} sources, {sum(shot.num_frames for shot in trainer.shots)} pictures")
        if trainer.processes.count > 1:
            say(f"{trainer.processes.count} processes share each batch")
        if resumed:
            say(f"resumed at step {trainer.step} of {trainer.config.num_steps}")


def _run(trainer: "Trainer", options: TrainOptions, validation: "Validation") -> None:
    from dcvc_cli.ui.console import say
    from dcvc_cli.ui.training_progress import open_training_progress

    last: TrainRecord | None = None
    mode = options.progress if trainer.processes.is_main else ProgressMode.NONE
    with open_training_progress(mode, trainer.config.num_steps) as display:

        def report(record: "TrainRecord") -> None:
            nonlocal last
            last = record
            display(record)

        trainer.run(
            report=report,
            validate=validation.code,
            watched=validation.watched,
            tensorboard=options.tensorboard,
            stop_at_step=options.stop_at_step,
        )
    if last is not None:
        say(
            f"step {last.step}: loss {last.loss:.4f}, {last.bpp:.4f} bpp, "
            f"{'' if trainer.trainee.is_rgb else 'luma '}{last.psnr:.2f} dB; "
            f"{trainer.checkpoint_path}"
        )
