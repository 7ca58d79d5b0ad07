"""Chunks of PNG files that describe the samples: read from a file, and written into one.

Source: Portable Network Graphics, third edition (W3C), section 11.
"""

import struct
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from dcvc_cli.errors import InputError
from dcvc_cli.format.hdr import ContentLight, MasteringDisplay
from dcvc_cli.format.types import UNSPECIFIED, ColourDescription, Rational, VideoFormat
from dcvc_cli.media.png_deep import png_chunk

SIGNATURE_SIZE = 8
IHDR_END = SIGNATURE_SIZE + 25
SRGB = ColourDescription(primaries=1, transfer=13, matrix=0, full_range=True)
_UNKNOWN_COLOUR = ColourDescription(full_range=True)
_MAX_CHUNKS = 4096
_MAX_CHUNK_BYTES = 1 << 16
_ORIENTATION = 0x112
_SIZES = {b"cICP": 4, b"sRGB": 1, b"pHYs": 9, b"mDCV": 24, b"cLLI": 8}
_READ = (*_SIZES, b"eXIf")
_CD_UNITS = 10000
"""cLLI counts in 0.0001 candela a square metre, streams in whole ones."""
_DROPPED = {
    b"iCCP": "ICC profile",
    b"gAMA": "gamma",
    b"cHRM": "chromaticities",
    b"eXIf": "Exif data",
    b"tEXt": "text",
    b"zTXt": "text",
    b"iTXt": "text",
    b"caBX": "content credentials",
}
_COLOUR_CHUNKS = (b"iCCP", b"gAMA", b"cHRM")
_EXIF_WITH_ROTATION = "Exif data that asks for a rotation on display"


@dataclass(frozen=True)
class PngFacts:
    """Facts that a PNG file states beside its samples.

    Attributes:
        colour: from cICP, else from sRGB.
        sample_aspect_ratio: from pHYs; 0/0 where it says nothing.
        dropped: what no stream has a field for, as names for people.
        faults: a sentence for each chunk that was passed over because it breaks the rules of PNG.
        mastering_display, content_light: from mDCV and cLLI.
    """

    colour: ColourDescription
    sample_aspect_ratio: Rational
    dropped: tuple[str, ...]
    mastering_display: MasteringDisplay | None = None
    content_light: ContentLight | None = None
    faults: tuple[str, ...] = ()


def read_png_facts(path: Path) -> PngFacts:
    """Walks over the chunks of a PNG file without decoding it. Damage ends the walk; decoding reports it.

    Raises:
        InputError: the file cannot be read.
    """
    chunks: dict[bytes, bytes] = {}
    faults: list[str] = []
    try:
        with open(path, "rb") as stream:
            stream.seek(SIGNATURE_SIZE)
            for _ in range(_MAX_CHUNKS):
                head = stream.read(8)
                if len(head) < 8:
                    break
                size, kind = struct.unpack(">I4s", head)
                if size != _SIZES.get(kind, size):
                    faults.append(f"its {kind.decode()} chunk has {size} bytes, expected {_SIZES[kind]}")
                    stream.seek(size + 4, 1)
                elif kind in _READ and size <= _MAX_CHUNK_BYTES:
                    chunks.setdefault(kind, stream.read(size))
                    stream.seek(4, 1)
                else:
                    chunks.setdefault(kind, b"")
                    stream.seek(size + 4, 1)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error
    colour = _colour(chunks)
    faults += _value_faults(chunks)
    ignored = () if colour is None else _COLOUR_CHUNKS
    names = [name for kind, name in _DROPPED.items() if kind in chunks and kind not in ignored]
    if _is_rotated(chunks.get(b"eXIf", b"")):
        names[names.index("Exif data")] = _EXIF_WITH_ROTATION
    return PngFacts(
        colour or _UNKNOWN_COLOUR,
        _aspect_ratio(chunks.get(b"pHYs", b"")),
        tuple(dict.fromkeys(names)),
        _mastering_display(chunks.get(b"mDCV", b"")),
        _content_light(chunks.get(b"cLLI", b"")),
        tuple(faults),
    )


