"""Colour of pictures that leave as another kind than they are coded in: Y Cb Cr as RGB, RGB as 4:4:4.

Source: ITU-T H.273, tables 2 to 4 and equations 38 to 43. Arithmetic in float32, rounded to the nearest sample.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dcvc_cli.errors import UsageError
from dcvc_cli.format.types import UNSPECIFIED, ChromaFormat, ColourDescription, Picture, Plane, Planes, VideoFormat

BT709, BT601 = 1, 6
_LUMA_WEIGHTS = {
    BT709: (0.2126, 0.0722),
    4: (0.30, 0.11),
    5: (0.299, 0.114),
    BT601: (0.299, 0.114),
    7: (0.212, 0.087),
    9: (0.2627, 0.0593),
}
"""Kr and Kb by matrix code point."""
_YCGCO = 8
_HD_HEIGHT = 720
"""Pictures of this height and above are BT.709 where nobody says, lower ones BT.601; what players assume."""
_LEFT, _TOP_LEFT = ("", "mpeg2"), ("paldv",)


@dataclass(frozen=True)
class Matrix:
    """How luma and colour differences become R G B.

    Attributes:
        code: H.273 code point of the matrix.
        full_range: whether samples use their whole range.
        note: what was assumed, one sentence; None where the stream says everything.
    """

    code: int
    full_range: bool
    note: str | None = None


def matrix_of(video_format: VideoFormat) -> Matrix:
    """Returns the matrix and range of a stream's Y Cb Cr pictures, with the defaults for what it leaves open.

    Raises:
        UsageError: the matrix is none that RGB can be made with.
    """
    code, full_range = video_format.colour.matrix, video_format.colour.full_range
    assumed = []
    if code == UNSPECIFIED:
        code = BT709 if video_format.size.height >= _HD_HEIGHT else BT601
        assumed.append(f"the matrix of {'BT.709' if code == BT709 else 'BT.601'}")
    if full_range is None:
        full_range = False
        assumed.append("limited range")
    if code not in _LUMA_WEIGHTS and code != _YCGCO:
        raise UsageError(
            f"the stream's pictures have matrix {code} of ITU-T H.273, which dcvc makes no RGB with",
            "decode to y4m and convert that",
        )
    note = f"the stream leaves its colour open: {' and '.join(assumed)} assumed for RGB" if assumed else None
    return Matrix(code, full_range, note)


def rgb_format(video_format: VideoFormat) -> VideoFormat:
    """Returns the format of a Y Cb Cr stream's pictures as RGB: primaries and transfer stay."""
    colour = replace(video_format.colour, matrix=0, full_range=True)
    return replace(video_format, chroma=ChromaFormat.RGB, colour=colour, chroma_location="")


def yuv444_format(video_format: VideoFormat) -> VideoFormat:
    """Returns the format of an RGB stream's pictures as 4:4:4: BT.709 in full range, which its networks code too."""
    colour = ColourDescription(video_format.colour.primaries, video_format.colour.transfer, BT709, True)
    return replace(video_format, chroma=ChromaFormat.YUV444, colour=colour)


def rgb_picture(picture: Picture, video_format: VideoFormat, matrix: Matrix) -> Picture:
    """Converts a picture to R G B of its bit depth.

    Chroma between its samples is interpolated linearly, from where the format says that the samples lie.

    Args:
        picture: planes of `video_format`, Y Cb Cr.
        matrix: what `matrix_of` says.
    """
    luma = picture.planes[0].astype(np.float32)
    cb, cr = (_full_size(plane, video_format) for plane in picture.planes[1:])
    most, unit = video_format.max_level, 1 << (video_format.bit_depth - 8)
    if matrix.full_range:
        y, pb, pr = luma / most, (cb - 128 * unit) / most, (cr - 128 * unit) / most
    else:
        y, pb, pr = (luma - 16 * unit) / (219 * unit), *((c - 128 * unit) / (224 * unit) for c in (cb, cr))
    if matrix.code == _YCGCO:
        red, green, blue = y - pb + pr, y + pb, y - pb - pr
    else:
        kr, kb = _LUMA_WEIGHTS[matrix.code]
        red, blue = y + 2 * (1 - kr) * pr, y + 2 * (1 - kb) * pb
        green = (y - kr * red - kb * blue) / (1 - kr - kb)
    first, second, third = (_samples(plane * most, video_format) for plane in (red, green, blue))
    return Picture((first, second, third), picture.time)


