"""Checks a whole .dcvc stream against docs/bitstream.md, for `dcvc info --validate`. Payloads are not decoded."""

from dataclasses import dataclass

from dcvc_cli.bitstream.faults import BitstreamError, Rule
from dcvc_cli.bitstream.nal import NalType
from dcvc_cli.bitstream.sei import PictureHash
from dcvc_cli.bitstream.stream_reader import StreamReader
from dcvc_cli.bitstream.tracks import TrackHeader
from dcvc_cli.bitstream.units import Damage, FrameUnit, SeiUnit, SpsUnit, StartUnit, TrackUnit, Unit
from dcvc_cli.bitstream.vbv_check import VbvCheck
from dcvc_cli.bitstream.window import ByteSource


@dataclass(frozen=True)
class Fault:
    """A rule that a stream breaks.

    Attributes:
        offset: byte offset of the unit that breaks the rule.
        rule: its stable name.
        message: what was expected and what was found, in one line.
    """

    offset: int
    rule: Rule
    message: str


def validate_stream(source: ByteSource) -> list[Fault]:
    """Returns all faults of a stream in file order. A valid stream has none. No content of a stream raises an error."""
    validator = _Validator()
    try:
        for unit in StreamReader(source, tolerant=True):
            validator.look_at(unit)
    except BitstreamError as error:
        validator.faults.append(Fault(error.offset or 0, error.rule, error.reason))
    return validator.faults


class _Validator:
    """Checks the rules that span units and that no decoder needs: the SPS before each I unit, the kind of hashes, the
    headers of tracks, and the buffer (VBV)."""

    def __init__(self) -> None:
        self.faults: list[Fault] = []
        self._previous: Unit | None = None
        self._last_frame: FrameUnit | None = None
        self._tracks: set[int] = set()
        self._vbv = VbvCheck()

    def look_at(self, unit: Unit) -> None:
        if isinstance(unit, Damage):
            self.faults.append(Fault(unit.offset, unit.rule, unit.message))
        elif isinstance(unit, StartUnit):
            self._last_frame = None
            self._tracks.clear()
            self._vbv.start(unit.offset)
        elif isinstance(unit, FrameUnit):
            self._look_at_frame(unit)
        elif isinstance(unit, SeiUnit) and isinstance(unit.message, PictureHash) and self._last_frame:
            announced = self._last_frame.sps.hash_kind
            if unit.message.kind is not announced:
                message = f"a picture hash is of kind {unit.message.kind.name}, the SPS announces {announced.name}"
                self.faults.append(Fault(unit.offset, Rule.HASH_KIND, message))
        elif isinstance(unit, TrackUnit):
            self._vbv.pass_over(unit.size_bytes)
            track = unit.message.track
            if isinstance(unit.message, TrackHeader):
                self._tracks.add(track)
            elif track not in self._tracks:
                message = f"a packet of track {track} stands before the track's header"
                self.faults.append(Fault(unit.offset, Rule.TRACK_MISSING, message))
        self._previous = unit

    def _look_at_frame(self, unit: FrameUnit) -> None:
        is_repeated = isinstance(self._previous, SpsUnit) and self._previous.sps_id == unit.sps_id
        if unit.frame_type is NalType.I and not is_repeated and not isinstance(self._previous, Damage):
            message = f"an I unit does not stand directly after SPS {unit.sps_id}, which it names"
            self.faults.append(Fault(unit.offset, Rule.SPS_NOT_REPEATED, message))
        self._last_frame = unit
        underflow = self._vbv.look_at(unit)
        if underflow is not None:
            self.faults.append(Fault(unit.offset, Rule.VBV_UNDERFLOW, underflow))
