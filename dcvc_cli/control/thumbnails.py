"""Small pictures for decisions about scene cuts and rates, and how well one of them predicts another.

All of it is integer arithmetic: the same on every machine and with any number of threads.
"""

import numpy as np
from numpy.typing import NDArray

from dcvc_cli.format.types import ChromaFormat, Picture, VideoFormat

Thumbnail = NDArray[np.int16]
"""Luma (h, w) in grey levels 0..255; both sides are multiples of THUMBNAIL_BLOCK."""

THUMBNAIL_BLOCK = 8
SHORT_SIDE = 72
"""About the number of samples of a thumbnail's shorter side."""
SEARCH_RANGE = 8
"""Samples that motion reaches in each direction: a tenth of the picture."""
MEAN_SHIFT = 6
"""log2 of a block's samples."""
GOOD_SHARE = 2
"""The search ends at the first place, no motion, where at most 1/GOOD_SHARE of the detail is left there."""


def thumbnail(picture: Picture, video_format: VideoFormat) -> Thumbnail:
    """Takes the means of squares of luma, or of green for R G B. The last row and column are repeated to whole
    blocks."""
    plane = picture.planes[1 if video_format.chroma is ChromaFormat.RGB else 0]
    height, width = plane.shape
    factor = max(1, min(height, width) // SHORT_SIDE)
    rows, columns = height // factor, width // factor
    lines = plane[: rows * factor, : columns * factor].reshape(rows, factor, columns * factor)
    sums = lines.sum(axis=1, dtype=np.uint32).reshape(rows, columns, factor).sum(axis=2, dtype=np.uint32)
    small = (sums // (factor * factor) >> (video_format.bit_depth - 8)).astype(np.int16)
    return np.pad(small, ((0, -rows % THUMBNAIL_BLOCK), (0, -columns % THUMBNAIL_BLOCK)), mode="edge")


def detail(picture: Thumbnail) -> int:
    """Measures the detail of a picture: the sum of absolute differences from the means of its blocks, in grey
    levels."""
    return int(_sums(np.abs(picture - _spread(_sums(picture) >> MEAN_SHIFT))).sum())


def difference(picture: Thumbnail, before: Thumbnail) -> int:
    """Finds the residual of a picture after the best motion from `before`, without the means of blocks: a sum of
    absolute grey levels. A block counts no more than its own detail. A change of brightness costs nothing, so fades
    stay small."""
    height, width = picture.shape
    rest = picture - _spread(_sums(picture) >> MEAN_SHIFT)
    best = _sums(np.abs(rest))
    enough = int(best.sum()) // GOOD_SHARE
    padded = np.pad(before, SEARCH_RANGE, mode="edge")
    for down, right in _SHIFTS:
        shifted = padded[down : down + height, right : right + width]
        left = shifted - _spread(_sums(shifted) >> MEAN_SHIFT)
        np.minimum(best, _sums(np.abs(np.subtract(rest, left, out=left), out=left)), out=best)
        if (down, right) == _SHIFTS[0] and best.sum() <= enough:
            break
    return int(best.sum())


_SHIFTS = sorted(
    ((down, right) for down in range(0, 2 * SEARCH_RANGE + 1, 2) for right in range(0, 2 * SEARCH_RANGE + 1, 2)),
    key=lambda shift: (abs(shift[0] - SEARCH_RANGE) + abs(shift[1] - SEARCH_RANGE), shift),
)
"""Places in a picture that is padded by SEARCH_RANGE on all sides. The first place means no motion."""


def _sums(samples: NDArray[np.int16]) -> NDArray[np.int32]:
    """Sums of each block. Sums of eight samples fit 16 bits."""
    height, width = samples.shape
    lines = samples.reshape(height // THUMBNAIL_BLOCK, THUMBNAIL_BLOCK, width).sum(axis=1, dtype=np.int16)
    sums: NDArray[np.int32] = lines.reshape(height // THUMBNAIL_BLOCK, width // THUMBNAIL_BLOCK, THUMBNAIL_BLOCK).sum(
        axis=2, dtype=np.int32
    )
    return sums


def _spread(values: NDArray[np.int32]) -> NDArray[np.int16]:
    """Repeats a value of each block at all its places."""
    return values.astype(np.int16).repeat(THUMBNAIL_BLOCK, axis=1).repeat(THUMBNAIL_BLOCK, axis=0)
