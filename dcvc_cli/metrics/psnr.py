"""Peak signal-to-noise ratio against 8-bit originals, in float64, with the conventions of the DCVC test programs.

A reconstruction is the 8-bit output, or the unrounded output as in published DCVC results: float samples on the 0..255
scale, which this module clamps to 0..255. Results are deterministic on one machine. They differ by about 1e-9 dB
between machines, because numpy chooses the order of summation.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

PEAK = 255.0
PSNR_LIMIT_DB = 99.9
PSNR_INVALID_DB = -999.9
MSE_OF_EQUAL_PICTURES = 1e-10
_BLOCK_SAMPLES = 1 << 20


@dataclass(frozen=True)
class YuvPsnr:
    """PSNR of one 4:2:0 picture in dB."""

    y: float
    u: float
    v: float

    @property
    def yuv(self) -> float:
        """The combined value, (6 Y + U + V) / 8."""
        return weighted_yuv(self.y, self.u, self.v)


def weighted_yuv(y: float, u: float, v: float) -> float:
    """(6 Y + U + V) / 8, the weighting of DCVC and of the JVET test conditions, for PSNR as for MS-SSIM."""
    return (6.0 * y + u + v) / 8.0


def squared_error_sum(original: NDArray[np.uint8], reconstruction: NDArray[Any]) -> float:
    """Sum of squared differences of two planes in float64.

    Args:
        original: (height, width) uint8.
        reconstruction: same shape, uint8, or float samples on the 0..255 scale (clamped to it; NaN stays NaN).

    Raises:
        ValueError: shapes differ, a plane is empty, or the original is not uint8.
    """
    if original.shape != reconstruction.shape or original.size == 0:
        raise ValueError(f"planes of {original.shape} and {reconstruction.shape} cannot be compared")
    if original.dtype != np.uint8:
        raise ValueError(f"original is {original.dtype}, expected uint8")
    # In blocks of rows: a float64 copy of a whole 8192x8192 plane would be half a gigabyte.
    num_rows = max(1, _BLOCK_SAMPLES // original.shape[1])
    total = 0.0
    for row in range(0, original.shape[0], num_rows):
        samples = np.clip(reconstruction[row : row + num_rows].astype(np.float64), 0.0, PEAK)
        difference = (samples - original[row : row + num_rows]).ravel()
        total += float(np.dot(difference, difference))
    return total


def psnr_from_mse(mse: float) -> float:
    """10 log10(255^2 / mse) in dB, 99.9 at most, and 99.9 for an mse of 1e-10 or less; -999.9 if mse is NaN or
    infinite."""
    if not np.isfinite(mse):
        return PSNR_INVALID_DB
    if mse <= MSE_OF_EQUAL_PICTURES:
        return PSNR_LIMIT_DB
    return min(float(10.0 * np.log10(PEAK * PEAK / mse)), PSNR_LIMIT_DB)


def psnr_plane(original: NDArray[np.uint8], reconstruction: NDArray[Any]) -> float:
    """PSNR of one plane in dB; arguments as for squared_error_sum."""
    return psnr_from_mse(squared_error_sum(original, reconstruction) / original.size)


def psnr_yuv(original: Sequence[NDArray[np.uint8]], reconstruction: Sequence[NDArray[Any]]) -> YuvPsnr:
    """PSNR of one picture per plane: Y, U, V in this order, each pair as for squared_error_sum."""
    y, u, v = (psnr_plane(*planes) for planes in zip(original, reconstruction, strict=True))
    return YuvPsnr(y, u, v)


def psnr_rgb(original: Sequence[NDArray[np.uint8]], reconstruction: Sequence[NDArray[Any]]) -> float:
    """PSNR of one RGB picture in dB, from one mse over all three planes."""
    total = sum(squared_error_sum(*planes) for planes in zip(original, reconstruction, strict=True))
    return psnr_from_mse(total / sum(plane.size for plane in original))
