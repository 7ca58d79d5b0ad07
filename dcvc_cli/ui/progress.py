"""Shows the progress of a run on standard error: a bar on a terminal, one JSON line a second, or nothing."""

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol

from dcvc_cli.ui.console import say

if TYPE_CHECKING:
    from rich.progress import Progress

SCHEMA_VERSION = 1
"""Version of the JSON lines. Within a version names may be added, and none is changed or removed."""
JSON_INTERVAL_SECONDS = 1.0
LINE_INTERVAL_SECONDS = 60.0
"""From line to line where there is no terminal: long runs show a sign of life in a log."""


class ProgressMode(StrEnum):
    """How progress is shown. AUTO is BAR where standard error is a terminal, else a line a minute."""

    AUTO = "auto"
    NONE = "none"
    BAR = "bar"
    JSON = "json"


class ProgressDisplay(Protocol):
    """Shows progress; `advance` is called after each frame."""

    def advance(self, size_bytes: int) -> None:
        """Counts one more frame of `size_bytes` coded bytes."""


class _Rate:
    """Frames and bytes so far, and the rates that follow from them."""

    def __init__(self, num_frames: int | None, frame_rate: float) -> None:
        self.num_frames, self.frame_rate = num_frames, frame_rate
        self.frame = self.size_bytes = 0
        self._start = time.monotonic()

    def add(self, size_bytes: int) -> None:
        self.frame += 1
        self.size_bytes += size_bytes

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._start

    @property
    def fps(self) -> float:
        return self.frame / max(self.seconds, 1e-9)

    @property
    def bitrate_kbps(self) -> float | None:
        return self.size_bytes * 8 / 1000 * self.frame_rate / self.frame if self.frame and self.frame_rate else None

    @property
    def eta_seconds(self) -> float | None:
        return (self.num_frames - self.frame) / self.fps if self.num_frames and self.frame else None


class _Silent:
    def advance(self, size_bytes: int) -> None:
        """Says nothing."""


class _Bar:
    def __init__(self, progress: "Progress", rate: _Rate, verb: str) -> None:
        self._progress, self._rate = progress, rate
        self._task = progress.add_task(verb, total=rate.num_frames, figures="")

    def advance(self, size_bytes: int) -> None:
        rate = self._rate
        rate.add(size_bytes)
        kbps = "" if rate.bitrate_kbps is None else f"{rate.bitrate_kbps:.1f} kbit/s"
        # The frame count of a video file is an estimate: never show 97 of 96.
        total = None if rate.num_frames is None else max(rate.num_frames, rate.frame)
        self._progress.update(
            self._task, completed=rate.frame, total=total, figures=f"{rate.frame} frames  {rate.fps:.2f} fps  {kbps}"
        )


class _Lines:
    """A line for people now and then."""

    def __init__(self, rate: _Rate, verb: str) -> None:
        self._rate, self._verb = rate, verb
        self._next = LINE_INTERVAL_SECONDS

    def advance(self, size_bytes: int) -> None:
        rate = self._rate
        rate.add(size_bytes)
        if rate.seconds < self._next:
            return
        self._next = rate.seconds + LINE_INTERVAL_SECONDS
        total = f" of {rate.num_frames}" if rate.num_frames else ""
        kbps = "" if rate.bitrate_kbps is None else f", {rate.bitrate_kbps:.1f} kbit/s"
        left = "" if rate.eta_seconds is None else f", {max(0.0, rate.eta_seconds):.0f} s left"
        say(f"{self._verb}: {rate.frame}{total} frames, {rate.fps:.2f} fps{kbps}{left}")


class _JsonLines:
    def __init__(self, rate: _Rate, verb: str) -> None:
        self._rate, self._verb = rate, verb
        self._next = JSON_INTERVAL_SECONDS

    def advance(self, size_bytes: int) -> None:
        self._rate.add(size_bytes)
        if self._rate.seconds >= self._next:
            self._next = self._rate.seconds + JSON_INTERVAL_SECONDS
            self.write("running")

    def write(self, state: str) -> None:
        rate = self._rate
        line: dict[str, Any] = {
            "schema_version": SCHEMA_VERSION,
            "event": self._verb,
            "state": state,
            "frame": rate.frame,
            "num_frames": rate.num_frames,
            "size_bytes": rate.size_bytes,
            "fps": round(rate.fps, 3),
            "bitrate_kbps": None if rate.bitrate_kbps is None else round(rate.bitrate_kbps, 3),
            "eta_seconds": None if rate.eta_seconds is None else round(rate.eta_seconds, 1),
            "seconds": round(rate.seconds, 3),
        }
        print(json.dumps(line), file=sys.stderr, flush=True)


@contextmanager
def open_progress(
    mode: ProgressMode, verb: str, *, num_frames: int | None, frame_rate: float, quiet: bool = False
) -> Iterator[ProgressDisplay]:
    """Shows progress while the context lasts. The last JSON line has the state "done", unless an exception ends the
    context.

    Args:
        verb: "encode" or "decode".
        num_frames: how many frames are expected, None where that is not known.
        frame_rate: frames per second of playing time, for the bitrate; 0 where it is not known.
        quiet: with AUTO, show nothing.
    """
    rate = _Rate(num_frames, frame_rate)
    if mode is ProgressMode.JSON:
        lines = _JsonLines(rate, verb)
        yield lines
        lines.write("done")
        return
    if mode is ProgressMode.NONE or (mode is ProgressMode.AUTO and quiet):
        yield _Silent()
        return
    if mode is ProgressMode.AUTO and not sys.stderr.isatty():
        yield _Lines(rate, verb)
        return
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    from dcvc_cli.ui.console import stderr_console

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[figures]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=stderr_console(), transient=True) as progress:
        yield _Bar(progress, rate, verb)
