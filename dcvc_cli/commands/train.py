"""`dcvc train`: trains the image and the video model, and turns checkpoints into a weights file."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dcvc_cli.errors import InputError, UsageError
from dcvc_cli.ui.progress import ProgressMode

if TYPE_CHECKING:
    from dcvc_cli.training.trainer import Trainer, TrainRecord

app = typer.Typer(name="train", help="Train the image and the video model; export checkpoints as weights.", no_args_is_help=True)

ConfigOption = Annotated[Path, typer.Option("--config", metavar="F.yaml", help="Schedule and loss; presets/train/*.yaml are the shipped ones.")]
DataOption = Annotated[list[Path], typer.Option("--data", metavar="DIR", help="Folder with videos and pictures, searched through; may be repeated.")]
OutOption = Annotated[
    Path, typer.Option("-o", "--output", metavar="DIR", help="Where checkpoint.pt and log.csv live. A checkpoint there is resumed.")
]
CacheOption = Annotated[Path | None, typer.Option("--cache", metavar="DIR", help="Where decoded material is kept. Default: OUTPUT/cache.")]
DeviceOption = Annotated[str, typer.Option("--device", help="auto, cpu or cuda:N.")]
ThreadsOption = Annotated[int | None, typer.Option("--threads", min=1, help="CPU threads. Default: all cores.")]
StopOption = Annotated[int | None, typer.Option("--stop-at-step", min=1, help="End earlier than the schedule; the run can be resumed.")]
StartOption = Annotated[
    str | None, typer.Option("--start-from", metavar="NAME", help="Weights to start from, such as lite, not from a transform codec.")
]
ProgressOption = Annotated[ProgressMode, typer.Option("--progress", help="A bar on a terminal, one JSON line a second, or nothing.")]


@app.command()
def image(
    config: ConfigOption,
    data: DataOption,
    output: OutOption,
    cache: CacheOption = None,
    device: DeviceOption = "auto",
    threads: ThreadsOption = None,
    stop_at_step: StopOption = None,
    start_from: StartOption = None,
    progress: ProgressOption = ProgressMode.AUTO,
) -> None:
    """Train the image model (I frames). Killed at any moment, the same command goes on from the last checkpoint."""
    trainer = _open_trainer("image", config, data, output, cache, device, threads, None, start_from)
    _run(trainer, progress, stop_at_step)


@app.command()
def video(
    config: ConfigOption,
    data: DataOption,
    output: OutOption,
    image_checkpoint: Annotated[Path, typer.Option("--image-checkpoint", metavar="checkpoint.pt", help="Checkpoint of the trained image model.")],
    cache: CacheOption = None,
    device: DeviceOption = "auto",
    threads: ThreadsOption = None,
    stop_at_step: StopOption = None,
    start_from: StartOption = None,
    progress: ProgressOption = ProgressMode.AUTO,
) -> None:
    """Train the video model (P frames) on top of a trained image model, which stays as it is."""
    trainer = _open_trainer("video", config, data, output, cache, device, threads, image_checkpoint, start_from)
    _run(trainer, progress, stop_at_step)


@app.command()
def export(
    image_checkpoint: Annotated[Path, typer.Argument(metavar="IMAGE.pt", help="Checkpoint of the image model.")],
    video_checkpoint: Annotated[Path, typer.Argument(metavar="VIDEO.pt", help="Checkpoint of the video model.")],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="F.safetensors", help="The weights file.")],
    model: Annotated[str, typer.Option("--model", help="Model of both checkpoints.")] = "lite",
    description: Annotated[str, typer.Option("--description", help="What they were trained on; kept in the file.")] = "",
    calibrate: Annotated[list[str] | None, typer.Option("--calibrate", metavar="CLIP", help="Make it exact with this clip; repeat it.")] = None,
    overwrite: Annotated[bool, typer.Option("-y", "--overwrite", help="Replace an existing file.")] = False,
) -> None:
    """Turn two training checkpoints into a weights file; with --calibrate one of the exact profile, as it ships.

    A name that ends in .gz makes a compressed file.
    """
    from dcvc_cli.models.spec import SPECS
    from dcvc_cli.models.weights import write_weights
    from dcvc_cli.training.export import checkpoint_state, export_model
    from dcvc_cli.ui.console import say

    if model not in SPECS:
        raise UsageError(f"there is no model {model!r}", f"known: {', '.join(SPECS)}")
    if output.exists() and not overwrite:
        raise UsageError(f"{output} exists", "-y replaces it")
    states = checkpoint_state(image_checkpoint), checkpoint_state(video_checkpoint)
    weights = export_model(model, *states, description)
    if calibrate:
        from dcvc_cli.pipeline.quantise import prepare_exact, read_clips

        weights = prepare_exact(weights, read_clips(calibrate), states)
        weights = replace(weights, image=weights.image.without_float_decoder(), video=weights.video.without_float_decoder())
    write_weights(output, weights)
    say(f"{output}: image {weights.image.fingerprint:016x}, video {weights.video.fingerprint:016x}")


def _open_trainer(
    network: str,
    config_path: Path,
    data: list[Path],
    output: Path,
    cache: Path | None,
    device: str,
    threads: int | None,
    image_checkpoint: Path | None,
    start_from: str | None,
) -> "Trainer":
    import torch

    from dcvc_cli.codec.backends import choose_device
    from dcvc_cli.models.weight_store import weights_by_name
    from dcvc_cli.training.config import read_train_config
    from dcvc_cli.training.data import build_cache
    from dcvc_cli.training.export import checkpoint_state, state_of_weights
    from dcvc_cli.training.trainer import Trainer
    from dcvc_cli.ui.console import say

    config = read_train_config(config_path)
    if config.network != network:
        raise UsageError(f"{config_path} trains the {config.network} model", f"dcvc train {config.network}")
    for folder in data:
        if not folder.is_dir():
            raise InputError(f"{folder} is not a folder", "--data takes folders with videos and pictures")
    if threads:
        torch.set_num_threads(threads)
    # Tiny gradients of untouched weights would make every multiplication with them slow.
    torch.set_flush_denormal(True)
    folder = cache or output / "cache"
    shots = build_cache(data, folder)
    say(f"{len(shots)} sources, {sum(shot.num_frames for shot in shots)} pictures")
    image_state = None
    if image_checkpoint is not None:
        image_state = {name: torch.from_numpy(value) for name, value in checkpoint_state(image_checkpoint).items()}
    initial_state = None if start_from is None else state_of_weights(weights_by_name(start_from), config.model, network)
    trainer = Trainer(config, shots, folder, output, device=choose_device(device), image_state=image_state, initial_state=initial_state)
    if trainer.resume():
        say(f"resumed at step {trainer.step} of {config.num_steps}")
    return trainer


def _run(trainer: "Trainer", progress: ProgressMode, stop_at_step: int | None) -> None:
    from dcvc_cli.ui.console import say
    from dcvc_cli.ui.training_progress import open_training_progress

    last: TrainRecord | None = None
    with open_training_progress(progress, trainer.config.num_steps) as display:

        def report(record: "TrainRecord") -> None:
            nonlocal last
            last = record
            display(record)

        trainer.run(report=report, stop_at_step=stop_at_step)
    if last is not None:
        say(f"step {last.step}: loss {last.loss:.4f}, {last.bpp:.4f} bpp, luma {last.psnr:.2f} dB; {trainer.checkpoint_path}")
