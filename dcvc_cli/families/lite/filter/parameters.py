"""The filters of a frame as arrays. Source: docs/output-filter.md."""

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

NUM_CLASSES, NUM_LUMA_TERMS = 24, 12
"""Number of classes of 4x4 blocks of luma, and of coefficients of a filter. Each class has a filter."""
NUM_CHROMA_TERMS = 16
"""Number of coefficients of a filter of Cb or Cr."""
MAX_COEFFICIENT = 127
DAMAGED = "the output filters of a frame are damaged"
"""Message of the StreamError for a payload with impossible filters."""
Plane: TypeAlias = NDArray[np.int16]
Planes: TypeAlias = tuple[Plane, Plane, Plane]


@dataclass(frozen=True, eq=False)
class Filters:
    """The filters of a frame. Coefficients are -127..127, in 1/64.

    Attributes:
        luma: int8 (24, 12), a filter for each class.
        chroma: int8 (2, 16), the filters of Cb and Cr.
    """

    luma: NDArray[np.int8]
    chroma: NDArray[np.int8]

    @staticmethod
    def zero() -> "Filters":
        """Makes filters that change nothing."""
        return Filters(np.zeros((NUM_CLASSES, NUM_LUMA_TERMS), np.int8), np.zeros((2, NUM_CHROMA_TERMS), np.int8))

    def same_as(self, other: "Filters") -> bool:
        return np.array_equal(self.luma, other.luma) and np.array_equal(self.chroma, other.chroma)
