"""The training loop: resumable at any moment, one step a pure function of (state, seed, step).

A checkpoint holds parameters, their moving average, the optimiser's state, the step and what long sequences have
decoded. The noise of a step is drawn from a generator seeded with (seed, step), and so are its crops, so a killed and
resumed run continues as an uninterrupted one. Several processes share each batch (training.processes); the main one
alone writes.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from dcvc_cli.errors import InputError, UsageError
from dcvc_cli.learning.parameters import as_parameters
from dcvc_cli.learning.segments import segments_of
from dcvc_cli.learning.stage import Stage
from dcvc_cli.learning.trainee import BatchLoss, State, TrainingStep
from dcvc_cli.training.checkpointing import CHECKPOINT_NAME, on_cpu, read_checkpoint, write_checkpoint
from dcvc_cli.training.config import TrainConfig
from dcvc_cli.training.data import CachedShot, CropSampler
from dcvc_cli.training.logs import TrainingLog, TrainRecord, ValidationRecord
from dcvc_cli.training.models import trainable_model
from dcvc_cli.training.prefetch import Batch, Prefetcher
from dcvc_cli.training.processes import TrainingProcesses
from dcvc_cli.training.shipped_weights import has_8_bits, quantised_weights

LOG_EVERY = 50
AUTOCAST_TYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}

Validate = Callable[[int, Mapping[str, torch.Tensor]], Iterable[ValidationRecord]]
"""(step, averaged parameters) -> records (training.validation). It must leave torch's generators alone."""


@dataclass(frozen=True)
class StepResult:
    """What one step gave: the loss of the own samples, their share of the batch, the norm of the whole batch's
    gradient."""

    loss: BatchLoss
    share: float
    gradient_norm: float


