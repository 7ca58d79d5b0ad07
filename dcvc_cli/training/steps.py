"""What steps give to the log."""

from collections.abc import Sequence
from dataclasses import dataclass

from dcvc_cli.learning.trainee import BatchLoss
from dcvc_cli.training.logs import TrainRecord
from dcvc_cli.training.processes import TrainingProcesses


@dataclass(frozen=True)
class StepResult:
    """The result of one step: the losses of its updates on the own samples, the share of these in the batch, and the
    mean norm of the whole batch's gradients."""

    losses: Sequence[BatchLoss]
    share: float
    gradient_norm: float


@dataclass(frozen=True)
class Moment:
    """Where a run stands when a line is logged; as in TrainRecord."""

    step: int
    stage: int
    learning_rate: float
    steps_per_second: float
    elapsed_seconds: float


def record_of(window: Sequence[StepResult], moment: Moment, processes: TrainingProcesses) -> TrainRecord:
    """Makes a log line: means over the updates of a window and over the samples of all processes."""
    updates = [(loss, step.share) for step in window for loss in step.losses]
    names = list(updates[0][0].parts)
    rows = [
        (float(loss.loss), loss.weighted, loss.bpp, loss.psnr, *(loss.parts[name] for name in names))
        for loss, _ in updates
    ]
    own = [
        sum(row[column] * share for row, (_, share) in zip(rows, updates, strict=True)) / len(updates)
        for column in range(len(rows[0]))
    ]
    loss, weighted, bpp, psnr, *parts = processes.sum_values(own)
    return TrainRecord(
        moment.step,
        moment.stage,
        loss,
        weighted,
        bpp,
        psnr,
        moment.learning_rate,
        sum(step.gradient_norm for step in window) / len(window),
        moment.steps_per_second,
        moment.elapsed_seconds,
        dict(zip(names, parts, strict=True)),
    )