def _value_faults(chunks: dict[bytes, bytes]) -> list[str]:
    """Sentences about chunks of the right length whose values no reader can use."""
    faults = []
    # Damage may end a chunk early; decoding reports that.
    sized = ((kind, chunks.get(kind, b"")) for kind in (b"cICP", b"mDCV"))
    code_points, mastering = (data if len(data) == _SIZES[kind] else b"" for kind, data in sized)
    if code_points and code_points[2] != 0:
        faults.append(f"its cICP chunk says matrix {code_points[2]}, and samples of RGB have matrix 0")
    elif code_points and code_points[3] > 1:
        faults.append(f"its cICP chunk says full range {code_points[3]}, expected 0 or 1")
    if mastering and _mastering_display(mastering) is None:
        faults.append("its mDCV chunk describes no display")
    return faults


def _colour(chunks: dict[bytes, bytes]) -> ColourDescription | None:
    code_points = chunks.get(b"cICP", b"")
    # The matrix of RGB samples is 0; a file that says otherwise is wrong about itself.
    if len(code_points) == 4 and code_points[2] == 0 and code_points[3] <= 1:
        return ColourDescription(code_points[0], code_points[1], 0, bool(code_points[3]))
    return SRGB if b"sRGB" in chunks else None


def _mastering_display(data: bytes) -> MasteringDisplay | None:
    """Makes the chunk mDCV: x, y of red, green, blue and white, largest and smallest luminance, in the units of a
    stream."""
    if len(data) != 24:
        return None
    red_x, red_y, green_x, green_y, blue_x, blue_y, *white, largest, smallest = struct.unpack(">8H2I", data)
    try:
        return MasteringDisplay(
            (green_x, green_y, blue_x, blue_y, red_x, red_y), (white[0], white[1]), largest, smallest
        )
    except ValueError:
        return None


def _content_light(data: bytes) -> ContentLight | None:
    if len(data) != 8:
        return None
    maximum, average = (min(round(value / _CD_UNITS), 0xFFFF) for value in struct.unpack(">II", data))
    return ContentLight(maximum, average)


def _aspect_ratio(density: bytes) -> Rational:
    """Returns width by height of a sample, from samples a unit across and down."""
    if len(density) != 9:
        return Rational(0, 0)
    across, down = struct.unpack(">II", density[:8])
    return Rational(down, across) if across and down and across != down else Rational(0, 0)


def _is_rotated(data: bytes) -> bool:
    exif = Image.Exif()
    try:
        exif.load(data)
        return exif.get(_ORIENTATION, 1) != 1
    except Exception:  # Pillow reads hostile bytes here and raises what it likes.
        return False


def with_format_chunks(encoded: bytes, video_format: VideoFormat) -> bytes:
    """Adds the colour and the sample aspect ratio of a stream to a PNG file, each in its chunk behind IHDR."""
    colour, aspect = video_format.colour, video_format.sample_aspect_ratio
    added = b""
    if UNSPECIFIED not in (colour.primaries, colour.transfer):
        added += png_chunk(b"cICP", bytes([colour.primaries, colour.transfer, 0, colour.full_range is not False]))
    if aspect.num and aspect.den and aspect.num != aspect.den and max(aspect.num, aspect.den) < 1 << 31:
        added += png_chunk(b"pHYs", struct.pack(">IIB", aspect.den, aspect.num, 0))
    mastering, light = video_format.mastering_display, video_format.content_light
    if mastering is not None:
        green, blue, red = mastering.primaries[0:2], mastering.primaries[2:4], mastering.primaries[4:6]
        coordinates = (*red, *green, *blue, *mastering.white_point)
        added += png_chunk(
            b"mDCV", struct.pack(">8H2I", *coordinates, mastering.max_luminance, mastering.min_luminance)
        )
    if light is not None:
        added += png_chunk(
            b"cLLI", struct.pack(">II", light.max_content * _CD_UNITS, light.max_frame_average * _CD_UNITS)
        )
    return encoded[:IHDR_END] + added + encoded[IHDR_END:]
