"""The lossless layer in C++ (`kernels/lossless/bindings.cpp`). Arrays must have these types and lie in C order; others
are a TypeError."""

import numpy as np
from numpy.typing import NDArray

MIN_DEPTH: int
MAX_DEPTH: int

Plane = NDArray[np.int16]
Planes = tuple[Plane, Plane, Plane]
Levels = tuple[NDArray[np.uint16], NDArray[np.uint16], NDArray[np.uint16]]
Size = tuple[int, int]

class LayerCoder:
    def __init__(self) -> None: ...
    def __copy__(self) -> LayerCoder: ...
    def reset(self) -> None: ...
    def encode(self, levels: Levels, picture: Planes, compensated: Planes | None, depth: int) -> bytes: ...
    def decode(
        self, data: bytes, sizes: tuple[Size, Size, Size], picture: Planes, compensated: Planes | None, depth: int
    ) -> Levels | None: ...
