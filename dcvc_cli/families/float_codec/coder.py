"""Strings of 32-bit words: tables with wide rows, encoder and decoder of a string. Source: docs/entropy-coding.md,
"Words"."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dcvc_cli.entropy.tables import CdfTable, check_status, native
from dcvc_cli.errors import EnvironmentFault, StreamError
from dcvc_cli.stages import ENTROPY, timed

MAX_SYMBOL = (1 << 26) - 1
"""Largest magnitude of a symbol. Only broken networks give larger ones."""


@dataclass(frozen=True, eq=False)
class WordTable:
    """A table of up to 256 rows of cumulative frequencies. A row has up to 16384 values.

    Attributes:
        cdf: int32 (rows, width), zero padded.
        cdf_length: int32 (rows,), number of values of a row. The last entry is the escape.
        offset: int32 (rows,), the symbol of entry 0.
    """

    cdf: NDArray[np.int32]
    cdf_length: NDArray[np.int32]
    offset: NDArray[np.int32]

    @classmethod
    def of_rows(cls, table: CdfTable, first: int, count: int) -> "WordTable":
        """Makes a table of `count` rows of a stored table, from row `first` on."""
        rows = slice(first, first + count)
        return cls(table.cdf[rows], table.cdf_length[rows], table.offset[rows])

    @cached_property
    def native(self) -> Any:
        """Puts the table into the form of the C++ coder.

        Raises:
            ValueError: a row breaks the rules of the coder.
        """
        arrays = (np.ascontiguousarray(array, np.int32) for array in (self.cdf, self.cdf_length, self.offset))
        return native.WordTable(*arrays)


@dataclass
class StringEncoder:
    """Collects the symbols of one string."""

    parts: list[tuple[Any, NDArray[np.int32], NDArray[np.uint8]]] = field(default_factory=list)

    def add(self, table: WordTable, symbols: NDArray[np.int32], rows: NDArray[np.uint8]) -> None:
        """Adds symbols.

        Args:
            symbols, rows: symbols in coding order and their table rows, of one shape.

        Raises:
            EnvironmentFault: a symbol is so large that only broken networks give it.
        """
        if symbols.size and int(np.abs(symbols.astype(np.int64)).max()) > MAX_SYMBOL:
            raise EnvironmentFault("the networks give latents that are too large to be coded", "use other weights")
        flat = (np.ascontiguousarray(symbols, np.int32).reshape(-1), np.ascontiguousarray(rows, np.uint8).reshape(-1))
        self.parts.append((table.native, *flat))

    @timed(ENTROPY)
    def finish(self) -> bytes:
        """Returns the string."""
        return bytes(native.encode_words(self.parts))


class StringDecoder:
    """Decodes one string part by part. Damaged bytes raise StreamError, at the latest in `finish`."""

    def __init__(self, data: bytes) -> None:
        self.native = native.WordDecoder(data)

    @timed(ENTROPY)
    def decode(self, table: WordTable, rows: NDArray[np.uint8]) -> NDArray[np.int32]:
        """Reads one symbol for each table row. The symbols have the shape of `rows`."""
        flat = np.ascontiguousarray(rows, np.uint8).reshape(-1)
        symbols = np.empty(flat.size, np.int32)
        check_status(self.native.decode(table.native, flat, symbols))
        return symbols.reshape(rows.shape)

    def finish(self) -> None:
        """Checks that every word was used."""
        check_status(self.native.finish())


def joined(strings: Sequence[bytes]) -> bytes:
    """Joins a unit's strings to one payload: the lengths of all strings but the last, seven bits a byte, then the
    strings."""
    head = bytearray()
    for string in strings[:-1]:
        length = len(string)
        while length >= 128:
            head.append(length & 127 | 128)
            length >>= 7
        head.append(length)
    return bytes(head) + b"".join(strings)


def parted(payload: bytes, count: int) -> list[bytes]:
    """Inverts `joined`.

    Raises:
        StreamError: the lengths do not fit the payload.
    """
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
