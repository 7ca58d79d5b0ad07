"""Motion in C++ (`kernels/motion/bindings.cpp`). Arrays must have these types and lie in C order; others are a
TypeError."""

import numpy as np
from numpy.typing import NDArray

SQUARE: int
SUBPEL: int
MAX_VECTOR: int
MAX_CANDIDATES: int
MAX_VECTOR_PREFIX: int
MAX_SAMPLE: int
KEPT_INTERVAL: int

Vectors = NDArray[np.int16]
"""(rows, columns, 2): x and y in quarter samples."""
Blends = NDArray[np.uint8]
Motion = tuple[Vectors, Vectors | None, Blends | None]
EncoderState = tuple[bytes, int, int]
DecoderState = tuple[int, int, int]

def usable_isas() -> list[str]: ...
def isa() -> str: ...
def choose_isa(name: str) -> bool: ...
def compensate(
    frame: NDArray[np.int16],
    long_term: NDArray[np.int16] | None,
    field: Vectors,
    tracks: Vectors | None,
    blends: Blends | None,
    max_value: int,
) -> NDArray[np.int16]: ...

class VectorCoder:
    def __init__(self) -> None: ...
    def __copy__(self) -> VectorCoder: ...
    @property
    def number(self) -> int: ...
    def reset(self) -> None: ...
    def probabilities(self) -> NDArray[np.uint16]: ...
    def state(self) -> tuple[NDArray[np.uint8], Vectors, Vectors, int]: ...
    def restore(self, learned: NDArray[np.uint8], previous: Vectors, kept: Vectors, number: int) -> None: ...
    def search(
        self,
        current: NDArray[np.uint8],
        reference: NDArray[np.uint8],
        long_term: NDArray[np.uint8] | None,
        lambda_: float,
        num_threads: int = 1,
    ) -> Motion: ...
    def encode(self, field: Vectors, tracks: Vectors | None, blends: Blends | None) -> bytes: ...
    def encode_open(self, field: Vectors, tracks: Vectors | None, blends: Blends | None) -> EncoderState: ...
    def decode(self, data: bytes, rows: int, columns: int) -> Motion | None: ...
    def decode_open(self, data: bytes, rows: int, columns: int) -> tuple[Motion, DecoderState] | None: ...
