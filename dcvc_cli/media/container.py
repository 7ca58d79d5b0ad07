"""Video files such as mp4 and mkv, decoded through PyAV (FFmpeg's libraries), an optional extra; 8-bit 4:2:0 only."""

from collections.abc import Iterator
from fractions import Fraction
from types import ModuleType
from typing import Any

import numpy as np

from dcvc_cli.errors import EnvironmentFault, InputError
from dcvc_cli.media.base import PictureReader, describe
from dcvc_cli.types import MAX_SIDE, ColourDescription, Picture, PictureSize, Rational, VideoFormat

DEFAULT_FRAME_RATE = Rational(25, 1)
_PIXEL_FORMATS = ("yuv420p", "yuvj420p")
_MAX_VARIATION = 0.01


class ContainerReader(PictureReader):
    """Decodes the first video stream of a file, picture for picture: none is dropped or repeated, display rotation is not applied.

    Colour code points, range, frame rate and sample aspect ratio are carried; timestamps are not, so a variable frame rate becomes its
    average.

    Args:
        path: a file. Only this file is opened, whatever it refers to.
        frame_rate: used instead of the file's.

    Raises:
        EnvironmentFault: PyAV is not installed.
        InputError: here and during iteration: unreadable, damaged, no video, or not 8-bit 4:2:0.
    """

    def __init__(self, path: str, *, frame_rate: Rational | None, skip_frames: int = 0, max_frames: int | None = None) -> None:
        super().__init__(path, skip_frames, max_frames)
        self._av = _import_av(path)
        try:
            # "file:" keeps names such as "concat:a|b" from meaning a protocol; the whitelist does the same for what the file refers to.
            self._container = self._av.open(f"file:{path}", options={"protocol_whitelist": "file"}, metadata_errors="replace")
        except (self._av.error.FFmpegError, OSError, ValueError) as error:
            raise InputError(f"cannot read {path} as a video file: {_reason(error)}") from error
        try:
            self._open_stream(frame_rate)
        except BaseException:
            self.close()
            raise

    def _open_stream(self, frame_rate: Rational | None) -> None:
        if not self._container.streams.video:
            raise InputError(f"{self.name} holds no video stream")
        stream = self._container.streams.video[0]
        if stream.codec_context is None:
            raise InputError(f"{self.name} holds video of a codec that this FFmpeg cannot decode")
        self._check_pixel_format(stream.codec_context.pix_fmt)
        stream.thread_type = "AUTO"
        self._frames = self._decode(stream)
        # Some decoders know colour and size only after a picture.
        self._first = next(self._frames, None)
        if self._first is None:
            raise InputError(f"{self.name} holds no picture")
        self._check_pixel_format(self._first.format.name)
        width, height = self._first.width, self._first.height
        if not (1 <= width <= MAX_SIDE and 1 <= height <= MAX_SIDE):
            raise InputError(f"{self.name} is {width}x{height}, expected 1x1..{MAX_SIDE}x{MAX_SIDE}")
        self.format = VideoFormat(
            PictureSize(width, height),
            frame_rate=frame_rate or self._frame_rate(stream),
            sample_aspect_ratio=_rational(stream.sample_aspect_ratio) or Rational(0, 0),
            colour=_colour(stream.codec_context, self._first),
            interlacing=self._interlacing(stream.codec_context),
        )
        if getattr(self._first, "rotation", 0):
            self.notes += (f"{self.name} asks for a rotation on display; it is ignored",)
        if stream.frames > 0:
            self.num_frames = self._frames_to_give(stream.frames)
        self.description = describe(f"{self._container.format.name.split(',')[0]} {stream.codec_context.name}", self.format, self.num_frames)

    def _check_pixel_format(self, name: str | None) -> None:
        if name not in _PIXEL_FORMATS:
            hint = f"ffmpeg -i {self.name} -pix_fmt yuv420p OUT.y4m converts it"
            raise InputError(f"{self.name} has pixel format {name or 'unknown'}, dcvc codes 8-bit 4:2:0 (yuv420p)", hint)

    def _frame_rate(self, stream: Any) -> Rational:
        average, base = _rational(stream.average_rate), _rational(stream.base_rate)
        rate = average or base
        if rate is None:
            self.notes += (f"{self.name} does not say its frame rate: {DEFAULT_FRAME_RATE} frames per second assumed, --fps sets it",)
            return DEFAULT_FRAME_RATE
        if average and base and abs(float(base) / float(average) - 1) > _MAX_VARIATION:
            self.notes += (f"{self.name} seems to have a variable frame rate: its average, {rate}, is used for all pictures",)
        return rate

    def _interlacing(self, context: Any) -> str:
        assert self._first is not None
        if not self._first.interlaced_frame:
            return "p"
        self.notes += (f"{self.name} is interlaced: coded as whole pictures, the tag is kept",)
        # AVFieldOrder: TT 2, BB 3, TB 4, BT 5; the second letter is the field displayed first.
        return {2: "t", 3: "b", 4: "b", 5: "t"}.get(int(getattr(context, "field_order", 0)), "?")

    def _decode(self, stream: Any) -> Iterator[Any]:
        try:
            yield from self._container.decode(stream)
        except (self._av.error.FFmpegError, OSError, ValueError) as error:
            raise InputError(f"{self.name} cannot be decoded: {_reason(error)}") from error

    def _next_frame(self) -> Any:
        frame, self._first = self._first, None
        return frame if frame is not None else next(self._frames, None)

    def _skip(self, num_frames: int) -> int:
        for skipped in range(num_frames):
            if self._next_frame() is None:
                return skipped
        return num_frames

    def _read(self) -> Picture | None:
        frame = self._next_frame()
        if frame is None:
            return None
        size = self.format.size
        if frame.format.name not in _PIXEL_FORMATS or (frame.width, frame.height) != (size.width, size.height):
            found = f"{frame.width}x{frame.height} {frame.format.name}"
            raise InputError(f"{self.name} changes to {found} after it began as {size} yuv420p, expected one format throughout")
        if frame.is_corrupt:
            raise InputError(f"{self.name} is damaged: a picture at {frame.time or 0.0:.3f} s does not decode")
        planes = []
        for plane, (height, width) in zip(frame.planes, self.format.plane_shapes, strict=True):
            rows = np.frombuffer(plane, np.uint8)[: height * plane.line_size].reshape(height, plane.line_size)
            planes.append(rows[:, :width].copy())
        return Picture((planes[0], planes[1], planes[2]))

    def close(self) -> None:
        self._container.close()


def _import_av(path: str) -> ModuleType:
    try:
        import av
    except ImportError as error:
        raise EnvironmentFault(f"reading {path} needs PyAV, which is not installed", "pip install 'dcvc[video]'") from error
    return av


def _rational(value: Fraction | None) -> Rational | None:
    if not value or value < 0 or max(value.numerator, value.denominator) >= 1 << 32:
        return None
    return Rational(value.numerator, value.denominator)


def _colour(context: Any, frame: Any) -> ColourDescription:
    """FFmpeg's numbers for primaries, transfer and matrix are the H.273 code points; its range is 1 for limited, 2 for full."""
    full_range = {1: False, 2: True}.get(int(frame.color_range))
    if frame.format.name == "yuvj420p":
        full_range = True
    points = (context.color_primaries, context.color_trc, frame.colorspace)
    primaries, transfer, matrix = (int(point) if 1 <= int(point) <= 255 else 2 for point in points)
    return ColourDescription(primaries, transfer, matrix, full_range)


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
