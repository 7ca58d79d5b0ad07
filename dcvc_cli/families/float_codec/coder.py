"""Strings of 32-bit words: tables with wide rows, and the coder's wrappers. Source: docs/entropy-coding.md, "Words"."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dcvc_cli.entropy.tables import CdfTable, native
from dcvc_cli.errors import EnvironmentFault, StreamError
from dcvc_cli.stages import ENTROPY, timed

MAX_SYMBOL = (1 << 26) - 1
"""Magnitude of a symbol that an encoder makes; larger ones come from broken networks only."""


@dataclass(frozen=True, eq=False)
class WordTable:
    """Up to 256 rows of cumulative frequencies, up to 16384 values each.

    Attributes:
        cdf: int32 (rows, width), zero padded.
        cdf_length: int32 (rows,), values of a row that count; the last entry is the escape.
        offset: int32 (rows,), the symbol of entry 0.
    """

    cdf: NDArray[np.int32]
    cdf_length: NDArray[np.int32]
    offset: NDArray[np.int32]

    @classmethod
    def of_rows(cls, table: CdfTable, first: int, count: int) -> "WordTable":
        """Rows of a stored table."""
        rows = slice(first, first + count)
        return cls(table.cdf[rows], table.cdf_length[rows], table.offset[rows])

    @cached_property
    def native(self) -> Any:
        """The coder's form; ValueError where the rows break its rules."""
        arrays = (np.ascontiguousarray(array, np.int32) for array in (self.cdf, self.cdf_length, self.offset))
        return native.WordTable(*arrays)


@dataclass
class StringEncoder:
    """Collects the symbols of one string."""

    parts: list[tuple[Any, NDArray[np.int32], NDArray[np.uint8]]] = field(default_factory=list)

    def add(self, table: WordTable, symbols: NDArray[np.int32], rows: NDArray[np.uint8]) -> None:
        """Symbols and their table rows, in coding order, any shape.

        Raises:
            EnvironmentFault: symbols that only broken networks give.
        """
        if symbols.size and int(np.abs(symbols.astype(np.int64)).max()) > MAX_SYMBOL:
            raise EnvironmentFault("the networks give latents that are too large to be coded", "use other weights")
        flat = (np.ascontiguousarray(symbols, np.int32).reshape(-1), np.ascontiguousarray(rows, np.uint8).reshape(-1))
        self.parts.append((table.native, *flat))

    @timed(ENTROPY)
    def finish(self) -> bytes:
        """The string."""
        return bytes(native.encode_words(self.parts))


class StringDecoder:
    """Decodes one string part by part; damaged bytes raise StreamError, at the latest from `finish`."""

    def __init__(self, data: bytes) -> None:
        self.native = native.WordDecoder(data)

    @timed(ENTROPY)
    def decode(self, table: WordTable, rows: NDArray[np.uint8]) -> NDArray[np.int32]:
        """The symbols of these table rows, in their shape."""
        flat = np.ascontiguousarray(rows, np.uint8).reshape(-1)
        symbols = np.empty(flat.size, np.int32)
        self.check(self.native.decode(table.native, flat, symbols))
        return symbols.reshape(rows.shape)

    def finish(self) -> None:
        """Checks that every word was used."""
        self.check(self.native.finish())

    @staticmethod
    def check(status: Any) -> None:
        """StreamError for anything but success."""
        if status != native.Status.OK:
            raise StreamError(f"the entropy-coded data of a unit is damaged: {native.describe(status)}")


def joined(strings: Sequence[bytes]) -> bytes:
    """A unit's strings as one payload: the lengths of all but the last one, seven bits a byte, then the strings."""
    head = bytearray()
    for string in strings[:-1]:
        length = len(string)
        while length >= 128:
            head.append(length & 127 | 128)
            length >>= 7
        head.append(length)
    return bytes(head) + b"".join(strings)


def parted(payload: bytes, count: int) -> list[bytes]:
    """The inverse of `joined`; StreamError where the lengths do not fit."""
    lengths, place = [], 0
    for _ in range(count - 1):
        length = shift = 0
        while True:
            if place >= len(payload) or shift > 28:
                raise StreamError("the lengths of a unit's strings are damaged")
            byte = payload[place]
            length |= (byte & 127) << shift
            place, shift = place + 1, shift + 7
            if byte < 128:
                break
        lengths.append(length)
    if sum(lengths) > len(payload) - place:
        raise StreamError("the lengths of a unit's strings are damaged")
    strings = []
    for length in lengths:
        strings.append(payload[place : place + length])
        place += length
    return [*strings, payload[place:]]
