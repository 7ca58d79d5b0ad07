"""Multi-scale structural similarity (Wang, Simoncelli, Bovik: "Multi-scale structural similarity for image quality
assessment", 2003).

Dynamic range 255, 11x11 Gaussian window of sigma 1.5, "valid" filtering, float64. Planes with a side below 176 use four
scales with renormalised weights. Below 88 the measure is undefined, and the functions return None. Where every scale
has even sides, values equal those of pytorch-msssim up to its float32 rounding. At odd sides pytorch-msssim averages
zeros in at the border, and this module repeats the last sample, as the DCVC test programs do. Values differ by about
1e-12 between machines.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dcvc_cli.format.types import Plane, VideoFormat
from dcvc_cli.metrics.psnr import weighted_yuv

WEIGHTS_5_SCALES = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
WEIGHTS_4_SCALES = (0.0517, 0.3295, 0.3462, 0.2726)
MIN_SIDE_5_SCALES = 176
MIN_SIDE = 88
WINDOW_SIZE = 11
WINDOW_SIGMA = 1.5
C1 = (0.01 * 255.0) ** 2
C2 = (0.03 * 255.0) ** 2
_BLOCK_SAMPLES = 1 << 16
"""Rows are filtered in blocks of about this many samples: a block stays in the cache, and large pictures need little
memory."""


@dataclass(frozen=True)
class YuvMsssim:
    """MS-SSIM of one Y Cb Cr picture, each -1..1 (1: equal); None for a plane with a side below 88."""

    y: float | None
    u: float | None
    v: float | None

    @property
    def yuv(self) -> float | None:
        """Computes (6 Y + U + V) / 8; None if any plane has no value."""
        if self.y is None or self.u is None or self.v is None:
            return None
        return weighted_yuv(self.y, self.u, self.v)


def gaussian_window() -> NDArray[np.float64]:
    """Returns the 11 taps of the separable window, normalised to sum 1."""
    distance = np.arange(WINDOW_SIZE) - WINDOW_SIZE // 2
    taps = np.exp(-(distance**2) / (2.0 * WINDOW_SIGMA**2))
    return taps / taps.sum()


def grey_levels(plane: Plane, video_format: VideoFormat) -> NDArray[Any]:
    """Puts a plane on the 0..255 scale: as it is, or float64 above 8 bits."""
    return plane if video_format.bit_depth == 8 else plane * (255.0 / video_format.max_level)


def msssim_plane(original: NDArray[Any], reconstruction: NDArray[Any]) -> float | None:
    """Computes MS-SSIM of one plane.

    Args:
        original: (height, width), uint8 or float on the 0..255 scale.
        reconstruction: same shape and scale.

    Returns:
        the product over scales of mean(cs)^weight, with mean(ssim)^weight at the last scale; None if a side is below
        88. A negative mean, as of opposite pictures, has no real power and counts as 0.

    Raises:
        ValueError: shapes differ.
    """
    if original.shape != reconstruction.shape or original.ndim != 2:
        raise ValueError(f"planes of {original.shape} and {reconstruction.shape} cannot be compared")
    side = min(original.shape)
    if side < MIN_SIDE:
        return None
    weights = WEIGHTS_5_SCALES if side >= MIN_SIDE_5_SCALES else WEIGHTS_4_SCALES
    x, y = original.astype(np.float64), reconstruction.astype(np.float64)
    result = 1.0
    for weight in weights[:-1]:
        _, contrast_structure = _ssim_means(x, y)
        result *= max(contrast_structure, 0.0) ** weight
        x, y = _halve(x), _halve(y)
    ssim, _ = _ssim_means(x, y)
    return float(result * max(ssim, 0.0) ** weights[-1])


def msssim_yuv(original: Sequence[NDArray[Any]], reconstruction: Sequence[NDArray[Any]]) -> YuvMsssim:
    """Computes MS-SSIM of one picture per plane: Y, U, V in this order, each pair as for msssim_plane."""
    y, u, v = (msssim_plane(*planes) for planes in zip(original, reconstruction, strict=True))
    return YuvMsssim(y, u, v)


def msssim_rgb(original: Sequence[NDArray[Any]], reconstruction: Sequence[NDArray[Any]]) -> float | None:
    """Takes the mean of the three planes' MS-SSIM; None if a side is below 88."""
    values = [msssim_plane(*planes) for planes in zip(original, reconstruction, strict=True)]
    defined = [value for value in values if value is not None]
    return sum(defined) / len(defined) if len(defined) == len(values) else None


def _ssim_means(x: NDArray[np.float64], y: NDArray[np.float64]) -> tuple[float, float]:
    """Means of the SSIM map and of its contrast-structure part over the (height - 10, width - 10) valid positions."""
    height, width = x.shape
    num_rows = max(1, _BLOCK_SAMPLES // width)
    halo = WINDOW_SIZE - 1
    ssim_sum = contrast_sum = 0.0
    for row in range(0, height - halo, num_rows):
        block_x, block_y = x[row : row + num_rows + halo], y[row : row + num_rows + halo]
        # The variances appear only as their sum, so four filtered maps suffice.
        mean_x, mean_y = _filter_valid(block_x), _filter_valid(block_y)
        energy = _filter_valid(block_x * block_x + block_y * block_y)
        product = _filter_valid(block_x * block_y)
        mean_product = mean_x * mean_y
        mean_energy = mean_x * mean_x + mean_y * mean_y
        contrast = (2.0 * (product - mean_product) + C2) / (energy - mean_energy + C2)
        contrast_sum += float(contrast.sum())
        ssim_sum += float((contrast * (2.0 * mean_product + C1) / (mean_energy + C1)).sum())
    count = (height - halo) * (width - halo)
    return ssim_sum / count, contrast_sum / count


def _filter_valid(plane: NDArray[np.float64]) -> NDArray[np.float64]:
    """Applies the Gaussian window over rows, then columns: (height, width) -> (height - 10, width - 10)."""
    return _filter_columns(_filter_columns(plane).T).T


def _filter_columns(plane: NDArray[np.float64]) -> NDArray[np.float64]:
    """Applies the window along the first axis. It is symmetric: opposite samples are added before one
    multiplication."""
    taps = gaussian_window()
    length = plane.shape[0] - WINDOW_SIZE + 1
    middle = WINDOW_SIZE // 2
    result = taps[middle] * plane[middle : middle + length]
    for tap in range(middle):
        opposite = WINDOW_SIZE - 1 - tap
        result += taps[tap] * (plane[tap : tap + length] + plane[opposite : opposite + length])
    return result


def _halve(plane: NDArray[np.float64]) -> NDArray[np.float64]:
    """Means of the aligned 2x2 blocks; an odd last row or column is repeated."""
    height, width = plane.shape
    padded = np.pad(plane, ((0, height % 2), (0, width % 2)), mode="edge")
    return (padded[0::2, 0::2] + padded[0::2, 1::2] + padded[1::2, 0::2] + padded[1::2, 1::2]) / 4.0
