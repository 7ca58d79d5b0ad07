"""Copies units of streams into one new stream. Ids, index, checks and times are made anew; payloads and hashes do not
change."""

from dataclasses import replace
from fractions import Fraction
from hashlib import sha256
from math import ceil

from dcvc_cli.bitstream.nal import NalType
from dcvc_cli.bitstream.sei import PictureHash
from dcvc_cli.bitstream.sps import Sps
from dcvc_cli.bitstream.sps_blocks import TimeBase
from dcvc_cli.bitstream.stream_writer import StreamWriter
from dcvc_cli.bitstream.tracks import MATROSKA_TRACK, TrackHeader, TrackPacket
from dcvc_cli.bitstream.units import FrameUnit, LaterUnit, MetadataUnit, SeiUnit, SpsUnit, StartUnit, TrackUnit, Unit
from dcvc_cli.bitstream.window import ByteSink


class StreamCopy:
    """Copies units, those of one stream after those of another. Times of each stream start where the last one ended.

    Args:
        sink: receives the new stream.

    Attributes:
        notes: one sentence for each thing that was left out.
    """

    def __init__(self, sink: ByteSink) -> None:
        self._writer = StreamWriter(sink)
        self._sps: Sps | None = None
        """The SPS received last."""
        self._start = self._now = Fraction(0)
        """Seconds: when the current stream starts, and when the last picture ends."""
        self._last_time: int | None = None
        self._tracks: dict[int, TrackHeader] = {}
        self._left_out: set[int] = set()
        self._facts, self._later_facts = sha256(), sha256()
        """Of the Matroska header that the new stream has, and of that of the current stream if it comes later."""
        self._frame_is_there = False
        self.notes: list[str] = []

    @property
    def num_frames(self) -> int:
        """Counts the pictures copied so far."""
        return self._writer.num_frames

    def copy(self, unit: Unit, name: str) -> None:
        """Copies one unit. `finish` makes index and end unit; the caller handles damage.

        Args:
            name: name of the source.
        """
        if isinstance(unit, StartUnit):
            self._start, self._last_time = self._now, None
            self._left_out.clear()
            self._later_facts = sha256()
        elif isinstance(unit, SpsUnit):
            self._sps = unit.sps
        elif isinstance(unit, FrameUnit):
            self._tell_facts(name)
            self._copy_frame(unit)
        elif isinstance(unit, SeiUnit):
            if self._frame_is_there or not isinstance(unit.message, PictureHash):
                self._writer.write_message(unit.message)
        elif isinstance(unit, MetadataUnit):
            if self._frame_is_there:
                self._writer.write_metadata(unit.message.picture, unit.message.kind, unit.message.data)
        elif isinstance(unit, TrackUnit):
            self._copy_track(unit.message, name)
        elif isinstance(unit, LaterUnit):
            self._note(f"units of type {unit.nal_type:d} in {name}, which this dcvc does not know, are left out")

    def leave_out_frame(self) -> None:
        """Notes that a frame is not copied, so that the messages behind it are not copied either."""
        self._frame_is_there = False

    def finish(self) -> None:
        """Writes index and end unit."""
        self._writer.finish()

    def _copy_frame(self, unit: FrameUnit) -> None:
        sps, pictures = unit.sps, unit.pictures
        if sps.time_base is not None:
            if unit.frame_type is NalType.I:
                # Rounded up, or the picture could come before the last one of another time base.
                first = unit.times[0] + ceil(self._start * sps.time_base.num / sps.time_base.den)
                pictures = replace(pictures, times=(first, *pictures.times[1:]))
            self._advance(unit, sps.time_base)
        elif sps.frame_rate_num:
            self._now += Fraction(sps.frame_rate_den, sps.frame_rate_num) * pictures.num_pictures
        sps_id = self._writer.use_sps(sps)
        self._writer.write_frame(unit.frame_type, sps_id, unit.qp, unit.reset, unit.payload, pictures)
        self._frame_is_there = True

    def _advance(self, unit: FrameUnit, time_base: TimeBase) -> None:
        """Moves the end of the stream behind a unit. The last picture lasts as long as the one before it."""
        for time in sorted(unit.times):
            duration = 1 if self._last_time is None else max(1, time - self._last_time)
            self._last_time = time
            end = self._start + Fraction((time + duration) * time_base.den, time_base.num)
            self._now = max(self._now, end)

    def _copy_track(self, message: TrackHeader | TrackPacket, name: str) -> None:
        if isinstance(message, TrackHeader):
            if self.num_frames and message.track not in (*self._tracks, MATROSKA_TRACK):
                told = f"track {message.track} of {name} ({message.kind}, {message.codec})"
                self._note(f"{told} begins behind the first frame, so `dcvc decode` writes it into no video file")
            known = self._tracks.setdefault(message.track, message)
            if known != message:
                self._left_out.add(message.track)
                told = f"track {message.track} of {name} ({message.kind}, {message.codec})"
                self._note(f"{told} is left out: it is another than track {known.track} before it")
        if message.track in self._left_out:
            return
        if isinstance(message, TrackPacket):
            header = self._tracks.get(message.track)
            if header is None:
                self._note(f"packets of track {message.track} in {name}, which has no header, are left out")
                return
            if message.track == MATROSKA_TRACK:
                (self._later_facts if self.num_frames else self._facts).update(message.data)
                if self.num_frames:
                    return
            message = replace(message, time=message.time + _ticks(self._start, header.time_base))
        if self._sps is not None:
            self._writer.use_sps(self._sps)
        self._writer.write_track(message)

    def _tell_facts(self, name: str) -> None:
        """Tells facts before a frame: tells what of a later stream's Matroska header has no place."""
        if self._later_facts.digest() not in (sha256().digest(), self._facts.digest()):
            self._note(f"tags, chapters and attachments of {name} are left out: those before it count")

    def _note(self, sentence: str) -> None:
        if sentence not in self.notes:
            self.notes.append(sentence)


def _ticks(seconds: Fraction, time_base: TimeBase) -> int:
    return round(seconds * time_base.num / time_base.den)
