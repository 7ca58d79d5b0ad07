"""Turns pictures into network values and back: chroma to full size, padding, RGB conversion, cropping.

A decoder's part is integer arithmetic on the planes that a backend exports. Source: DCVC-RT; docs/bitstream.md, "Output
pictures".
"""

import numpy as np
from numpy.typing import NDArray

from dcvc_cli.backend.operations import Operations, Tensor
from dcvc_cli.backend.picture_types import OutputSamples
from dcvc_cli.bitstream.faults import Rule, UnsupportedStreamError
from dcvc_cli.bitstream.sps import Sps
from dcvc_cli.errors import InputError
from dcvc_cli.format.types import (
    ChromaFormat,
    ColourDescription,
    Picture,
    PictureSize,
    Plane,
    Planes,
    Rational,
    VideoFormat,
)
from dcvc_cli.stages import COLOUR, timed

PADDING = 16
"""Width and height are padded to multiples of it, because latents lie on the 1/16 grid."""
KR, KG, KB = 0.2126, 0.7152, 0.0722
"""Luma weights of BT.709."""
FINE_SCALE = 65535
MATRIX_BITS = 16
_CHROMA_FORMATS = {chroma.value for chroma in ChromaFormat}


def video_format_of(sps: Sps) -> VideoFormat:
    """Returns the format of the decoder's pictures.

    Raises:
        UnsupportedStreamError: no model here decodes such pictures.
    """
    if sps.chroma_format not in _CHROMA_FORMATS:
        message = f"the stream's pictures are {sps.bit_depth}-bit {sps.chroma_format}, which this dcvc does not know"
        raise UnsupportedStreamError(Rule.UNSUPPORTED, message, hint="decode it with a newer dcvc")
    return VideoFormat(
        size=PictureSize(sps.width, sps.height),
        chroma=ChromaFormat(sps.chroma_format),
        bit_depth=sps.bit_depth,
        frame_rate=Rational(sps.frame_rate_num, sps.frame_rate_den),
        sample_aspect_ratio=Rational(sps.sar_num, sps.sar_den),
        colour=ColourDescription(sps.colour_primaries, sps.transfer, sps.matrix, sps.full_range),
        interlacing=sps.interlacing,
        chroma_location=sps.chroma_location,
        mastering_display=sps.mastering_display,
        content_light=sps.content_light,
        time_base=None if sps.time_base is None else Rational(sps.time_base.num, sps.time_base.den),
    )


def has_halved_chroma(video_format: VideoFormat) -> bool:
    """Returns whether chroma is coded at half the size of luma in both directions."""
    return video_format.chroma is ChromaFormat.YUV420


def check_picture(picture: Picture, video_format: VideoFormat) -> None:
    """Checks the sizes and types of a picture's planes.

    Raises:
        InputError: a plane is not of the announced size or type.
    """
    shapes = [plane.shape for plane in picture.planes]
    if tuple(shapes) != video_format.plane_shapes:
        raise InputError(f"a picture has planes {shapes}, expected {list(video_format.plane_shapes)}")
    if any(plane.dtype != video_format.dtype for plane in picture.planes):
        raise InputError(f"a picture has samples {picture.planes[0].dtype}, expected {video_format.dtype}")


