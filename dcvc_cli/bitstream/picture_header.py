"""What a frame unit says of its pictures before the coded payload (docs/bitstream.md, "Picture header").

A stream has no picture headers if every unit holds one picture, in display order and at a constant rate.
"""

from dataclasses import dataclass

from dcvc_cli.bitstream.faults import BitstreamError, Rule
from dcvc_cli.bitstream.sps import MAX_PICTURES, Sps
from dcvc_cli.bitstream.varint import UV_LIMIT, ByteReader, write_uv

MAX_PICTURE_HEADER_SIZE = 1 + MAX_PICTURES + 8 + 4 * MAX_PICTURES
_TIME_SIZE = 8
MAX_TIME = (1 << 63) - 1


@dataclass(frozen=True)
class PictureHeader:
    """The pictures of one frame unit, in coding order.

    Args:
        num_pictures: 1 up to the SPS's max_pictures.
        display_shifts: of each picture, its display number less its coding number, both counted from its I unit;
            -max_reorder..max_reorder. Empty where the SPS says that both orders are the same.
        times: presentation time of each picture in ticks: of an I unit's first picture since the start of the stream,
            0..2^63-1; of every other one since that picture, 0..2^30-1. Empty where the SPS has no time base.
    """

    num_pictures: int = 1
    display_shifts: tuple[int, ...] = ()
    times: tuple[int, ...] = ()


ONE_PICTURE = PictureHeader()


def write_picture_header(sps: Sps, is_key: bool, header: PictureHeader) -> bytes:
    """Makes the bytes before the coded payload; none if the SPS asks for no field.

    Raises:
        ValueError: the layout cannot hold the header.
    """
    problem = _problem(sps, is_key, header)
    if problem is not None:
        raise ValueError(problem)
    parts = [bytes([header.num_pictures])] if sps.max_pictures > 1 else []
    parts.append(bytes(shift + sps.max_reorder for shift in header.display_shifts))
    for position, time in enumerate(header.times):
        parts.append(time.to_bytes(_TIME_SIZE, "big") if is_key and not position else write_uv(time))
    return b"".join(parts)


def read_picture_header(sps: Sps, is_key: bool, payload: bytes) -> tuple[PictureHeader, int]:
    """Reads (header, its size in bytes) at the start of a frame unit's payload.

    Raises:
        BitstreamError: the header does not follow its layout (picture-header).
    """
    reader = ByteReader(payload)
    try:
        num_pictures = reader.uint(1) if sps.max_pictures > 1 else 1
        if not 1 <= num_pictures <= sps.max_pictures:
            raise ValueError(f"{num_pictures} pictures, expected 1..{sps.max_pictures}")
        shifts: tuple[int, ...] = ()
        if sps.max_reorder:
            shifts = tuple(value - sps.max_reorder for value in reader.take(num_pictures))
        times: list[int] = []
        if sps.time_base is not None:
            times += [reader.uint(_TIME_SIZE) if is_key and not place else reader.uv() for place in range(num_pictures)]
        header = PictureHeader(num_pictures, shifts, tuple(times))
        problem = _problem(sps, is_key, header)
        if problem is not None:
            raise ValueError(problem)
    except (BitstreamError, ValueError) as error:
        reason = error.reason if isinstance(error, BitstreamError) else str(error)
        raise BitstreamError(Rule.PICTURE_HEADER, f"the picture header does not follow its layout: {reason}") from error
    return header, reader.offset


def _problem(sps: Sps, is_key: bool, header: PictureHeader) -> str | None:
    """Says what is wrong with a header; None if nothing is."""
    if not 1 <= header.num_pictures <= sps.max_pictures:
        return f"{header.num_pictures} pictures, expected 1..{sps.max_pictures}"
    if len(header.display_shifts) != (header.num_pictures if sps.max_reorder else 0):
        return f"{len(header.display_shifts)} display shifts for {header.num_pictures} pictures"
    if any(abs(shift) > sps.max_reorder for shift in header.display_shifts):
        return f"display shifts {header.display_shifts} are beyond {sps.max_reorder}"
    if is_key and header.display_shifts and header.display_shifts[0]:
        return "the first picture of an I unit is not the first to be shown"
    if len(header.times) != (header.num_pictures if sps.time_base is not None else 0):
        return f"{len(header.times)} times for {header.num_pictures} pictures"
    for position, time in enumerate(header.times):
        limit = MAX_TIME if is_key and not position else UV_LIMIT - 1
        if not 0 <= time <= limit:
            return f"time {time} is outside 0..{limit}"
    return None
