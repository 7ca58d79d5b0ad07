"""Reads a .dcvc stream unit by unit from anything with read(n), in bounded memory, and finds its way again after damage."""

import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from dcvc_cli.bitstream.faults import BitstreamError, Rule, TruncatedStreamError, UnsupportedStreamError
from dcvc_cli.bitstream.nal import (
    CHECK_SIZE,
    MAX_HEADER_SIZE,
    MIN_UNIT_SIZE,
    SIGNATURE,
    NalType,
    UnitHeader,
    check_seed,
    find_frame_number,
    read_header,
)
from dcvc_cli.bitstream.sei import MAX_SEI_PAYLOAD_SIZE, PictureHash, read_sei
from dcvc_cli.bitstream.sps import MAX_SPS_PAYLOAD_SIZE, Sps, read_sps
from dcvc_cli.bitstream.units import (
    END_PAYLOAD_SIZE,
    MAX_INDEX_PAYLOAD_SIZE,
    Damage,
    EndUnit,
    FrameUnit,
    IndexUnit,
    SeiUnit,
    SpsUnit,
    StartUnit,
    Unit,
    read_end,
    read_index_payload,
)
from dcvc_cli.bitstream.window import READ_SIZE, ByteSource, Window

_PAYLOAD_LIMITS = {
    NalType.SPS: MAX_SPS_PAYLOAD_SIZE,
    NalType.SEI: MAX_SEI_PAYLOAD_SIZE,
    NalType.INDEX: MAX_INDEX_PAYLOAD_SIZE,
    NalType.END: END_PAYLOAD_SIZE,
}
_SCAN_WORK_PER_BYTE = 64
"""A search for the next unit may check this many bytes for each byte of the source: false starts that name huge lengths cannot cost
quadratic time. See docs/bitstream.md, "Damage"."""
_SCAN_WORK_FREE = 64 << 20
_MIN_FRAME_UNIT_SIZE = 7


@dataclass(frozen=True)
class _Verified:
    """A unit whose check is right; `header` is None for a signature."""

    header: UnitHeader | None
    unit_size: int
    number: int = 0
    check: int = 0


