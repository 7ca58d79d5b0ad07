"""Frozen values that several layers share: picture size, rational, colour description, video format, picture."""

from dataclasses import dataclass, field
from enum import Enum
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from dcvc_cli.errors import InputError
from dcvc_cli.format.constants import MAX_SIDE
from dcvc_cli.format.hdr import ContentLight, MasteringDisplay

UNSPECIFIED = 2
"""H.273's code point for a colour property that nobody states."""


@dataclass(frozen=True, order=True)
class PictureSize:
    """Width and height in luma samples, 1..16384 each."""

    width: int
    height: int

    def __post_init__(self) -> None:
        if not (1 <= self.width <= MAX_SIDE and 1 <= self.height <= MAX_SIDE):
            raise ValueError(f"picture size {self.width}x{self.height} is outside 1x1..{MAX_SIDE}x{MAX_SIDE}")

    @property
    def chroma(self) -> tuple[int, int]:
        """Returns (width, height) of a 4:2:0 chroma plane: odd sizes round up."""
        return (self.width + 1) // 2, (self.height + 1) // 2

    @property
    def num_pixels(self) -> int:
        return self.width * self.height

    def __str__(self) -> str:
        return f"{self.width}x{self.height}"


@dataclass(frozen=True)
class Rational:
    """A fraction kept as written (30000/1001 frame rate, 0/0 unknown aspect ratio); both parts 0..2^32-1."""

    num: int
    den: int

    def __float__(self) -> float:
        return self.num / self.den if self.den else 0.0

    def __str__(self) -> str:
        return f"{self.num}/{self.den}" if self.den != 1 else str(self.num)


Plane: TypeAlias = NDArray[np.unsignedinteger[Any]]
"""One plane of a picture (height, width): uint8, or uint16 above 8 bits."""
Planes: TypeAlias = tuple[Plane, Plane, Plane]


class ChromaFormat(Enum):
    """How pictures are sampled outside the codec; the networks always see three full-size planes.

    Attributes:
        YUV420: chroma planes of half the width and half the height.
        YUV422: chroma planes of half the width.
        YUV444: chroma planes as large as luma.
        RGB: R G B at full size.
    """

    YUV420 = "yuv420"
    YUV422 = "yuv422"
    YUV444 = "yuv444"
    RGB = "rgb"


CHROMA_NAMES = {
    ChromaFormat.YUV420: "4:2:0",
    ChromaFormat.YUV422: "4:2:2",
    ChromaFormat.YUV444: "4:4:4",
    ChromaFormat.RGB: "RGB",
}


@dataclass(frozen=True)
class ColourDescription:
    """ITU-T H.273 code points and the range flag. dcvc carries them through and never acts on them."""

    primaries: int = UNSPECIFIED
    transfer: int = UNSPECIFIED
    matrix: int = UNSPECIFIED
    full_range: bool | None = None


DEFAULT_FRAME_RATE = Rational(25, 1)
"""Assumed of a clip that does not state its frame rate."""


@dataclass(frozen=True)
class VideoFormat:
    """What a reader states about every picture of a clip, and what a writer needs to know."""

    size: PictureSize
    chroma: ChromaFormat = ChromaFormat.YUV420
    bit_depth: int = 8
    frame_rate: Rational = DEFAULT_FRAME_RATE
    sample_aspect_ratio: Rational = Rational(0, 0)
    colour: ColourDescription = field(default_factory=ColourDescription)
    interlacing: str = "p"
    chroma_location: str = ""
    """y4m's chroma tag after 420 ("jpeg", "mpeg2", "paldv" or ""), carried through."""
    mastering_display: MasteringDisplay | None = None
    content_light: ContentLight | None = None
    time_base: Rational | None = None
    """Ticks a second of the pictures' times; None: every picture lasts as long as the frame rate says."""

    @property
    def plane_shapes(self) -> tuple[tuple[int, int], ...]:
        """Returns (height, width) of each of the three planes."""
        luma = (self.size.height, self.size.width)
        if self.chroma in (ChromaFormat.YUV444, ChromaFormat.RGB):
            return luma, luma, luma
        width, height = self.size.chroma
        chroma = (height if self.chroma is ChromaFormat.YUV420 else self.size.height), width
        return luma, chroma, chroma

    @property
    def dtype(self) -> np.dtype[Any]:
        """Returns the type of the planes' samples: uint8, or uint16 above 8 bits."""
        return np.dtype(np.uint8 if self.bit_depth == 8 else np.uint16)

    @property
    def max_level(self) -> int:
        """Returns the largest value of a sample, such as 255."""
        return (1 << self.bit_depth) - 1

    @property
    def sampling(self) -> str:
        """Describes the sampling for people, such as "10-bit 4:2:0"."""
        return f"{self.bit_depth}-bit {CHROMA_NAMES[self.chroma]}"

    @property
    def frame_bytes(self) -> int:
        return sum(height * width for height, width in self.plane_shapes) * self.dtype.itemsize


@dataclass(frozen=True)
class Picture:
    """One picture.

    Attributes:
        planes: Y Cb Cr or R G B, each C-contiguous.
        time: when it is shown, in ticks of the format's time base since the start of the clip; None without a time
            base.
    """

    planes: Planes
    time: int | None = None

    def tobytes(self) -> bytes:
        """Joins the planes one after the other, as in a raw planar file: two bytes a sample, the low one first, above 8
        bits."""
        return b"".join(plane.astype(plane.dtype.newbyteorder("<"), copy=False).tobytes() for plane in self.planes)


def check_samples(picture: Picture, video_format: VideoFormat) -> None:
    """Checks that no sample is larger than the bit depth allows.

    Raises:
        InputError: one is.
    """
    if video_format.bit_depth == 8:
        return
    largest = max(int(plane.max()) for plane in picture.planes)
    if largest > video_format.max_level:
        raise InputError(
            f"a sample is {largest}, more than the {video_format.max_level} that {video_format.bit_depth} bits hold",
            "10-bit samples stand in the low bits of two bytes, the low byte first",
        )
