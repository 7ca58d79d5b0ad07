"""Peak signal-to-noise ratio against 8-bit and 10-bit originals, in float64, with the conventions of the DCVC test
programs.

A reconstruction is the output, or the unrounded output as in published DCVC results: float samples on the scale of the
original, which this module clamps to it. Results are deterministic on one machine. They differ by about 1e-9 dB
between machines, because numpy chooses the order of summation.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dcvc_cli.format.types import Plane

PEAK = 255.0
"""The largest sample of 8 bits."""
PSNR_LIMIT_DB = 99.9
PSNR_INVALID_DB = -999.9
MSE_OF_EQUAL_PICTURES = 1e-10
_BLOCK_SAMPLES = 1 << 20


@dataclass(frozen=True)
class YuvPsnr:
    """PSNR of one Y Cb Cr picture in dB."""

    y: float
    u: float
    v: float

    @property
    def yuv(self) -> float:
        """Computes the combined value, (6 Y + U + V) / 8."""
        return weighted_yuv(self.y, self.u, self.v)


def weighted_yuv(y: float, u: float, v: float) -> float:
    """Computes (6 Y + U + V) / 8, the weighting of DCVC and of the JVET test conditions, for PSNR as for MS-SSIM."""
    return (6.0 * y + u + v) / 8.0


def squared_error_sum(original: Plane, reconstruction: NDArray[Any], peak: float = PEAK) -> float:
    """Sums squared differences of two planes in float64.

    Args:
        original: (height, width), uint8 or uint16.
        reconstruction: same shape and type, or float samples on the same scale (clamped to it; NaN stays NaN).
        peak: the largest sample, such as 255.

    Raises:
        ValueError: shapes differ, a plane is empty, or the original is neither uint8 nor uint16.
    """
    if original.shape != reconstruction.shape or original.size == 0:
        raise ValueError(f"planes of {original.shape} and {reconstruction.shape} cannot be compared")
    if original.dtype not in (np.uint8, np.uint16):
        raise ValueError(f"original is {original.dtype}, expected uint8 or uint16")
    # In blocks of rows: a float64 copy of a whole 8192x8192 plane would be half a gigabyte.
    num_rows = max(1, _BLOCK_SAMPLES // original.shape[1])
    total = 0.0
    for row in range(0, original.shape[0], num_rows):
        samples = np.clip(reconstruction[row : row + num_rows].astype(np.float64), 0.0, peak)
        difference = (samples - original[row : row + num_rows]).ravel()
        total += float(np.dot(difference, difference))
    return total


def psnr_from_mse(mse: float, peak: float = PEAK) -> float:
    """Computes 10 log10(peak^2 / mse) in dB, 99.9 at most, and 99.9 for an mse of 1e-10 or less; -999.9 if mse is NaN
    or infinite."""
    if not np.isfinite(mse):
        return PSNR_INVALID_DB
    if mse <= MSE_OF_EQUAL_PICTURES:
        return PSNR_LIMIT_DB
    return min(float(10.0 * np.log10(peak * peak / mse)), PSNR_LIMIT_DB)


def psnr_plane(original: Plane, reconstruction: NDArray[Any], peak: float = PEAK) -> float:
    """Computes PSNR of one plane in dB; arguments as for squared_error_sum."""
    return psnr_from_mse(squared_error_sum(original, reconstruction, peak) / original.size, peak)


def psnr_yuv(original: Sequence[Plane], reconstruction: Sequence[NDArray[Any]], peak: float = PEAK) -> YuvPsnr:
    """Computes PSNR of one picture per plane: Y, U, V in this order, each pair as for squared_error_sum."""
    y, u, v = (psnr_plane(*planes, peak) for planes in zip(original, reconstruction, strict=True))
    return YuvPsnr(y, u, v)


def psnr_rgb(original: Sequence[Plane], reconstruction: Sequence[NDArray[Any]], peak: float = PEAK) -> float:
    """Computes PSNR of one RGB picture in dB, from one mse over all three planes."""
    total = sum(squared_error_sum(*planes, peak) for planes in zip(original, reconstruction, strict=True))
    return psnr_from_mse(total / sum(plane.size for plane in original), peak)
