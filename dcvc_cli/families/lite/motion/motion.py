"""Where the squares of a P frame come from, as values. Source: docs/motion.md."""

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from dcvc_cli.families.lite.samples import SAMPLE_BITS

SQUARE = 8
"""Side of the squares that have a vector each."""
SAMPLE_UNIT = np.float32(2.0**-SAMPLE_BITS)
"""What 1 is of the integers that pictures are compensated as."""
Field: TypeAlias = NDArray[np.int16]


@dataclass(frozen=True)
class Motion:
    """Where the squares of a P frame come from.

    Attributes:
        vectors: (rows, columns, 2), into the reference picture.
        tracks: the same into the long-term reference, of every square; None where the frame has no long-term reference.
        blends: uint8 (rows / 2, columns / 2), what 16x16 blocks are predicted from: 0 the reference, 1 the mean of
            both, 2 the long-term reference; None likewise.
    """

    vectors: Field
    tracks: Field | None = None
    blends: NDArray[np.uint8] | None = None

    def square_blends(self) -> NDArray[np.uint8]:
        """The blend of every square, (rows, columns)."""
        if self.blends is None:
            return np.zeros(self.vectors.shape[:2], np.uint8)
        return self.blends.repeat(2, axis=0).repeat(2, axis=1)
