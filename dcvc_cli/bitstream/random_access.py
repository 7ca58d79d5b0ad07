"""Finds frames of a .dcvc stream: by the index at the end of a file, or by one pass over all units."""

from bisect import bisect_right
from dataclasses import dataclass, replace
from typing import Protocol

from dcvc_cli.bitstream.faults import BitstreamError, Rule
from dcvc_cli.bitstream.nal import (
    CHECK_SIZE,
    MAX_HEADER_SIZE,
    MIN_UNIT_SIZE,
    SIGNATURE,
    NalType,
    UnitHeader,
    read_header,
    unit_check,
)
from dcvc_cli.bitstream.sps import MAX_SPS_PAYLOAD_SIZE
from dcvc_cli.bitstream.sps_syntax import read_sps
from dcvc_cli.bitstream.stream_reader import StreamReader
from dcvc_cli.bitstream.units import (
    END_UNIT_SIZE,
    MAX_INDEX_PAYLOAD_SIZE,
    EndUnit,
    FrameUnit,
    IndexEntry,
    SpsUnit,
    read_end,
    read_index_payload,
)
from dcvc_cli.bitstream.window import ByteSource


class SeekableSource(Protocol):
    """A byte source that can also seek, such as a file opened in binary mode."""

    def read(self, size: int, /) -> bytes: ...
    def seek(self, offset: int, whence: int = 0, /) -> int: ...


@dataclass(frozen=True)
class StreamPart:
    """One of the streams that are joined in a source.

    Attributes:
        start: offset of its signature in the source.
        end: its end unit.
        entries: its index. Offsets count from the signature, frame numbers from the first frame of the part.
    """

    start: int
    end: EndUnit
    entries: tuple[IndexEntry, ...]


@dataclass(frozen=True)
class StreamIndex:
    """The content of the index and end units of a source. `find_access_point` compares it with the units.

    Attributes:
        parts: the streams joined in the source.
        entries: index entries of all parts in frame order. Offsets count from the start of the source.
        num_frames: frames of all parts.
    """

    parts: tuple[StreamPart, ...]

    @property
    def entries(self) -> tuple[IndexEntry, ...]:
        joined: list[IndexEntry] = []
        num_frames = 0
        for part in self.parts:
            joined += [
                replace(entry, frame_number=entry.frame_number + num_frames, offset=entry.offset + part.start)
                for entry in part.entries
            ]
            num_frames += part.end.num_frames
        return tuple(joined)

    @property
    def num_frames(self) -> int:
        return sum(part.end.num_frames for part in self.parts)


@dataclass(frozen=True)
class AccessPoint:
    """A place where decoding can start.

    Attributes:
        offset: offset of the SPS unit before an I unit, from the start of the source.
        frame_number: number of the I unit's first picture in the whole source.
    """

    offset: int
    frame_number: int


def find_access_point(source: SeekableSource, index: StreamIndex, frame_number: int) -> AccessPoint | None:
    """Finds the last I unit at or before `frame_number` that the index lists. None if the source has no such frame.

    The function compares the index and end units with the frame units: it counts frames by their headers, in all parts
    before the wanted one, and before and after the I unit in the wanted part.

    Raises:
        BitstreamError: the counts differ from what the index or an end unit says (index-mismatch, end-mismatch).
    """
    num_before = 0
    for part in index.parts:
        wanted = frame_number - num_before
        points = [entry for entry in part.entries if entry.frame_type is NalType.I and entry.frame_number <= wanted]
        if wanted >= part.end.num_frames:
            _compare_whole_part(source, part)
            num_before += part.end.num_frames
            continue
        if not points:
            message = f"the index lists no I frame at or before frame {frame_number}"
            raise BitstreamError(Rule.INDEX_MISMATCH, message, _index_offset(part))
        _compare_entry(source, part, points[-1])
        return AccessPoint(part.start + points[-1].offset, num_before + points[-1].frame_number)
    return None


def _index_offset(part: StreamPart) -> int:
    return part.end.offset - part.end.index_distance


def _compare_whole_part(source: SeekableSource, part: StreamPart) -> None:
    """Counts the frames of a part.

    Raises:
        BitstreamError: its end unit has another number (end-mismatch).
    """
    found = count_pictures(source, part.start + len(SIGNATURE), part.end.offset)
    if found != part.end.num_frames:
        there = "units do not lead to the end unit" if found is None else f"{found} are there"
        message = f"the end unit counts {part.end.num_frames} frames, {there}"
        raise BitstreamError(Rule.END_MISMATCH, message, part.end.offset)


