"""The training loop: resumable at any moment, one step a pure function of (state, seed, step).

A checkpoint holds parameters, their moving average, the optimiser's state and the step; it is written beside its place and renamed.
The noise of a step is drawn from a generator seeded with (seed, step), and so are its crops, so a killed and resumed run continues
as an uninterrupted one.
"""

import csv
import os
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from dcvc_cli.errors import InputError
from dcvc_cli.models.image import ImageModel
from dcvc_cli.models.spec import SPECS
from dcvc_cli.models.video import VideoModel
from dcvc_cli.training.config import Stage, TrainConfig
from dcvc_cli.training.data import CachedShot, CropSampler
from dcvc_cli.training.initialise import as_parameters, initial_image_parameters, initial_video_parameters
from dcvc_cli.training.losses import quantised_weights
from dcvc_cli.training.objective import BatchLoss, image_loss, video_loss

PREFETCH = 4
LOG_EVERY = 50


@dataclass(frozen=True)
class TrainRecord:
    """One line of the training log: means over the steps since the last one."""

    step: int
    stage: int
    loss: float
    weighted: float
    bpp: float
    psnr: float
    learning_rate: float
    gradient_norm: float
    steps_per_second: float
    elapsed_seconds: float


class Trainer:
    """Trains one network of a model.

    Args:
        config: the schedule.
        shots, cache: decoded training material (training.data.build_cache).
        folder: where checkpoint.pt and log.csv live.
        image_state: state dict of the frozen image model; needed for the video network only.
        initial_state: parameters to start from instead of the transform codec.
    """

    def __init__(
        self,
        config: TrainConfig,
        shots: list[CachedShot],
        cache: Path,
        folder: Path,
        *,
        device: str = "cpu",
        image_state: dict[str, torch.Tensor] | None = None,
        initial_state: dict[str, torch.Tensor] | None = None,
    ) -> None:
        self.config, self.shots, self.cache, self.folder, self.device = config, shots, cache, folder, torch.device(device)
        spec = SPECS[config.model]
        self.image_model, self.video_model = ImageModel(spec.image), VideoModel(spec.video)
        if config.network == "video" and image_state is None:
            raise InputError("training the video model needs a trained image model", "pass --image-weights")
        self.image_state = {name: value.to(self.device) for name, value in (image_state or {}).items()}
        if initial_state is None:
            if config.network == "image":
                initial_state = initial_image_parameters(self.image_model, config.seed)
            else:
                initial_state = initial_video_parameters(self.video_model, config.seed)
        self.parameters = as_parameters({name: self._laid_out(value) for name, value in initial_state.items()})
        self.average = {name: value.detach().clone() for name, value in self.parameters.items()}
        self.optimiser = self._make_optimiser()
        self.step = 0
        self.elapsed_seconds = 0.0

    def _laid_out(self, value: torch.Tensor) -> torch.Tensor:
        value = value.to(self.device)
        return value.contiguous(memory_format=torch.channels_last) if value.dim() == 4 else value

    def _make_optimiser(self) -> torch.optim.Optimizer:
        fast = [name for name in self.parameters if name.startswith(("q_", "bit_estimator_z"))]
        slow = [name for name in self.parameters if name not in set(fast)]
        groups: list[dict[str, Any]] = [
            {"params": [self.parameters[name] for name in slow], "factor": 1.0, "weight_decay": self.config.weight_decay},
            {"params": [self.parameters[name] for name in fast], "factor": self.config.fast_rate_factor, "weight_decay": 0.0},
        ]
        return torch.optim.AdamW(groups, lr=1e-4, fused=True)

    # ---- checkpoints

    @property
    def checkpoint_path(self) -> Path:
        return self.folder / "checkpoint.pt"

    def save(self) -> None:
        """Writes the checkpoint beside its place and renames it: a kill at any moment leaves the old or the new one, whole."""
        self.folder.mkdir(parents=True, exist_ok=True)
        state = {
            "parameters": {name: value.detach() for name, value in self.parameters.items()},
            "average": self.average,
            "optimiser": self.optimiser.state_dict(),
            "step": self.step,
            "elapsed_seconds": self.elapsed_seconds,
        }
        staged = self.checkpoint_path.with_suffix(".partial")
        with staged.open("wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())
        staged.replace(self.checkpoint_path)

    def resume(self) -> bool:
        """Continues from the folder's checkpoint, if it has one."""
        if not self.checkpoint_path.exists():
            return False
        state = torch.load(self.checkpoint_path, map_location=self.device, weights_only=True)
        with torch.no_grad():
            for name, value in self.parameters.items():
                value.copy_(state["parameters"][name])
                self.average[name].copy_(state["average"][name])
        self.optimiser.load_state_dict(state["optimiser"])
        self.step, self.elapsed_seconds = state["step"], state["elapsed_seconds"]
        self._forget_log_after(self.step)
        return True

    def _forget_log_after(self, step: int) -> None:
        """Drops log lines of steps that a kill undid: they are run, and logged, again."""
        path = self.folder / "log.csv"
        if path.exists():
            head, *lines = path.read_text().splitlines(keepends=True)
            path.write_text(head + "".join(line for line in lines if int(line.split(",", 1)[0]) <= step))

    # ---- steps

    def _sampler(self, number: int, stage: Stage) -> CropSampler:
        num_frames = 1 if self.config.network == "image" else 1 + stage.num_lead_frames + stage.num_frames
        return CropSampler(self.shots, self.cache, stage.patch, num_frames, seed=self.config.seed * 1000 + number)

    def _loss(self, batch: NDArray[np.uint8]) -> BatchLoss:
        clip = torch.from_numpy(batch).to(self.device).float() / 255
        lambdas = (self.config.lambda_first, self.config.lambda_last)
        dtype = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(self.config.autocast, torch.float32)
        with torch.autocast(self.device.type, dtype, enabled=self.config.autocast in ("bf16", "fp16")):
            parameters: Mapping[str, torch.Tensor] = self.parameters
            if self.config.stage_at(self.step)[1].quantise_weights:
                parameters = quantised_weights(parameters)
            if self.config.network == "image":
                return image_loss(self.image_model, parameters, clip, lambdas)
            stage = self.config.stage_at(self.step)[1]
            first = int(np.random.default_rng((self.config.seed, self.step)).integers(0, stage.num_lead_frames + 1))
            return video_loss(self.video_model, parameters, self.image_model, self.image_state, clip[:, first:], lambdas, stage.num_frames)

    def train_step(self, batch: NDArray[np.uint8], learning_rate: float) -> tuple[BatchLoss, float]:
        """One update; a gradient that is not finite skips it. Returns the loss and the gradient norm."""
        torch.manual_seed((self.config.seed << 32) + self.step)
        result = self._loss(batch)
        result.loss.backward()
        values = list(self.parameters.values())
        norm = float(torch.nn.utils.clip_grad_norm_(values, self.config.gradient_limit, foreach=True))
        if np.isfinite(norm):
            for group in self.optimiser.param_groups:
                group["lr"] = learning_rate * group["factor"]
            self.optimiser.step()
            decay = min(self.config.ema_decay, (1 + self.step) / (10 + self.step))
            with torch.no_grad():
                torch._foreach_lerp_(list(self.average.values()), [value.detach() for value in values], 1 - decay)
        self.optimiser.zero_grad(set_to_none=True)
        self.step += 1
        return result, norm

    def run(self, *, report: Callable[[TrainRecord], None], save_seconds: float = 180.0, stop_at_step: int | None = None) -> None:
        """Trains to the end of the schedule (or to `stop_at_step`), saving every `save_seconds` and at the end."""
        last = min(self.config.num_steps, stop_at_step or self.config.num_steps)
        self.folder.mkdir(parents=True, exist_ok=True)
        saved_at = started = time.monotonic()
        before_seconds = self.elapsed_seconds
        window: list[tuple[BatchLoss, float]] = []
        window_started = time.monotonic()
        with ThreadPoolExecutor(2) as pool:
            batches = _Prefetcher(pool, self.config, self._sampler, self.step, last)
            while self.step < last:
                number, _, rate = self.config.stage_at(self.step)
                window.append(self.train_step(batches.next(), rate))
                self.elapsed_seconds = before_seconds + time.monotonic() - started
                if self.step % LOG_EVERY == 0 or self.step == last:
                    seconds = time.monotonic() - window_started
                    record = self._record(number, rate, window, len(window) / seconds)
                    self._log(record)
                    report(record)
                    window, window_started = [], time.monotonic()
                if time.monotonic() - saved_at > save_seconds:
                    self.save()
                    saved_at = time.monotonic()
        self.save()

    def _record(self, number: int, rate: float, window: list[tuple[BatchLoss, float]], speed: float) -> TrainRecord:
        def mean(values: list[float]) -> float:
            return sum(values) / len(values)

        return TrainRecord(
            self.step,
            number,
            mean([float(loss.loss.detach()) for loss, _ in window]),
            mean([loss.weighted for loss, _ in window]),
            mean([loss.bpp for loss, _ in window]),
            mean([loss.psnr for loss, _ in window]),
            rate,
            mean([norm for _, norm in window]),
            speed,
            self.elapsed_seconds,
        )

    def _log(self, record: TrainRecord) -> None:
        path = self.folder / "log.csv"
        fresh = not path.exists()
        with path.open("a", newline="") as file:
            writer = csv.writer(file)
            if fresh:
                writer.writerow(vars(record))
            writer.writerow([f"{value:.6g}" if isinstance(value, float) else value for value in vars(record).values()])


class _Prefetcher:
    """Cuts the next batches on threads while a step computes; the order is the steps' order."""

    def __init__(
        self, pool: ThreadPoolExecutor, config: TrainConfig, make_sampler: Callable[[int, Stage], CropSampler], step: int, last: int
    ) -> None:
        self.pool, self.config, self.make_sampler = pool, config, make_sampler
        self.samplers: dict[int, CropSampler] = {}
        self.step, self.last = step, last
        self.pending: list[Future[NDArray[np.uint8]]] = []

    def next(self) -> NDArray[np.uint8]:
        while len(self.pending) < PREFETCH and self.step < self.last:
            number, stage, _ = self.config.stage_at(self.step)
            if number not in self.samplers:
                self.samplers = {number: self.make_sampler(number, stage)}
            self.pending.append(self.pool.submit(self.samplers[number].batch, self.step, stage.batch))
            self.step += 1
        return self.pending.pop(0).result()
