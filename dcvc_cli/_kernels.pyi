"""The integer kernels in C++ (`kernels/cpu/bindings.cpp`). Arrays must have these types and lie in C order; others are
a TypeError."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

MAX_THREADS: int
MAX_ROW_SUM: int
MIN_ACTIVATION_EXPONENT: int
MAX_ACTIVATION_EXPONENT: int

Tensor = NDArray[np.int16]
"""(height, width, channels)."""

def usable_isas() -> list[str]: ...
def isa_for(isa: str) -> str | None: ...

class Conv:
    def __init__(
        self,
        weights: NDArray[np.int16],
        multiplier: NDArray[np.int32],
        addend: NDArray[np.int64],
        stride: int,
        padding: int,
    ) -> None: ...

class Depthwise:
    def __init__(
        self, weights: NDArray[np.int16], multiplier: NDArray[np.int32], addend: NDArray[np.int64]
    ) -> None: ...

class Block:
    def __init__(
        self,
        adaptor: Conv | None,
        dc_in: Conv,
        dc_spatial: Depthwise,
        dc_out: Conv,
        ffn_first: Conv,
        ffn_second: Conv | None,
        ffn_out: Conv,
        dc_exponent: int,
        ffn_exponent: int,
        shortcut: bool,
    ) -> None: ...

class Engine:
    def __init__(self, isa: str, num_threads: int, nodes: NDArray[np.int16]) -> None: ...
    @property
    def isa(self) -> str: ...
    @property
    def num_threads(self) -> int: ...
    def conv(self, layer: Conv, x: Tensor) -> Tensor: ...
    def depthwise(self, layer: Depthwise, x: Tensor) -> Tensor: ...
    def depth_conv_block(self, block: Block, parts: Sequence[Tensor]) -> Tensor: ...
    def activate(self, x: Tensor, exponent: int) -> Tensor: ...
    def add(self, x: Tensor, y: Tensor) -> Tensor: ...
    def scale(self, x: Tensor, factors: NDArray[np.int16], shift: int) -> Tensor: ...
    def multiply(self, x: Tensor, y: Tensor, shift: int) -> Tensor: ...
    def add_fours(self, x: Tensor) -> Tensor: ...
    def clamp(self, x: Tensor, shift: int, lowest: int, highest: int, offset: int = 0) -> Tensor: ...
    def pixel_shuffle(self, x: Tensor, factor: int) -> Tensor: ...
    def concat(self, parts: Sequence[Tensor]) -> Tensor: ...
    def step_index(
        self,
        scales: Tensor,
        group_at: Sequence[int],
        num_groups: int,
        row_of_scale: NDArray[np.uint8],
        largest_skipped: int,
    ) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]: ...
    def restore_step(
        self, symbols: NDArray[np.int8], means: Tensor, group_at: Sequence[int], num_groups: int, exponent: int
    ) -> Tensor: ...
    def export_planes(
        self, cells: Tensor, exponent: int, halve_chroma: bool, truncate_chroma: bool
    ) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.uint8]]: ...
