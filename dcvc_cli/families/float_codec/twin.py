"""The slow twin of the word-wise coder, for tests. It follows docs/entropy-coding.md and shares nothing with the C++
coder."""

from collections.abc import Sequence

from dcvc_cli.errors import StreamError
from dcvc_cli.families.float_codec.coder import WordTable

LOWER = 1 << 31
MAX_DIGITS = 7


def _row(table: WordTable, row: int) -> list[int]:
    return [int(value) for value in table.cdf[row, : table.cdf_length[row]]]


def encode_words(symbols: Sequence[int], rows: Sequence[int], table: WordTable) -> bytes:
    """Codes symbols into a string."""
    steps: list[tuple[int, int, int]] = []  # (start, freq, bits) in decoding order
    for symbol, row in zip(symbols, rows, strict=True):
        cdf, value = _row(table, row), symbol - int(table.offset[row])
        escape = len(cdf) - 2
        entry = value if 0 <= value < escape else escape
        steps.append((cdf[entry], cdf[entry + 1] - cdf[entry], 16))
        if entry == escape:
            raw = -2 * value - 1 if value < 0 else 2 * (value - escape)
            digits = []
            while raw:
                digits.append(raw & 15)
                raw >>= 4
            steps += [(digit, 1, 4) for digit in (len(digits), *digits)]
    state, words = LOWER, []
    for start, freq, bits in reversed(steps):
        if state >= freq << 63 - bits:
            words.append(state & 0xFFFFFFFF)
            state >>= 32
        state = (state // freq << bits) + state % freq + start
    words += [state >> 32, state & 0xFFFFFFFF]
    return b"".join(word.to_bytes(4, "little") for word in reversed(words))


def decode_words(string: bytes, rows: Sequence[int], table: WordTable) -> list[int]:
    """Decodes the symbols of a string.

    Raises:
        StreamError: the string does not hold exactly one symbol for each row.
    """
    if len(string) < 8 or len(string) % 4:
        raise StreamError("a string has no whole words")
    words = [int.from_bytes(string[at : at + 4], "little") for at in range(0, len(string), 4)]
    state = words.pop(0) | words.pop(0) << 32
    if not LOWER <= state < LOWER << 32:
        raise StreamError("an initial state is out of range")

    def take(cdf: Sequence[int], bits: int) -> int:
        nonlocal state
        slot = state & (1 << bits) - 1
        entry = max(e for e in range(len(cdf) - 1) if cdf[e] <= slot)
        state = (cdf[entry + 1] - cdf[entry]) * (state >> bits) + slot - cdf[entry]
        if state < LOWER:
            if not words:
                raise StreamError("words end too early")
            state = state << 32 | words.pop(0)
        return entry

    symbols = []
    for row in rows:
        cdf = _row(table, row)
        escape = len(cdf) - 2
        value = take(cdf, 16)
        if value == escape:
            count = take(range(17), 4)
            digits = [take(range(17), 4) for _ in range(count)] if count <= MAX_DIGITS else [0]
            if digits and digits[-1] == 0:
                raise StreamError("an escape has too many digits")
            raw = sum(digit << 4 * place for place, digit in enumerate(digits))
            value = -(raw >> 1) - 1 if raw & 1 else (raw >> 1) + escape
        symbols.append(value + int(table.offset[row]))
    if words or state != LOWER:
        raise StreamError("words are left over")
    return symbols
