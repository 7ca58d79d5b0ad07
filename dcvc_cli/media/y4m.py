"""YUV4MPEG2 (y4m): the header with its tags, and pictures of 8 or 10 bits, read and written."""

from dataclasses import dataclass, replace

import numpy as np

from dcvc_cli.errors import InputError
from dcvc_cli.format.constants import MAX_SIDE
from dcvc_cli.format.types import (
    DEFAULT_FRAME_RATE,
    UNSPECIFIED,
    ChromaFormat,
    ColourDescription,
    Picture,
    PictureSize,
    Rational,
    VideoFormat,
)
from dcvc_cli.media.base import (
    MAX_TAGS_NAMED,
    PictureReader,
    PictureWriter,
    describe,
    naming_picture,
    sample_bytes,
    split_planes,
)
from dcvc_cli.media.output import OutputFile
from dcvc_cli.media.source import ByteSource

MAGIC = b"YUV4MPEG2"
FRAME_MAGIC = b"FRAME"
MAX_HEADER_BYTES = 4096
"""ffmpeg writes under 200 bytes and accepts 96 of tags; X tags of other tools are longer."""
MAX_FRAME_HEADER_BYTES = 256
_SAMPLINGS = {
    "420": (ChromaFormat.YUV420, 8, ""),
    "420jpeg": (ChromaFormat.YUV420, 8, "jpeg"),
    "420mpeg2": (ChromaFormat.YUV420, 8, "mpeg2"),
    "420paldv": (ChromaFormat.YUV420, 8, "paldv"),
    "420p10": (ChromaFormat.YUV420, 10, ""),
    "422": (ChromaFormat.YUV422, 8, ""),
    "422p10": (ChromaFormat.YUV422, 10, ""),
    "444": (ChromaFormat.YUV444, 8, ""),
    "444p10": (ChromaFormat.YUV444, 10, ""),
}
"""By the value of tag C: sampling, bit depth, chroma location."""
_COLOUR_RANGES = {"FULL": True, "LIMITED": False}
_INTERLACINGS = {"p": "progressive", "t": "top field first", "b": "bottom field first", "?": "unknown"}


@dataclass(frozen=True)
class Y4mHeader:
    """A parsed stream header.

    Attributes:
        frame_rate: None where the header leaves it open.
        dropped: tags that no stream has a field for, fit for a terminal.
    """

    video_format: VideoFormat
    frame_rate: Rational | None
    dropped: tuple[str, ...] = ()


def parse_header(line: bytes, name: str) -> Y4mHeader:
    """Parses a stream header.

    Args:
        line: the first line of the file, with or without its newline.
        name: the file's name, for messages.

    Raises:
        InputError: not a y4m header, tags missing or malformed, or a sampling that is not coded.
    """
    tags = line.rstrip(b"\n").split(b" ")
    if tags[0] != MAGIC:
        raise InputError(f"{name} is not a y4m file: expected it to begin with {MAGIC.decode()!r}, found {line[:16]!r}")
    width = height = 0
    frame_rate, aspect = Rational(0, 0), Rational(0, 0)
    interlacing, chroma, chroma_extension = "p", "", ""
    full_range: bool | None = None
    dropped = []
    for tag in tags[1:]:
        key, value = tag[:1], tag[1:].decode("latin-1")
        if key == b"W":
            width = _parse_side(value, "width", name)
        elif key == b"H":
            height = _parse_side(value, "height", name)
        elif key == b"F":
            frame_rate = _parse_rational(value, "frame rate", name)
        elif key == b"A":
            aspect = _parse_rational(value, "sample aspect ratio", name)
        elif key == b"I":
            interlacing = _parse_interlacing(value, name)
        elif key == b"C":
            chroma = value
        elif key == b"X" and value.startswith("YSCSS="):
            chroma_extension = value.removeprefix("YSCSS=").lower()
        elif key == b"X" and value.startswith("COLORRANGE="):
            full_range = _COLOUR_RANGES.get(value.removeprefix("COLORRANGE="), full_range)
        elif tag:
            dropped.append(_shown(tag.decode("latin-1")))
    if not width or not height:
        raise InputError(f"y4m header of {name} has no {'height' if width else 'width'}, expected tags W and H")
    # XYSCSS is the older spelling of C and counts only where C is absent.
    sampling, bit_depth, location = _parse_chroma(chroma or chroma_extension or "420", name)
    video_format = VideoFormat(
        PictureSize(width, height),
        sampling,
        bit_depth,
        frame_rate=frame_rate if frame_rate.num else DEFAULT_FRAME_RATE,
        sample_aspect_ratio=aspect if aspect.num else Rational(0, 0),
        colour=ColourDescription(full_range=full_range),
        interlacing=interlacing,
        chroma_location=location,
    )
    return Y4mHeader(video_format, frame_rate if frame_rate.num else None, tuple(dropped))


