"""Shows the progress of a training run: a bar with loss, rate, quality and the time left on a terminal, JSON lines, or
nothing."""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from dcvc_cli.ui.console import stderr_console
from dcvc_cli.ui.progress import SCHEMA_VERSION, ProgressMode


class TrainFigures(Protocol):
    """The figures of a report that are shown; training.logs.TrainRecord has them.

    Attributes:
        step: steps done so far.
        bpp: estimated bits per luma sample.
        psnr: of luma, in dB.
    """

    @property
    def step(self) -> int: ...
    @property
    def loss(self) -> float: ...
    @property
    def bpp(self) -> float: ...
    @property
    def psnr(self) -> float: ...
    @property
    def steps_per_second(self) -> float: ...


Show = Callable[[TrainFigures], None]


@contextmanager
def open_training_progress(mode: ProgressMode, num_steps: int) -> Iterator[Show]:
    """Yields a function that shows a report. A JSON line has every field of the report.

    Args:
        num_steps: steps of the whole schedule.
    """
    if mode is ProgressMode.JSON:
        yield lambda record: print(
            json.dumps({"schema_version": SCHEMA_VERSION, "event": "train", **vars(record)}),
            file=sys.stderr,
            flush=True,
        )
        return
    if mode is ProgressMode.NONE or (mode is ProgressMode.AUTO and not stderr_console().is_terminal):
        yield lambda record: None
        return
    columns = (
        TextColumn("train"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[figures]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=stderr_console(), transient=True) as bars:
        task = bars.add_task("train", total=num_steps, figures="")

        def show(record: TrainFigures) -> None:
            figures = (
                f"loss {record.loss:.3f}  {record.bpp:.3f} bpp  {record.psnr:.2f} dB  {record.steps_per_second:.2f} "
                "steps/s"
            )
            bars.update(task, completed=record.step, figures=figures)

        yield show