class StreamReader:
    """Iterates over the units of a .dcvc stream, joined streams included.

    Strict (the default): the first broken rule raises BitstreamError (TruncatedStreamError where the source just stops), after all units before
    it. Tolerant: it becomes a Damage record and reading goes on at the next unit whose check is right. UnsupportedStreamError and
    a source that is no .dcvc stream at all raise in both.

    A frame is `decodable` when every frame since its I frame was there. Memory: one unit, at most the limit that the picture size
    sets, and only as far as its bytes really arrive.

    Args:
        source: anything with read(n); nothing is sought.
        start_offset: where `source` already stands, for random access: at an SPS unit named by an index. None: at a signature.
    """

    def __init__(self, source: ByteSource, tolerant: bool = False, start_offset: int | None = None) -> None:
        self._window = Window(source, start_offset or 0)
        self._tolerant = tolerant
        self._signed = start_offset is None
        self._scan_work = 0
        self._largest_limit = 0
        self._frame_index = 0
        self._expected_end: int | None = None
        self._damaged_gop: tuple[Sps, int] | None = None
        self._start_segment(self._window.offset, whole=start_offset is None)

    def __iter__(self) -> Iterator[Unit]:
        return self._units()

    def _start_segment(self, offset: int, whole: bool) -> None:
        self._segment_offset: int | None = offset if whole else None
        self._segment_frames = 0
        self._segment_damaged = False
        self._stream_check = 0
        self._sps: dict[int, tuple[Sps, int, int]] = {}
        """By id: SPS, check of its unit, payload limit of its frames."""
        self._gop: tuple[Sps, int] | None = None
        """SPS and check of the last I unit."""
        self._expected_number = 0
        self._broken = False
        self._last_number: int | None = None
        self._ended = False

    def _units(self) -> Iterator[Unit]:
        if not self._window.ensure(1):
            raise TruncatedStreamError(Rule.TRUNCATED, "the stream is empty")
        if self._signed:
            self._require_likeness()
        cut = False
        while self._window.ensure(1):
            try:
                verified = self._verify(0)
            except UnsupportedStreamError:
                raise
            except BitstreamError as error:
                if not self._tolerant:
                    raise error.at(self._window.offset) from None
                damage = self._resync(error)
                cut = damage.rule is Rule.TRUNCATED
                yield damage
                continue
            yield from self._deliver(verified)
        if not self._ended and not cut:
            message = "the stream stops without an end unit, it was cut short"
            yield self._fault(TruncatedStreamError(Rule.END_MISSING, message), self._window.offset)

    def _require_likeness(self) -> None:
        """A source of another kind is named as such, whatever the mode; a few damaged bytes of the signature are left to it."""
        self._window.ensure(len(SIGNATURE))
        start = self._window.peek(0, len(SIGNATURE))
        if start == SIGNATURE[: len(start)] or (self._tolerant and sum(a == b for a, b in zip(start, SIGNATURE, strict=False)) >= 6):
            return
        if start[1:4] == SIGNATURE[1:4]:
            message = "the file signature was changed, as text-mode transfers do"
            raise BitstreamError(Rule.SIGNATURE, message, hint="copy the file in binary mode")
        message = f"this is no .dcvc stream: it starts with {start[:4].hex(' ')}, expected {SIGNATURE[:4].hex(' ')}"
        raise BitstreamError(Rule.SIGNATURE, message, hint="an elementary stream of the reference goes through `dcvc remux`")

    def _fault(self, error: BitstreamError, offset: int, size_bytes: int = 0) -> Damage:
        """Raises in strict mode and for what no mode can read; the record of it in tolerant mode."""
        if not self._tolerant or isinstance(error, UnsupportedStreamError):
            raise error.at(offset) from None
        self._segment_damaged = True
        return Damage(offset, size_bytes, error.rule, error.reason)

    # --- one unit: is it whole and intact? ---

    def _verify(self, position: int) -> _Verified:
        """The unit at `position` of the window if it is whole and its check is right; BitstreamError says which rule it breaks."""
        window = self._window
        self._expected_end = self._damaged_gop = None
        has_minimum = window.ensure(position + MIN_UNIT_SIZE)
        first = window.peek(position, position + 1)
        at_segment_start = self._signed and position == 0 and window.offset == 0
        if first == SIGNATURE[:1] or self._ended or at_segment_start:
            return self._verify_signature(position)
        if not has_minimum:
            raise TruncatedStreamError(Rule.TRUNCATED, f"{window.num_available - position} bytes are left, fewer than any unit has")
        header = read_header(window.peek(position, position + MAX_HEADER_SIZE))
        limit, seed = self._limit(header)
        if header.payload_size > limit:
            raise BitstreamError(Rule.LENGTH_LIMIT, f"a payload of {header.payload_size} bytes is above the limit of {limit}")
        end = position + header.unit_size
        if not window.ensure(end):
            message = f"a unit of type {header.nal_type.name} has {header.unit_size} bytes, {window.num_available - position} are there"
            raise TruncatedStreamError(Rule.TRUNCATED, message)
        self._expected_end = end
        check = int.from_bytes(window.peek(end - CHECK_SIZE, end), "big")
        body_check = window.crc32(position, end - CHECK_SIZE, seed)
        number: int | None = 0
        if header.nal_type.is_frame:
            number = find_frame_number(body_check, check)
            intact = number is not None and (header.nal_type is NalType.P or number == 0)
        else:
            intact = body_check == check
        if not intact:
            if header.nal_type is NalType.I:
                self._damaged_gop = (self._sps[header.sps_id][0], check)
            raise BitstreamError(Rule.CHECK, f"the check of a unit of type {header.nal_type.name} and {header.unit_size} bytes does not match")
        return _Verified(header, header.unit_size, number or 0, check)

    def _verify_signature(self, position: int) -> _Verified:
        self._window.ensure(position + len(SIGNATURE))
        found = self._window.peek(position, position + len(SIGNATURE))
        if found == SIGNATURE:
            return _Verified(None, len(SIGNATURE))
        if SIGNATURE.startswith(found):
            raise TruncatedStreamError(Rule.TRUNCATED, "the file signature is cut short")
        if self._ended:
            raise BitstreamError(Rule.AFTER_END, f"the end unit is followed by {found[:4].hex(' ')}, expected nothing or another stream")
        raise BitstreamError(Rule.SIGNATURE, f"the file signature is damaged: {found.hex(' ')}, expected {SIGNATURE.hex(' ')}")

    def _limit(self, header: UnitHeader) -> tuple[int, int]:
        """(payload limit, seed of the check) of a unit, known before its payload is read."""
        if not header.nal_type.is_frame:
            return _PAYLOAD_LIMITS[header.nal_type], 0
        if header.sps_id not in self._sps:
            raise BitstreamError(Rule.SPS_MISSING, f"a unit of type {header.nal_type.name} names SPS id {header.sps_id}, which was not seen")
        _, sps_check, limit = self._sps[header.sps_id]
        if header.nal_type is NalType.I:
            return limit, check_seed(sps_check, None)
        if self._gop is None:
            raise BitstreamError(Rule.P_WITHOUT_I, "a P unit comes before any I unit")
        return limit, check_seed(sps_check, self._gop[1])

    # --- after damage ---

    def _resync(self, error: BitstreamError) -> Damage:
        """Consumes everything up to the next intact unit or the end of the source."""
        offset = self._window.offset
        if not self._skip_damaged_unit():
            self._scan()
        size_bytes = self._window.offset - offset
        if size_bytes >= 256 * _MIN_FRAME_UNIT_SIZE:
            self._broken = True  # Frame numbers wrap at 256: so many bytes may have held a whole round of them.
        self._last_number = None
        self._segment_damaged = True
        return Damage(offset, size_bytes, error.rule, error.reason)

    def _skip_damaged_unit(self) -> bool:
        """Passes over the unit that failed its check if an intact one follows where it ends. The common case, a damaged payload: its
        bytes are not searched, so that nothing inside can be taken for a unit."""
        end, damaged_gop = self._expected_end, self._damaged_gop
        if end is None:
            return False
        intact = self._is_intact(end)
        if damaged_gop and not (intact and self._window.peek(end, end + 1)[0] >> 4 == NalType.P):
            # A damaged I unit: its P units still verify by the check that stands in it, though they are no use.
            before = self._gop, self._broken
            self._gop, self._broken = damaged_gop, True
            intact = intact or self._is_intact(end)
            if not intact:
                self._gop, self._broken = before
        if intact:
            self._window.consume(end)
        return intact

    def _plausible_start(self) -> re.Pattern[bytes]:
        """What the next intact unit may start with: frame units only under an SPS that is known."""
        forms = [re.escape(SIGNATURE), rb"[\x00-\x0f][\x40-\x81]", rb"\x30[\x01-\xff]", rb"\x40[\x0d-\xff]", rb"\x50\x14"]
        for sps_id in self._sps:
            forms.append(rb"\x1%x[\x00-\x3f]" % sps_id)
            if self._gop is not None:
                forms.append(rb"\x2%x[\x00-\x47\x80-\xc7]" % sps_id)
        return re.compile(b"|".join(forms))

    def _scan(self) -> None:
        window, plausible_start = self._window, self._plausible_start()
        position = 1
        while True:
            more = window.ensure(position + len(SIGNATURE))
            match = window.search(plausible_start, position)
            if match is None:
                if not more:
                    window.consume(window.num_available)
                    return
                window.consume(max(position, window.num_available - len(SIGNATURE) + 1))
                position = 0
            elif self._is_intact(match):
                window.consume(match)
                return
            else:
                position = match + 1
                if position > READ_SIZE:
                    window.consume(position)
                    position = 0

    def _is_intact(self, position: int) -> bool:
        """Whether an intact unit starts at `position`; False too where finding out would exceed the work allowed."""
        allowed = _SCAN_WORK_FREE + 4 * self._largest_limit + _SCAN_WORK_PER_BYTE * (self._window.offset + position)
        if self._scan_work > allowed:
            return False
        try:
            verified = self._verify(position)
        except BitstreamError:
            self._scan_work += (self._expected_end or position) - position
            return False
        self._scan_work += verified.unit_size
        return True

    # --- what an intact unit says ---

    def _deliver(self, verified: _Verified) -> Iterator[Unit]:
        offset = self._window.offset
        header = verified.header
        if header is None:
            self._window.consume(verified.unit_size)
            if offset != self._segment_offset and not self._ended:
                yield self._fault(TruncatedStreamError(Rule.END_MISSING, "a joined stream has no end unit, it was cut short"), offset)
            self._start_segment(offset, whole=True)
            yield StartUnit(offset, verified.unit_size)
            return
        payload = self._window.peek(header.header_size, header.header_size + header.payload_size)
        self._window.consume(verified.unit_size)
        try:
            if header.nal_type.is_frame:
                yield from self._deliver_frame(header, payload, offset, verified)
            elif header.nal_type is NalType.END:
                yield from self._deliver_end(read_end(payload, offset))
            else:
                yield from self._deliver_other(header, payload, offset, verified.check)
        except BitstreamError as error:
            if error.offset is not None:
                raise
            yield self._fault(error, offset, verified.unit_size)
        self._stream_check = zlib.crc32(verified.check.to_bytes(CHECK_SIZE, "big"), self._stream_check)

    def _deliver_other(self, header: UnitHeader, payload: bytes, offset: int, check: int) -> Iterator[Unit]:
        if header.nal_type is NalType.SPS:
            self._sps.pop(header.sps_id, None)
            sps = read_sps(payload)
            limit = sps.max_frame_payload_size
            self._sps[header.sps_id] = (sps, check, limit)
            self._largest_limit = max(self._largest_limit, limit)
            yield SpsUnit(offset, header.unit_size, header.sps_id, sps)
        elif header.nal_type is NalType.INDEX:
            yield IndexUnit(offset, header.unit_size, read_index_payload(payload))
        else:
            message = read_sei(payload)
            if isinstance(message, PictureHash) and message.frame_number != self._last_number:
                if self._last_number is None and self._segment_damaged:
                    return  # The frame it speaks of was lost, which has been told.
                found = "no frame" if self._last_number is None else f"frame number {self._last_number}"
                raise BitstreamError(Rule.HASH_FRAME, f"a picture hash of frame number {message.frame_number} follows {found}")
            yield SeiUnit(offset, header.unit_size, message)

    def _deliver_frame(self, header: UnitHeader, payload: bytes, offset: int, verified: _Verified) -> Iterator[Unit]:
        sps, number = self._sps[header.sps_id][0], verified.number
        if header.nal_type is NalType.I:
            self._gop, self._broken = (sps, verified.check), False
        elif not self._broken:
            error = self._broken_reference(sps, number)
            if error is not None:
                self._broken = True
                yield self._fault(error, offset)
        self._expected_number = (number + 1) % 256
        self._last_number = number
        self._segment_frames += 1
        self._frame_index += 1
        yield FrameUnit(
            offset,
            header.unit_size,
            header.nal_type,
            header.sps_id,
            sps,
            header.qp,
            header.reset,
            payload,
            self._frame_index - 1,
            number,
            not self._broken,
        )

    def _broken_reference(self, sps: Sps, number: int) -> BitstreamError | None:
        """Why a P frame of this number cannot follow the frames before it; None when it can."""
        if self._gop is None or not sps.can_follow(self._gop[0]):
            return BitstreamError(Rule.SPS_CHANGED, "a P frame names an SPS of other pictures or another model than its I frame")
        if number != self._expected_number:
            lost = (number - self._expected_number) % 256
            message = f"frame number {number} comes where {self._expected_number} is due, {lost} frames are missing"
            return BitstreamError(Rule.LOST_FRAMES, message)
        return None

    def _deliver_end(self, end: EndUnit) -> Iterator[Unit]:
        if self._segment_offset is not None:
            message = ""
            if end.num_frames != self._segment_frames:
                message = f"the end unit counts {end.num_frames} frames, {self._segment_frames} are there"
            elif not self._segment_damaged and end.stream_distance != end.offset - self._segment_offset:
                message = f"the end unit stands {end.offset - self._segment_offset} bytes after the signature and says {end.stream_distance}"
            elif not self._segment_damaged and end.stream_check != self._stream_check:
                message = "the whole-stream check does not match: units were changed, moved or removed"
            if message:
                yield self._fault(BitstreamError(Rule.END_MISMATCH, message), end.offset)
        self._ended = True
        yield end
