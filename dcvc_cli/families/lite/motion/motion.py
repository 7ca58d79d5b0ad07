"""The motion of a P frame as arrays. Source: docs/motion.md."""

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from dcvc_cli.families.lite.samples import SAMPLE_BITS

SQUARE = 8
"""Side of the squares; each has a vector."""
SAMPLE_UNIT = np.float32(2.0**-SAMPLE_BITS)
"""The value of 1 in samples 0..8192."""
Field: TypeAlias = NDArray[np.int16]


@dataclass(frozen=True)
class Motion:
    """The motion of a P frame: where its squares come from.

    Attributes:
        vectors: (rows, columns, 2), a vector into the reference for every square.
        tracks: (rows, columns, 2), a vector into the long-term reference for every square; None if the frame has no
            long-term reference.
        blends: uint8 (rows / 2, columns / 2), what each 16x16 block is predicted from: 0 the reference, 1 the mean of
            both, 2 the long-term reference; None if the frame has no long-term reference.
    """

    vectors: Field
    tracks: Field | None = None
    blends: NDArray[np.uint8] | None = None

    def square_blends(self) -> NDArray[np.uint8]:
        """Returns the blend of every square, (rows, columns)."""
        if self.blends is None:
            return np.zeros(self.vectors.shape[:2], np.uint8)
        return self.blends.repeat(2, axis=0).repeat(2, axis=1)
