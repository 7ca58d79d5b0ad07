"""Checks a whole .dcvc stream against docs/bitstream.md, for `dcvc info --validate`. Payloads are not decoded."""

from dataclasses import dataclass

from dcvc_cli.bitstream.faults import BitstreamError, Rule
from dcvc_cli.bitstream.nal import NalType
from dcvc_cli.bitstream.sei import PictureHash
from dcvc_cli.bitstream.stream_reader import StreamReader
from dcvc_cli.bitstream.units import Damage, EndUnit, FrameUnit, IndexEntry, IndexUnit, SeiUnit, SpsUnit, StartUnit, Unit
from dcvc_cli.bitstream.window import ByteSource


@dataclass(frozen=True)
class Fault:
    """A rule that a stream breaks.

    Args:
        offset: byte offset of the unit that breaks it.
        rule: stable name of the rule.
        message: what was expected and what was found, one line.
    """

    offset: int
    rule: Rule
    message: str


def validate_stream(source: ByteSource) -> list[Fault]:
    """All faults of a stream in file order, empty for a valid one. Never raises for what the stream holds."""
    validator = _Validator()
    try:
        for unit in StreamReader(source, tolerant=True):
            validator.look_at(unit)
    except BitstreamError as error:
        validator.faults.append(Fault(error.offset or 0, error.rule, error.reason))
    return validator.faults


class _Validator:
    """The rules that span units and that a decoder does not need: repeated SPS, index, kind of hashes."""

    def __init__(self) -> None:
        self.faults: list[Fault] = []
        self._previous: Unit | None = None
        self._start_stream(0)

    def _start_stream(self, offset: int) -> None:
        self._start = offset
        self._num_frames = 0
        self._damaged = False
        self._points: list[IndexEntry] = []
        self._p_offsets: dict[int, int] = {}
        self._index: IndexUnit | None = None
        self._last_frame: FrameUnit | None = None

    def look_at(self, unit: Unit) -> None:
        if isinstance(unit, Damage):
            self.faults.append(Fault(unit.offset, unit.rule, unit.message))
            self._damaged = True
        elif isinstance(unit, StartUnit):
            self._start_stream(unit.offset)
        elif isinstance(unit, FrameUnit):
            self._look_at_frame(unit)
        elif isinstance(unit, SeiUnit) and isinstance(unit.message, PictureHash) and self._last_frame:
            announced = self._last_frame.sps.hash_kind
            if unit.message.kind is not announced:
                message = f"a picture hash is of kind {unit.message.kind.name}, the SPS announces {announced.name}"
                self.faults.append(Fault(unit.offset, Rule.HASH_KIND, message))
        elif isinstance(unit, IndexUnit):
            self._index = unit
            self._look_at_index(unit)
        elif isinstance(unit, EndUnit):
            distance = unit.offset - self._index.offset if self._index else 0
            if unit.index_distance != distance and not self._damaged:
                message = f"the end unit puts the index {unit.index_distance} bytes before it, it stands {distance} before (0: there is none)"
                self.faults.append(Fault(unit.offset, Rule.END_MISMATCH, message))
        self._previous = unit

    def _look_at_frame(self, unit: FrameUnit) -> None:
        offset = unit.offset
        if unit.frame_type is NalType.I:
            if isinstance(self._previous, SpsUnit) and self._previous.sps_id == unit.sps_id:
                offset = self._previous.offset
            elif not isinstance(self._previous, Damage):
                message = f"an I unit does not stand directly after SPS {unit.sps_id}, which it names"
                self.faults.append(Fault(unit.offset, Rule.SPS_NOT_REPEATED, message))
            self._points.append(IndexEntry(NalType.I, self._num_frames, offset - self._start))
        else:
            self._p_offsets[self._num_frames] = offset - self._start
        self._num_frames += 1
        self._last_frame = unit

    def _look_at_index(self, unit: IndexUnit) -> None:
        if self._damaged:
            return  # Frame numbers after a loss are not known.
        points = [entry for entry in unit.entries if entry.frame_type is NalType.I]
        if points != self._points:
            wrong = next((p for p in points if p not in self._points), None)
            message = f"the index lists {len(points)} I frames, the stream has {len(self._points)}"
            if wrong:
                message = f"the index lists I frame {wrong.frame_number} at byte {wrong.offset} of its stream, where it is not"
            self.faults.append(Fault(unit.offset, Rule.INDEX_MISMATCH, message))
        for entry in unit.entries:
            if entry.frame_type is NalType.P and self._p_offsets.get(entry.frame_number) != entry.offset:
                message = f"the index lists P frame {entry.frame_number} at byte {entry.offset} of its stream, where it is not"
                self.faults.append(Fault(unit.offset, Rule.INDEX_MISMATCH, message))
                break
