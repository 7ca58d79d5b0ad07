"""Assembles a run of training: frozen networks, validation, material, trainer."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch

from dcvc_cli.errors import UsageError
from dcvc_cli.learning.parameters import Parameters
from dcvc_cli.training.config import TrainConfig
from dcvc_cli.training.data import build_cache, material_fingerprint
from dcvc_cli.training.export import network_state, state_of_weights
from dcvc_cli.training.flow_weights import flow_parameters
from dcvc_cli.training.models import trainable_model
from dcvc_cli.training.processes import TrainingProcesses
from dcvc_cli.training.trainer import Trainer, Validate
from dcvc_cli.training.validation import ClipValidator, read_validation_clips, training_samples
from dcvc_cli.weights.store import weights_by_name


@dataclass(frozen=True)
class RunSettings:
    """The inputs and outputs of a run.

    Attributes:
        data: folders with material.
        output: folder of checkpoint and logs.
        cache: folder that keeps decoded material; None: a folder in `output`.
        start_from: name of weights to start from; None: an untrained network.
        checkpoints: training checkpoints of frozen networks, by the network's name.
        validation: clips that validation codes.
        flow: motion estimation to start from (training.flow_weights); None: that of the other start.
        i_frame_bytes: of the folder below `cache` that keeps pictures of frozen I frames; 0: there is none.
    """

    data: Sequence[Path]
    output: Path
    cache: Path | None = None
    start_from: str | None = None
    checkpoints: Mapping[str, Path] = field(default_factory=dict)
    validation: Sequence[str] = ()
    flow: Path | None = None
    i_frame_bytes: int = 0


@dataclass(frozen=True)
class Validation:
    """The validation of a run.

    Attributes:
        code: codes the clips; None without clips.
        watched: the clips for Trainer.run, if their losses decide anything.
    """

    code: Validate | None = None
    watched: Sequence[torch.Tensor] = ()


def open_trainer(
    config: TrainConfig, settings: RunSettings, processes: TrainingProcesses
) -> tuple[Trainer, Validation]:
    """Makes a trainer, which stands at the start of its schedule, and its validation.

    Raises:
        InputError: material, a checkpoint or weights do not fit.
        UsageError: the device cannot do the settings, or a checkpoint is of a network that is not needed.
    """
    if config.watches_validation and not settings.validation:
        raise UsageError("keep_best and plateau_patience ask validation clips", "--validate names some")
    initial_state, validation = None, Validation()
    frozen: dict[str, Parameters] = {}
    trainee = trainable_model(config.model).trainee(config.network)
    if settings.i_frame_bytes and not trainee.keeps_i_frames:
        reason = f"--i-frame-cache: the {config.network} model of {config.model} keeps no I frames"
        raise UsageError(reason, "that is for DCVC, DCVC-TCM, DCVC-HEM and DCVC-DC")
    needed = trainee.frozen
    for name in settings.checkpoints:
        if name not in needed:
            raise UsageError(f"--{name}-checkpoint: the {config.network} model of {config.model} is trained without it")
    for name, path in settings.checkpoints.items():
        network = trainable_model(config.model).networks[name]
        state = processes.from_main(network_state(path, network) if processes.is_main else None)
        frozen[name] = {key: torch.from_numpy(value) for key, value in state.items()}
    if settings.start_from is not None:
        weights = weights_by_name(settings.start_from)
        initial_state = state_of_weights(weights, config.model, config.network)
        for name in needed:
            if name not in frozen:
                frozen[name] = state_of_weights(weights, config.model, name)
    if settings.flow is not None:
        shapes = dict(trainable_model(config.model).networks[config.network].shapes())
        flow = processes.from_main(flow_parameters(settings.flow, trainee, shapes) if processes.is_main else None)
        initial_state = (initial_state or trainee.initial_parameters(config.seed)) | flow
    if settings.validation:
        clips = read_validation_clips(settings.validation, config.validate_frames)
        code = ClipValidator(clips, config.model, config.network, frozen=frozen, processes=processes)
        is_rgb = trainee.is_rgb
        watched = [training_samples(clip, is_rgb=is_rgb) for clip in clips] if config.watches_validation else []
        validation = Validation(code, watched)
    folder = settings.cache or settings.output / "cache"
    with processes.one_a_machine_first():
        shots = build_cache(list(settings.data), folder, is_rgb=trainee.is_rgb)
    processes.check_alike("training data and settings", material_fingerprint(config, shots))
    trainer = Trainer(
        config, shots, folder, settings.output, processes=processes, frozen=frozen, initial_state=initial_state
    )
    if settings.i_frame_bytes:
        trainer.trainee.keep_i_frames(folder / "i-frames", settings.i_frame_bytes, processes.count)
    return trainer, validation
