"""The training loop. It can be resumed at any moment, because a step is a pure function of (state, seed, step).

A checkpoint holds parameters, their moving average, the optimiser's state, the step, and the decoded references of long
sequences. Noise and crops of a step come from a generator that is seeded with (seed, step). So a killed and resumed run
continues as an uninterrupted one. Several processes share each batch (training.processes); only the main one writes.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from dcvc_cli.errors import InputError, UsageError
from dcvc_cli.learning.parameters import as_parameters
from dcvc_cli.learning.segments import segments_of
from dcvc_cli.learning.share import WHOLE_BATCH
from dcvc_cli.learning.stage import Stage
from dcvc_cli.learning.trainee import BatchLoss, State, TrainingStep
from dcvc_cli.training.autocast import AUTOCAST_TYPES, gradient_scaler
from dcvc_cli.training.checkpointing import CHECKPOINT_NAME, on_cpu, read_checkpoint, write_checkpoint
from dcvc_cli.training.config import TrainConfig
from dcvc_cli.training.data import CachedShot, CropSampler
from dcvc_cli.training.gradients import limit_gradients
from dcvc_cli.training.logs import TrainingLog, TrainRecord, ValidationRecord
from dcvc_cli.training.models import trainable_model
from dcvc_cli.training.prefetch import Batch, Prefetcher
from dcvc_cli.training.processes import TrainingProcesses
from dcvc_cli.training.shipped_weights import has_8_bits, quantised_weights
from dcvc_cli.training.steps import Moment, StepResult, record_of
from dcvc_cli.training.watch import StageWatch, read_best, write_best

LOG_EVERY = 50

Validate = Callable[[int, Mapping[str, torch.Tensor]], Iterable[ValidationRecord]]
"""(step, averaged parameters) -> records, the same on all processes (training.validation). It must leave torch's
generators alone."""


class Trainer:
    """Trains one network of a model.

    Args:
        config: the schedule.
        shots, cache: decoded training material (training.data.build_cache).
        folder: the folder of checkpoint.pt and log.csv.
        processes: the processes of this run; None is this process alone on the CPU.
        frozen: state dicts of the networks that the trained one needs (Trainee.frozen), by name.
        initial_state: parameters to start from instead of the transform codec.

    Raises:
        InputError: a frozen network is missing.
        UsageError: the device cannot do the autocast, or a key of rate_factors fits no parameter.
    """

    def __init__(
        self,
        config: TrainConfig,
        shots: list[CachedShot],
        cache: Path,
        folder: Path,
        *,
        processes: TrainingProcesses | None = None,
        frozen: Mapping[str, State] | None = None,
        initial_state: dict[str, torch.Tensor] | None = None,
    ) -> None:
        self.config, self.shots, self.cache, self.folder = config, shots, cache, folder
        self.processes = processes or TrainingProcesses()
        self.device = self.processes.device
        for stage in config.stages:
            self.processes.share(stage.batch)
        self.trainee = trainable_model(config.model).trainee(config.network)
        self.config = config = config.in_steps(lambda stage: len(self._sampler(stage, 0).shots))
        for name in self.trainee.frozen:
            if (frozen or {}).get(name) is None:
                message = f"training the {config.network} model needs a trained {name} model"
                raise InputError(message, f"pass --{name}-checkpoint, or --start-from")
        self.frozen: dict[str, State] = {}
        for name in self.trainee.frozen:
            state = {key: value.to(self.device) for key, value in (frozen or {})[name].items()}
            # Rounded as they ship, because streams are coded with these networks.
            self.frozen[name] = quantised_weights(state) if self.trainee.ships_rounded else state
        if initial_state is None:
            initial_state = self.trainee.initial_parameters(config.seed)
        self.parameters = as_parameters({name: self._laid_out(value) for name, value in initial_state.items()})
        self.average = {name: value.detach().clone() for name, value in self.parameters.items()}
        self.optimiser = self._make_optimiser()
        self.scaler = gradient_scaler(config.autocast, self.device)
        self.step = 0
        self.elapsed_seconds = 0.0
        self._samplers: dict[int, CropSampler] = {}
        self._kept_stage = -1
        self.watch = StageWatch()

    def _laid_out(self, value: torch.Tensor) -> torch.Tensor:
        value = value.to(self.device)
        return value.contiguous(memory_format=torch.channels_last) if value.dim() == 4 else value

    def _make_optimiser(self) -> torch.optim.Optimizer:
        for beginning in self.config.rate_factors:
            if not any(name.startswith(beginning) for name in self.parameters):
                raise UsageError(
                    f"rate_factors: no parameter of the {self.config.network} model of "
                    f"{self.config.model} begins with {beginning!r}"
                )
        groups: dict[tuple[float, float], list[torch.Tensor]] = {}
        for name, value in self.parameters.items():
            groups.setdefault(self.config.rate_of(name, self.trainee.group(name)), []).append(value)
        rates = [
            {"params": values, "factor": factor, "weight_decay": decay} for (factor, decay), values in groups.items()
        ]
        kind = torch.optim.Adam if self.config.optimiser == "adam" else torch.optim.AdamW
        return kind(rates, lr=1e-4, fused=True)

    # ---- checkpoints

    @property
    def checkpoint_path(self) -> Path:
        return self.folder / CHECKPOINT_NAME

    def _state(self) -> dict[str, Any]:
        return {
            "parameters": {name: value.detach() for name, value in self.parameters.items()},
            "average": self.average,
            # By name, so that a run may go on with other rates.
            "optimiser": {
                name: dict(self.optimiser.state[value])
                for name, value in self.parameters.items()
                if value in self.optimiser.state
            },
            "scaler": self.scaler.state_dict(),
            "step": self.step,
            "elapsed_seconds": self.elapsed_seconds,
            "sequences": self.processes.gather(self.trainee.stored()),
            "sequences_stage": self._kept_stage,
            "watch": self.watch.stored(),
        }

    def _take(self, state: Mapping[str, Any]) -> None:
        try:
            found = {name: tuple(value.shape) for name, value in state["parameters"].items()}
            averages = {name: tuple(value.shape) for name, value in state["average"].items()}
        except AttributeError as error:
            raise InputError(
                f"{self.checkpoint_path} is not a training checkpoint: its parameters are no tensors"
            ) from error
        if averages != found or found != {name: tuple(value.shape) for name, value in self.parameters.items()}:
            raise InputError(
                f"{self.checkpoint_path} is of another network than the {self.config.network} model of "
                f"{self.config.model}"
            )
        with torch.no_grad():
            for name, value in self.parameters.items():
                value.copy_(state["parameters"][name])
                self.average[name].copy_(state["average"][name])
        if state.get("scaler"):
            self.scaler.load_state_dict(state["scaler"])
        self.step, self.elapsed_seconds = state["step"], state["elapsed_seconds"]
        try:
            for name, remembered in state["optimiser"].items():
                self.optimiser.state[self.parameters[name]] = {
                    key: value.to(self.device) for key, value in remembered.items()
                }
            self.trainee.restore(state["sequences"], self.device)
            self._kept_stage = state["sequences_stage"]
            self.watch = StageWatch(**state.get("watch", {}))
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            reason = f"{self.checkpoint_path} is the checkpoint of another version of dcvc"
            raise InputError(
                reason, "dcvc train export makes weights of it, which a new run can --start-from"
            ) from error

    def save(self) -> None:
        """Writes the checkpoint. A kill at any moment leaves the old or the new one, whole. All processes call this;
        the main one writes."""
        state = self._state()
        if self.processes.is_main:
            write_checkpoint(self.checkpoint_path, state)

    def resume(self) -> bool:
        """Continues from the folder's checkpoint, if the main process has one."""
        exists = self.processes.is_main and self.checkpoint_path.exists()
        state = self.processes.from_main(read_checkpoint(self.checkpoint_path) if exists else None)
        if state is None:
            return False
        self._take(state)
        return True

    # ---- steps

    def _enter_stage(self) -> None:
        """Sets which parameters learn, and at the first step of a stage their start values."""
        number, stage, _ = self.config.stage_at(self.step)
        if self.step == self.config.first_step_of(number):
            self._begin_stage(number, stage)
        for name, value in self.parameters.items():
            learns = self.trainee.learns(name, stage) and not (stage.hold_weights and has_8_bits(name))
            value.requires_grad_(learns)

    def _begin_stage(self, number: int, stage: Stage) -> None:
        self.watch = StageWatch()
        if number and stage.optimiser == "fresh":
            self.optimiser.state.clear()
        start: Mapping[str, torch.Tensor] = {}
        if number and self.config.keep_best:
            start = self.processes.from_main(read_best(self.folder, number - 1) if self.processes.is_main else None)
        if stage.hold_weights:
            start = quantised_weights(start or self.average)
        with torch.no_grad():
            for name, value in start.items():
                self.parameters[name].copy_(value)
                self.average[name].copy_(value)

    def _sampler(self, stage: Stage, number: int) -> CropSampler:
        num_frames, seed = self.trainee.num_frames(stage), self.config.seed * 1000 + number
        return CropSampler(
            self.shots,
            self.cache,
            stage.patch,
            num_frames,
            seed=seed,
            to_and_fro=stage.to_and_fro,
            pad=stage.pad,
            crops_per_source=stage.crops_per_source,
            run_seed=self.config.seed,
        )

    def _batch_at(self, step: int) -> Callable[[], Batch]:
        number, stage, _ = self.config.stage_at(step)
        if number not in self._samplers:
            self._samplers = {number: self._sampler(stage, number)}
        sampler, share = self._samplers[number], self.processes.share(stage.batch)
        if stage.sequence_frames:
            return lambda: sampler.sequence_batch(segments_of(step, stage, share))
        return lambda: sampler.batch(step, stage.batch - share.num_before - share.num_after, share.num_before)

    def _losses(self, batch: NDArray[np.uint8], stage: Stage) -> Iterator[BatchLoss]:
        """Yields the losses of a batch, each before its update."""
        clip = torch.from_numpy(batch).to(self.device).float() / 255
        number = self.config.stage_at(self.step)[0]
        if number != self._kept_stage:
            self.trainee.forget()
            self._kept_stage = number
        parameters: Mapping[str, torch.Tensor] = self.parameters
        if stage.quantise_weights:
            parameters = quantised_weights(parameters)
        at = TrainingStep(self.config.seed, self.step, stage, self.processes.share(stage.batch))
        updates = self.trainee.updates(parameters, self.frozen, clip, self.config.objective, at)
        dtype = AUTOCAST_TYPES.get(self.config.autocast)
        while True:
            with torch.autocast(self.device.type, dtype, enabled=dtype is not None):
                loss = next(updates, None)
            if loss is None:
                return
            yield loss

    def train_step(self, batch: NDArray[np.uint8], learning_rate: float) -> StepResult:
        """Makes the updates from the own samples of a batch. A gradient that is not finite skips its update."""
        torch.manual_seed((self.config.seed << 32) + self.step)
        stage = self.config.stage_at(self.step)[1]
        share = batch.shape[0] / stage.batch
        results = [
            (replace(loss, loss=loss.loss.detach()), self._update(loss.loss * share, learning_rate))
            for loss in self._losses(batch, stage)
        ]
        self.step += 1
        losses, norms = zip(*results, strict=True)
        return StepResult(losses, share, sum(norms) / len(norms))

    def _update(self, loss: torch.Tensor, learning_rate: float) -> float:
        """Makes one update of the parameters that learn. Returns the norm of the gradient."""
        self.scaler.scale(loss).backward()
        values = [value for value in self.parameters.values() if value.requires_grad]
        self.processes.sum_gradients(values)
        self.scaler.unscale_(self.optimiser)
        norm = limit_gradients(values, self.config.gradient_limit)
        if np.isfinite(norm):
            for group in self.optimiser.param_groups:
                group["lr"] = learning_rate * group["factor"]
            self.optimiser.step()
            decay = min(self.config.ema_decay, (1 + self.step) / (10 + self.step))
            averages = [self.average[name] for name, value in self.parameters.items() if value.requires_grad]
            with torch.no_grad():
                torch._foreach_lerp_(averages, [value.detach() for value in values], 1 - decay)
        self.scaler.update()
        self.optimiser.zero_grad(set_to_none=True)
        return norm

    def _see_validation(self, watched: Sequence[torch.Tensor]) -> None:
        """Computes the losses of the validation clips with the parameters and with their average, and lets them
        decide."""
        number, stage, _ = self.config.stage_at(self.step - 1)
        at = TrainingStep(self.config.seed, self.step, stage, WHOLE_BATCH, rounds=True)
        states = self.average, self.parameters

        def losses_of(clip: torch.Tensor) -> list[float]:
            torch.manual_seed(self.config.seed)
            clip, objective = clip.to(self.device), self.config.objective
            return [self.trainee.loss(state, self.frozen, clip, objective, at).weighted for state in states]

        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            of_clips = self.processes.shared([partial(losses_of, clip) for clip in watched])
        losses = [sum(parts) / len(parts) for parts in zip(*of_clips, strict=True)]
        lowest = min(losses)
        if self.watch.see(lowest, stage) and self.config.keep_best and self.processes.is_main:
            best = states[losses.index(lowest)]
            write_best(self.folder, number, on_cpu(dict(best)), self.step, lowest)

    def run(
        self,
        *,
        report: Callable[[TrainRecord], None],
        validate: Validate | None = None,
        watched: Sequence[torch.Tensor] = (),
        tensorboard: bool = False,
        save_seconds: float = 180.0,
        stop_at_step: int | None = None,
    ) -> None:
        """Trains to the end of the schedule (or to `stop_at_step`), saving every `save_seconds` and at the end.

        Args:
            report: called with each log line, on the main process.
            validate: called on all processes where `TrainConfig.validates_after` says so, not counted in the speed.
            watched: validation clips (1, frames, 3, h, w) in 0..1 whose losses decide, where the schedule lets
                validation decide; the same on all processes, which share them.
            tensorboard: whether to log for TensorBoard as well.
        """
        last = min(self.config.num_steps, stop_at_step or self.config.num_steps)
        is_main, log = self.processes.is_main, None
        if self.processes.count > 1:  # so that all processes start from the same parameters
            state = on_cpu(self._state())
            self._take(self.processes.from_main(state if is_main else None))
        if is_main:
            self.folder.mkdir(parents=True, exist_ok=True)
            log = TrainingLog(self.folder, self.step, tensorboard=tensorboard)
        saved_at = started = window_started = time.monotonic()
        before_seconds = self.elapsed_seconds
        window: list[StepResult] = []
        stage_number = -1
        with Prefetcher(self._batch_at, self.step, last) as batches:
            while self.step < last:
                number, stage, rate = self.config.stage_at(self.step)
                if number != stage_number:
                    self._enter_stage()
                    stage_number = number
                rate = self.watch.rate(rate, stage)
                window.append(self.train_step(batches.next(), rate))
                self.elapsed_seconds = before_seconds + time.monotonic() - started
                if self.step % LOG_EVERY == 0 or self.step == last:
                    speed = len(window) / (time.monotonic() - window_started)
                    moment = Moment(self.step, number, rate, speed, self.elapsed_seconds)
                    record = record_of(window, moment, self.processes)
                    if log:
                        log.add(record)
                        report(record)
                    window, window_started = [], time.monotonic()
                if self.config.validates_after(self.step) or self.step == last:
                    validation_started = time.monotonic()
                    for line in validate(self.step, self.average) if validate else ():
                        if log:
                            log.add_validation(line)
                    if self.config.watches_validation and self.config.validates_after(self.step):
                        self._see_validation(watched)
                    window_started += time.monotonic() - validation_started
                if self.processes.any_of(is_main and time.monotonic() - saved_at > save_seconds):
                    self.save()
                    saved_at = time.monotonic()
        self.save()
        if log:
            log.close()
