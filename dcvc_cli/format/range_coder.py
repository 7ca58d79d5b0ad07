"""The state of the range coder, and the range coder's slow twin.

Motion vectors, output filters, floors and compact symbols go into the same bytes. So the state is a value that all
these layers share. The twins of these layers run on the twin of the range coder, with adaptive bits on top. The twin
shares nothing with the C++ code and gives the same bytes and states. Source: docs/entropy-coding.md, "Range coder", and
docs/motion.md, "Bits".
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from dcvc_cli.errors import StreamError

WORD_BITS = 32
WINDOW_BITS = 64
MIN_RANGE = 1 << WORD_BITS
FIRST_RANGE = (1 << WINDOW_BITS) - 1


@dataclass(frozen=True)
class EncoderState:
    """The state of an encoder.

    Attributes:
        data: the bytes so far. A carry may still change them.
        low: start of the interval behind the bytes, 0..2^64 - 1.
        range: size of the interval, 2^32..2^64 - 1.
    """

    data: bytes = b""
    low: int = 0
    range: int = FIRST_RANGE


@dataclass(frozen=True)
class DecoderState:
    """The state of a decoder.

    Attributes:
        position: number of bytes taken, at least 8. Zeros behind the last byte count.
        value: the last eight bytes taken, minus the low of the interval, 0..2^64 - 1.
        range: size of the interval, 2^32..2^64 - 1.
    """

    position: int
    value: int
    range: int


def encoder_start(state: EncoderState | None) -> tuple[bytes, int, int] | None:
    """Turns an encoder's state into (data, low, range), the form of the extensions."""
    return None if state is None else (state.data, state.low, state.range)


def decoder_start(state: DecoderState | None) -> tuple[int, int, int] | None:
    """Turns a decoder's state into (position, value, range), the form of the extensions."""
    return None if state is None else (state.position, state.value, state.range)


def shortest_in(low: int, size: int) -> int:
    """Returns the number in low..low + size - 1 that ends in the most 0 bits. More than 64 count as 64."""
    for num_zeros in range(WINDOW_BITS, -1, -1):
        number = -(-low >> num_zeros) << num_zeros
        if number < low + size:
            return number
    raise AssertionError("the interval is never empty")


