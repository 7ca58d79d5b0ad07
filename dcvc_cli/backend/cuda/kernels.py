"""The kernels: names, sources, block sizes and shared memory. Tests hold this table to the compiled kernels."""

import ctypes
from dataclasses import dataclass
from functools import cached_property

from dcvc_cli.backend.cuda.arguments import argument_structures

SMALL, LARGE, WIDE = "small", "large", "wide"
TILE_ROWS = {SMALL: 64, LARGE: 128, WIDE: 64}
TILE_COLUMNS = {SMALL: 64, LARGE: 128, WIDE: 64}
SMALL_TILE_EFFICIENCY = 0.7
"""Speed of the small tile's products as a share of the large tile's: the small tile reads each operand twice as often.
An estimate."""


@dataclass(frozen=True)
class Kernel:
    """One entry point.

    Attributes:
        source: file under kernels/cuda.
        arguments: name of its structure in arguments.hpp.
        threads: of a block.
        shared_bytes: of a block, all dynamic.
    """

    name: str
    source: str
    arguments: str
    threads: int
    shared_bytes: int = 0

    @cached_property
    def structure(self) -> type[ctypes.Structure]:
        return argument_structures()[self.arguments]


def _matrices() -> list[Kernel]:
    shapes = {SMALL: (128, 37120), LARGE: (256, 73984), WIDE: (128, 49408)}
    return [
        Kernel(f"matrix_{tile}_{form}", "matrix.cu", "MatrixArguments", *shape)
        for tile, shape in shapes.items()
        for form in ("plain", "active", "chunked", "fours")
    ]


_POINTWISE = (
    *("copy", "replicate", "add", "add_fours", "multiply", "scale", "activate", "at_least", "half_to_two_by_table"),
    *("to_picture", "offset", "rescale"),
)
KERNELS = {
    kernel.name: kernel
    for kernel in [
        *_matrices(),
        Kernel("depthwise_3x3", "pointwise.cu", "DepthwiseArguments", 256, 12800),
        *(Kernel(name, "pointwise.cu", "PointwiseArguments", 256, 256) for name in _POINTWISE),
        Kernel("pixel_shuffle", "pointwise.cu", "ShuffleArguments", 256),
        Kernel("pixel_unshuffle", "pointwise.cu", "ShuffleArguments", 256),
        Kernel("coding_planes", "latents.cu", "StepArguments", 256, 17920),
        Kernel("coding_count", "latents.cu", "StepArguments", 256, 17408),
        Kernel("coding_scan", "latents.cu", "StepArguments", 1024, 132),
        Kernel("coding_rows", "latents.cu", "StepArguments", 256, 17920),
        Kernel("coding_restore", "latents.cu", "StepArguments", 256, 17408),
        Kernel("coding_quantise", "latents.cu", "QuantiseArguments", 256, 17920),
        Kernel("hyper_symbols", "latents.cu", "HyperArguments", 256),
        Kernel("hyper_quantise", "latents.cu", "HyperChoiceArguments", 256),
        Kernel("latents_to_float", "latents.cu", "LatentArguments", 256),
        Kernel("picture_bytes", "picture.cu", "ExportArguments", 256),
        Kernel("picture_planes", "picture.cu", "PlanesArguments", 256),
        Kernel("samples_of_plane", "picture.cu", "SamplesArguments", 256),
        Kernel("picture_samples", "picture.cu", "FineArguments", 256),
        Kernel("picture_rgb", "picture.cu", "FineArguments", 256),
        Kernel("compensate_squares", "picture.cu", "MotionArguments", 64, 692),
        Kernel("apply_floor", "picture.cu", "FloorArguments", 64, 512),
        Kernel("filter_block_sums", "picture.cu", "FilterArguments", 256),
        Kernel("filter_luma", "picture.cu", "FilterArguments", 256),
        Kernel("filter_chroma", "picture.cu", "FilterArguments", 256),
        Kernel("primitives", "primitives.cu", "ProbeArguments", 32, 1024),
    ]
}


def choose_tile(positions: int, columns: int, num_multiprocessors: int) -> str:
    """Chooses the tile of an 8-bit product (positions x columns) that is done first, by how its blocks fill the
    multiprocessors.

    A multiprocessor computes its blocks' products one after the other, whatever their number, those of small tiles less
    efficiently.
    """
    work = {}
    for tile, efficiency in ((SMALL, SMALL_TILE_EFFICIENCY), (LARGE, 1.0)):
        blocks = -(-positions // TILE_ROWS[tile]) * -(-columns // TILE_COLUMNS[tile])
        work[tile] = -(-blocks // num_multiprocessors) * TILE_ROWS[tile] * TILE_COLUMNS[tile] / efficiency
    return LARGE if work[LARGE] <= work[SMALL] else SMALL
