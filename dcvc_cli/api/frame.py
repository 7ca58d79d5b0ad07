"""A decoded picture with what the stream says of it."""

from dataclasses import dataclass

import numpy as np

from dcvc_cli.format.colour_conversion import matrix_of, rgb_picture
from dcvc_cli.format.types import ChromaFormat, Picture, Plane, Planes, VideoFormat


@dataclass(frozen=True)
class Frame:
    """One decoded frame.

    Attributes:
        picture: the samples; `planes` are its planes.
        format: size, sampling, colour and rate of the clip.
        index: 0-based number in the stream.
        frame_type: "I", "P", or "lost" where the picture before stands for a lost one.
        qp: QP that the frame was coded with, 0..71.
        size_bytes: coded size; 0 for all but the first picture of a unit of several.
        decode_seconds: how long decoding took.
    """

    picture: Picture
    format: VideoFormat
    index: int
    frame_type: str
    qp: int
    size_bytes: int
    decode_seconds: float

    @property
    def planes(self) -> Planes:
        """Returns three arrays (height, width), uint8, or uint16 above 8 bits: Y Cb Cr, or R G B."""
        return self.picture.planes

    @property
    def seconds(self) -> float | None:
        """Returns when the picture is shown, in seconds since the start of the stream; None where nobody says."""
        ticks, rate = self.format.time_base, self.format.frame_rate
        if ticks is not None:
            return None if self.picture.time is None else self.picture.time * ticks.den / ticks.num
        return self.index * rate.den / rate.num if rate.num else None

    def rgb(self) -> Plane:
        """Converts the picture to (height, width, 3) R G B of its bit depth, by the stream's matrix and range.

        Raises:
            UsageError: the stream's matrix is none that RGB can be made with.
        """
        picture = self.picture
        if self.format.chroma is not ChromaFormat.RGB:
            picture = rgb_picture(picture, self.format, matrix_of(self.format))
        return np.stack(picture.planes, axis=2)

    def tobytes(self) -> bytes:
        """Joins the planes one after the other, as a raw planar file has them."""
        return self.picture.tobytes()
