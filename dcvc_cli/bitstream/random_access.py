"""Finds frames of a .dcvc stream without reading it all: the index from the end of a file, or one made by reading through it."""

from bisect import bisect_right
from dataclasses import dataclass, replace
from typing import Protocol

from dcvc_cli.bitstream.faults import BitstreamError, Rule
from dcvc_cli.bitstream.nal import CHECK_SIZE, MAX_HEADER_SIZE, SIGNATURE, NalType, read_header, unit_check
from dcvc_cli.bitstream.stream_reader import StreamReader
from dcvc_cli.bitstream.units import END_UNIT_SIZE, MAX_INDEX_PAYLOAD_SIZE, EndUnit, FrameUnit, IndexEntry, SpsUnit, read_end, read_index_payload
from dcvc_cli.bitstream.window import ByteSource


class SeekableSource(Protocol):
    """A byte source that can also seek, such as a file opened in binary mode."""

    def read(self, size: int, /) -> bytes: ...
    def seek(self, offset: int, whence: int = 0, /) -> int: ...


@dataclass(frozen=True)
class StreamIndex:
    """Entries in frame order with offsets from the start of the source, and the number of frames in it."""

    entries: tuple[IndexEntry, ...]
    num_frames: int

    def access_point(self, frame_number: int) -> IndexEntry:
        """The last listed I frame at or before `frame_number` (0-based). BitstreamError where the index lists none."""
        points = [entry for entry in self.entries if entry.frame_type is NalType.I]
        position = bisect_right([entry.frame_number for entry in points], frame_number)
        if not 0 <= frame_number < self.num_frames or not position:
            raise BitstreamError(Rule.INDEX_CONTENT, f"frame {frame_number} is not found: the stream has {self.num_frames} frames")
        return points[position - 1]


def read_index(source: SeekableSource) -> StreamIndex:
    """The index units of all streams joined in `source`, found through their end units, from the last to the first.

    BitstreamError where an end unit, index or signature is not intact; `scan_units` then still works.
    """
    parts: list[tuple[EndUnit, tuple[IndexEntry, ...]]] = []
    position = source.seek(0, 2)
    while position:
        end, entries = _read_last_part(source, position)
        parts.append((end, entries))
        position = end.offset - end.stream_distance
    if not parts:
        raise BitstreamError(Rule.END_MISSING, "the stream is empty", 0)
    parts.reverse()
    joined: list[IndexEntry] = []
    num_frames = 0
    for end, entries in parts:
        start = end.offset - end.stream_distance
        joined += [replace(entry, frame_number=entry.frame_number + num_frames, offset=entry.offset + start) for entry in entries]
        num_frames += end.num_frames
    return StreamIndex(tuple(joined), num_frames)


def _read_last_part(source: SeekableSource, stop: int) -> tuple[EndUnit, tuple[IndexEntry, ...]]:
    """End unit and index entries of the stream whose last byte is before `stop`."""
    end_offset = stop - END_UNIT_SIZE
    if end_offset < len(SIGNATURE):
        raise BitstreamError(Rule.END_MISSING, "the source is too short for a signature and an end unit", max(0, end_offset))
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
        raise BitstreamError(Rule.END_MISMATCH, f"the end unit puts the index {end.index_distance} bytes before it, too far", end_offset)
    nal_type, payload = _read_unit_at(source, end_offset - end.index_distance, end_offset)
    if nal_type is not NalType.INDEX:
        raise BitstreamError(Rule.END_MISMATCH, f"a unit of type {nal_type.name} stands where the end unit says the index is", end_offset)
    entries = read_index_payload(payload)
    if entries and (entries[-1].offset >= end.stream_distance or entries[-1].frame_number >= end.num_frames):
        raise BitstreamError(Rule.INDEX_MISMATCH, "the index lists frames beyond the end of its stream", end_offset - end.index_distance)
    return end, entries


def _read_unit_at(source: SeekableSource, start: int, stop: int) -> tuple[NalType, bytes]:
    """(type, payload) of an SPS, SEI, INDEX or END unit that fills start..stop-1; the caller has bounded stop - start."""
    data = _read_exactly(source, start, stop - start)
    try:
        header = read_header(data)
    except BitstreamError as error:
        raise error.at(start) from None
    body = data[:-CHECK_SIZE]
    if header.unit_size != len(data) or header.nal_type.is_frame or unit_check(body) != int.from_bytes(data[-CHECK_SIZE:], "big"):
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


def scan_units(source: ByteSource, tolerant: bool = False) -> StreamIndex:
    """An index of every frame, made by reading `source` from its start; needs no index unit and no seeking.

    An I frame without its SPS directly before it is no access point and is left out. Tolerant: damage is passed over.
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
            num_frames += 1
        sps_unit = unit if isinstance(unit, SpsUnit) else None
    return StreamIndex(tuple(entries), num_frames)
