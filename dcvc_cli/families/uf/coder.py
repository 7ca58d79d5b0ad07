"""Turns a unit's symbols into DCVC-UF's bytes and back. Source: docs/entropy-coding.md, "Zigzag".

Symbols go in row, column, channel order. One to eight coders share a payload. The unit's header holds their number, so
the caller gives it to a decoder.
"""

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from dcvc_cli.entropy.tables import check_status, native
from dcvc_cli.errors import StreamError
from dcvc_cli.families.uf.tables import ZigzagTable
from dcvc_cli.stages import ENTROPY, timed

MAX_CODERS = 8
SYMBOLS_A_CODER = 32768
MIN_Z, MAX_Z = -64, 63
Part: TypeAlias = tuple[Any, NDArray[np.int8], NDArray[np.uint8]]
"""Table, symbols and table rows of a sequence."""


def coders_for(num_symbols: int) -> int:
    """Returns the number of coders, 1..8, for so many coded y symbols of a unit. z does not count."""
    return min(max(num_symbols // SYMBOLS_A_CODER, 1), MAX_CODERS)


def _z_rows(num_channels: int, height: int, width: int) -> NDArray[np.uint8]:
    """Returns the table row of every element of z in row, column, channel order."""
    return np.tile(np.arange(num_channels, dtype=np.uint8), height * width)


def in_coding_order(planes: NDArray[Any]) -> NDArray[Any]:
    """Turns elements (channels, height, width) into row, column, channel order, (height, width, channels)."""
    return np.ascontiguousarray(planes.transpose(1, 2, 0))


def _part_of_z(symbols: NDArray[np.int8], table: ZigzagTable, row_base: int) -> Part:
    rows = _z_rows(*symbols.shape)
    return table.native(row_base, symbols.shape[0]), in_coding_order(symbols).reshape(-1), rows


class UnitEncoder:
    """Collects a unit's symbols, z first, and codes them at `finish`. The bytes are the same on every machine."""

    def __init__(self) -> None:
        self._parts: list[Part | Callable[[], Part]] = []
        self.num_coded = 0

    @timed(ENTROPY)
    def add_z(self, symbols: NDArray[np.int8], table: ZigzagTable, row_base: int) -> None:
        """Adds z, int8 (channels, height, width) in -64..63; channel c uses table row row_base + c."""
        self._parts.append(_part_of_z(symbols, table, row_base))

    def add_z_later(self, take: Callable[[], NDArray[np.int8]], table: ZigzagTable, qp: int) -> None:
        """Adds z as `add_z`; `take` gives the symbols once `finish` asks. Of n channels, channel c uses table row
        qp * n + c."""

        def part() -> Part:
            symbols = take()
            return _part_of_z(symbols, table, qp * symbols.shape[0])

        self._parts.append(part)

    @timed(ENTROPY)
    def add_y(
        self, symbols: NDArray[np.int8], index: NDArray[np.uint8], coded: NDArray[np.bool_], table: ZigzagTable
    ) -> None:
        """Adds a sequence: symbols int8, table rows uint8, flags, each (channels, height, width)."""
        flags = in_coding_order(coded)
        coded_symbols = in_coding_order(symbols)[flags]
        self.num_coded += coded_symbols.size
        self._parts.append((table.native(), coded_symbols, in_coding_order(index)[flags]))

    def finish(self, num_coders: int | None = None) -> tuple[bytes, int]:
        """Codes the symbols. Returns (payload, number of coders).

        Args:
            num_coders: None chooses by the number of symbols.
        """
        parts = [part() if callable(part) else part for part in self._parts]
        self._parts[:] = parts
        count = coders_for(self.num_coded) if num_coders is None else num_coders
        return self._coded(parts, count), count

    @timed(ENTROPY)
    def _coded(self, parts: list[Part], num_coders: int) -> bytes:
        return bytes(native.encode_zigzag(parts, num_coders))


class UnitDecoder:
    """Decodes a unit part by part, in the encoder's order.

    Damaged bytes raise StreamError in the call that notices them, at the latest in `finish`.
    """

    def __init__(self, data: bytes, num_coders: int) -> None:
        if not 1 <= num_coders <= MAX_CODERS:
            raise StreamError(f"a unit has {num_coders} coders, expected 1..{MAX_CODERS}")
        self._decoder = native.ZigzagDecoder(data, num_coders)

    @timed(ENTROPY)
    def decode_z(
        self, num_channels: int, height: int, width: int, table: ZigzagTable, row_base: int
    ) -> NDArray[np.int8]:
        """Reads z, int8 (num_channels, height, width).

        Raises:
            StreamError: a symbol is outside -64..63.
        """
        rows = _z_rows(num_channels, height, width)
        symbols = self._decode(table.native(row_base, num_channels), rows).reshape(height, width, num_channels)
        if symbols.min(initial=0) < MIN_Z or symbols.max(initial=0) > MAX_Z:
            raise StreamError(f"a hyper-latent symbol is outside {MIN_Z}..{MAX_Z}")
        return np.ascontiguousarray(symbols.transpose(2, 0, 1))

    @timed(ENTROPY)
    def decode_y(self, index: NDArray[np.uint8], coded: NDArray[np.bool_], table: ZigzagTable) -> NDArray[np.int8]:
        """Reads a sequence. Returns its symbols, with 0 for elements that are not coded.

        Args:
            index, coded: table rows and flags, (channels, height, width) each.
        """
        flags = in_coding_order(coded)
        symbols = np.zeros(flags.shape, np.int8)
        symbols[flags] = self._decode(table.native(), in_coding_order(index)[flags])
        return np.ascontiguousarray(symbols.transpose(2, 0, 1))

    def finish(self) -> None:
        """Ends the payload.

        Raises:
            StreamError: bytes are left, or a coder's state is not back at its start value.
        """
        check_status(self._decoder.finish())

    def _decode(self, table: Any, rows: NDArray[np.uint8]) -> NDArray[np.int8]:
        symbols = np.empty(rows.size, dtype=np.int8)
        check_status(self._decoder.decode(table, np.ascontiguousarray(rows), symbols))
        return symbols
