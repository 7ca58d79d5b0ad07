"""The slow twin of DCVC-UF's payload encoder. It follows docs/entropy-coding.md, "Zigzag", and shares nothing with the
C++ coder."""

import numpy as np

from dcvc_cli.families.uf.tables import ZigzagTable

LOWER = 1 << 23


def place_of(symbol: int) -> int:
    return 2 * symbol - 1 if symbol > 0 else -2 * symbol


def steps_of(symbol: int, row: int, table: ZigzagTable) -> list[tuple[int, int, int]]:
    """Yields (start, frequency, bits) of each step of a symbol in decoding order."""
    cdf = [int(value) for value in table.cdf[row, : table.cdf_length[row]]]
    escape = len(cdf) - 2
    entry = min(place_of(symbol), escape)
    steps = [(cdf[entry], cdf[entry + 1] - cdf[entry], 16)]
    if entry == escape:
        raw, digits = place_of(symbol) - escape, []
        while raw:
            digits.append(raw & 3)
            raw >>= 2
        pieces = [3] * (len(digits) // 3) + [len(digits) % 3]
        steps += [(digit, 1, 2) for digit in pieces + digits]
    return steps


def string_of(steps: list[tuple[int, int, int]]) -> bytes:
    """Makes one coder's bytes: its state, then its units in the order in which a decoder takes them."""
    state, units = LOWER, []
    for start, frequency, bits in reversed(steps):
        while state >= frequency << (31 - bits):
            units.insert(0, state & 255)
            state >>= 8
        state = (state // frequency << bits) + state % frequency + start
    return state.to_bytes(4, "little") + bytes(units)


def merged(first: bytes, second: bytes) -> bytes:
    limit = min(len(first), len(second), 8)
    shared = 0
    while shared < limit and first[-1 - shared] == 0 == second[-1 - shared]:
        shared += 1
    if shared == 0 and first[-1] == second[-1]:
        shared = 1
    return first + second[: len(second) - shared][::-1]


def twin_payload(parts: list[tuple[ZigzagTable, np.ndarray, np.ndarray]], num_coders: int) -> bytes:
    """Makes the payload of parts (table, symbols, rows) by `num_coders` coders."""
    strings = []
    for coder in range(num_coders):
        steps: list[tuple[int, int, int]] = []
        for table, symbols, rows in parts:
            piece = len(symbols) // num_coders
            end = len(symbols) if coder == num_coders - 1 else piece * (coder + 1)
            for i in range(piece * coder, end):
                steps += steps_of(int(symbols[i]), int(rows[i]), table)
        strings.append(string_of(steps))
    groups = [merged(*strings[k : k + 2]) if k + 1 < num_coders else strings[k] for k in range(0, num_coders, 2)]
    starts = np.cumsum([len(group) for group in groups])[:-1]
    return b"".join(int(start).to_bytes(4, "little") for start in starts) + b"".join(groups)