def yuv444_picture(picture: Picture, video_format: VideoFormat) -> Picture:
    """Converts an R G B picture to 4:4:4 of BT.709 in full range. Rounding loses up to two steps of a sample."""
    middle = 1 << (video_format.bit_depth - 1)
    red, green, blue = (plane.astype(np.float32) for plane in picture.planes)
    kr, kb = _LUMA_WEIGHTS[BT709]
    luma = kr * red + (1 - kr - kb) * green + kb * blue
    cb, cr = (blue - luma) / (2 * (1 - kb)) + middle, (red - luma) / (2 * (1 - kr)) + middle
    first, second, third = (_samples(plane, video_format) for plane in (luma, cb, cr))
    return Picture((first, second, third), picture.time)


def yuv420_planes(rgb: NDArray[np.float64], video_format: VideoFormat, matrix: Matrix) -> Planes:
    """Converts R G B in 0..1, (3, height, width), to 8-bit planes of a 4:2:0 format: the inverse of `rgb_picture`.

    Chroma samples are means of the samples around the place that the format names.
    """
    red, green, blue = rgb
    if matrix.code == _YCGCO:
        luma = (red + 2 * green + blue) / 4
        pb, pr = green - luma, (red - blue) / 2
    else:
        kr, kb = _LUMA_WEIGHTS[matrix.code]
        luma = kr * red + (1 - kr - kb) * green + kb * blue
        pb, pr = (blue - luma) / (2 * (1 - kb)), (red - luma) / (2 * (1 - kr))
    location = video_format.chroma_location
    halves = [_shrunk(_shrunk(plane, 0, location in _TOP_LEFT), 1, location in _LEFT + _TOP_LEFT) for plane in (pb, pr)]
    luma_scale, chroma_scale, black = (255, 255, 0) if matrix.full_range else (219, 224, 16)
    cb, cr = (_samples(half * chroma_scale + 128, video_format) for half in halves)
    return _samples(luma * luma_scale + black, video_format), cb, cr


def _shrunk(values: NDArray[np.float64], axis: int, is_cosited: bool) -> NDArray[np.float64]:
    """Halves the samples along an axis, the last one repeated where their number is odd: each the mean of two, or of
    one and its neighbours where it lies on that one."""
    values = np.moveaxis(values, axis, 0)
    if len(values) % 2:
        values = np.concatenate([values, values[-1:]])
    if is_cosited:
        before = np.concatenate([values[:1], values[1:-1:2]])
        shrunk = (before + 2 * values[0::2] + values[1::2]) / 4
    else:
        shrunk = (values[0::2] + values[1::2]) / 2
    return np.moveaxis(shrunk, 0, axis)


def _samples(values: NDArray[np.floating[Any]], video_format: VideoFormat) -> Plane:
    return np.clip(np.rint(values), 0, video_format.max_level).astype(video_format.dtype)


def _full_size(plane: Plane, video_format: VideoFormat) -> NDArray[np.float32]:
    """Enlarges a chroma plane to the size of luma, float32 in the plane's own units."""
    location, size, values = video_format.chroma_location, video_format.size, plane.astype(np.float32)
    if video_format.chroma is ChromaFormat.YUV444:
        return values
    if video_format.chroma is ChromaFormat.YUV420:
        values = _stretched(values, 0, location in _TOP_LEFT)[: size.height]
    return _stretched(values, 1, location in _LEFT + _TOP_LEFT)[:, : size.width]


def _stretched(values: NDArray[np.float32], axis: int, is_cosited: bool) -> NDArray[np.float32]:
    """Doubles the samples along an axis.

    Args:
        is_cosited: every other sample lies on one of `values`, else a quarter of a step beside it.
    """
    values = np.moveaxis(values, axis, 0)
    after = np.concatenate([values[1:], values[-1:]])
    doubled = np.empty((2 * len(values), *values.shape[1:]), np.float32)
    if is_cosited:
        doubled[0::2], doubled[1::2] = values, (values + after) / 2
    else:
        before = np.concatenate([values[:1], values[:-1]])
        doubled[0::2], doubled[1::2] = (before + 3 * values) / 4, (3 * values + after) / 4
    return np.moveaxis(doubled, 0, axis)
