"""Frozen values that several layers share: picture size, rational, colour description, video format, picture."""

from dataclasses import dataclass, field
from enum import Enum

import numpy as np
from numpy.typing import NDArray

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
        """(width, height) of a 4:2:0 chroma plane: odd sizes round up."""
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


class ChromaFormat(Enum):
    """How pictures are sampled outside the codec; the networks always see three full-size planes.

    Attributes:
        YUV420: chroma planes of half the width and half the height.
        YUV444: chroma planes as large as luma; what RGB streams become in y4m and raw files.
        RGB: R G B at full size.
    """

    YUV420 = "yuv420"
    YUV444 = "yuv444"
    RGB = "rgb"


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
        """(height, width) of each of the three planes."""
        luma = (self.size.height, self.size.width)
        if self.chroma is not ChromaFormat.YUV420:
            return luma, luma, luma
        width, height = self.size.chroma
        return luma, (height, width), (height, width)

    @property
    def frame_bytes(self) -> int:
        return sum(height * width for height, width in self.plane_shapes)


@dataclass(frozen=True)
class Picture:
    """One picture.

    Attributes:
        planes: three uint8 planes, Y Cb Cr or R G B, each (height, width) and C-contiguous.
        time: when it is shown, in ticks of the format's time base since the start of the clip; None without a time
            base.
    """

    planes: tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.uint8]]
    time: int | None = None

    def tobytes(self) -> bytes:
        """The planes one after the other, as in a raw planar file."""
        return b"".join(plane.tobytes() for plane in self.planes)