def _compare_entry(source: SeekableSource, part: StreamPart, entry: IndexEntry) -> None:
    """Compares an entry of the index with the units.

    Raises:
        BitstreamError: the entry is wrong (index-mismatch).
    """
    start = part.start + entry.offset
    where = f"I frame {entry.frame_number} at byte {entry.offset} of its stream"
    if not _is_access_point(source, start, part.end.offset):
        message = f"the index lists {where}, where no I frame stands"
        raise BitstreamError(Rule.INDEX_MISMATCH, message, _index_offset(part))
    before = count_pictures(source, part.start + len(SIGNATURE), start)
    if before not in (None, entry.frame_number):
        message = f"the index lists {where}, where frame {before} stands"
        raise BitstreamError(Rule.INDEX_MISMATCH, message, _index_offset(part))
    after = count_pictures(source, start, part.end.offset)
    if before is None and after is None:
        message = f"the index lists {where}; damage before and after it leaves nothing to count"
        raise BitstreamError(Rule.INDEX_MISMATCH, message, _index_offset(part))
    # If one side is damaged, the other side suffices: decoding finds faults behind the I frame.
    if after is not None and entry.frame_number + after != part.end.num_frames:
        found = f"{entry.frame_number + after} are there"
        message = f"the end unit counts {part.end.num_frames} frames, {found}"
        raise BitstreamError(Rule.END_MISMATCH, message, part.end.offset)


def _is_access_point(source: SeekableSource, offset: int, stop: int) -> bool:
    """Returns whether an SPS unit and an I unit that names it stand at `offset`, by their headers."""
    sps = _header_at(source, offset, stop)
    if sps is None or sps.nal_type is not NalType.SPS:
        return False
    frame = _header_at(source, offset + sps.unit_size, stop)
    return frame is not None and frame.nal_type is NalType.I and frame.sps_id == sps.sps_id


def _header_at(source: SeekableSource, offset: int, stop: int) -> UnitHeader | None:
    """Returns the header of the unit at `offset`, if it can be read and the unit ends at or before `stop`."""
    if offset + MIN_UNIT_SIZE > stop:
        return None
    try:
        header = read_header(_read_exactly(source, offset, min(MAX_HEADER_SIZE, stop - offset)))
    except BitstreamError:
        return None
    return header if offset + header.unit_size <= stop else None


def count_pictures(source: SeekableSource, start: int, stop: int) -> int | None:
    """Counts the pictures of the frame units in start..stop-1 by headers alone. None if the headers do not lead to
    `stop`.

    The function reads headers, payloads of SPS units, and the first byte of units that may hold several pictures. It
    parses headers without read_header, which would be slow: a film has some 200 000 of them. The decoder verifies each
    unit that it decodes.
    """
    count = 0
    max_pictures: dict[int, int] = {}
    offset = start
    while offset < stop:
        try:
            head = _read_exactly(source, offset, MAX_HEADER_SIZE)
        except BitstreamError:
            return None
        kind, sps_id = head[0] >> 4, head[0] & 15
        if kind > _LAST_TYPE:
            return None
        is_frame = kind in _FRAME_TYPES
        place = 2 if is_frame else 1
        first = head[place]
        width = 1 if first < 0x80 else 2 if first < 0xC0 else 4
        size = int.from_bytes(head[place : place + width], "big") & _UV_MASKS[width]
        payload = offset + place + width
        offset = payload + size + CHECK_SIZE
        if offset > stop:
            return None
        if is_frame:
            several = max_pictures.get(sps_id, 1) > 1 and size > 0
            count += _read_exactly(source, payload, 1)[0] if several else 1
        elif kind == NalType.SPS:
            found = _max_pictures_at(source, payload, size)
            if found is None:
                return None
            max_pictures[sps_id] = found
    return count


_FRAME_TYPES = (int(NalType.I), int(NalType.P))
_LAST_TYPE = int(max(NalType))
_UV_MASKS = {1: 0x7F, 2: 0x3FFF, 4: 0x3FFF_FFFF}


def _max_pictures_at(source: SeekableSource, offset: int, size: int) -> int | None:
    """Returns max_pictures of the SPS whose payload stands at `offset`; None if there is no SPS payload."""
    if size > MAX_SPS_PAYLOAD_SIZE:
        return None
    try:
        return read_sps(_read_exactly(source, offset, size)).max_pictures
    except BitstreamError:
        return None


def read_index(source: SeekableSource) -> StreamIndex:
    """Reads the indexes of all streams that are joined in `source`. End units lead to them, from the last to the first.

    Raises:
        BitstreamError: an end unit, index or signature is not intact. `scan_units` still works then.
    """
    parts: list[StreamPart] = []
    position = source.seek(0, 2)
    while position:
        end, entries = _read_last_part(source, position)
        position = end.offset - end.stream_distance
        parts.append(StreamPart(position, end, entries))
    if not parts:
        raise BitstreamError(Rule.END_MISSING, "the stream is empty", 0)
    return StreamIndex(tuple(reversed(parts)))


