"""Reads a .dcvc stream unit by unit from anything with read(n), in bounded memory, and finds its way again after
damage."""

import zlib
from collections.abc import Iterator
from fractions import Fraction

from dcvc_cli.bitstream.faults import BitstreamError, Rule, TruncatedStreamError, UnsupportedStreamError
from dcvc_cli.bitstream.index_check import UnitPlaces
from dcvc_cli.bitstream.limits import LimitsOf
from dcvc_cli.bitstream.nal import CHECK_SIZE, SIGNATURE, NalType, UnitHeader
from dcvc_cli.bitstream.picture_header import PictureHeader, read_picture_header
from dcvc_cli.bitstream.resync import Resync
from dcvc_cli.bitstream.sei import PictureHash, read_sei
from dcvc_cli.bitstream.sps import Sps
from dcvc_cli.bitstream.sps_syntax import read_sps
from dcvc_cli.bitstream.tracks import read_metadata, read_track
from dcvc_cli.bitstream.unit_verifier import UnitVerifier, Verified
from dcvc_cli.bitstream.units import (
    MIN_FRAME_UNIT_SIZE,
    Damage,
    EndUnit,
    FrameUnit,
    IndexUnit,
    LaterUnit,
    MetadataUnit,
    SeiUnit,
    SpsUnit,
    StartUnit,
    TrackUnit,
    Unit,
    read_end,
    read_index_payload,
)
from dcvc_cli.bitstream.window import ByteSource, Window


