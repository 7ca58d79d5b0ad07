"""What the operations on pictures take and give."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


class BlockMotion(Protocol):
    """The motion of a P frame as `compensate` takes it (families.lite.motion.motion.Motion)."""

    @property
    def vectors(self) -> NDArray[np.int16]:
        """(h / 8, w / 8, 2), into the reference, in quarter samples."""

    @property
    def tracks(self) -> NDArray[np.int16] | None:
        """(h / 8, w / 8, 2), into the long-term reference, in quarter samples; None without one."""

    @property
    def blends(self) -> NDArray[np.uint8] | None:
        """(h / 16, w / 16): 0 the reference, 1 the mean of both, 2 the long-term reference; None without one."""


@dataclass(frozen=True)
class OutputSamples:
    """The planes that are put out of a picture.

    Attributes:
        shapes: (height, width) of the three planes.
        tall, wide: rows and columns of the picture that a chroma sample stands for, 1 or 2; tall only where wide is.
        max_level: the largest sample. Samples are uint8 up to 255, else uint16.
        truncate_chroma: whether the fraction of chroma is dropped.
        rgb_factors: red from Cr, blue from Cb, green from Cb and green from Cr in 1/65536; None for YCbCr.
    """

    shapes: tuple[tuple[int, int], ...]
    tall: int
    wide: int
    max_level: int
    truncate_chroma: bool = False
    rgb_factors: tuple[int, int, int, int] | None = None

    @property
    def dtype(self) -> type[np.generic]:
        return np.uint8 if self.max_level < 256 else np.uint16
