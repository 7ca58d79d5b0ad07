"""Device memory for values: a few large pieces, parts of which are handed out and taken back.

A device works in the order of the requests. A part may be handed out again as soon as nobody will request work on its
value: work that reads the value was requested before. The same sequence of requests gets the same addresses, so a graph
of a frame can be used again.
"""

from bisect import bisect_left
from collections.abc import Callable
from typing import Protocol

ALIGNMENT = 256
FIRST_PIECE_BYTES = 16 << 20


class Memory(Protocol):
    """Hands out device memory."""

    def allocate(self, size_bytes: int, cell_bytes: int) -> int:
        """Returns the address of memory for elements of cell_bytes."""

    def free(self, address: int) -> None:
        """Takes memory back. Raises KeyError for an address that is not handed out. work that was requested before may
        still use it."""

    def after_work(self) -> None:
        """The engine calls this when all requested work has been handed to the device."""


class Arena:
    """Hands out the lowest gap that fits. With the lowest gap, frames settle on the same addresses sooner than with the
    smallest gap. A new piece is as large as all pieces before it.

    Args:
        allocate_piece: gives an address for a number of bytes.
    """

    def __init__(self, allocate_piece: Callable[[int], int]) -> None:
        self._allocate_piece = allocate_piece
        self._gaps: list[tuple[int, int]] = []
        self._used: dict[int, int] = {}
        self._pieces: list[tuple[int, int]] = []
        self._starts: set[int] = set()  # of the pieces: gaps of two pieces stay apart even where the pieces touch

    @property
    def reserved_bytes(self) -> int:
        """Counts the bytes of all pieces."""
        return sum(size for _, size in self._pieces)

    @property
    def used_bytes(self) -> int:
        return sum(self._used.values())

    def allocate(self, size_bytes: int, cell_bytes: int = 1) -> int:
        size = max(-(-size_bytes // ALIGNMENT) * ALIGNMENT, ALIGNMENT)
        gaps = self._gaps
        place = next((i for i, gap in enumerate(gaps) if gap[1] >= size), -1)
        if place < 0:
            piece = self._add_piece(size)
            place = bisect_left(gaps, piece)
            gaps.insert(place, piece)
        start, room = gaps[place]
        if room > size:
            gaps[place] = start + size, room - size
        else:
            del gaps[place]
        self._used[start] = size
        return start

    def _add_piece(self, size: int) -> tuple[int, int]:
        piece_bytes = max(size, self.reserved_bytes, FIRST_PIECE_BYTES)
        piece = self._allocate_piece(piece_bytes), piece_bytes
        self._pieces.append(piece)
        self._starts.add(piece[0])
        return piece

    def free(self, address: int) -> None:
        """Takes memory back. Raises KeyError for an address that is not handed out."""
        size = self._used.pop(address)
        gaps = self._gaps
        place = bisect_left(gaps, (address, size))
        end = address + size
        if place < len(gaps) and gaps[place][0] == end and end not in self._starts:
            size += gaps[place][1]
            del gaps[place]
        if place > 0 and gaps[place - 1][0] + gaps[place - 1][1] == address and address not in self._starts:
            gaps[place - 1] = gaps[place - 1][0], gaps[place - 1][1] + size
        else:
            gaps.insert(place, (address, size))

    def after_work(self) -> None:
        """Nothing waits here."""
