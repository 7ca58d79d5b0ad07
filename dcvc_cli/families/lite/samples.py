"""The fixed-point samples of motion, output filter and floor in `lite`."""

import functools

import numpy as np
from numpy.typing import NDArray

from dcvc_cli.format.types import Plane

SAMPLE_BITS = 13
"""Bits behind the binary point."""
MAX_SAMPLE = 1 << SAMPLE_BITS
"""The integer for 1.0: samples in 0..1 become 0..8192."""


def samples_of_levels(levels: Plane, bit_depth: int) -> NDArray[np.int16]:
    """Turns the samples of a picture of 8 or 10 bits into samples 0..8192 of the same shape."""
    return _samples(bit_depth)[levels]


def levels_of_samples(samples: NDArray[np.int16], bit_depth: int) -> NDArray[np.uint16]:
    """Turns samples 0..8192 into the samples of a picture of 8 or 10 bits. The inverse of samples_of_levels."""
    wide = samples.astype(np.int32)
    wide *= (1 << bit_depth) - 1
    wide += 1 << (SAMPLE_BITS - 1)
    wide >>= SAMPLE_BITS
    return wide.astype(np.uint16)


@functools.cache
def _samples(bit_depth: int) -> NDArray[np.int16]:
    max_level = (1 << bit_depth) - 1
    table = ((np.arange(max_level + 1, dtype=np.int64) * MAX_SAMPLE + max_level // 2) // max_level).astype(np.int16)
    table.flags.writeable = False  # kept, and shared by all callers
    return table
