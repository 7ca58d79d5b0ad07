"""Makes pictures of filtered planes (docs/output-filter.md, "Output")."""

import numpy as np

from dcvc_cli.codec.pictures import FINE_SCALE, rgb_from_fine
from dcvc_cli.families.lite.filter.filters import bytes_of_plane
from dcvc_cli.families.lite.filter.parameters import Planes
from dcvc_cli.families.lite.samples import SAMPLE_BITS
from dcvc_cli.format.types import ChromaFormat, Picture, VideoFormat
from dcvc_cli.stages import COLOUR, timed


@timed(COLOUR)
def picture_from_planes(planes: Planes, video_format: VideoFormat) -> Picture:
    """Turns filtered planes in 0..8192, of the padded size, into an 8-bit picture of the coded size. Bit-exact
    everywhere."""
    size = video_format.size
    if video_format.chroma is ChromaFormat.RGB:
        samples = np.stack([plane[: size.height, : size.width] for plane in planes]).astype(np.int32)
        rgb = rgb_from_fine((samples * FINE_SCALE + (1 << (SAMPLE_BITS - 1))) >> SAMPLE_BITS)
        return Picture((np.ascontiguousarray(rgb[0]), np.ascontiguousarray(rgb[1]), np.ascontiguousarray(rgb[2])))
    luma, cb, cr = (
        bytes_of_plane(plane, *shape) for plane, shape in zip(planes, video_format.plane_shapes, strict=True)
    )
    return Picture((luma, cb, cr))
