"""The elementary stream of DCVC-FM: units one after the other, without a header. Source: DCVC-FM (CVPR 2024).

The high half of a unit's first byte is its type. An SPS has size, quality and feature adaptor. The low half of a
frame's first byte is the number of its SPS.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import IntEnum

from dcvc_cli.errors import StreamError

MAX_SPS = 16
_LONG = 1 << 15
_LONG_FLAG = 1 << 31


class UnitType(IntEnum):
    """The type of a unit."""

    SPS = 0
    I = 1  # noqa: E741  the name that every codec has for it
    P = 2
    SEVERAL_P = 3


@dataclass(frozen=True)
class StreamSps:
    """The settings that frames refer to.

    Attributes:
        quality: 0..63.
        adaptor: 0..2, the number of the feature adaptor; 3 is a refresh.
    """

    height: int
    width: int
    quality: int
    adaptor: int


@dataclass(frozen=True)
class StreamUnit:
    """One payload and the SPS of each of its frames."""

    unit_type: UnitType
    frames: tuple[StreamSps, ...]
    payload: bytes


def write_number(value: int) -> bytes:
    """Writes 0..2^30 - 1 in two bytes if it fits 15 bits, else in four bytes with the high bit set."""
    return value.to_bytes(2, "big") if value < _LONG else (_LONG_FLAG | value).to_bytes(4, "big")


@dataclass
class StreamWriter:
    """Collects the bytes of a stream."""

    data: bytearray = field(default_factory=bytearray)
    known: list[StreamSps] = field(default_factory=list)

    def write(self, unit: StreamUnit) -> None:
        """Adds a unit, with new SPSs before it.

        Raises:
            ValueError: there are more than 16 SPSs.
        """
        numbers = [self._number_of(sps) for sps in unit.frames]
        if unit.unit_type is UnitType.SEVERAL_P:
            self.data.append(unit.unit_type << 4 | len(numbers) - 1)
            padded = numbers + [0] * (len(numbers) % 2)
            self.data += bytes(first << 4 | second for first, second in zip(padded[::2], padded[1::2], strict=True))
        else:
            self.data.append(unit.unit_type << 4 | numbers[0])
        self.data += write_number(len(unit.payload)) + unit.payload

    def _number_of(self, sps: StreamSps) -> int:
        if sps not in self.known:
            if len(self.known) == MAX_SPS:
                raise ValueError(f"a stream has more than {MAX_SPS} SPSs")
            self.known.append(sps)
            self.data.append(UnitType.SPS << 4 | len(self.known) - 1)
            self.data += write_number(sps.height) + write_number(sps.width)
            self.data.append(sps.quality << 2 | sps.adaptor)
        return self.known.index(sps)


def read_stream(data: bytes) -> Iterator[StreamUnit]:
    """Reads the units of a stream.

    Raises:
        StreamError: the stream is damaged.
    """
    reader, known = _Reader(data), dict[int, StreamSps]()
    while reader.position < len(data):
        first = reader.byte()
        try:
            unit_type = UnitType(first >> 4)
        except ValueError:
            raise StreamError(f"a unit of type {first >> 4} at byte {reader.position - 1}, expected 0..3") from None
        if unit_type is UnitType.SPS:
            height, width, last = reader.number(), reader.number(), reader.byte()
            known[first & 15] = StreamSps(height, width, last >> 2, last & 3)
            continue
        numbers = [first & 15]
        if unit_type is UnitType.SEVERAL_P:
            count = (first & 15) + 1
            pairs = reader.take((count + 1) // 2)
            numbers = [half for pair in pairs for half in (pair >> 4, pair & 15)][:count]
        yield StreamUnit(unit_type, _named(known, numbers), reader.take(reader.number()))


def _named(known: dict[int, StreamSps], numbers: Sequence[int]) -> tuple[StreamSps, ...]:
    missing = [number for number in numbers if number not in known]
    if missing:
        raise StreamError(f"a frame names SPS {missing[0]}, which the stream does not have")
    return tuple(known[number] for number in numbers)


@dataclass
class _Reader:
    data: bytes
    position: int = 0

    def take(self, size: int) -> bytes:
        if self.position + size > len(self.data):
            raise StreamError(f"the stream of {len(self.data)} bytes ends inside a unit")
        self.position += size
        return self.data[self.position - size : self.position]

    def byte(self) -> int:
        return self.take(1)[0]

    def number(self) -> int:
        head = int.from_bytes(self.take(2), "big")
        if head < _LONG:
            return head
        return (head - _LONG) << 16 | int.from_bytes(self.take(2), "big")
