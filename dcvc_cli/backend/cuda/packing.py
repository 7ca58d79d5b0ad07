"""Weights as the CUDA kernels read them: blocks of 64 columns and 64 channels in the order of the tensor cores'
fragments.

Source: kernels/cuda/packing.hpp, whose places, columns and tiles tests hold to these.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dcvc_cli.backend.exact_network import ExactConv

WEIGHT_BLOCK = 64
"""Columns and channels of a block of weights, 4096 bytes."""


def round_up(value: int, multiple: int) -> int:
    """Returns the next multiple at or above value."""
    return -(-value // multiple) * multiple


def fragment_places() -> NDArray[np.intp]:
    """Returns (64, 64): where in a block the byte of (column, channel) lies."""
    column, channel = np.meshgrid(np.arange(WEIGHT_BLOCK), np.arange(WEIGHT_BLOCK), indexing="ij")
    half, inside = channel // 32, channel % 32
    register, pair = inside // 16, inside % 8 // 2
    byte = inside % 16 // 8 * 2 + inside % 2
    lane = column % 8 * 4 + pair
    return ((half * 4 + column // 16) * 32 + lane) * 16 + column % 16 // 8 * 8 + register * 4 + byte


_PLACES = fragment_places()


def plain_columns(num_outputs: int) -> NDArray[np.intp]:
    """Returns the output of every column, -1 for none."""
    return np.arange(num_outputs)


def chunked_columns(num_outputs: int) -> NDArray[np.intp]:
    """Columns of a chunk-add: every 32 columns hold 16 outputs of the first half, then the 16 that are added to
    them."""
    half = num_outputs // 2
    column = np.arange(round_up(half, 16) * 2)
    output = column // 32 * 16 + column % 16
    return np.where(output < half, column % 32 // 16 * half + output, -1)


def fours_columns(num_outputs: int) -> NDArray[np.intp]:
    """Columns of sums of each four neighbours: every 32 columns hold the first neighbours of 8 sums, then their second,
    third and fourth neighbours."""
    column = np.arange(round_up(num_outputs // 4, 8) * 4)
    sums = column // 32 * 8 + column % 8
    return np.where(sums < num_outputs // 4, 4 * sums + column % 32 // 8, -1)


def sub_pixel_columns(num_outputs: int) -> NDArray[np.intp]:
    """Columns of a pixel shuffle by 2: the channels of the upper left position, each 8 aligned, then those of the other
    three."""
    channels = num_outputs // 4
    padded = round_up(channels, 8)
    column = np.arange(4 * padded)
    return np.where(column % padded < channels, column % padded * 4 + column // padded, -1)


@dataclass(frozen=True, eq=False)
class PackedMatrix:
    """A convolution ready for the matrix kernels.

    Attributes:
        weights: uint8, [64 columns][step][plane][4096].
        multiplier, addend: by column.
        steps: of 64 channels.
        is_wide: 16-bit weights, in two planes: high bytes, low bytes.
    """

    weights: NDArray[np.uint8]
    multiplier: NDArray[np.int32]
    addend: NDArray[np.int64]
    steps: int
    is_wide: bool


def pack_matrix(numbers: ExactConv, columns: NDArray[np.intp], first_channels: int | None = None) -> PackedMatrix:
    """Packs a convolution.

    Args:
        columns: the output of every column.
        first_channels: of the first of two inputs that the layer reads as one; None: it has one input. Only
            1x1 layers read two.
    """
    num_outputs, num_inputs, kernel, _ = numbers.weight.shape
    taps = numbers.weight.transpose(0, 2, 3, 1).reshape(num_outputs, kernel * kernel, num_inputs)
    parts = np.split(taps, [num_inputs if first_channels is None else first_channels], axis=2)
    padded = [
        np.pad(part, ((0, 0), (0, 0), (0, round_up(part.shape[2], WEIGHT_BLOCK) - part.shape[2]))) for part in parts
    ]
    depth = np.concatenate(padded, axis=2).reshape(num_outputs, -1)
    # An even number of blocks, so that a tile of 128 columns finds whole ones.
    places = np.full(round_up(len(columns), 2 * WEIGHT_BLOCK), -1)
    places[: len(columns)] = columns
    used = places >= 0
    matrix = np.where(used[:, None], depth[places], 0).astype(np.int16)
    steps = depth.shape[1] // WEIGHT_BLOCK
    blocks = matrix.reshape(-1, WEIGHT_BLOCK, steps, WEIGHT_BLOCK).transpose(0, 2, 1, 3)
    planes = (
        [blocks.astype(np.int8).view(np.uint8)]
        if numbers.is_narrow
        else [(blocks >> 8).astype(np.int8).view(np.uint8), (blocks & 255).astype(np.uint8)]
    )
    packed = np.empty((*blocks.shape[:2], len(planes), WEIGHT_BLOCK * WEIGHT_BLOCK), np.uint8)
    for plane, values in enumerate(planes):
        packed[:, :, plane, _PLACES.reshape(-1)] = values.reshape(*blocks.shape[:2], -1)
    multiplier = np.where(used, numbers.multiplier[places], 0).astype(np.int32)
    addend = np.where(used, numbers.addend[places], 0).astype(np.int64)
    return PackedMatrix(packed, multiplier, addend, steps, not numbers.is_narrow)


def pack_taps(numbers: ExactConv) -> tuple[NDArray[np.uint32], NDArray[np.int32], NDArray[np.int64]]:
    """Packs a depthwise layer: the nine weights of every channel as five pairs of 16 bits, multipliers and addends, of
    channels rounded up to 8."""
    channels = numbers.weight.shape[0]
    missing = round_up(channels, 8) - channels
    pairs = np.zeros((channels + missing, 10), np.int16)
    pairs[:channels, :9] = numbers.weight.reshape(channels, 9)
    return pairs.view(np.uint32), np.pad(numbers.multiplier, (0, missing)), np.pad(numbers.addend, (0, missing))


def pieces_table(nodes: tuple[int, ...]) -> NDArray[np.uint32]:
    """Makes 64 linear pieces between 65 nodes, each the node in the low half of a word and the rise to the next one in
    the high half."""
    values = np.array(nodes, np.int64)
    words = (values[:64] & 0xFFFF) | ((values[1:65] - values[:64]) & 0xFFFF) << 16
    return words.astype(np.uint32)