def format_header(video_format: VideoFormat) -> bytes:
    """Makes the stream header, with its newline.

    parse_header gives the same format again, up to the chroma location of 10-bit pictures: y4m has no tag for it.
    """
    size, rate, aspect = video_format.size, video_format.frame_rate, video_format.sample_aspect_ratio
    header = (
        f"{MAGIC.decode()} W{size.width} H{size.height} F{rate.num}:{rate.den} I{video_format.interlacing} "
        f"A{aspect.num}:{aspect.den}"
    )
    header += f" C{video_format.chroma.value.removeprefix('yuv')}"
    if video_format.bit_depth > 8:
        header += f"p{video_format.bit_depth}"
    elif video_format.chroma is ChromaFormat.YUV420:
        header += video_format.chroma_location
    if video_format.colour.full_range is not None:
        header += f" XCOLORRANGE={'FULL' if video_format.colour.full_range else 'LIMITED'}"
    return header.encode("ascii") + b"\n"


class Y4mReader(PictureReader):
    """Reads pictures of any size up to 16384x16384.

    A regular file is walked over once at opening, frame header by frame header, so that num_frames is exact and a file
    that was cut short is refused before anything is coded.

    Args:
        source: positioned at the start.
        frame_rate: used instead of the header's.

    Raises:
        InputError: here and during iteration: malformed, cut short, or of a sampling that is not coded.
    """

    def __init__(
        self, source: ByteSource, *, frame_rate: Rational | None, skip_frames: int = 0, max_frames: int | None = None
    ) -> None:
        super().__init__(source.name, skip_frames, max_frames)
        self._source = source
        line = source.read_line(MAX_HEADER_BYTES)
        header = parse_header(line, source.name)
        if not line.endswith(b"\n"):
            raise InputError(f"y4m header of {source.name} does not end within {len(line)} bytes, expected a newline")
        self.format = header.video_format
        if frame_rate is not None:
            self.format = replace(self.format, frame_rate=frame_rate)
        elif header.frame_rate is None:
            self.notes += (
                f"{source.name} does not say its frame rate: {DEFAULT_FRAME_RATE} frames per second "
                "assumed, --fps sets it",
            )
        if header.dropped:
            tags = ", ".join(header.dropped[:MAX_TAGS_NAMED])
            self.notes += (f"{source.name} has tags that streams have no field for: {tags}; not kept",)
        if self.format.interlacing in "tb":
            self.notes += (
                f"{source.name} is interlaced ({_INTERLACINGS[self.format.interlacing]}): coded as whole "
                "pictures, the tag is kept",
            )
        self._frame_index = 0
        if source.size_bytes is not None:
            self.num_frames = self._frames_to_give(self._count_frames(source.size_bytes))
        self.description = describe("y4m", self.format, self.num_frames)

    def _count_frames(self, size_bytes: int) -> int:
        offset, num_frames = self._source.position, 0
        last_needed = None if self._max_frames is None else self._skip_frames + self._max_frames
        while offset < size_bytes and num_frames != last_needed:
            line, _, _ = self._source.peek_at(offset, MAX_FRAME_HEADER_BYTES).partition(b"\n")
            self._check_frame_header(line + b"\n", num_frames, offset)
            offset += len(line) + 1 + self.format.frame_bytes
            if offset > size_bytes:
                raise self._cut_short(num_frames, self.format.frame_bytes - (offset - size_bytes))
            num_frames += 1
        return num_frames

    def _check_frame_header(self, line: bytes, index: int, offset: int) -> None:
        is_whole_line = line.endswith(b"\n") and len(line) <= MAX_FRAME_HEADER_BYTES
        if not is_whole_line or not line.startswith((FRAME_MAGIC + b"\n", FRAME_MAGIC + b" ")):
            raise InputError(
                f"{self.name} is damaged at picture {index} (byte {offset}): expected a line beginning "
                f"'FRAME', found {line[:16]!r}",
                self._short_rows_hint() if index else None,
            )

    def _short_rows_hint(self) -> str | None:
        """Says what FFmpeg up to 5.1 does to such pictures: findings/ffmpeg-y4m-odd-width-10-bit.sh."""
        width, is_halved = self.format.size.width, self.format.chroma in (ChromaFormat.YUV420, ChromaFormat.YUV422)
        if self.format.bit_depth == 8 or width % 2 == 0 or not is_halved:
            return None
        return (
            "FFmpeg up to 5.1 leaves out a byte of each row of chroma where the width is odd and samples have more "
            "than 8 bits: write the file with FFmpeg 6 or newer, or hand over raw video"
        )

    def _cut_short(self, index: int, num_bytes: int) -> InputError:
        hint = f"--frames {index - self._skip_frames} codes the whole pictures" if index > self._skip_frames else None
        hint = self._short_rows_hint() or hint
        found = max(num_bytes, 0)
        return InputError(
            f"{self.name} ends inside picture {index}: expected {self.format.frame_bytes} bytes of it, found {found}",
            hint,
        )

    def _read(self) -> Picture | None:
        offset = self._source.position
        line = self._source.read_line(MAX_FRAME_HEADER_BYTES)
        if not line:
            return None
        self._check_frame_header(line, self._frame_index, offset)
        # np.empty does not touch its pages: a header that lies about the size costs no more memory than bytes that
        # really come.
        samples = np.empty(self.format.frame_bytes, np.uint8)
        num_bytes = self._source.read_into(samples)
        if num_bytes < len(samples):
            raise self._cut_short(self._frame_index, num_bytes)
        with naming_picture(self.name, self._frame_index):
            picture = split_planes(samples, self.format)
        self._frame_index += 1
        return picture

    def close(self) -> None:
        self._source.close()


