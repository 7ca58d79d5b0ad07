"""`dcvc train`: trains the image and the video model, and turns checkpoints into a weights file."""

import dataclasses
import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer

from dcvc_cli.errors import InputError, UsageError
from dcvc_cli.ui.progress import ProgressMode
from dcvc_cli.weights.store import DEFAULT_MODEL

if TYPE_CHECKING:
    from dcvc_cli.training.logs import TrainRecord
    from dcvc_cli.training.trainer import Trainer, Validate

app = typer.Typer(
    name="train", help="Train the image and the video model; export checkpoints as weights.", no_args_is_help=True
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainOptions:
    """The options that `dcvc train image` and `dcvc train video` share."""

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


def takes_train_options(command: Callable[..., None]) -> Callable[..., None]:
    """Gives a command the fields of TrainOptions as options. The command gets them as one TrainOptions, its first
    argument."""
    own = [parameter for parameter in inspect.signature(command).parameters.values() if parameter.name != "options"]
    hints = get_type_hints(TrainOptions, include_extras=True)
    shared = [
        inspect.Parameter(
            field.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=inspect.Parameter.empty if field.default is dataclasses.MISSING else field.default,
            annotation=hints[field.name],
        )
        for field in dataclasses.fields(TrainOptions)
    ]

    def call(**values: Any) -> None:
        command(TrainOptions(**{name: values.pop(name) for name in hints}), **values)

    merged = [*shared, *own]
    call.__name__, call.__doc__ = command.__name__, command.__doc__
    call.__annotations__ = {parameter.name: parameter.annotation for parameter in merged}
    call.__signature__ = inspect.Signature(merged)  # type: ignore[attr-defined]
    return call


@app.command()
@takes_train_options
def image(options: TrainOptions) -> None:
    """Train the image model (I frames). The same command resumes a run that was stopped, from its last checkpoint.

    On several GPUs or machines: `accelerate launch -m dcvc_cli train image ...`. The processes share each batch; the
        result is that of one process.
    """
    _train("image", options, {})


@app.command()
@takes_train_options
def video(
    options: TrainOptions,
    *,
    image_checkpoint: Annotated[
        Path | None,
        typer.Option(
            "--image-checkpoint",
            metavar="checkpoint.pt",
            help="Checkpoint of the trained image model. Default: the image model of --start-from.",
        ),
    ] = None,
) -> None:
    """Train the video model (P frames) behind a trained image model, which stays as it is.

    On several GPUs or machines: `accelerate launch -m dcvc_cli train video ...`. The processes share each batch; the
        result is that of one process.
    """
    _train("video", options, {} if image_checkpoint is None else {"image": image_checkpoint})


@app.command()
def export(
    image_checkpoint: Annotated[Path, typer.Argument(metavar="IMAGE.pt", help="Checkpoint of the image model.")],
    video_checkpoint: Annotated[Path, typer.Argument(metavar="VIDEO.pt", help="Checkpoint of the video model.")],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="F.safetensors", help="The weights file to write.")],
    model: Annotated[str, typer.Option("--model", help="Model of both checkpoints.")] = DEFAULT_MODEL,
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
    overwrite: Annotated[bool, typer.Option("-y", "--overwrite", help="Replace an existing file.")] = False,
) -> None:
    """Turn two training checkpoints into a weights file. With --exact the file holds the integers of the exact profile
    too.

    A name that ends in .gz makes a compressed file.
    """
    from dcvc_cli.families.registry import models
    from dcvc_cli.media.endings import WEIGHTS, check_ending
    from dcvc_cli.training.export import as_trained, checkpoint_state, export_model
    from dcvc_cli.ui.console import say
    from dcvc_cli.weights.file import write_weights

    if model not in models():
        raise UsageError(f"there is no model {model!r}", f"known: {', '.join(models())}")
    check_ending("-o", str(output).removesuffix(".gz"), WEIGHTS)
    if output.exists() and not overwrite:
        raise UsageError(f"{output} exists", "-y replaces it")
    states = {"image": checkpoint_state(image_checkpoint), "video": checkpoint_state(video_checkpoint)}
    weights = export_model(model, states, description)
    if exact or calibrate:
        from dcvc_cli.preparing.quantise import prepare_from_box, read_clips

        weights = prepare_from_box(
            weights, read_clips(calibrate or ()), {name: as_trained(state) for name, state in states.items()}
        )
    write_weights(output, weights)
    prints = ", ".join(f"{part} {network.fingerprint:016x}" for part, network in weights.networks.items())
    say(f"{output}: {prints}")


def _train(network: str, options: TrainOptions, checkpoints: Mapping[str, Path]) -> None:
    from dcvc_cli.codec.backends import choose_device
    from dcvc_cli.training.config import read_train_config
    from dcvc_cli.training.processes import TrainingProcesses, join_processes, num_launched, set_up_arithmetic
    from dcvc_cli.training.run import RunSettings, open_trainer

    config = read_train_config(options.config)
    if config.network != network:
        raise UsageError(f"{options.config} trains the {config.network} model", f"dcvc train {config.network}")
    for folder in options.data:
        if not folder.is_dir():
            raise InputError(f"{folder} is not a folder", "--data takes folders with videos and pictures")
    set_up_arithmetic(options.threads)
    processes = (
        join_processes(options.device) if num_launched() > 1 else TrainingProcesses(choose_device(options.device))
    )
    settings = RunSettings(
        options.data, options.output, options.cache, options.start_from, checkpoints, options.validate or ()
    )
    trainer, validate = open_trainer(config, settings, processes)
    _resume(trainer)
    _run(trainer, options, validate)
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


def _run(trainer: "Trainer", options: TrainOptions, validate: "Validate | None") -> None:
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
            report=report, validate=validate, tensorboard=options.tensorboard, stop_at_step=options.stop_at_step
        )
    if last is not None:
        say(
            f"step {last.step}: loss {last.loss:.4f}, {last.bpp:.4f} bpp, luma {last.psnr:.2f} dB; "
            f"{trainer.checkpoint_path}"
        )
