"""Joins .dcvc streams unit by unit, and repairs damaged ones. Payloads and picture hashes do not change."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

from dcvc_cli.bitstream.faults import BitstreamError, Rule
from dcvc_cli.bitstream.sps import Sps
from dcvc_cli.bitstream.stream_copy import StreamCopy
from dcvc_cli.bitstream.stream_reader import StreamReader
from dcvc_cli.bitstream.tracks import MATROSKA_TRACK, TrackHeader, TrackPacket
from dcvc_cli.bitstream.units import Damage, EndUnit, FrameUnit, StartUnit, TrackUnit, Unit
from dcvc_cli.bitstream.window import ByteSink, ByteSource

MAX_TOLD_DAMAGES = 20
"""A report names so many damaged places; it counts the rest."""


@dataclass(frozen=True)
class ConcatReport:
    """What a join or a repair did.

    Args:
        num_frames: frames of the result.
        notes: one sentence for each change between the streams that a viewer would see or a decoder must know, and one
            for each thing that was left out.
    """

    num_frames: int
    notes: tuple[str, ...]


def _model(sps: Sps) -> str:
    fingerprints = " ".join(f"{fingerprint:016x}" for fingerprint in sps.fingerprints)
    return f"{sps.model_family}/{sps.model_variant} {fingerprints}".rstrip()


_STOPS = "; `dcvc decode` stops there, decode the parts apart"
_COMPARED: tuple[tuple[str, Callable[[Sps], object], str], ...] = (
    ("picture size", lambda sps: f"{sps.width}x{sps.height}", _STOPS),
    ("chroma format", lambda sps: sps.chroma_format, _STOPS),
    ("bit depth", lambda sps: sps.bit_depth, _STOPS),
    ("frame rate", lambda sps: f"{sps.frame_rate_num}/{sps.frame_rate_den}", ""),
    ("time base", lambda sps: f"{sps.time_base.num}/{sps.time_base.den}" if sps.time_base else "none", ""),
    ("colour", lambda sps: f"{sps.colour_primaries}/{sps.transfer}/{sps.matrix}", ""),
    ("colour range", lambda sps: {True: "full", False: "limited", None: "unknown"}[sps.full_range], ""),
    ("chroma location", lambda sps: sps.chroma_location or "not said", ""),
    ("sample aspect ratio", lambda sps: f"{sps.sar_num}:{sps.sar_den}", ""),
    ("interlacing", lambda sps: sps.interlacing, ""),
    ("mastering display", lambda sps: sps.mastering_display or "none", ""),
    ("content light level", lambda sps: sps.content_light or "none", ""),
    ("model", _model, "; decoding needs the weights of both"),
    ("precision", lambda sps: sps.precision.name.lower(), ""),
)
"""What a viewer would see or a decoder needs: (its name, its value as text, what a change means)."""


def concat_streams(sources: Sequence[tuple[str, ByteSource]], sink: ByteSink) -> ConcatReport:
    """Joins streams, in order, into one.

    Args:
        sources: (name for messages, source) of each stream. A source may itself be a join of streams.

    Raises:
        BitstreamError: a stream is damaged or cut short. The message begins with the name of the stream.
    """
    copy = StreamCopy(sink)
    notes: list[str] = []
    previous: Sps | None = None
    parts = [_Part(name, source) for name, source in sources]
    announced = _later_tracks(parts)
    for part in parts:
        for unit in part.units():
            if isinstance(unit, FrameUnit):
                for track in announced:
                    copy.copy(track, part.name)
                announced = []
                notes += _changes(part.name, previous, unit.sps)
                previous = unit.sps
            copy.copy(unit, part.name)
    copy.finish()
    return ConcatReport(copy.num_frames, (*notes, *copy.notes))


class _Part:
    """One of the streams to join. Its errors begin with its name."""

    def __init__(self, name: str, source: ByteSource) -> None:
        self.name = name
        self._reader = self._read(source)
        self._head: list[Unit] = []

    def _read(self, source: ByteSource) -> Iterator[Unit]:
        try:
            yield from StreamReader(source)
        except BitstreamError as error:
            raise type(error)(error.rule, f"{self.name}: {error.message}", hint=error.hint) from error

    def tracks(self) -> list[TrackUnit]:
        """Reads what the stream says of its tracks before its first frame: their headers, and the container's facts."""
        for unit in self._reader:
            self._head.append(unit)
            if isinstance(unit, FrameUnit):
                break
        return [unit for unit in self._head if isinstance(unit, TrackUnit) and _announces(unit.message)]

    def units(self) -> Iterator[Unit]:
        """Yields all units, once."""
        head, self._head = self._head, []
        return chain(head, self._reader)


