"""The rules that turn a scale into a row of the Gaussian table, and decide which elements are coded. No other file has
them.

Source: docs/entropy-coding.md ("Scales"). Row i serves scales in [s_i, s_(i+1)), s_i = exp(ln 0.11 + i * step).
"""

import math
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

NUM_SCALES = 128
SCALE_MIN = 0.11
SCALE_MAX = 16.0
LOG_SCALE_MIN = -2.2072749131897207
LOG_SCALE_STEP = 0.039211524688421276
INVERSE_LOG_SCALE_STEP = 1 / LOG_SCALE_STEP

FloatArray = TypeVar("FloatArray", NDArray[np.float32], NDArray[np.float64])


def clamp_scale(scale: FloatArray) -> FloatArray:
    """Limits scales to [0.11, 16], in their own type and shape."""
    return np.clip(scale, scale.dtype.type(SCALE_MIN), scale.dtype.type(SCALE_MAX))


def index_from_scale(scale: FloatArray, *, limits_scales: bool = True) -> NDArray[np.uint8]:
    """Returns the row 0..127 of the Gaussian table for every scale.

    The two types may give different rows. A scale of 16 and above has row 126 in float64 and 127 in float32; scales
    within a rounding error of a boundary may fall on either side of it. The logarithm is the platform's.

    Args:
        scale: any shape, float32 or float64. The arithmetic has that type.
        limits_scales: False gives a scale of 16 and above row 127 in both types, as in DCVC-UF.
    """
    kind = scale.dtype.type
    position = (np.log(clamp_scale(scale)) - kind(LOG_SCALE_MIN)) * kind(INVERSE_LOG_SCALE_STEP)
    # Truncation, not floor: a tiny negative at the lower clamp means row 0.
    rows = np.clip(np.trunc(position), 0, NUM_SCALES - 1).astype(np.uint8)
    if not limits_scales:
        rows[scale >= kind(SCALE_MAX)] = NUM_SCALES - 1
    return rows


def is_coded(scale: FloatArray, skip_threshold: float | None, *, limits_scales: bool = True) -> NDArray[np.bool_]:
    """Returns whether each element has a symbol in the stream. The others are predicted by their mean.

    Args:
        scale: any shape, float32 or float64.
        skip_threshold: elements whose (clamped) scale is not above it are not coded; None codes all. A threshold below
            0.11 therefore codes all too.
        limits_scales: False compares the scale without clamping, as in DCVC-UF, whose threshold may be 0.
    """
    if skip_threshold is None:
        return np.ones(scale.shape, dtype=np.bool_)
    return (clamp_scale(scale) if limits_scales else scale) > scale.dtype.type(skip_threshold)


def scale_thresholds() -> NDArray[np.float64]:
    """Returns the lower end s_i of every row's range, (128,) float64, rising from 0.11 to 16.

    The row of a scale is max(number of thresholds <= scale, 1) - 1. An integer implementation scales and rounds the
    thresholds once. They are rounded as exp in float64 rounds, so each is within one unit in the last place of the
    mathematical value.
    """
    ends = [math.exp(LOG_SCALE_MIN + i * LOG_SCALE_STEP) for i in range(NUM_SCALES)]
    ends[0], ends[-1] = SCALE_MIN, SCALE_MAX
    return np.array(ends, dtype=np.float64)