def _read_last_part(source: SeekableSource, stop: int) -> tuple[EndUnit, tuple[IndexEntry, ...]]:
    """Reads end unit and index entries of the stream whose last byte is before `stop`."""
    end_offset = stop - END_UNIT_SIZE
    if end_offset < len(SIGNATURE):
        raise BitstreamError(
            Rule.END_MISSING, "the source is too short for a signature and an end unit", max(0, end_offset)
        )
    nal_type, payload = _read_unit_at(source, end_offset, stop)
    if nal_type is not NalType.END:
        raise BitstreamError(Rule.END_MISSING, f"the last unit is of type {nal_type.name}, expected END", end_offset)
    end = read_end(payload, end_offset)
    start = end_offset - end.stream_distance
    if end.stream_distance < len(SIGNATURE) or start < 0 or _read_exactly(source, start, len(SIGNATURE)) != SIGNATURE:
        raise BitstreamError(Rule.END_MISMATCH, "no signature stands where the end unit says", end_offset)
    if not end.index_distance:
        return end, ()
    if end.index_distance > min(end.stream_distance, MAX_INDEX_PAYLOAD_SIZE + MAX_HEADER_SIZE + CHECK_SIZE):
        raise BitstreamError(
            Rule.END_MISMATCH, f"the end unit puts the index {end.index_distance} bytes before it, too far", end_offset
        )
    nal_type, payload = _read_unit_at(source, end_offset - end.index_distance, end_offset)
    if nal_type is not NalType.INDEX:
        raise BitstreamError(
            Rule.END_MISMATCH, f"a unit of type {nal_type.name} stands where the end unit says the index is", end_offset
        )
    entries = read_index_payload(payload)
    if entries and (entries[-1].offset >= end.stream_distance or entries[-1].frame_number >= end.num_frames):
        raise BitstreamError(
            Rule.INDEX_MISMATCH, "the index lists frames beyond the end of its stream", end_offset - end.index_distance
        )
    return end, entries


def _read_unit_at(source: SeekableSource, start: int, stop: int) -> tuple[NalType, bytes]:
    """Reads (type, payload) of the unit that fills start..stop-1 and is no frame unit. The caller bounds stop -
    start."""
    data = _read_exactly(source, start, stop - start)
    try:
        header = read_header(data)
    except BitstreamError as error:
        raise error.at(start) from None
    body = data[:-CHECK_SIZE]
    if (
        header.unit_size != len(data)
        or header.nal_type.is_frame
        or unit_check(body) != int.from_bytes(data[-CHECK_SIZE:], "big")
    ):
        raise BitstreamError(Rule.CHECK, f"no intact unit of {len(data)} bytes stands where one is expected", start)
    return header.nal_type, body[header.header_size :]


def _read_exactly(source: SeekableSource, offset: int, num_bytes: int) -> bytes:
    source.seek(offset)
    data = b""
    while len(data) < num_bytes:
        chunk = source.read(num_bytes - len(data))
        if not chunk:
            raise BitstreamError(Rule.TRUNCATED, f"the source ends before byte {offset + num_bytes}", offset)
        data += chunk
    return data


@dataclass(frozen=True)
class ScannedStream:
    """The result of a pass over all units of a source.

    Attributes:
        entries: the frame units. Frame numbers and offsets count from the start of the source.
        num_frames: pictures of the source.
    """

    entries: tuple[IndexEntry, ...]
    num_frames: int

    def access_point(self, frame_number: int) -> AccessPoint | None:
        """Finds the last I unit at or before `frame_number`. None if there is none, or no such frame."""
        points = [entry for entry in self.entries if entry.frame_type is NalType.I]
        position = bisect_right([entry.frame_number for entry in points], frame_number)
        if not 0 <= frame_number < self.num_frames or not position:
            return None
        return AccessPoint(points[position - 1].offset, points[position - 1].frame_number)


def scan_units(source: ByteSource, tolerant: bool = False) -> ScannedStream:
    """Finds every frame unit by reading `source` from its start. It needs no index unit and does not seek.

    An I frame is an access point only if its SPS stands directly before it; others are left out.

    Args:
        tolerant: whether reading goes on behind damage.
    """
    entries: list[IndexEntry] = []
    num_frames = 0
    sps_unit: SpsUnit | None = None
    for unit in StreamReader(source, tolerant):
        if isinstance(unit, FrameUnit):
            if unit.frame_type is NalType.P:
                entries.append(IndexEntry(NalType.P, unit.frame_index, unit.offset))
            elif sps_unit is not None and sps_unit.sps_id == unit.sps_id:
                entries.append(IndexEntry(NalType.I, unit.frame_index, sps_unit.offset))
            num_frames += unit.pictures.num_pictures
        sps_unit = unit if isinstance(unit, SpsUnit) else None
    return ScannedStream(tuple(entries), num_frames)