def _announces(message: TrackHeader | TrackPacket) -> bool:
    return isinstance(message, TrackHeader) or message.track == MATROSKA_TRACK


def _later_tracks(parts: Sequence[_Part]) -> list[TrackUnit]:
    """Returns what has to stand before the first frame of the result where only a later stream has tracks: a decoder
    opens its output at the first frame."""
    for index, part in enumerate(parts):
        tracks = part.tracks()
        if any(unit.message.track == MATROSKA_TRACK for unit in tracks):
            return tracks if index else []
    return []


def _changes(name: str, previous: Sps | None, sps: Sps) -> list[str]:
    if previous is None or previous == sps:
        return []
    values = [(what, show(previous), show(sps), meaning) for what, show, meaning in _COMPARED]
    return [
        f"{what} changes from {before} to {after} in {name}{meaning}"
        for what, before, after, meaning in values
        if before != after
    ]


def repair_stream(name: str, source: ByteSource, sink: ByteSink) -> ConcatReport:
    """Repairs a stream that is damaged or cut short: the result holds every frame that can be decoded, a new index and
    a new end unit.

    The frames from a loss to the next I frame cannot be decoded; the result lacks them. Notes say what was lost.

    Raises:
        BitstreamError: no frame is left, or the source is no .dcvc stream. The message begins with the name.
    """
    copy = StreamCopy(sink)
    losses = _Losses()
    try:
        for unit in StreamReader(source, tolerant=True):
            losses.look_at(unit)
            if isinstance(unit, FrameUnit) and not unit.decodable:
                copy.leave_out_frame()
            else:
                copy.copy(unit, name)
    except BitstreamError as error:
        raise type(error)(error.rule, f"{name}: {error.message}", hint=error.hint) from error
    if not copy.num_frames:
        raise BitstreamError(Rule.TRUNCATED, f"{name}: no frame can be decoded, so nothing is left to repair")
    copy.finish()
    return ConcatReport(copy.num_frames, (*losses.notes(), *copy.notes))


class _Losses:
    """What a repaired stream lacks."""

    def __init__(self) -> None:
        self._damages: list[Damage] = []
        self._num_damages = 0
        self._num_undecodable = 0
        self._num_segment_frames = 0
        self._num_missing = 0

    def look_at(self, unit: object) -> None:
        """Counts what a unit says was lost; `unit`: the next one of a tolerant reader."""
        if isinstance(unit, Damage):
            self._num_damages += 1
            if len(self._damages) < MAX_TOLD_DAMAGES:
                self._damages.append(unit)
        elif isinstance(unit, StartUnit):
            self._num_segment_frames = 0
        elif isinstance(unit, FrameUnit):
            self._num_segment_frames += unit.pictures.num_pictures
            if not unit.decodable:
                self._num_undecodable += unit.pictures.num_pictures
        elif isinstance(unit, EndUnit):
            self._num_missing += max(0, unit.num_frames - self._num_segment_frames)

    def notes(self) -> list[str]:
        """Returns one sentence for each loss."""
        notes = [
            f"byte {damage.offset}: {damage.message} [{damage.rule.value}]{_left_out(damage)}"
            for damage in self._damages
        ]
        if self._num_damages > len(self._damages):
            notes.append(f"{self._num_damages - len(self._damages)} more places like these")
        if self._num_missing:
            frames = (
                "frame that the end unit counts is" if self._num_missing == 1 else "frames that the end unit counts are"
            )
            notes.append(f"{self._num_missing} {frames} not there")
        if self._num_undecodable:
            frames = (
                "frame is left out: what it needs"
                if self._num_undecodable == 1
                else "frames are left out: what they need"
            )
            notes.append(f"{self._num_undecodable} {frames} to be decoded is lost")
        return notes


def _left_out(damage: Damage) -> str:
    return f", {damage.size_bytes} bytes are left out" if damage.size_bytes else ""
