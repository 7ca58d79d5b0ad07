"""Times of pictures: of joined streams in one clock, of an output, and in a file."""

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Protocol

from dcvc_cli.bitstream.picture_header import MAX_TIME
from dcvc_cli.bitstream.sps_blocks import TimeBase
from dcvc_cli.bitstream.tracks import TrackHeader, TrackPacket
from dcvc_cli.bitstream.units import FrameUnit, StartUnit, TrackUnit, Unit
from dcvc_cli.format.types import DEFAULT_FRAME_RATE, Picture, VideoFormat

TIMESTAMPS_HEAD = b"# timestamp format v2\n"
"""First line of mkvmerge's format: then the milliseconds of each picture, one a line."""


class StreamClock:
    """Gives the pictures of a source their times, in ticks of the first time base.

    Each part of a joined source counts from its own start. The clock lets a part begin where the part before it ends.
    """

    def __init__(self) -> None:
        self._base: TimeBase | None = None
        self._is_known = False
        self._start, self._end = Fraction(0), Fraction(0)
        self._last: Fraction | None = None

    @property
    def start(self) -> Fraction:
        """Seconds at which the current part begins."""
        return self._start

    def begin_part(self) -> None:
        """Takes the news that a new stream begins in the source."""
        self._start, self._last = self._end, None

    def times(self, unit: FrameUnit) -> Sequence[int | None]:
        """Returns the time of each picture of a unit; None where the source carries no times."""
        if not self._is_known:
            self._base, self._is_known = unit.sps.time_base, True
        seconds = [self._start + time for time in self._in_part(unit)]
        if self._base is None:
            return [None] * unit.pictures.num_pictures
        return [int(time * self._base.num / self._base.den + Fraction(1, 2)) for time in seconds]

    def _in_part(self, unit: FrameUnit) -> list[Fraction]:
        """Seconds since the start of the part."""
        sps = unit.sps
        duration = Fraction(sps.frame_rate_den, sps.frame_rate_num) if sps.frame_rate_num else Fraction(1, 25)
        if sps.time_base is not None:
            times = [Fraction(time * sps.time_base.den, sps.time_base.num) for time in unit.times]
        else:
            first = Fraction(0) if self._last is None else self._last + duration
            times = [first + number * duration for number in range(unit.pictures.num_pictures)]
        for time in sorted(times):
            if self._last is not None:
                duration = max(time - self._last, Fraction(0))
            self._last = time
            self._end = max(self._end, self._start + time + duration)
        return times


class JoinedTrackTimes:
    """Puts packets of other tracks into the clock of a joined source.

    Args:
        tracks: the headers that stand before the first frame.
    """

    def __init__(self, tracks: Sequence[TrackHeader]) -> None:
        self._known = {header.track: header for header in tracks}
        self._current = dict(self._known)
        self._clock = StreamClock()

    def look_at(self, unit: Unit) -> None:
        """Takes the next unit of the source; all frames have to come by."""
        if isinstance(unit, FrameUnit):
            self._clock.times(unit)
        elif isinstance(unit, StartUnit):
            self._clock.begin_part()
        elif isinstance(unit, TrackUnit) and isinstance(unit.message, TrackHeader):
            self._current[unit.message.track] = unit.message

    def of(self, message: TrackHeader | TrackPacket) -> TrackHeader | TrackPacket | None:
        """Puts the message into the clock of the source; None for a packet of another track of the same number, or
        beyond every time."""
        if isinstance(message, TrackHeader):
            return message
        known, current = self._known.get(message.track), self._current.get(message.track)
        if known is None or current is None:
            return message
        if replace(current, time_base=known.time_base) != known:
            return None
        ticks = Fraction(known.time_base.num, known.time_base.den)
        scale = ticks * current.time_base.den / current.time_base.num
        time, duration = round(message.time * scale + self._clock.start * ticks), round(message.duration * scale)
        return replace(message, time=time, duration=duration) if max(time, duration) <= MAX_TIME else None


class OutputTimes:
    """Times of an output: time 0 is the first picture after skipped ones, or the start of the stream without any.

    Args:
        seek: skipped pictures.

    Attributes:
        start: seconds of the stream that are time 0; an estimate before the first picture where pictures carry times.
    """

    def __init__(self, video_format: VideoFormat, seek: int) -> None:
        rate = video_format.frame_rate if video_format.frame_rate.num else DEFAULT_FRAME_RATE
        self._ticks, self._seek = video_format.time_base, seek
        self._duration = Fraction(rate.den, rate.num)
        self.start = seek * self._duration
        self._start_ticks: int | None = None
        self._last_ticks = -1

    def of(self, picture: Picture, index: int) -> tuple[Picture, Fraction]:
        """Returns the picture with its time in the output, and its seconds. A picture that stands for a lost one
        follows the one before it.

        Args:
            index: number of the picture in the stream.
        """
        if self._ticks is None:
            return picture, (index - self._seek) * self._duration
        time, second = picture.time, Fraction(self._ticks.den, self._ticks.num)
        if self._start_ticks is None:
            self._start_ticks = (time or 0) if self._seek else 0
            self.start = self._start_ticks * second
        if time is None:
            time = self._start_ticks + self._last_ticks + max(1, round(self._duration / second))
        self._last_ticks = max(time - self._start_ticks, self._last_ticks + 1)
        return replace(picture, time=self._last_ticks), self._last_ticks * second


class TextTarget(Protocol):
    """A file that takes bytes."""

    def write(self, data: bytes, /) -> object: ...


class TimestampFile:
    """Writes the times of pictures as mkvmerge reads them (`--timestamps 0:FILE`): format v2, milliseconds."""

    def __init__(self, sink: TextTarget) -> None:
        self._sink = sink
        sink.write(TIMESTAMPS_HEAD)

    def add(self, seconds: Fraction) -> None:
        """Takes the next picture in the order that pictures are shown in; times are rounded to nanoseconds."""
        nanoseconds = round(seconds * 10**9)
        text = f"{nanoseconds // 10**6}.{nanoseconds % 10**6:06d}".rstrip("0").removesuffix(".")
        self._sink.write(f"{text}\n".encode())