def padded_size(size: PictureSize, multiple: int = PADDING) -> tuple[int, int]:
    """Returns (height, width) after padding to multiples of a number."""
    return -(-size.height // multiple) * multiple, -(-size.width // multiple) * multiple


@timed(COLOUR)
def values_from_picture(picture: Picture, video_format: VideoFormat) -> NDArray[np.float32]:
    """Turns samples into float32 (3, Hp, Wp) in 0..1: chroma repeated to full size, last row and column repeated as
    padding.

    RGB becomes BT.709 full-range YCbCr.
    """
    size = video_format.size
    if video_format.chroma is ChromaFormat.RGB:
        full = _ycc_from_rgb(np.stack(picture.planes), video_format.max_level)
    else:
        chroma = [_repeated(plane, video_format)[: size.height, : size.width] for plane in picture.planes[1:]]
        full = np.stack([picture.planes[0], *chroma]).astype(np.float32) / np.float32(video_format.max_level)
    height, width = padded_size(size)
    return np.pad(full, ((0, 0), (0, height - size.height), (0, width - size.width)), mode="edge")


def _repeated(plane: Plane, video_format: VideoFormat) -> Plane:
    """Repeats a chroma plane to the size of luma, or a sample more."""
    if video_format.chroma is ChromaFormat.YUV444:
        return plane
    return plane.repeat(2, axis=1) if video_format.chroma is ChromaFormat.YUV422 else plane.repeat(2, 0).repeat(2, 1)


def _ycc_from_rgb(rgb: Plane, max_level: int) -> NDArray[np.float32]:
    red, green, blue = rgb.astype(np.float32) / np.float32(max_level)
    luma = KR * red + KG * green + KB * blue
    planes = np.stack([luma, 0.5 * (blue - luma) / (1 - KB) + 0.5, 0.5 * (red - luma) / (1 - KR) + 0.5])
    return np.clip(planes, 0, 1).astype(np.float32)


def _fixed(value: float) -> int:
    return round(value * (1 << MATRIX_BITS))


_RED_FROM_CR = _fixed(2 - 2 * KR)
_BLUE_FROM_CB = _fixed(2 - 2 * KB)
_GREEN_FROM_CB = _fixed((2 - 2 * KB) * KB / KG)
_GREEN_FROM_CR = _fixed((2 - 2 * KR) * KR / KG)


def rgb_from_fine(fine: NDArray[np.int32], video_format: VideoFormat) -> Planes:
    """Turns int32 (3, h, w) YCbCr in 1/65535 into R G B of the format's bit depth. Integer arithmetic throughout:
    bit-exact on every machine."""
    luma = fine[0].astype(np.int64) << MATRIX_BITS
    blue_difference = fine[1].astype(np.int64) - (FINE_SCALE + 1) // 2
    red_difference = fine[2].astype(np.int64) - (FINE_SCALE + 1) // 2
    red = luma + _RED_FROM_CR * red_difference
    blue = luma + _BLUE_FROM_CB * blue_difference
    green = luma - _GREEN_FROM_CB * blue_difference - _GREEN_FROM_CR * red_difference
    scaled = np.clip(np.stack([red, green, blue]), 0, FINE_SCALE << MATRIX_BITS)
    unit = FINE_SCALE << MATRIX_BITS
    red, green, blue = ((scaled * video_format.max_level + unit // 2) // unit).astype(video_format.dtype)
    return red, green, blue


def _planes_from_fine(fine: NDArray[np.int32], video_format: VideoFormat, *, truncate_chroma: bool) -> Planes:
    """Turns int32 (3, Hp, Wp) YCbCr in 1/65535 into planes of the format: means of the samples that a chroma sample
    stands for."""
    rows, columns = {ChromaFormat.YUV420: (2, 2), ChromaFormat.YUV422: (1, 2)}.get(video_format.chroma, (1, 1))
    _, height, width = fine.shape
    sums = fine[1:].reshape(2, height // rows, rows, width // columns, columns).sum((2, 4), dtype=np.int64)
    unit = rows * columns * FINE_SCALE
    chroma = (sums * video_format.max_level + (0 if truncate_chroma else unit // 2)) // unit
    luma = (fine[0].astype(np.int64) * video_format.max_level + FINE_SCALE // 2) // FINE_SCALE
    shapes = video_format.plane_shapes
    planes = (plane[:h, :w].astype(video_format.dtype) for plane, (h, w) in zip((luma, *chroma), shapes, strict=True))
    first, second, third = planes
    return first, second, third


def output_samples(video_format: VideoFormat, *, truncate_chroma: bool) -> OutputSamples:
    """Returns what a backend with kernels for pictures puts out in a format."""
    chroma, shapes = video_format.chroma, video_format.plane_shapes
    tall, wide = {ChromaFormat.YUV420: (2, 2), ChromaFormat.YUV422: (1, 2)}.get(chroma, (1, 1))
    factors = _RED_FROM_CR, _BLUE_FROM_CB, _GREEN_FROM_CB, _GREEN_FROM_CR
    is_rgb = chroma is ChromaFormat.RGB
    return OutputSamples(shapes, tall, wide, video_format.max_level, truncate_chroma, factors if is_rgb else None)


@timed(COLOUR)
def picture_from_frame(ops: Operations, frame: Tensor, video_format: VideoFormat, *, truncate_chroma: bool) -> Picture:
    """Turns network output into a picture of the coded size. Bit-exact where the backend is.

    Args:
        truncate_chroma: 4:2:0 chroma is truncated, not rounded.
    """
    size, is_halved = video_format.size, has_halved_chroma(video_format)
    is_plain = video_format.bit_depth == 8 and is_halved
    if ops.has_picture_kernels and not is_plain:
        output = output_samples(video_format, truncate_chroma=truncate_chroma and is_halved)
        return Picture(ops.output_samples(frame, output))
    if video_format.chroma is ChromaFormat.RGB:
        return Picture(rgb_from_fine(ops.export_fine(frame)[:, : size.height, : size.width], video_format))
    if not is_plain:
        fine = ops.export_fine(frame)
        return Picture(_planes_from_fine(fine, video_format, truncate_chroma=truncate_chroma and is_halved))
    planes = ops.export_planes(frame, halve_chroma=True, truncate_chroma=truncate_chroma)
    shapes = video_format.plane_shapes
    luma, cb, cr = (np.ascontiguousarray(plane[:h, :w]) for plane, (h, w) in zip(planes, shapes, strict=True))
    return Picture((luma, cb, cr))
