"""Logs of a training run: CSV files, and TensorBoard's format on request. A resumed run drops the lines of steps that a
kill undid."""

import csv
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dcvc_cli.errors import EnvironmentFault


@dataclass(frozen=True)
class TrainRecord:
    """One line of log.csv: means over the steps since the last one. `weighted` is lambda D + R without the weights of
    the loss; `parts` is what the trained network's family logs beside."""

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
    parts: Mapping[str, float] = field(default_factory=dict)

    def values(self) -> dict[str, Any]:
        """Returns the values by column."""
        values = dict(vars(self))
        return values | dict(values.pop("parts"))


@dataclass(frozen=True)
class ValidationRecord:
    """One line of validation.csv: a clip coded at one QP, with the bits of its payloads and the PSNR of what was
    decoded from them.

    psnr is (6Y + U + V) / 8 of 4:2:0 clips, RGB PSNR of RGB ones, which have no psnr_y.
    """

    step: int
    clip: str
    qp: int
    num_frames: int
    bpp: float
    psnr: float
    psnr_y: float | None = None

    def values(self) -> dict[str, Any]:
        """Returns the values by column."""
        return dict(vars(self))


class CsvLog:
    """Records of one dataclass, appended line by line."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def add(self, record: TrainRecord | ValidationRecord) -> None:
        values = record.values()
        fresh = not self.path.exists()
        with self.path.open("a", newline="") as file:
            writer = csv.writer(file)
            if fresh:
                writer.writerow(values)
            writer.writerow([f"{value:.6g}" if isinstance(value, float) else value for value in values.values()])

    def forget_after(self, step: int) -> None:
        """Drops lines of later steps, which are run and logged again, and a line that a kill cut short."""
        if not self.path.exists():
            return
        with self.path.open(newline="") as file:
            rows = list(csv.reader(file))
        kept = rows[:1]
        for row in rows[1:]:
            with suppress(ValueError, IndexError):
                if len(row) == len(rows[0]) and int(row[0]) <= step:
                    kept.append(row)
        staged = self.path.with_suffix(".partial")
        with staged.open("w", newline="") as file:
            csv.writer(file).writerows(kept)
        staged.replace(self.path)


class TensorBoardLog:
    """Scalars for TensorBoard; EnvironmentFault without the package."""

    def __init__(self, folder: Path, first_step: int) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise EnvironmentFault(
                "--tensorboard needs the package tensorboard", "pip install dcvc[train], or read log.csv"
            ) from error
        self._writer = SummaryWriter(str(folder), purge_step=first_step + 1)

    def add(self, prefix: str, step: int, values: Mapping[str, Any]) -> None:
        for name, value in values.items():
            if isinstance(value, float):
                self._writer.add_scalar(f"{prefix}/{name}", value, step)

    def close(self) -> None:
        self._writer.close()


class TrainingLog:
    """log.csv and validation.csv in a run's folder, and TensorBoard's files below tensorboard/."""

    def __init__(self, folder: Path, step: int, *, tensorboard: bool = False) -> None:
        self._train, self._validation = CsvLog(folder / "log.csv"), CsvLog(folder / "validation.csv")
        self._train.forget_after(step)
        self._validation.forget_after(step)
        self._board = TensorBoardLog(folder / "tensorboard", step) if tensorboard else None

    def add(self, record: TrainRecord) -> None:
        self._train.add(record)
        if self._board:
            self._board.add("train", record.step, record.values())

    def add_validation(self, record: ValidationRecord) -> None:
        self._validation.add(record)
        if self._board:
            self._board.add(f"validation/{record.clip}/qp{record.qp}", record.step, record.values())

    def close(self) -> None:
        if self._board:
            self._board.close()
