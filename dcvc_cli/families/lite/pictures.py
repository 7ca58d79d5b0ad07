"""Makes pictures of filtered planes (docs/output-filter.md, "Output")."""

import numpy as np

from dcvc_cli.codec.pictures import FINE_SCALE, rgb_from_fine
from dcvc_cli.families.lite.filter.filters import bytes_of_plane
from dcvc_cli.families.lite.filter.parameters import Plane, Planes
from dcvc_cli.families.lite.samples import SAMPLE_BITS, levels_of_samples
from dcvc_cli.format.types import ChromaFormat, Picture, VideoFormat
from dcvc_cli.stages import COLOUR, timed


@timed(COLOUR)
def picture_from_planes(planes: Planes, video_format: VideoFormat) -> Picture:
    """Turns filtered planes in 0..8192, of the padded size, into a picture of the coded size. Bit-exact everywhere."""
    size = video_format.size
    if video_format.chroma is ChromaFormat.RGB:
        samples = np.stack([plane[: size.height, : size.width] for plane in planes]).astype(np.int32)
        return Picture(rgb_from_fine((samples * FINE_SCALE + (1 << (SAMPLE_BITS - 1))) >> SAMPLE_BITS, video_format))
    if video_format.chroma is ChromaFormat.YUV422:
        planes = planes[0], _halved_lines(planes[1]), _halved_lines(planes[2])
    shapes = video_format.plane_shapes
    if video_format.bit_depth == 8:
        luma, cb, cr = (bytes_of_plane(plane, *shape) for plane, shape in zip(planes, shapes, strict=True))
        return Picture((luma, cb, cr))
    deep = (
        levels_of_samples(plane[:h, :w], video_format.bit_depth) for plane, (h, w) in zip(planes, shapes, strict=True)
    )
    first, second, third = deep
    return Picture((first, second, third))


def _halved_lines(plane: Plane) -> Plane:
    """Computes rounded means of two samples side by side."""
    return (plane[:, 0::2] + plane[:, 1::2] + 1) >> 1
