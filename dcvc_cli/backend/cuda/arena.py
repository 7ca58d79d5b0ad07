"""Device memory for values: a few large pieces, parts of which are handed out and taken back.

Work on a device is done in the order in which it was asked for, so a part may be handed out again as soon as nobody
will ask for its value: whoever reads it was asked earlier. The same sequence of requests gets the same addresses, which
lets a graph of a frame be used again.
"""

from bisect import insort
from collections.abc import Callable
from typing import Protocol

ALIGNMENT = 256
FIRST_PIECE_BYTES = 16 << 20


class Memory(Protocol):
    """What hands out device memory."""

    def allocate(self, size_bytes: int, cell_bytes: int) -> int:
        """The address of memory for elements of cell_bytes."""

    def free(self, address: int) -> None:
        """Takes it back; work that was asked for before may still use it."""

    def after_work(self) -> None:
        """All work that was asked for has been handed to the device."""


class Arena:
    """Hands out the lowest gap that fits: frames then settle on the same addresses sooner than with the smallest.

    New pieces are as large as all before them.

    Args:
        allocate_piece: gives an address for a number of bytes.
    """

    def __init__(self, allocate_piece: Callable[[int], int]) -> None:
        self._allocate_piece = allocate_piece
        self._gaps: list[tuple[int, int]] = []
        self._used: dict[int, int] = {}
        self._pieces: list[tuple[int, int]] = []

    @property
    def reserved_bytes(self) -> int:
        """Of all pieces."""
        return sum(size for _, size in self._pieces)

    @property
    def used_bytes(self) -> int:
        return sum(self._used.values())

    def allocate(self, size_bytes: int, cell_bytes: int = 1) -> int:
        size = max(-(-size_bytes // ALIGNMENT) * ALIGNMENT, ALIGNMENT)
        fitting = [gap for gap in self._gaps if gap[1] >= size]
        if not fitting:
            piece_bytes = max(size, self.reserved_bytes, FIRST_PIECE_BYTES)
            piece = (self._allocate_piece(piece_bytes), piece_bytes)
            self._pieces.append(piece)
            insort(self._gaps, piece)
            fitting = [piece]
        gap = fitting[0]
        self._gaps.remove(gap)
        if gap[1] > size:
            insort(self._gaps, (gap[0] + size, gap[1] - size))
        self._used[gap[0]] = size
        return gap[0]

    def free(self, address: int) -> None:
        """KeyError for an address that is not handed out."""
        size = self._used.pop(address)
        insort(self._gaps, (address, size))
        place = self._gaps.index((address, size))
        for before in (place, place - 1):  # joins the gap after this one, then the one before it
            if before < 0 or before + 1 >= len(self._gaps):
                continue
            (first, first_size), (second, second_size) = self._gaps[before], self._gaps[before + 1]
            if first + first_size == second and not any(start == second for start, _ in self._pieces):
                self._gaps[before : before + 2] = [(first, first_size + second_size)]

    def after_work(self) -> None:
        """Nothing waits here."""
