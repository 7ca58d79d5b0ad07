"""The coder of 16-bit symbols, for the published codecs whose latents are not limited to 8 bits. Source:
docs/entropy-coding.md, "Wide symbols".

One to 16 coders share a frame: each codes its share of every part, and gives a string of its own.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dcvc_cli.entropy.tables import CdfTable, native
from dcvc_cli.errors import StreamError
from dcvc_cli.stages import ENTROPY, timed

MAX_CODERS = 16
MAX_SYMBOL = 30000
"""Largest magnitude of a symbol that an encoder makes; a decoder reads all of 16 bits."""


class WideKind(Enum):
    """The states of the coder."""

    LONG_WORDS = "LONG_WORDS"
    """Of 63 bits, with words of 32 bits; escapes in digits of four bits."""
    BYTES = "BYTES"
    """Of 31 bits, with bytes; escapes in digits of two bits."""


@dataclass(frozen=True)
class WidePart:
    """Symbols that were coded one after the other.

    Attributes:
        symbols: int16, any shape.
        rows: uint8, the table row of each; the same shape.
    """

    symbols: NDArray[np.int16]
    rows: NDArray[np.uint8]
    table: CdfTable


class WideEncoder:
    """Collects the symbols of a frame and codes them at `finish`. The bytes are the same on every machine.

    Attributes:
        parts: what was added, in coding order.
    """

    def __init__(self, kind: WideKind) -> None:
        self.kind = kind
        self.parts: list[WidePart] = []

    def add(self, symbols: NDArray[np.int16], rows: NDArray[np.uint8], table: CdfTable) -> None:
        """Adds symbols, int16, and their table rows, uint8, of one shape."""
        if symbols.dtype != np.int16 or rows.dtype != np.uint8 or symbols.shape != rows.shape:
            found = f"{symbols.dtype}{symbols.shape}, {rows.dtype}{rows.shape}"
            raise ValueError(f"a part needs int16 symbols and uint8 rows of one shape, not {found}")
        self.parts.append(WidePart(symbols, rows, table))

    @timed(ENTROPY)
    def finish(self, num_coders: int = 1) -> list[bytes]:
        """The string of each coder."""
        parts = [
            (part.table.native_wide(), _flat(part.symbols), _flat(part.rows)) for part in self.parts if part.rows.size
        ]
        return list(native.encode_wide(parts, getattr(native.WideKind, self.kind.value), num_coders))


class WideDecoder:
    """Decodes a frame part by part, in the encoder's order.

    Damaged bytes raise StreamError from the call that notices, at the latest from `finish`.

    Args:
        strings: one a coder.
    """

    def __init__(self, strings: Sequence[bytes], kind: WideKind) -> None:
        if not 1 <= len(strings) <= MAX_CODERS:
            raise StreamError(f"a frame has {len(strings)} coders, expected 1..{MAX_CODERS}")
        self._decoder = native.WideDecoder(list(strings), getattr(native.WideKind, kind.value))

    @timed(ENTROPY)
    def decode(self, rows: NDArray[np.uint8], table: CdfTable) -> NDArray[np.int16]:
        """The symbols, int16 in the shape of their table rows."""
        symbols = np.empty(rows.size, np.int16)
        self._check(self._decoder.decode(table.native_wide(), _flat(rows), symbols))
        return symbols.reshape(rows.shape)

    def finish(self) -> None:
        """Checks that every byte was used and that the coder states are back at their start values; else
        StreamError."""
        self._check(self._decoder.finish())

    def _check(self, status: Any) -> None:
        if status != native.Status.OK:
            raise StreamError(f"the entropy-coded data of a frame is damaged: {native.describe(status)}")


def _flat(array: NDArray[Any]) -> NDArray[Any]:
    return np.ascontiguousarray(array).reshape(-1)
