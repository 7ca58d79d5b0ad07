"""Blocks at the end of an SPS, which only some streams have (docs/bitstream.md, "Blocks of the SPS").

A block is a kind, a length and a payload. Kinds from 128 on change the layout of a stream, so a reader refuses a stream
with an unknown one. A reader carries other unknown kinds through.
"""

from dataclasses import dataclass

from dcvc_cli.bitstream.faults import Rule, UnsupportedStreamError
from dcvc_cli.bitstream.varint import ByteReader, write_uv
from dcvc_cli.format.ranges import check_range

FAMILY, MASTERING_DISPLAY, CONTENT_LIGHT, VBV, TIME_BASE = 0, 1, 2, 3, 128
FIRST_REQUIRED_KIND = 128
"""A reader needs blocks of this kind and above to read the stream."""
_KNOWN_KINDS = (FAMILY, MASTERING_DISPLAY, CONTENT_LIGHT, VBV, TIME_BASE)
_U32 = (1 << 32) - 1


@dataclass(frozen=True)
class Vbv:
    """The buffer model that the encoder kept to (video buffering verifier). No decoder needs it.

    Attributes:
        max_rate: bits a second at which the buffer fills, 1..2^32-1.
        buffer_size: bits, 1..2^32-1.
        initial_fullness: bits in the buffer when the first unit is taken out, 0..buffer_size.
    """

    max_rate: int
    buffer_size: int
    initial_fullness: int

    def __post_init__(self) -> None:
        check_range("VBV rate", self.max_rate, 1, _U32)
        check_range("VBV buffer size", self.buffer_size, 1, _U32)
        check_range("VBV initial fullness", self.initial_fullness, 0, self.buffer_size)

    def write(self) -> bytes:
        """Returns 12 bytes."""
        return b"".join(value.to_bytes(4, "big") for value in (self.max_rate, self.buffer_size, self.initial_fullness))

    @staticmethod
    def read(reader: ByteReader) -> "Vbv":
        """Inverts write."""
        return Vbv(reader.uint(4), reader.uint(4), reader.uint(4))


@dataclass(frozen=True)
class TimeBase:
    """The unit of time stamps: num / den ticks a second, both 1..2^32-1."""

    num: int
    den: int

    def __post_init__(self) -> None:
        check_range("time base", self.num, 1, _U32)
        check_range("time base", self.den, 1, _U32)

    def write(self) -> bytes:
        """Returns 8 bytes."""
        return self.num.to_bytes(4, "big") + self.den.to_bytes(4, "big")

    @staticmethod
    def read(reader: ByteReader) -> "TimeBase":
        """Inverts write."""
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
    """Returns the blocks in the order of their kinds: kind (u8), length (uv), payload."""
    return b"".join(bytes([kind]) + write_uv(len(blocks[kind])) + blocks[kind] for kind in sorted(blocks))


def read_blocks(reader: ByteReader) -> dict[int, bytes]:
    """Reads the blocks up to the end of the payload.

    Raises:
        UnsupportedStreamError: this version does not know a block that it needs.
        ValueError: the kinds do not increase.
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
