"""The one place that knows which Gaussian table row codes which scale, and which elements are coded at all.

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
    """Scales limited to [0.11, 16], in their own type and shape."""
    return np.clip(scale, scale.dtype.type(SCALE_MIN), scale.dtype.type(SCALE_MAX))


def index_from_scale(scale: FloatArray, *, limits_scales: bool = True) -> NDArray[np.uint8]:
    """Gaussian table row, 0..127, of every scale; any shape, float32 or float64, arithmetic in that type.

    Not bit-exact between the two types: a scale of 16 and above gives row 126 in float64 and 127 in float32, and scales
    within a rounding error of a boundary may fall on either side of it. The logarithm is the platform's.

    Args:
        limits_scales: False gives a scale of 16 and above row 127 in both types, as DCVC-UF has it.
    """
    kind = scale.dtype.type
    position = (np.log(clamp_scale(scale)) - kind(LOG_SCALE_MIN)) * kind(INVERSE_LOG_SCALE_STEP)
    # Truncation, not floor: a tiny negative at the lower clamp means row 0.
    rows = np.clip(np.trunc(position), 0, NUM_SCALES - 1).astype(np.uint8)
    if not limits_scales:
        rows[scale >= kind(SCALE_MAX)] = NUM_SCALES - 1
    return rows


def is_coded(scale: FloatArray, skip_threshold: float | None, *, limits_scales: bool = True) -> NDArray[np.bool_]:
    """True for the elements that have a symbol in the stream; the others are predicted by their mean.

    Args:
        scale: any shape, float32 or float64.
        skip_threshold: elements with a (clamped) scale at or below it are not coded; None codes all. A threshold below
            0.11 therefore codes all too.
        limits_scales: False compares the scale as it is, as DCVC-UF does; its threshold may be 0.
    """
    if skip_threshold is None:
        return np.ones(scale.shape, dtype=np.bool_)
    return (clamp_scale(scale) if limits_scales else scale) > scale.dtype.type(skip_threshold)


def scale_thresholds() -> NDArray[np.float64]:
    """The lower end s_i of every row's range, (128,) float64, rising from 0.11 to 16.

    The row of a scale is max(number of thresholds <= scale, 1) - 1: what an integer implementation scales and rounds
    once. Rounded as exp in float64 rounds, so within one unit in the last place of the mathematical value.
    """
    ends = [math.exp(LOG_SCALE_MIN + i * LOG_SCALE_STEP) for i in range(NUM_SCALES)]
    ends[0], ends[-1] = SCALE_MIN, SCALE_MAX
    return np.array(ends, dtype=np.float64)
