"""The slow twin of the frame coder, for tests. It follows docs/entropy-coding.md and shares nothing with the C++ coder.

Parts are (symbols, rows, table): a sequence of ints in -128..127, the table row of each, and a CdfTable.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from dcvc_cli.entropy.tables import CdfTable
from dcvc_cli.errors import StreamError
from dcvc_cli.format.entropy_format import EntropyFormat
from dcvc_cli.format.range_coder import DecoderState, EncoderState, TwinRangeDecoder, TwinRangeEncoder

Part = tuple[Sequence[int], Sequence[int], CdfTable]

NUM_LANES = 4
MIN_INTERLEAVED_SYMBOLS = 65536
MAX_LOG2_PARTITIONS = 6
MAX_ESCAPE_DIGITS = 5


@dataclass(frozen=True)
class Kind:
    """One of the two kinds of rANS states. States are in [lower, lower << unit_bits); bytes move in units of
    unit_bits."""

    lower: int
    unit_bits: int
    state_bytes: int


BYTE_KIND = Kind(lower=1 << 23, unit_bits=8, state_bytes=4)
WORD_KIND = Kind(lower=1 << 24, unit_bits=16, state_bytes=5)


@dataclass(frozen=True)
class Step:
    """One operation of a coder: an entry of a table (start, freq out of 2^bits)."""

    start: int
    freq: int
    bits: int


def escape_digits(raw: int) -> list[int]:
    """Returns the base-4 digits, least significant first; none for 0."""
    digits = []
    while raw:
        digits.append(raw & 3)
        raw >>= 2
    return digits


def symbol_steps(symbol: int, row: int, table: CdfTable) -> list[Step]:
    """Returns the operations of one symbol in decoding order."""
    cdf = [int(value) for value in table.cdf[row, : table.cdf_length[row]]]
    escape = len(cdf) - 2
    value = symbol - int(table.offset[row])
    entry = value if 0 <= value < escape else escape
    steps = [Step(cdf[entry], cdf[entry + 1] - cdf[entry], 16)]
    if entry == escape:
        digits = escape_digits(-2 * value - 1 if value < 0 else 2 * (value - escape))
        pieces = [3] * (len(digits) // 3) + [len(digits) % 3] + digits
        steps += [Step(piece, 1, 2) for piece in pieces]
    return steps


def encode_chain(steps: Sequence[tuple[int, Step]], kind: Kind, num_lanes: int) -> bytes:
    """Codes (lane, operation) pairs in decoding order. Without operations there are no bytes."""
    if not steps:
        return b""
    states = [kind.lower] * num_lanes
    units: list[int] = []
    for lane, step in reversed(steps):
        x = states[lane]
        while x >= step.freq * (kind.lower >> step.bits << kind.unit_bits):
            units.append(x & ((1 << kind.unit_bits) - 1))
            x >>= kind.unit_bits
        states[lane] = (x // step.freq << step.bits) + x % step.freq + step.start
    head = b"".join(x.to_bytes(kind.state_bytes, "little") for x in states)
    return head + b"".join(unit.to_bytes(kind.unit_bits // 8, "little") for unit in reversed(units))


def split_range(num_symbols: int, index: int, count: int) -> range:
    return range(num_symbols * index // count, num_symbols * (index + 1) // count)


def partition_bytes(parts: Sequence[Part], index: int, count: int, kind: Kind, num_lanes: int) -> bytes:
    steps = []
    for symbols, rows, table in parts:
        for position, i in enumerate(split_range(len(symbols), index, count)):
            steps += [(position % num_lanes, step) for step in symbol_steps(int(symbols[i]), int(rows[i]), table)]
    return encode_chain(steps, kind, num_lanes)


def shared_tail(first: bytes, second: bytes) -> int:
    k = 0
    while k < min(len(first), len(second), 8) and first[-1 - k] == 0 and second[-1 - k] == 0:
        k += 1
    if k == 0 and first and second and first[-1] == second[-1]:
        k = 1
    return k


def varint(value: int) -> bytes:
    out = bytearray()
    while value >= 128:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def encode_partitioned(parts: Sequence[Part], interleaved: bool, log2_partitions: int) -> bytes:
    """Codes a frame in a given layout of the partitioned form."""
    kind, num_lanes = (WORD_KIND, NUM_LANES) if interleaved else (BYTE_KIND, 1)
    count = 1 << log2_partitions
    partitions = [partition_bytes(parts, index, count, kind, num_lanes) for index in range(count)]
    header = bytes([log2_partitions | interleaved << 3]) + b"".join(
        varint(len(partition)) for partition in partitions[:-1]
    )
    return header + b"".join(partitions)


def encode_compact(parts: Sequence[Part], start: EncoderState | None = None) -> bytes:
    """Codes a frame in the compact form, behind the bytes in `start`."""
    coder = TwinRangeEncoder(start)
    for symbols, rows, table in parts:
        for symbol, row in zip(symbols, rows, strict=True):
            for step in symbol_steps(int(symbol), int(row), table):
                coder.take(step.start, step.start + step.freq, step.bits)
    return coder.finish()


def encode(parts: Sequence[Part], fmt: EntropyFormat) -> bytes:
    """Codes a frame into the bytes of FrameEncoder."""
    num_symbols = sum(len(symbols) for symbols, _, _ in parts)
    if num_symbols == 0:
        return b""
    if fmt is EntropyFormat.COMPACT:
        return encode_compact(parts)
    if fmt is EntropyFormat.PUBLISHED_ONE:
        return partition_bytes(parts, 0, 1, BYTE_KIND, 1)
    if fmt is EntropyFormat.PUBLISHED_TWO:
        first, second = (partition_bytes(parts, index, 2, BYTE_KIND, 1) for index in range(2))
        return first + second[: len(second) - shared_tail(first, second)][::-1]
    log2_partitions = 0
    if num_symbols >= MIN_INTERLEAVED_SYMBOLS:
        while log2_partitions < MAX_LOG2_PARTITIONS and num_symbols >> log2_partitions >= 2 * MIN_INTERLEAVED_SYMBOLS:
            log2_partitions += 1
    return encode_partitioned(parts, num_symbols >= MIN_INTERLEAVED_SYMBOLS, log2_partitions)


class _Source:
    """The source of a decoder's entries."""

    num_lanes = 1

    def step(self, lane: int, cdf: Sequence[int], bits: int) -> int:
        """Decodes one entry of a cumulative list over 2^bits."""
        raise NotImplementedError

    def symbol(self, lane: int, row: int, table: CdfTable) -> int:
        cdf = [int(value) for value in table.cdf[row, : table.cdf_length[row]]]
        escape = len(cdf) - 2
        value = self.step(lane, cdf, 16)
        if value == escape:
            num_digits, piece = 0, 3
            while piece == 3:
                piece = self.step(lane, range(5), 2)
                num_digits += piece
                if num_digits > MAX_ESCAPE_DIGITS:
                    raise StreamError("an escape has too many digits")
            raw = sum(self.step(lane, range(5), 2) << (2 * digit) for digit in range(num_digits))
            value = -(raw >> 1) - 1 if raw & 1 else (raw >> 1) + escape
        symbol = value + int(table.offset[row])
        if not -128 <= symbol <= 127:
            raise StreamError("an escape is outside -128..127")
        return symbol