class Y4mWriter(PictureWriter):
    """Writes pictures with the format's sampling, frame rate, aspect ratio, interlacing, chroma location and colour
    range."""

    def __init__(self, output: OutputFile, video_format: VideoFormat) -> None:
        super().__init__(video_format)
        self.name = output.name
        self._output = output
        colour = video_format.colour
        points = {"primaries": colour.primaries, "transfer": colour.transfer, "matrix": colour.matrix}
        tags = [f"{name} {point}" for name, point in points.items() if point != UNSPECIFIED]
        if video_format.mastering_display or video_format.content_light:
            tags.append("HDR10 metadata")
        if video_format.bit_depth > 8 and video_format.chroma_location:
            tags.append(f"chroma location {video_format.chroma_location}")
        if tags:
            self.notes = (f"y4m has no field for the stream's colour tags ({', '.join(tags)}): not in {self.name}",)
        self._output.write(format_header(video_format))

    def _write(self, picture: Picture) -> None:
        self._output.write(FRAME_MAGIC + b"\n")
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


def _parse_side(value: str, what: str, name: str) -> int:
    side = int(value) if _is_number(value) else 0
    if not 1 <= side <= MAX_SIDE:
        raise InputError(f"{what} in the y4m header of {name} is {_shown(value)}, expected 1..{MAX_SIDE}")
    return side


def _parse_rational(value: str, what: str, name: str) -> Rational:
    """Reads a fraction NUM:DEN below 2^32; 0/0 where it is unknown (either part 0)."""
    num, colon, den = value.partition(":")
    if not colon or not _is_number(num) or not _is_number(den) or int(num) >= 1 << 32 or int(den) >= 1 << 32:
        raise InputError(f"{what} in the y4m header of {name} is {_shown(value)}, expected NUMBER:NUMBER below 2^32")
    return Rational(int(num), int(den)) if int(num) and int(den) else Rational(0, 0)


def _parse_interlacing(value: str, name: str) -> str:
    if value == "m":
        hint = "tag the pictures as progressive: ffmpeg -i IN -vf setfield=prog OUT.y4m"
        raise InputError(f"{name} mixes interlaced and progressive pictures (y4m tag Im), expected one kind", hint)
    if value not in _INTERLACINGS:
        raise InputError(f"interlacing in the y4m header of {name} is {_shown(value)}, expected p, t, b or ?")
    return value


def _parse_chroma(chroma: str, name: str) -> tuple[ChromaFormat, int, str]:
    sampling = _SAMPLINGS.get(chroma)
    if sampling is None:
        _, p, depth = chroma.partition("p")
        is_deep = bool(p) and depth.isdecimal() and int(depth[:3]) > 8
        hint = f"ffmpeg -i IN -pix_fmt {'yuv420p10le -strict -1' if is_deep else 'yuv420p'} OUT.y4m converts it"
        found = f"{_chroma_in_words(chroma)} (y4m tag C{_shown(chroma)})"
        raise InputError(f"{name} is {found}, dcvc codes 4:2:0, 4:2:2 and 4:4:4 of 8 or 10 bits", hint)
    return sampling


def _chroma_in_words(chroma: str) -> str:
    sampling, p, depth = chroma.partition("p")
    if sampling.startswith("mono"):
        return f"{sampling[4:] or '8'}-bit luma without chroma"
    if sampling in ("420", "422", "444", "411", "410", "440") and (depth.isdecimal() or not p):
        return f"{depth[:2] or '8'}-bit {sampling[0]}:{sampling[1]}:{sampling[2]}"
    if chroma == "444alpha":
        return "8-bit 4:4:4 with alpha"
    return "of an unknown chroma format"


def _is_number(value: str) -> bool:
    return value.isascii() and value.isdigit() and len(value) <= 10


def _shown(value: str) -> str:
    """Makes a value from the file fit for one line on a terminal."""
    return ascii(value[:32])[1:-1] or "empty"
