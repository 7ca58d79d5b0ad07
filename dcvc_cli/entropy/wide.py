"""The coder of 16-bit symbols, for published codecs whose latents may exceed 8 bits. Source: docs/entropy-coding.md,
"Wide symbols".

One to 16 coders share a frame. Each codes its share of every part and makes a string of its own.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dcvc_cli.entropy.tables import CdfTable, check_status, native
from dcvc_cli.errors import StreamError
from dcvc_cli.stages import ENTROPY, timed

MAX_CODERS = 16
MAX_SYMBOL = 30000
"""Largest magnitude of an encoder's symbol. A decoder reads all symbols of 16 bits."""


class WideKind(Enum):
    """The kinds of the coder's state."""

    LONG_WORDS = "LONG_WORDS"
    """A state of 63 bits and words of 32 bits. Escapes have digits of four bits."""
    BYTES = "BYTES"
    """A state of 31 bits and bytes. Escapes have digits of two bits."""


@dataclass(frozen=True)
class WidePart:
    """Symbols that are coded one after the other.

    Attributes:
        symbols: int16, any shape.
        rows: table rows of the symbols, uint8, of the same shape.
    """

    symbols: NDArray[np.int16]
    rows: NDArray[np.uint8]
    table: CdfTable


class WideEncoder:
    """Collects the symbols of a frame and codes them at `finish`. The bytes are the same on every machine.

    Attributes:
        parts: the added parts in coding order.
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
        """Codes the symbols. Returns the string of each coder."""
        parts = [
            (part.table.native_wide(), _flat(part.symbols), _flat(part.rows)) for part in self.parts if part.rows.size
        ]
        return list(native.encode_wide(parts, getattr(native.WideKind, self.kind.value), num_coders))


class WideDecoder:
    """Decodes a frame part by part, in the encoder's order.

    Damaged bytes raise StreamError in the call that notices them, at the latest in `finish`.

    Args:
        strings: the string of each coder.
    """

    def __init__(self, strings: Sequence[bytes], kind: WideKind) -> None:
        if not 1 <= len(strings) <= MAX_CODERS:
            raise StreamError(f"a frame has {len(strings)} coders, expected 1..{MAX_CODERS}")
        self._decoder = native.WideDecoder(list(strings), getattr(native.WideKind, kind.value))

    @timed(ENTROPY)
    def decode(self, rows: NDArray[np.uint8], table: CdfTable) -> NDArray[np.int16]:
        """Reads one symbol for each table row, int16 in the shape of the rows."""
        symbols = np.empty(rows.size, np.int16)
        check_status(self._decoder.decode(table.native_wide(), _flat(rows), symbols))
        return symbols.reshape(rows.shape)

    def finish(self) -> None:
        """Ends the frame.

        Raises:
            StreamError: bytes are left, or a coder's state is not back at its start value.
        """
        check_status(self._decoder.finish())


def _flat(array: NDArray[Any]) -> NDArray[Any]:
    return np.ascontiguousarray(array).reshape(-1)
