"""Writes the display size into the header of a Matroska file that FFmpeg's muxer has made.

The muxer takes it from the stream's sample aspect ratio, which PyAV has no way to set
(findings/pyav-aspect-of-ffv1.sh). So the track is made with a name that only holds room, and the display size takes
this room. The header keeps its length, so that every offset in the file holds.
"""

import math
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

from dcvc_cli.format.types import PictureSize

ROOM = "-" * 48
"""Name of the track that makes room."""
MAX_HEADER_BYTES = 1 << 24
"""Where a header is longer than this, it keeps its room."""
_SEGMENT, _TRACKS, _ENTRY, _NAME, _VIDEO, _CRC, _VOID = 0x18538067, 0x1654AE6B, 0xAE, 0x536E, 0xE0, 0xBF, 0xEC
_DISPLAY_WIDTH, _DISPLAY_HEIGHT, _DISPLAY_UNIT = 0x54B0, 0x54BA, 0x54B2
_ASPECT_UNIT = 3
"""The display size is a ratio, not a number of pixels."""


@dataclass(frozen=True)
class _Element:
    """An element of EBML: its id, and where it, its contents and what follows it begin."""

    id: int
    start: int
    content: int
    end: int


@dataclass(frozen=True)
class DisplaySize:
    """What a player shows a picture at; a number of pixels, or with `is_ratio` an aspect ratio."""

    width: int
    height: int
    is_ratio: bool = False


def display_size(size: PictureSize, sample_aspect: Fraction, *, may_be_ratio: bool = True) -> DisplaySize:
    """The display size of pictures whose samples are not square.

    Args:
        sample_aspect: width to height of a sample, above 0.
        may_be_ratio: whether a ratio may stand where no whole number of pixels is exact. WebM has numbers of pixels
            only, so that the width is rounded.
    """
    width = size.width * sample_aspect
    if width.denominator == 1 or not may_be_ratio:
        return DisplaySize(max(1, round(width)), size.height)
    aspect = width / size.height
    return DisplaySize(aspect.numerator, aspect.denominator, is_ratio=True)


def with_display_size(header: bytes, shown: DisplaySize) -> tuple[bytes | None, bool]:
    """The start of a Matroska file with the display size in the track that holds ROOM.

    Args:
        header: the file from its first byte on, as far as it is written.

    Returns:
        (bytes of the same length, or None where no track holds ROOM; whether more bytes may change that).
    """
    try:
        for element in _elements(header, 0, len(header)):
            if element.id != _SEGMENT:
                continue
            for part in _elements(header, element.content, min(element.end, len(header))):
                if part.id == _TRACKS:
                    if part.end > len(header):
                        return None, True
                    tracks = _changed_tracks(header[part.content : part.end], shown)
                    return (None if tracks is None else header[: part.content] + tracks + header[part.end :]), False
    except IndexError:
        pass
    return None, len(header) < MAX_HEADER_BYTES


def _changed_tracks(tracks: bytes, shown: DisplaySize) -> bytes | None:
    for entry in _elements(tracks, 0, len(tracks)):
        if entry.id != _ENTRY:
            continue
        content = tracks[entry.content : entry.end]
        parts = list(_elements(content, 0, len(content)))
        name = next((part for part in parts if part.id == _NAME), None)
        video = next((part for part in parts if part.id == _VIDEO), None)
        if name is None or video is None:
            continue
        if content[name.content : name.end] != ROOM.encode():
            continue
        own = _video(content[video.content : video.end], shown)
        others = [content[part.start : part.end] for part in parts if part not in (name, video)]
        changed = b"".join((*others, own))
        changed += _void(len(content) - len(changed))
        return _with_checksum(tracks[: entry.content] + changed + tracks[entry.end :])
    return None


def _video(video: bytes, shown: DisplaySize) -> bytes:
    display = (_DISPLAY_WIDTH, _DISPLAY_HEIGHT, _DISPLAY_UNIT)
    kept = b"".join(video[part.start : part.end] for part in _elements(video, 0, len(video)) if part.id not in display)
    kept += _number(_DISPLAY_WIDTH, shown.width) + _number(_DISPLAY_HEIGHT, shown.height)
    if shown.is_ratio:
        kept += _number(_DISPLAY_UNIT, _ASPECT_UNIT)
    return _element(_VIDEO, kept)


def _with_checksum(tracks: bytes) -> bytes:
    """The contents of a master element with the CRC-32 that it begins with made anew, if it has one."""
    first = next(_elements(tracks, 0, len(tracks)))
    if first.id != _CRC:
        return tracks
    return tracks[: first.content] + zlib.crc32(tracks[first.end :]).to_bytes(4, "little") + tracks[first.end :]


def _elements(data: bytes, start: int, end: int) -> Iterator[_Element]:
    """The elements between two places; IndexError where the data end within the head of one."""
    while start < end:
        kind, place = _vint(data, start, with_marker=True)
        size, content = _vint(data, place, with_marker=False)
        is_unknown = size == (1 << 7 * (content - place)) - 1
        element = _Element(kind, start, content, end if is_unknown else content + size)
        yield element
        start = element.end


def _vint(data: bytes, start: int, *, with_marker: bool) -> tuple[int, int]:
    """(value, place behind it) of a number whose first byte says how many bytes it has."""
    length = 9 - data[start].bit_length()
    if start + length > len(data) or length > 8:
        raise IndexError
    value = int.from_bytes(data[start : start + length], "big")
    return value if with_marker else value & ((1 << 7 * length) - 1), start + length


def _element(kind: int, content: bytes) -> bytes:
    length = next(n for n in range(1, 9) if len(content) < (1 << 7 * n) - 1)
    return _id(kind) + ((1 << 7 * length) | len(content)).to_bytes(length, "big") + content


def _number(kind: int, value: int) -> bytes:
    return _element(kind, value.to_bytes(math.ceil(value.bit_length() / 8), "big"))


def _id(kind: int) -> bytes:
    return kind.to_bytes(math.ceil(kind.bit_length() / 8), "big")


def _void(length: int) -> bytes:
    """An element without meaning of so many bytes, at least two."""
    # ROOM is longer than what replaces it, so that there is always room for the head.
    return _id(_VOID) + (1 << 56 | (length - 9)).to_bytes(8, "big") + bytes(length - 9)
