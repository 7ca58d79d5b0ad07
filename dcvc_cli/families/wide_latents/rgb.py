"""Pictures of codecs that work on R G B in 0..1, padded with black to multiples of 64.

Pictures in 4:2:0 become R G B by the stream's own matrix and range (format.colour_conversion), rounded to 8 bits, as
the published tests make their PNG files. Decoded pictures are converted back.
"""

import numpy as np
from numpy.typing import NDArray

from dcvc_cli.backend.operations import Tensor
from dcvc_cli.codec import pictures
from dcvc_cli.errors import InputError, UsageError
from dcvc_cli.format.colour_conversion import matrix_of, rgb_picture, yuv420_planes
from dcvc_cli.format.types import ChromaFormat, Picture, PictureSize, VideoFormat
from dcvc_cli.stages import COLOUR, timed

PADDING = 64
MAX_SAMPLE = 255


def padded_size(size: PictureSize) -> tuple[int, int]:
    """Returns (height, width) after padding to multiples of 64."""
    return pictures.padded_size(size, PADDING)


def check_colour(video_format: VideoFormat) -> None:
    """Checks that pictures can become R G B.

    Raises:
        InputError: the pictures are 4:2:0, and their matrix gives no R G B.
    """
    if video_format.chroma is not ChromaFormat.RGB:
        try:
            matrix_of(video_format)
        except UsageError as error:
            raise InputError(f"this model codes R G B: {error.message}", "convert the clip to BT.709 first") from error


@timed(COLOUR)
def rgb_values(picture: Picture, video_format: VideoFormat) -> NDArray[np.float32]:
    """Turns samples into float32 (3, Hp, Wp) in 0..1, with black beyond the picture."""
    if video_format.chroma is not ChromaFormat.RGB:
        picture = rgb_picture(picture, video_format, matrix_of(video_format))
    size = video_format.size
    height, width = padded_size(size)
    values = np.stack(picture.planes).astype(np.float32) / np.float32(MAX_SAMPLE)
    return np.pad(values, ((0, 0), (0, height - size.height), (0, width - size.width)))


@timed(COLOUR)
def picture_from_rgb(frame: Tensor, video_format: VideoFormat) -> Picture:
    """Turns network output (1, 3, Hp, Wp) into an 8-bit picture, cropped and rounded half to even."""
    size = video_format.size
    cropped = frame[0, :, : size.height, : size.width]
    if video_format.chroma is not ChromaFormat.RGB:
        values = cropped.clamp(0, 1).double().cpu().numpy()
        return Picture(yuv420_planes(values, video_format, matrix_of(video_format)))
    samples = (cropped * MAX_SAMPLE).round().clamp(0, MAX_SAMPLE).cpu().numpy().astype(np.uint8)
    red, green, blue = (np.ascontiguousarray(plane) for plane in samples)
    return Picture((red, green, blue))
