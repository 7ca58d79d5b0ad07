"""What the filters of a frame are, as values. Source: docs/output-filter.md."""

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

NUM_CLASSES, NUM_LUMA_TERMS = 24, 12
"""Classes of 4x4 blocks of luma, a filter each, and coefficients of a filter."""
NUM_CHROMA_TERMS = 16
"""Coefficients of the filter of Cb and of that of Cr."""
MAX_COEFFICIENT = 127
DAMAGED = "the output filters of a frame are damaged"
"""What a StreamError says of a payload whose filters cannot be."""
Plane: TypeAlias = NDArray[np.int16]
Planes: TypeAlias = tuple[Plane, Plane, Plane]


@dataclass(frozen=True, eq=False)
class Filters:
    """The filters of a frame; coefficients are -127..127, in 1/64.

    Attributes:
        luma: int8 (24, 12), by class.
        chroma: int8 (2, 16), of Cb and Cr.
    """

    luma: NDArray[np.int8]
    chroma: NDArray[np.int8]

    @staticmethod
    def zero() -> "Filters":
        """Filters that change nothing."""
        return Filters(np.zeros((NUM_CLASSES, NUM_LUMA_TERMS), np.int8), np.zeros((2, NUM_CHROMA_TERMS), np.int8))

    def same_as(self, other: "Filters") -> bool:
        return np.array_equal(self.luma, other.luma) and np.array_equal(self.chroma, other.chroma)
