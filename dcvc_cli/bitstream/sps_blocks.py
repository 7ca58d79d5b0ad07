"""Blocks at the end of an SPS (docs/bitstream.md, "Blocks of the SPS"): what only some streams say.

A block is a kind, a length and a payload. Kinds from 128 on change how a stream is read: who does not know one refuses
the stream. Other unknown kinds are kept and carried through.
"""

from dataclasses import dataclass

from dcvc_cli.bitstream.faults import Rule, UnsupportedStreamError
from dcvc_cli.bitstream.varint import ByteReader, write_uv

FAMILY, MASTERING_DISPLAY, CONTENT_LIGHT, VBV, TIME_BASE = 0, 1, 2, 3, 128
FIRST_REQUIRED_KIND = 128
"""Blocks of this kind and above are needed to read the stream."""
_KNOWN_KINDS = (FAMILY, MASTERING_DISPLAY, CONTENT_LIGHT, VBV, TIME_BASE)
_U16, _U32 = (1 << 16) - 1, (1 << 32) - 1


def _check(what: str, value: int, low: int, high: int) -> None:
    if not low <= value <= high:
        raise ValueError(f"{what} {value} is outside {low}..{high}")


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
            _check("chromaticity", coordinate, 0, 50000)
        _check("mastering luminance", self.max_luminance, 0, _U32)
        _check("mastering luminance", self.min_luminance, 0, _U32)

    def write(self) -> bytes:
        """24 bytes."""
        coordinates = b"".join(value.to_bytes(2, "big") for value in (*self.primaries, *self.white_point))
        return coordinates + self.max_luminance.to_bytes(4, "big") + self.min_luminance.to_bytes(4, "big")

    @staticmethod
    def read(reader: ByteReader) -> "MasteringDisplay":
        """Inverse of write."""
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
        _check("MaxCLL", self.max_content, 0, _U16)
        _check("MaxFALL", self.max_frame_average, 0, _U16)

    def write(self) -> bytes:
        """4 bytes."""
        return self.max_content.to_bytes(2, "big") + self.max_frame_average.to_bytes(2, "big")

    @staticmethod
    def read(reader: ByteReader) -> "ContentLight":
        """Inverse of write."""
        return ContentLight(reader.uint(2), reader.uint(2))


@dataclass(frozen=True)
class Vbv:
    """The buffer model that the encoder kept to (video buffering verifier); decoders need not look at it.

    Args:
        max_rate: bits a second at which the buffer fills, 1..2^32-1.
        buffer_size: bits, 1..2^32-1.
        initial_fullness: bits in the buffer when the first unit is taken out, 0..buffer_size.
    """

    max_rate: int
    buffer_size: int
    initial_fullness: int

    def __post_init__(self) -> None:
        _check("VBV rate", self.max_rate, 1, _U32)
        _check("VBV buffer size", self.buffer_size, 1, _U32)
        _check("VBV initial fullness", self.initial_fullness, 0, self.buffer_size)

    def write(self) -> bytes:
        """12 bytes."""
        return b"".join(value.to_bytes(4, "big") for value in (self.max_rate, self.buffer_size, self.initial_fullness))

    @staticmethod
    def read(reader: ByteReader) -> "Vbv":
        """Inverse of write."""
        return Vbv(reader.uint(4), reader.uint(4), reader.uint(4))


@dataclass(frozen=True)
class TimeBase:
    """Unit of the time stamps: num / den ticks a second, both 1..2^32-1."""

    num: int
    den: int

    def __post_init__(self) -> None:
        _check("time base", self.num, 1, _U32)
        _check("time base", self.den, 1, _U32)

    def write(self) -> bytes:
        """8 bytes."""
        return self.num.to_bytes(4, "big") + self.den.to_bytes(4, "big")

    @staticmethod
    def read(reader: ByteReader) -> "TimeBase":
        """Inverse of write."""
        return TimeBase(reader.uint(4), reader.uint(4))


@dataclass(frozen=True)
class UnknownBlock:
    """A block of a later version that decoding does not need: any kind below 128 that this version does not know."""

    kind: int
    data: bytes

    def __post_init__(self) -> None:
        if self.kind in _KNOWN_KINDS or not 0 <= self.kind < FIRST_REQUIRED_KIND:
            raise ValueError(f"block kind {self.kind} is a known one or not in 0..{FIRST_REQUIRED_KIND - 1}")


def write_blocks(blocks: dict[int, bytes]) -> bytes:
    """Blocks in the order of their kinds: kind (u8), length (uv), payload."""
    return b"".join(bytes([kind]) + write_uv(len(blocks[kind])) + blocks[kind] for kind in sorted(blocks))


def read_blocks(reader: ByteReader) -> dict[int, bytes]:
    """The blocks up to the end of the payload.

    Raises:
        UnsupportedStreamError: a block that this version would have to know.
        ValueError: kinds that do not increase.
    """
    blocks: dict[int, bytes] = {}
    last = -1
    while reader.remaining:
        kind = reader.uint(1)
        if kind <= last:
            raise ValueError(f"block kind {kind} stands after {last}, kinds must increase")
        if kind >= FIRST_REQUIRED_KIND and kind not in _KNOWN_KINDS:
            message = f"the stream needs SPS block {kind}, which this dcvc does not know"
            raise UnsupportedStreamError(Rule.UNSUPPORTED, message, hint="decode it with a newer dcvc")
        blocks[kind] = reader.take(reader.uv())
        last = kind
    return blocks