class Trainer:
    """Trains one network of a model.

    Args:
        config: the schedule.
        shots, cache: decoded training material (training.data.build_cache).
        folder: where checkpoint.pt and log.csv live.
        processes: those of this run; None is this process alone on the CPU.
        frozen: state dicts of the networks that the trained one needs (Trainee.frozen), by name.
        initial_state: parameters to start from instead of the transform codec.

    Raises:
        InputError: a frozen network is missing. UsageError: autocast that the device cannot do,
            rate_factors of no parameter.
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
        for name in self.trainee.frozen:
            if (frozen or {}).get(name) is None:
                message = f"training the {config.network} model needs a trained {name} model"
                raise InputError(message, f"pass --{name}-checkpoint, or --start-from")
        # Rounded as they ship: a network learns behind those that streams are coded with.
        self.frozen = {
            name: quantised_weights({key: value.to(self.device) for key, value in (frozen or {})[name].items()})
            for name in self.trainee.frozen
        }
        if initial_state is None:
            initial_state = self.trainee.initial_parameters(config.seed)
        self.parameters = as_parameters({name: self._laid_out(value) for name, value in initial_state.items()})
        self.average = {name: value.detach().clone() for name, value in self.parameters.items()}
        self.optimiser = self._make_optimiser()
        self.scaler = self._make_scaler()
        self.step = 0
        self.elapsed_seconds = 0.0
        self._samplers: dict[int, CropSampler] = {}
        self._kept_stage = -1

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
        return torch.optim.AdamW(rates, lr=1e-4, fused=True)

    def _make_scaler(self) -> torch.amp.GradScaler:
        """float16 gradients below 6e-8 vanish, so the loss is scaled up for them; other types need no scale and get
        none."""
        wanted = self.config.autocast == "fp16"
        if wanted and self.device.type == "cpu":
            try:
                with torch.autocast("cpu", torch.float16):
                    torch.nn.functional.conv2d(torch.ones(1, 8, 4, 4), torch.ones(8, 8, 3, 3), padding=1)
            except RuntimeError as error:
                raise UsageError(
                    f"autocast: fp16 is not possible on this processor: {error}", "autocast: bf16, or --device cuda:0"
                ) from error
        return torch.amp.GradScaler(self.device.type, enabled=wanted)

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
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            reason = f"{self.checkpoint_path} is the checkpoint of another version of dcvc"
            raise InputError(
                reason, "dcvc train export makes weights of it, which a new run can --start-from"
            ) from error

    def save(self) -> None:
        """Writes the checkpoint: a kill at any moment leaves the old or the new one, whole. All processes call it, the
        main one writes."""
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
        """Sets which parameters learn; a stage that holds weights begins with the average."""
        number, stage, _ = self.config.stage_at(self.step)
        if stage.hold_weights and self.step == self.config.first_step_of(number):
            with torch.no_grad():
                held = quantised_weights(self.average)
                for name, value in self.parameters.items():
                    value.copy_(held[name])
                    self.average[name].copy_(held[name])
        for name, value in self.parameters.items():
            value.requires_grad_(not (stage.hold_weights and has_8_bits(name)))

    def _batch_at(self, step: int) -> Callable[[], Batch]:
        number, stage, _ = self.config.stage_at(step)
        if number not in self._samplers:
            num_frames = self.trainee.num_frames(stage)
            self._samplers = {
                number: CropSampler(
                    self.shots, self.cache, stage.patch, num_frames, seed=self.config.seed * 1000 + number
                )
            }
        sampler, share = self._samplers[number], self.processes.share(stage.batch)
        if stage.sequence_frames:
            return lambda: sampler.sequence_batch(segments_of(step, stage, share))
        return lambda: sampler.batch(step, stage.batch - share.num_before - share.num_after, share.num_before)

    def _loss(self, batch: NDArray[np.uint8], stage: Stage) -> BatchLoss:
        clip = torch.from_numpy(batch).to(self.device).float() / 255
        number = self.config.stage_at(self.step)[0]
        if number != self._kept_stage:
            self.trainee.forget()
            self._kept_stage = number
        dtype = AUTOCAST_TYPES.get(self.config.autocast)
        with torch.autocast(self.device.type, dtype, enabled=dtype is not None):
            parameters: Mapping[str, torch.Tensor] = self.parameters
            if stage.quantise_weights:
                parameters = quantised_weights(parameters)
            at = TrainingStep(self.config.seed, self.step, stage, self.processes.share(stage.batch))
            return self.trainee.loss(parameters, self.frozen, clip, self.config.objective, at)

    def train_step(self, batch: NDArray[np.uint8], learning_rate: float) -> StepResult:
        """One update from the own samples of a batch; a gradient that is not finite skips it."""
        torch.manual_seed((self.config.seed << 32) + self.step)
        stage = self.config.stage_at(self.step)[1]
        share = batch.shape[0] / stage.batch
        result = self._loss(batch, stage)
        self.scaler.scale(result.loss * share).backward()
        values = list(self.parameters.values())
        self.processes.sum_gradients(values)
        self.scaler.unscale_(self.optimiser)
        norm = float(torch.nn.utils.clip_grad_norm_(values, self.config.gradient_limit, foreach=True))
        if np.isfinite(norm):
            for group in self.optimiser.param_groups:
                group["lr"] = learning_rate * group["factor"]
            self.optimiser.step()
            decay = min(self.config.ema_decay, (1 + self.step) / (10 + self.step))
            with torch.no_grad():
                torch._foreach_lerp_(list(self.average.values()), [value.detach() for value in values], 1 - decay)
        self.scaler.update()
        self.optimiser.zero_grad(set_to_none=True)
        self.step += 1
        return StepResult(result, share, norm)

    def run(
        self,
        *,
        report: Callable[[TrainRecord], None],
        validate: Validate | None = None,
        tensorboard: bool = False,
        save_seconds: float = 180.0,
        stop_at_step: int | None = None,
    ) -> None:
        """Trains to the end of the schedule (or to `stop_at_step`), saving every `save_seconds` and at the end.

        Args:
            report: told of each log line, on the main process.
            validate: called on the main process every `validate_every` steps and at the end, not counted in the speed.
            tensorboard: whether to log for TensorBoard as well.
        """
        last = min(self.config.num_steps, stop_at_step or self.config.num_steps)
        is_main, log = self.processes.is_main, None
        if self.processes.count > 1:  # so that differences in what they started from cannot stay
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
                number, _, rate = self.config.stage_at(self.step)
                if number != stage_number:
                    self._enter_stage()
                    stage_number = number
                window.append(self.train_step(batches.next(), rate))
                self.elapsed_seconds = before_seconds + time.monotonic() - started
                if self.step % LOG_EVERY == 0 or self.step == last:
                    record = self._record(number, rate, window, len(window) / (time.monotonic() - window_started))
                    if log:
                        log.add(record)
                        report(record)
                    window, window_started = [], time.monotonic()
                if log and validate and (self.step % self.config.validate_every == 0 or self.step == last):
                    validation_started = time.monotonic()
                    for line in validate(self.step, self.average):
                        log.add_validation(line)
                    window_started += time.monotonic() - validation_started
                if self.processes.any_of(is_main and time.monotonic() - saved_at > save_seconds):
                    self.save()
                    saved_at = time.monotonic()
        self.save()
        if log:
            log.close()

    def _record(self, number: int, rate: float, window: list[StepResult], speed: float) -> TrainRecord:
        """Means over the steps of a window and over the samples of all processes."""
        rows = [(float(step.loss.loss.detach()), step.loss.weighted, step.loss.bpp, step.loss.psnr) for step in window]
        own = [
            sum(row[column] * step.share for row, step in zip(rows, window, strict=True)) / len(window)
            for column in range(4)
        ]
        loss, weighted, bpp, psnr = self.processes.sum_values(own)
        norm = sum(step.gradient_norm for step in window) / len(window)
        return TrainRecord(self.step, number, loss, weighted, bpp, psnr, rate, norm, speed, self.elapsed_seconds)
