"""The content of a frame's floor as arrays. Source: docs/floor.md."""

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Planes: TypeAlias = tuple[NDArray[np.int16], NDArray[np.int16], NDArray[np.int16]]

BLOCK, PART = 16, 8
"""Side of a block, and side of a part. A part is a square of one plane with a transform of its own."""
UNTOUCHED, PICTURE, COMPENSATED, FLAT = range(4)
"""Bases of a block: what its samples are before the floor's levels correct them."""
EXACT_STEP = 63
"""At this step number, levels are differences of output samples."""
DAMAGED = "the floor of a frame is damaged"
"""Message of the StreamError for a payload with an impossible floor."""


@dataclass(eq=False)
class FloorParts:
    """The floor of a frame whose payload has one.

    Attributes:
        step_index: step number 0..63.
        bases: uint8 (rows, columns) of blocks, UNTOUCHED..FLAT.
        flat: uint16 (rows, columns, 3), the output samples of flat blocks; 0 elsewhere.
        levels: int16 (rows, columns, parts, 64), -16383..16383. A block has 6 parts if chroma is halved, else 12.
            Parts without levels and parts of untouched blocks are all 0.
        bit_depth: of the output pictures, 8 or 10.
    """

    step_index: int
    bases: NDArray[np.uint8]
    flat: NDArray[np.uint16]
    levels: NDArray[np.int16]
    bit_depth: int = 8

    @staticmethod
    def empty(rows: int, columns: int, is_halved: bool, bit_depth: int = 8) -> "FloorParts":
        """Makes a floor that touches no block."""
        levels = np.zeros((rows, columns, 6 if is_halved else 12, PART * PART), np.int16)
        flat = np.zeros((rows, columns, 3), np.uint16)
        return FloorParts(0, np.zeros((rows, columns), np.uint8), flat, levels, bit_depth)

    @property
    def max_level(self) -> int:
        """Returns the largest output sample."""
        return (1 << self.bit_depth) - 1

    @property
    def is_halved(self) -> bool:
        """Returns whether chroma is half as large as luma in both directions."""
        return self.levels.shape[2] == 6

    def has_levels(self, plane: int, at: tuple[int, int]) -> bool:
        """Returns whether a part of a plane has levels; False outside the picture.

        Args:
            at: (row, column) of the part's first sample.
        """
        if min(at) < 0:
            return False
        side = 1 if plane and self.is_halved else BLOCK // PART
        row, column = at[0] // PART, at[1] // PART
        first = 0 if plane == 0 else 4 + (plane - 1) * side * side
        return bool(self.levels[row // side, column // side, first + row % side * side + column % side].any())

    def same_as(self, other: "FloorParts") -> bool:
        arrays = (self.bases, other.bases), (self.flat, other.flat), (self.levels, other.levels)
        return (self.step_index, self.bit_depth) == (other.step_index, other.bit_depth) and all(
            np.array_equal(*pair) for pair in arrays
        )
