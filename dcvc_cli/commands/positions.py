"""Values of --seek and --frames: a number of frames, or a time code."""

import math
import re
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from dcvc_cli.errors import UsageError

if TYPE_CHECKING:
    from dcvc_cli.commands.encode_stream import EncodeChoices

Position = int | Fraction
"""A number of frames, or seconds."""
_TIME = re.compile(r"(?:(?:(\d{1,4}):)?(\d{1,4}):)?(\d{1,6}(?:\.\d{1,9})?)(s?)", re.ASCII)


def position_of(text: str, option: str, least: int) -> Position:
    """Frames of `120`, seconds of `83s`, `83.5`, `1:23` or `1:02:03.5`.

    Raises:
        UsageError: anything else, or fewer frames than `least`.
    """
    if text.isascii() and text.isdigit() and len(text) <= 12:
        if int(text) >= least:
            return int(text)
    else:
        match = _TIME.fullmatch(text)
        if match is not None:
            hours, minutes, seconds = (Fraction(part or 0) for part in match.groups()[:3])
            if (minutes < 60 or not hours) and (seconds < 60 or ":" not in text):
                time = 3600 * hours + 60 * minutes + seconds
                if time or not least:
                    return time
    frames = f"a number of frames from {least}" if least else "a number of frames"
    raise UsageError(f"{option} {text}: expected {frames}, or a time such as 1:23.5 or 83s")


def span_of(seek: Position, frames: Position | None, frame_at: "FrameAt | None", name: str) -> tuple[int, int | None]:
    """Returns (frames to skip, frames to take or None for all) of positions that may be times.

    Args:
        frame_at: finds the number of the first picture at or after a time; None where the source cannot be looked at
            before it is read.

    Raises:
        UsageError: a time without frame_at, a duration after a number of frames that are not evenly spaced, or a
            duration that holds no picture.
    """
    if isinstance(seek, int) and not isinstance(frames, Fraction):
        return seek, frames
    if frame_at is None:
        raise UsageError(f"{name} is a pipe, and times of --seek and --frames are for files", "give numbers of frames")
    start = seek if isinstance(seek, int) else frame_at.number(seek)
    if not isinstance(frames, Fraction):
        return start, frames
    begin = frame_at.seconds(seek) if isinstance(seek, int) else seek
    count = frame_at.number(begin + frames) - start
    if count < 1:
        raise UsageError(f"--frames of {float(frames):g} s holds no picture of {name}", "give a longer time")
    return start, count


class FrameAt:
    """Numbers of pictures by their times.

    Args:
        rate: pictures a second, 0 where it is not known.
        times: seconds of every picture in order, where they are not evenly spaced.
        name: the source for messages.
    """

    def __init__(self, rate: Fraction, times: list[Fraction] | None, name: str) -> None:
        self._rate, self._times, self._name = rate, times, name

    def number(self, seconds: Fraction) -> int:
        """Returns the number of the first picture at or after a time, or of pictures where there is none."""
        if self._times is not None:
            return sum(time < seconds for time in self._times)
        return math.ceil(seconds * self._checked_rate())

    def seconds(self, number: int) -> Fraction:
        """Returns when a picture is shown."""
        if self._times is not None:
            return self._times[number] if number < len(self._times) else Fraction(0)
        return number / self._checked_rate()

    def _checked_rate(self) -> Fraction:
        if not self._rate:
            raise UsageError(f"{self._name} does not say its frame rate, so times are not known", "give frames")
        return self._rate


def stream_span(source: str, seek: Position, frames: Position | None) -> tuple[int, int | None]:
    """Does `span_of` for a .dcvc stream."""
    if isinstance(seek, int) and not isinstance(frames, Fraction):
        return seek, frames
    from dcvc_cli.bitstream.stream_reader import StreamReader
    from dcvc_cli.bitstream.units import FrameUnit
    from dcvc_cli.coding.stream_source import StreamSource, naming

    frame_at = None
    with StreamSource(source) as stream, naming(stream.name):
        if stream.is_seekable:
            times: list[Fraction] = []
            for unit in StreamReader(stream, tolerant=True):
                if not isinstance(unit, FrameUnit):
                    continue
                sps = unit.sps
                if sps.time_base is None:
                    rate = Fraction(sps.frame_rate_num, sps.frame_rate_den) if sps.frame_rate_den else Fraction(0)
                    frame_at = FrameAt(rate, None, stream.name)
                    break
                times += [Fraction(time * sps.time_base.den, sps.time_base.num) for time in unit.times]
            frame_at = frame_at or FrameAt(Fraction(0), times, stream.name)
        return span_of(seek, frames, frame_at, stream.name)


def input_span(source: str, choices: "EncodeChoices") -> tuple[int, int | None]:
    """Does `span_of` for an input of pictures, which is opened once more."""
    seek, frames = choices.seek, choices.frames
    if isinstance(seek, int) and not isinstance(frames, Fraction):
        return seek, frames
    if source == "-" or Path(source).is_fifo():
        rate = choices.frame_rate
        known = None if rate is None else FrameAt(Fraction(rate.num, rate.den), None, source)
        return span_of(seek, frames, known, "standard input" if source == "-" else source)
    from dcvc_cli.media import open_reader
    from dcvc_cli.media.container import ContainerReader

    with open_reader(
        source,
        size=choices.size,
        frame_rate=choices.frame_rate,
        bit_depth=choices.input_depth,
        input_format=choices.input_format,
        limits=choices.limits,
    ) as reader:
        times = reader.picture_times() if isinstance(reader, ContainerReader) else None
        rate = reader.format.frame_rate
        return span_of(seek, frames, FrameAt(Fraction(rate.num, rate.den), times, reader.name), reader.name)
