"""The planes that the lossless layer and its twin work on."""

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Planes: TypeAlias = tuple[NDArray[np.int16], NDArray[np.int16], NDArray[np.int16]]
Levels: TypeAlias = tuple[NDArray[np.uint16], NDArray[np.uint16], NDArray[np.uint16]]
"""Planes of a picture: uint16, levels 0..2^depth - 1."""
Sizes: TypeAlias = tuple[tuple[int, int], tuple[int, int], tuple[int, int]]
"""(height, width) of each plane."""