class _RangeSource(_Source):
    """The range coder of the compact form."""

    def __init__(self, data: bytes, start: DecoderState | None) -> None:
        self.coder = TwinRangeDecoder(data, start)

    def step(self, lane: int, cdf: Sequence[int], bits: int) -> int:
        share = self.coder.share(bits)
        entry = max(e for e in range(len(cdf) - 1) if cdf[e] <= share)
        self.coder.take(cdf[entry], cdf[entry + 1], bits)
        return entry


class _Chain(_Source):
    """States that share one string of bytes, decoding."""

    def __init__(self, data: bytes, kind: Kind, num_lanes: int) -> None:
        self.data, self.kind, self.num_lanes = data, kind, num_lanes
        self.states: list[int] = []
        self.position = 0

    def take(self, num_bytes: int) -> int:
        if self.position + num_bytes > len(self.data):
            raise StreamError("entropy-coded bytes end too early")
        self.position += num_bytes
        return int.from_bytes(self.data[self.position - num_bytes : self.position], "little")

    def start(self) -> None:
        self.states = [self.take(self.kind.state_bytes) for _ in range(self.num_lanes)]
        if any(not self.kind.lower <= x < self.kind.lower << self.kind.unit_bits for x in self.states):
            raise StreamError("an initial state is out of range")

    def step(self, lane: int, cdf: Sequence[int], bits: int) -> int:
        x = self.states[lane]
        slot = x & ((1 << bits) - 1)
        entry = max(e for e in range(len(cdf) - 1) if cdf[e] <= slot)
        x = (cdf[entry + 1] - cdf[entry]) * (x >> bits) + slot - cdf[entry]
        while x < self.kind.lower:
            x = x << self.kind.unit_bits | self.take(self.kind.unit_bits // 8)
        self.states[lane] = x
        return entry

    def finish(self) -> None:
        if any(x != self.kind.lower for x in self.states):
            raise StreamError("a final state is not the start state")


class Decoder:
    """Decodes a frame part by part, like FrameDecoder."""

    def __init__(self, data: bytes, fmt: EntropyFormat, start: DecoderState | None = None) -> None:
        self.data, self.fmt = data, fmt
        self.chains: list[_Chain] = []
        self.compact = _RangeSource(data, start) if fmt is EntropyFormat.COMPACT else None
        if self.compact:
            return
        if fmt is EntropyFormat.PARTITIONED:
            self.chains = self._read_partitions(data)
        else:
            strings = [data] if fmt is EntropyFormat.PUBLISHED_ONE else [data, data[::-1]]
            self.chains = [_Chain(string, BYTE_KIND, 1) for string in strings]

    @staticmethod
    def _read_partitions(data: bytes) -> list[_Chain]:
        if not data:
            return []
        log2_partitions = data[0] & 7
        if data[0] > 15 or log2_partitions > MAX_LOG2_PARTITIONS:
            raise StreamError("the partition header is not valid")
        kind, num_lanes = (WORD_KIND, NUM_LANES) if data[0] & 8 else (BYTE_KIND, 1)
        position, sizes = 1, []
        for _ in range((1 << log2_partitions) - 1):
            groups: list[int] = []
            while not groups or groups[-1] & 128:
                if position >= len(data) or len(groups) == 5:
                    raise StreamError("the partition header is not valid")
                groups.append(data[position])
                position += 1
            sizes.append(sum((group & 127) << (7 * k) for k, group in enumerate(groups)))
        rest = len(data) - position - sum(sizes)
        if rest < 0:
            raise StreamError("the partition header is not valid")
        chains = []
        for size in [*sizes, rest]:
            chains.append(_Chain(data[position : position + size], kind, num_lanes))
            position += size
        return chains

    def decode(self, rows: Sequence[int], table: CdfTable) -> list[int]:
        if self.compact:
            return [self.compact.symbol(0, int(row), table) for row in rows]
        if len(rows) and not self.chains:
            raise StreamError("entropy-coded bytes end too early")
        symbols = []
        for index, chain in enumerate(self.chains):
            for position, i in enumerate(split_range(len(rows), index, len(self.chains))):
                if not chain.states:
                    chain.start()
                symbols.append(chain.symbol(position % chain.num_lanes, int(rows[i]), table))
        return symbols

    def finish(self) -> None:
        if self.compact:
            self.compact.coder.finish()
        for chain in self.chains:
            chain.finish()
        if self.fmt is EntropyFormat.PUBLISHED_TWO:
            first, second = (chain.data[: chain.position] for chain in self.chains)
            if first + second[: len(second) - shared_tail(first, second)][::-1] != self.data:
                raise StreamError("the two coders do not meet as they should")
        elif any(chain.position != len(chain.data) for chain in self.chains):
            raise StreamError("entropy-coded bytes are left over")
