"""Raw planar 4:2:0 of 8 or 10 bits (yuv420p, yuv420p10le): no header, so size and frame rate come from options or from
the file's name."""

import re
from dataclasses import dataclass
from fractions import Fraction
from pathlib import PurePath

import numpy as np

from dcvc_cli.errors import InputError, UsageError
from dcvc_cli.format.constants import MAX_SIDE
from dcvc_cli.format.types import DEFAULT_FRAME_RATE, Picture, PictureSize, Rational, VideoFormat
from dcvc_cli.media.base import PictureReader, PictureWriter, describe, naming_picture, sample_bytes, split_planes
from dcvc_cli.media.output import OutputFile
from dcvc_cli.media.source import ByteSource

_SIZE_IN_NAME = re.compile(
    r"(?<![0-9])(?P<width>[0-9]{1,5})x(?P<height>[0-9]{1,5})(?![0-9])"
    r"(?:[_-](?P<rate>[0-9]{1,3}(?:\.[0-9]{1,3})?)(?:fps|hz|p)?(?=[_.\- ]|$))?",
    re.IGNORECASE,
)
_DEEP_NAME = re.compile(r"(?<![0-9])(10|12|14|16)[-_]?(?:bits?|le|be)(?![a-z])", re.IGNORECASE)


@dataclass(frozen=True)
class RawName:
    """Facts from the name of a raw file; None for what the name does not say."""

    size: PictureSize | None
    frame_rate: Rational | None


def parse_raw_name(path: str) -> RawName:
    """Reads size and frame rate from a name such as `clip_1920x1080_30.yuv` or
    `Beauty_1920x1080_120fps_420_8bit_YUV.yuv`.

    The last WxH in the name counts. 23.98, 29.97, 59.94 and their like mean 24000/1001, 30000/1001, 60000/1001.
    """
    stem = PurePath(path).stem
    matches = list(_SIZE_IN_NAME.finditer(stem))
    if not matches:
        return RawName(None, None)
    match = matches[-1]
    width, height = int(match["width"]), int(match["height"])
    if not (1 <= width <= MAX_SIDE and 1 <= height <= MAX_SIDE):
        return RawName(None, None)
    return RawName(PictureSize(width, height), _named_rate(match["rate"]))


def _named_rate(text: str | None) -> Rational | None:
    value = Fraction(text) if text else Fraction(0)
    if value == 0:
        return None
    ntsc = Fraction(round(value) * 1000, 1001)
    if value.denominator != 1 and abs(value - ntsc) < Fraction(1, 100):
        value = ntsc
    return Rational(value.numerator, value.denominator)


class RawReader(PictureReader):
    """Reads raw yuv420p or yuv420p10le pictures.

    Args:
        source: positioned at the start.
        size: picture size; None takes it from the file's name.
        frame_rate: None takes it from the file's name, else 25.
        bit_depth: 8 or 10; of 10 bits, a sample takes two bytes, the low one first. None takes it from the file's
            name, else 8.

    Raises:
        UsageError: no size is known.
        InputError: the data is no whole number of pictures. Files raise it before the first picture, pipes at the end.
    """

    def __init__(
        self,
        source: ByteSource,
        *,
        size: PictureSize | None,
        frame_rate: Rational | None,
        bit_depth: int | None = None,
        skip_frames: int = 0,
        max_frames: int | None = None,
    ) -> None:
        super().__init__(source.name, skip_frames, max_frames)
        self._source, self._num_read = source, skip_frames
        named = parse_raw_name(source.name)
        if size is None:
            if named.size is None:
                raise UsageError(
                    f"{source.name} is raw video and does not say its picture size", "give --input-res WxH"
                )
            size = named.size
            self.notes += (f"picture size {size} taken from the name of {source.name}",)
        if frame_rate is None and named.frame_rate is not None and named.size == size:
            frame_rate = named.frame_rate
            self.notes += (f"{frame_rate} frames per second taken from the name of {source.name}",)
        if frame_rate is None:
            self.notes += (
                f"raw video does not say its frame rate: {DEFAULT_FRAME_RATE} frames per second assumed, --fps sets it",
            )
        deep = _DEEP_NAME.search(PurePath(source.name).stem)
        if deep and bit_depth is None and deep[1] == "10":
            bit_depth = 10
            self.notes += (f"10 bits a sample taken from the name of {source.name}, --input-depth says another depth",)
        elif deep and int(deep[1]) != bit_depth:
            self.notes += (f"the name of {source.name} says {deep[1]} bits, it is read as {bit_depth or 8}-bit",)
        self.format = VideoFormat(size, bit_depth=bit_depth or 8, frame_rate=frame_rate or DEFAULT_FRAME_RATE)
        if source.size_bytes is not None:
            if source.size_bytes == 0:
                raise InputError(f"{self.name} is empty")
            num_frames, rest = divmod(source.size_bytes, self.format.frame_bytes)
            if rest:
                raise self._no_multiple(source.size_bytes)
            self.num_frames = self._frames_to_give(num_frames)
        self.description = describe(
            "raw yuv420p" if self.format.bit_depth == 8 else "raw yuv420p10le", self.format, self.num_frames
        )

    def _no_multiple(self, size_bytes: int) -> InputError:
        size, frame_bytes = self.format.size, self.format.frame_bytes
        return InputError(
            f"{self.name} is {size_bytes} bytes, no multiple of the {frame_bytes} bytes of a {size} "
            f"{self.format.sampling} picture",
            "check --input-res and --input-depth, and that the video is planar 4:2:0",
        )

    def _skip(self, num_frames: int) -> int:
        if self._source.size_bytes is None:
            return super()._skip(num_frames)
        # __init__ has checked that the file is longer than this.
        self._source.seek_to(num_frames * self.format.frame_bytes)
        return num_frames

    def _read(self) -> Picture | None:
        # np.empty does not touch its pages: a wrong --input-res costs no more memory than bytes that really come.
        samples = np.empty(self.format.frame_bytes, np.uint8)
        num_bytes = self._source.read_into(samples)
        if num_bytes == 0:
            return None
        if num_bytes < len(samples):
            raise self._no_multiple(self._source.position)
        with naming_picture(self.name, self._num_read):
            picture = split_planes(samples, self.format)
        self._num_read += 1
        return picture

    def close(self) -> None:
        self._source.close()


class RawWriter(PictureWriter):
    """Writes pictures plane after plane, without any header."""

    def __init__(self, output: OutputFile, video_format: VideoFormat) -> None:
        super().__init__(video_format)
        self.name = output.name
        self._output = output

    def _write(self, picture: Picture) -> None:
        for plane in picture.planes:
            self._output.write(sample_bytes(plane))

    def flush(self) -> None:
        self._output.flush()

    def complete(self) -> None:
        self._output.complete()

    def commit(self) -> None:
        self._output.commit()

    def abort(self) -> None:
        self._output.abort()