class TwinRangeEncoder:
    """The twin of the C++ RangeEncoder. It keeps the bytes as one number, so carries need no code."""

    def __init__(self, state: EncoderState | None = None) -> None:
        state = state or EncoderState()
        self._low = int.from_bytes(state.data, "big") << WINDOW_BITS | state.low
        self._range, self._num_bytes = state.range, len(state.data)

    def take(self, start: int, end: int, bits: int) -> None:
        """Codes the share start..end - 1 of 2^bits."""
        unit = self._range >> bits
        self._low += unit * start
        self._range = (self._range if end == 1 << bits else unit * end) - unit * start
        while self._range < MIN_RANGE:
            self._low, self._range, self._num_bytes = (
                self._low << WORD_BITS,
                self._range << WORD_BITS,
                self._num_bytes + WORD_BITS // 8,
            )

    @property
    def state(self) -> EncoderState:
        """Returns the state, from which another encoder goes on."""
        window = (1 << WINDOW_BITS) - 1
        return EncoderState(
            (self._low >> WINDOW_BITS).to_bytes(self._num_bytes, "big"), self._low & window, self._range
        )

    def finish(self) -> bytes:
        """Returns the shortest bytes."""
        return shortest_in(self._low, self._range).to_bytes(self._num_bytes + WINDOW_BITS // 8, "big").rstrip(b"\0")


class TwinRangeDecoder:
    """Reads the bytes of TwinRangeEncoder. Any bytes decode to something; `finish` tells whether an encoder makes
    them."""

    def __init__(self, data: bytes, state: DecoderState | None = None) -> None:
        self._data = data
        self._state = state or DecoderState(WINDOW_BITS // 8, self._number_at(0), FIRST_RANGE)

    def _number_at(self, position: int) -> int:
        return int.from_bytes(self._data[position : position + 8].ljust(8, b"\0"), "big")

    def share(self, bits: int) -> int:
        """Returns which of 2^bits shares comes next."""
        return min(self._state.value // (self._state.range >> bits), (1 << bits) - 1)

    def take(self, start: int, end: int, bits: int) -> None:
        """Takes the share start..end - 1, which holds the number that `share` returned."""
        position, value, size = self._state.position, self._state.value, self._state.range
        unit = size >> bits
        value -= unit * start
        size = (size if end == 1 << bits else unit * end) - unit * start
        while size < MIN_RANGE:
            # Bytes that no encoder makes may lie outside the first range. The value then grows, modulo 2^64.
            value = (value << WORD_BITS | self._number_at(position) >> WORD_BITS) % (1 << WINDOW_BITS)
            size, position = size << WORD_BITS, position + WORD_BITS // 8
        self._state = DecoderState(position, value, size)

    @property
    def state(self) -> DecoderState:
        """Returns the state, from which another decoder goes on."""
        return self._state

    def finish(self) -> None:
        """Ends the bytes.

        Raises:
            StreamError: bytes are left, or an encoder makes other bytes of these shares.
        """
        number = self._number_at(self._state.position - 8)
        low = number - self._state.value
        is_shortest = shortest_in(low, self._state.range) == number and not self._data.endswith(b"\0")
        if self._state.position < len(self._data) or self._number_at(0) == FIRST_RANGE or not is_shortest:
            raise StreamError("range-coded bytes are left over or not the shortest")


class Context:
    """A probability that a bit is 0, which it learns from the bits."""

    def __init__(self, start: int = 32768) -> None:
        self.fast = self.slow = start

    def zero(self) -> int:
        """Returns the probability in 1/32768."""
        return min(max((self.fast + self.slow) >> 2, 32), 32768 - 32)

    def learn(self, bit: int) -> None:
        if bit:
            self.fast -= self.fast >> 4
            self.slow -= self.slow >> 7
        else:
            self.fast += (65535 - self.fast) >> 4
            self.slow += (65535 - self.slow) >> 7


BitCoding: TypeAlias = Callable[[Context | None, int], int]
"""A writer writes the given bit and returns it. A reader ignores the given bit and returns the bit that it reads. So
one walk over the syntax serves both."""


def _share_of_zero(context: Context | None) -> tuple[int, int]:
    """Returns (share of a 0 bit, k), out of 2^k shares."""
    return (context.zero(), 15) if context else (1, 1)


class TwinBitWriter:
    """Writes bits with and without contexts, from a state of the range coder on."""

    def __init__(self, state: EncoderState | None = None) -> None:
        self.coder = TwinRangeEncoder(state)

    def bit(self, context: Context | None, bit: int) -> int:
        zero, bits = _share_of_zero(context)
        self.coder.take(zero if bit else 0, 1 << bits if bit else zero, bits)
        if context:
            context.learn(bit)
        return bit


class TwinBitReader:
    """Reads the bits of TwinBitWriter. Any bytes decode to something."""

    def __init__(self, data: bytes, state: DecoderState | None = None) -> None:
        self.coder = TwinRangeDecoder(data, state)

    def bit(self, context: Context | None, _: int) -> int:
        zero, bits = _share_of_zero(context)
        bit = int(self.coder.share(bits) >= zero)
        self.coder.take(zero if bit else 0, 1 << bits if bit else zero, bits)
        if context:
            context.learn(bit)
        return bit


def code_number(bit: BitCoding, zero: Context, sign: Context, prefix: Sequence[Context], wanted: int) -> int:
    """Codes a number: whether it is 0, then as `code_nonzero` does."""
    return code_nonzero(bit, sign, prefix, wanted) if bit(zero, wanted != 0) else 0


def code_nonzero(bit: BitCoding, sign: Context, prefix: Sequence[Context], wanted: int) -> int:
    """Codes a number other than 0: its sign, the length of its magnitude with a context for each bit, at most
    len(prefix), and the bits below the highest."""
    is_negative = bit(sign, wanted < 0)
    num_bits = 0
    while num_bits < len(prefix) and bit(prefix[num_bits], abs(wanted) >> (num_bits + 1) != 0):
        num_bits += 1
    magnitude = 1
    for k in reversed(range(num_bits)):
        magnitude = 2 * magnitude + bit(None, abs(wanted) >> k & 1)
    return -magnitude if is_negative else magnitude