class StreamReader:
    """Iterates over the units of a .dcvc stream, also of joined streams.

    In strict mode, the default, the first broken rule raises an error, after all units before it. In tolerant mode, a
    broken rule becomes a Damage record, and reading goes on at the next unit whose check is right.

    A frame is `decodable` if every unit since its I unit was there. The reader holds one unit in memory, at most the
    limit of the picture size, and only as many bytes of it as really arrive. It also holds 16 bytes for each frame
    unit, to compare them with the index.

    Args:
        source: anything with read(n). The reader never seeks.
        tolerant: whether reading goes on behind damage.
        start_offset: the offset of `source` in the stream, for random access: at an SPS unit that an index names. None:
            `source` stands at a signature.
        limits_of: gives the limits of an SPS's model family; None: the limits of the format.

    Raises:
        BitstreamError: strict mode only: the stream breaks a rule. In both modes: the source is no .dcvc stream at all.
        TruncatedStreamError: strict mode only: the source stops inside the stream.
        UnsupportedStreamError: in both modes: the stream needs a newer dcvc.
    """

    def __init__(
        self,
        source: ByteSource,
        tolerant: bool = False,
        start_offset: int | None = None,
        limits_of: LimitsOf | None = None,
    ) -> None:
        self._window = Window(source, start_offset or 0)
        self._tolerant = tolerant
        self._signed = start_offset is None
        self._verifier = UnitVerifier(self._window, self._signed, limits_of)
        self._resync = Resync(self._window, self._verifier)
        self._frame_index = 0
        self._start_segment(self._window.offset, whole=self._signed)

    def __iter__(self) -> Iterator[Unit]:
        return self._units()

    @property
    def scan_work(self) -> int:
        """Counts the bytes checked so far in searches for the next intact unit."""
        return self._resync.scan_work

    def _start_segment(self, offset: int, whole: bool) -> None:
        self._verifier.start_segment()
        self._segment_offset: int | None = offset if whole else None
        self._segment_frames = 0
        self._segment_damaged = False
        self._stream_check = 0
        self._places = UnitPlaces()
        self._index_offset: int | None = None
        self._repeated_sps: tuple[int, int] | None = None
        """Id and offset of an SPS unit directly before this unit."""
        self._expected_number = 0
        self._broken = False
        self._last_unit: FrameUnit | None = None
        """The last frame unit; None after damage."""
        self._key_time = 0
        self._last_time: tuple[int, Fraction] | None = None
        """Of the picture read last: ticks, and seconds, since another SPS may have another time base."""

    def _units(self) -> Iterator[Unit]:
        if not self._window.ensure(1):
            raise TruncatedStreamError(Rule.TRUNCATED, "the stream is empty")
        if self._signed:
            self._require_likeness()
        cut = False
        while self._window.ensure(1):
            try:
                verified = self._verifier.verify(0)
            except UnsupportedStreamError:
                raise
            except BitstreamError as error:
                if not self._tolerant:
                    raise error.at(self._window.offset) from None
                damage = self._pass_over(error)
                cut = damage.rule is Rule.TRUNCATED
                yield damage
                continue
            yield from self._deliver(verified)
        if not self._verifier.ended and not cut:
            message = "the stream stops without an end unit, it was cut short"
            yield self._fault(TruncatedStreamError(Rule.END_MISSING, message), self._window.offset)

    def _require_likeness(self) -> None:
        """Refuses a source of another kind, in both modes. A signature with a few damaged bytes passes; the mode
        decides about it."""
        self._window.ensure(len(SIGNATURE))
        start = self._window.peek(0, len(SIGNATURE))
        num_alike = sum(a == b for a, b in zip(start, SIGNATURE, strict=False))
        if start == SIGNATURE[: len(start)] or (self._tolerant and num_alike >= 6):
            return
        if start[1:4] == SIGNATURE[1:4]:
            message = "the file signature was changed, as text-mode transfers do"
            raise BitstreamError(Rule.SIGNATURE, message, hint="copy the file in binary mode")
        message = f"this is no .dcvc stream: it starts with {start[:4].hex(' ')}, expected {SIGNATURE[:4].hex(' ')}"
        hint = "an elementary stream of the published codec, or a stream in an .mkv file, goes through `dcvc remux`"
        raise BitstreamError(Rule.SIGNATURE, message, hint=hint)

    def _fault(self, error: BitstreamError, offset: int, size_bytes: int = 0) -> Damage:
        """Raises the error in strict mode, or if no mode can read on. Else returns the record of the damage."""
        if not self._tolerant or isinstance(error, UnsupportedStreamError):
            raise error.at(offset) from None
        self._segment_damaged = True
        return Damage(offset, size_bytes, error.rule, error.reason)

    def _pass_over(self, error: BitstreamError) -> Damage:
        """Consumes everything up to the next intact unit or the end of the source."""
        offset = self._window.offset
        passed, is_lost_gop = self._resync.skip_damaged_unit()
        if not passed:
            self._resync.scan()
        size_bytes = self._window.offset - offset
        if is_lost_gop:
            self._expected_number = 0
        if is_lost_gop or size_bytes >= 256 * MIN_FRAME_UNIT_SIZE:
            self._broken = True  # Frame numbers wrap at 256, and so many bytes may have held 256 frames.
        self._last_unit = None
        self._segment_damaged = True
        return Damage(offset, size_bytes, error.rule, error.reason)

    # --- intact units ---

    def _deliver(self, verified: Verified) -> Iterator[Unit]:
        offset = self._window.offset
        header = verified.header
        if header is None:
            self._window.consume(verified.unit_size)
            if offset != self._segment_offset and not self._verifier.ended:
                message = "a joined stream has no end unit, it was cut short"
                yield self._fault(TruncatedStreamError(Rule.END_MISSING, message), offset)
            self._start_segment(offset, whole=True)
            yield StartUnit(offset, verified.unit_size)
            return
        payload = self._window.peek(header.header_size, header.header_size + header.payload_size)
        self._window.consume(verified.unit_size)
        if self._index_offset is not None and header.nal_type is not NalType.END:
            message = f"a unit of type {header.nal_type.name} follows the index, expected the end unit"
            yield self._fault(BitstreamError(Rule.INDEX_MISMATCH, message), offset)
            self._index_offset = None
        try:
            if header.nal_type.is_frame:
                yield from self._deliver_frame(header, payload, offset, verified)
            elif header.nal_type is NalType.INDEX:
                yield from self._deliver_index(IndexUnit(offset, header.unit_size, read_index_payload(payload)))
            elif header.nal_type is NalType.END:
                yield from self._deliver_end(read_end(payload, offset))
            else:
                yield from self._deliver_other(header, payload, offset, verified.check)
        except BitstreamError as error:
            if error.offset is not None:
                raise
            if header.nal_type.is_frame:
                self._broken, self._last_unit = True, None
            yield self._fault(error, offset, verified.unit_size)
        is_sps = header.nal_type is NalType.SPS
        self._repeated_sps = (header.sps_id, offset) if is_sps else None
        self._stream_check = zlib.crc32(verified.check.to_bytes(CHECK_SIZE, "big"), self._stream_check)

    def _deliver_other(self, header: UnitHeader, payload: bytes, offset: int, check: int) -> Iterator[Unit]:
        if header.nal_type is NalType.SPS:
            self._verifier.sps.pop(header.sps_id, None)
            sps = read_sps(payload)
            self._verifier.add_sps(header.sps_id, sps, check)
            yield SpsUnit(offset, header.unit_size, header.sps_id, sps)
        elif header.nal_type is NalType.TRACK:
            yield TrackUnit(offset, header.unit_size, read_track(payload))
        elif header.nal_type is NalType.METADATA:
            metadata = read_metadata(payload)
            if self._speaks_of_last_unit("metadata", metadata.frame_number, metadata.picture + 1):
                yield MetadataUnit(offset, header.unit_size, metadata)
        elif header.nal_type.is_later:
            yield LaterUnit(offset, header.unit_size, header.nal_type)
        else:
            message = read_sei(payload)
            if isinstance(message, PictureHash):
                num_pictures = len(message.digests)
                if not self._speaks_of_last_unit("a picture hash", message.frame_number, num_pictures):
                    return
                last = self._last_unit
                if last is not None and num_pictures != last.pictures.num_pictures:
                    told = f"{num_pictures} picture hashes follow a unit of {last.pictures.num_pictures} pictures"
                    raise BitstreamError(Rule.HASH_FRAME, told)
            yield SeiUnit(offset, header.unit_size, message)

    def _speaks_of_last_unit(self, what: str, frame_number: int, num_pictures: int) -> bool:
        """Returns whether the frame of a message is there. False if it was lost, which is already reported.

        Raises:
            BitstreamError: the message belongs to another frame than the last one (hash-frame).
        """
        last = self._last_unit
        if last is None and self._segment_damaged:
            return False
        if last is None or last.number != frame_number:
            found = "no frame" if last is None else f"frame number {last.number}"
            raise BitstreamError(Rule.HASH_FRAME, f"{what} of frame number {frame_number} follows {found}")
        if num_pictures > last.pictures.num_pictures:
            message = f"{what} of {num_pictures} pictures follows a unit of {last.pictures.num_pictures}"
            raise BitstreamError(Rule.HASH_FRAME, message)
        return True

    def _deliver_frame(self, header: UnitHeader, payload: bytes, offset: int, verified: Verified) -> Iterator[Unit]:
        sps, number = self._verifier.sps[header.sps_id].sps, verified.number
        is_key = header.nal_type is NalType.I
        if is_key:
            self._verifier.gop, self._broken = (sps, verified.check), False
        elif not self._broken:
            error = self._broken_reference(sps, number)
            if error is not None:
                self._broken = True
                yield self._fault(error, offset)
        num_missing = 0 if is_key else (number - self._expected_number) % 256
        self._expected_number = (number + 1) % 256
        pictures, header_size = read_picture_header(sps, is_key, payload)
        times = self._times(sps, pictures, is_key)
        place = offset
        if is_key and self._repeated_sps is not None and self._repeated_sps[0] == header.sps_id:
            place = self._repeated_sps[1]
        if self._segment_offset is not None:
            self._places.add(header.nal_type, self._segment_frames, place - self._segment_offset)
        self._segment_frames += pictures.num_pictures
        self._frame_index += pictures.num_pictures
        unit = FrameUnit(
            offset,
            header.unit_size,
            header.nal_type,
            header.sps_id,
            sps,
            header.qp,
            header.reset,
            payload[header_size:] if header_size else payload,
            self._frame_index - pictures.num_pictures,
            number,
            not self._broken,
            num_missing,
            pictures,
            times,
        )
        self._last_unit = unit
        yield unit

    def _times(self, sps: Sps, pictures: PictureHeader, is_key: bool) -> tuple[int, ...]:
        """Returns the absolute times of a unit's pictures.

        Raises:
            BitstreamError: time does not go on (time-order).
        """
        if not pictures.times:
            return ()
        if is_key:
            self._key_time = pictures.times[0]
        times = tuple(
            time if is_key and not place else self._key_time + time for place, time in enumerate(pictures.times)
        )
        # If display order differs from coding order, times are compared where pictures are put in order.
        if not sps.max_reorder and sps.time_base is not None:
            for time in times:
                seconds = Fraction(time * sps.time_base.den, sps.time_base.num)
                if self._last_time is not None and seconds <= self._last_time[1] and not self._broken:
                    message = f"a picture's time {time} does not come after {self._last_time[0]}"
                    raise BitstreamError(Rule.TIME_ORDER, message)
                self._last_time = time, seconds
        return times

    def _broken_reference(self, sps: Sps, number: int) -> BitstreamError | None:
        """Returns the error of a P frame of this number that cannot follow the frames before it; None if it can."""
        if self._verifier.gop is None or not sps.can_follow(self._verifier.gop[0]):
            message = "a P frame names an SPS of other pictures or another model than its I frame"
            return BitstreamError(Rule.SPS_CHANGED, message)
        if number != self._expected_number:
            lost = (number - self._expected_number) % 256
            message = f"frame number {number} comes where {self._expected_number} is due, {lost} frames are missing"
            return BitstreamError(Rule.LOST_FRAMES, message)
        return None

    def _deliver_index(self, index: IndexUnit) -> Iterator[Unit]:
        self._index_offset = index.offset
        if self._segment_offset is not None and not self._segment_damaged:
            problem = self._places.problem(index.entries)
            if problem is not None:
                yield self._fault(BitstreamError(Rule.INDEX_MISMATCH, problem), index.offset)
        yield index

    def _deliver_end(self, end: EndUnit) -> Iterator[Unit]:
        problem = self._end_problem(end)
        if problem is not None:
            yield self._fault(BitstreamError(Rule.END_MISMATCH, problem), end.offset)
        self._verifier.ended = True
        yield end

    def _end_problem(self, end: EndUnit) -> str | None:
        """Says what is wrong with an end unit, as far as it can be known; None for a right one."""
        if self._segment_offset is None:
            return None
        if end.num_frames != self._segment_frames:
            return f"the end unit counts {end.num_frames} frames, {self._segment_frames} are there"
        if self._segment_damaged:
            return None
        distance = end.offset - self._segment_offset
        if end.stream_distance != distance:
            return f"the end unit stands {distance} bytes after the signature and says {end.stream_distance}"
        if end.stream_check != self._stream_check:
            return "the whole-stream check does not match: units were changed, moved or removed"
        distance = 0 if self._index_offset is None else end.offset - self._index_offset
        if end.index_distance != distance:
            stands = f"it stands {distance} before (0: there is none)"
            return f"the end unit puts the index {end.index_distance} bytes before it, {stands}"
        return None
