"""HDR10 metadata: what a display needs to know of pictures beyond its own range. Carried through, never acted on."""

from dataclasses import dataclass
from typing import Protocol

from dcvc_cli.format.ranges import check_range

_U16, _U32 = (1 << 16) - 1, (1 << 32) - 1


class IntegerReader(Protocol):
    """Whatever gives big-endian integers of so many bytes."""

    def uint(self, num_bytes: int, /) -> int: ...


@dataclass(frozen=True)
class MasteringDisplay:
    """Colour volume of the mastering display, in the units of SMPTE ST 2086 and HEVC.

    Args:
        primaries: x, y of green, blue and red, in 0.00002, 0..50000 each.
        white_point: x, y, in 0.00002, 0..50000 each.
        max_luminance: in 0.0001 candela a square metre, 32 bits.
        min_luminance: the same.
    """

    primaries: tuple[int, int, int, int, int, int]
    white_point: tuple[int, int]
    max_luminance: int
    min_luminance: int

    def __post_init__(self) -> None:
        if len(self.primaries) != 6 or len(self.white_point) != 2:
            raise ValueError("a mastering display has three primaries and a white point of two coordinates each")
        for coordinate in (*self.primaries, *self.white_point):
            check_range("chromaticity", coordinate, 0, 50000)
        check_range("mastering luminance", self.max_luminance, 0, _U32)
        check_range("mastering luminance", self.min_luminance, 0, _U32)

    def write(self) -> bytes:
        """Makes 24 bytes."""
        coordinates = b"".join(value.to_bytes(2, "big") for value in (*self.primaries, *self.white_point))
        return coordinates + self.max_luminance.to_bytes(4, "big") + self.min_luminance.to_bytes(4, "big")

    @staticmethod
    def read(reader: IntegerReader) -> "MasteringDisplay":
        """Inverts write."""
        values = [reader.uint(2) for _ in range(8)]
        primaries = (values[0], values[1], values[2], values[3], values[4], values[5])
        return MasteringDisplay(primaries, (values[6], values[7]), reader.uint(4), reader.uint(4))


@dataclass(frozen=True)
class ContentLight:
    """Content light level (CTA-861.3), candela a square metre, 0..65535.

    Args:
        max_content: of the brightest sample (MaxCLL).
        max_frame_average: of the brightest picture's mean (MaxFALL).
    """

    max_content: int
    max_frame_average: int

    def __post_init__(self) -> None:
        check_range("MaxCLL", self.max_content, 0, _U16)
        check_range("MaxFALL", self.max_frame_average, 0, _U16)

    def write(self) -> bytes:
        """Makes 4 bytes."""
        return self.max_content.to_bytes(2, "big") + self.max_frame_average.to_bytes(2, "big")

    @staticmethod
    def read(reader: IntegerReader) -> "ContentLight":
        """Inverts write."""
        return ContentLight(reader.uint(2), reader.uint(2))
