"""Finds the kind of an input: by content first, then by name."""

import os
from enum import Enum
from pathlib import PurePath

from dcvc_cli.errors import InputError, UsageError
from dcvc_cli.media import png, y4m


class InputKind(Enum):
    """Kinds of picture sources, by the names that `--input-format` takes."""

    Y4M = "y4m"
    RAW = "yuv"
    PNG = "png"
    CONTAINER = "video"


INPUT_FORMATS = tuple(kind.value for kind in InputKind)
_ALIASES = {
    "raw": InputKind.RAW,
    "yuv420p": InputKind.RAW,
    "i420": InputKind.RAW,
    "mp4": InputKind.CONTAINER,
    "mkv": InputKind.CONTAINER,
}
RAW_SUFFIXES = (".yuv", ".i420", ".raw")
CONTAINER_SUFFIXES = (
    *(".mp4", ".m4v", ".mov", ".3gp", ".mkv", ".webm", ".avi", ".flv", ".ogv", ".ogg", ".wmv", ".asf", ".mxf", ".nut"),
    *(
        ".ts",
        ".mts",
        ".m2ts",
        ".mpg",
        ".mpeg",
        ".vob",
        ".m2v",
        ".264",
        ".h264",
        ".265",
        ".h265",
        ".hevc",
        ".ivf",
        ".obu",
    ),
    *(".gif", ".mjpeg", ".mjpg", ".jpg", ".jpeg", ".webp", ".avif"),
)
_EBML_MAGIC = b"\x1a\x45\xdf\xa3"
_MP4_BOXES = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip")
_CONTAINER_MAGICS = (
    _EBML_MAGIC,
    b"GIF87a",
    b"GIF89a",
    b"\xff\xd8\xff",  # JPEG
    b"OggS",
    b"FLV\x01",
    b"DKIF",  # IVF
    b"\x30\x26\xb2\x75\x8e\x66\xcf\x11",  # ASF
    b"\0\0\x01\xba",  # MPEG program stream
    b"\0\0\x01\xb3",  # MPEG-1 and MPEG-2 video
)


def parse_input_format(name: str) -> InputKind:
    """Returns the kind that an `--input-format` value names.

    Raises:
        UsageError: no such format.
    """
    lowered = name.lower()
    if lowered in _ALIASES:
        return _ALIASES[lowered]
    try:
        return InputKind(lowered)
    except ValueError:
        raise UsageError(f"input format {name} is not known, expected one of {', '.join(INPUT_FORMATS)}") from None


def probe_path(source: str) -> InputKind | None:
    """Finds the kind of a source that is not one readable file: a folder or a numbered pattern; None for everything
    else."""
    if os.path.isdir(source):
        return InputKind.PNG
    if png.is_pattern(source) and not os.path.exists(source):
        return InputKind.PNG
    return None


def probe_content(name: str, prefix: bytes, *, has_size: bool) -> InputKind:
    """Finds the kind of a file or pipe.

    Args:
        name: the file's name, for its suffix and for messages.
        prefix: its first bytes, at least 12 where there are as many.
        has_size: whether the user gave a picture size, which only raw video needs.

    Raises:
        InputError: empty, or nothing that can be read.
    """
    if not prefix:
        raise InputError(f"{name} is empty")
    if prefix.startswith(y4m.MAGIC):
        return InputKind.Y4M
    suffix = PurePath(name).suffix.lower()
    # Raw video has no magic and may begin with any bytes, so its name decides before the weaker magics below.
    if suffix in RAW_SUFFIXES:
        return InputKind.RAW
    if prefix.startswith(png.SIGNATURE):
        return InputKind.PNG
    is_riff = prefix[:4] == b"RIFF" and prefix[8:12] in (b"AVI ", b"WEBP")
    if prefix.startswith(_CONTAINER_MAGICS) or prefix[4:8] in _MP4_BOXES or is_riff:
        return InputKind.CONTAINER
    if suffix == ".y4m":
        raise InputError(
            f"{name} is not a y4m file: expected it to begin with {y4m.MAGIC.decode()!r}, found {prefix[:12]!r}"
        )
    if suffix == ".png":
        raise InputError(f"{name} is not a PNG file: expected a PNG signature, found {prefix[:12]!r}")
    if suffix == ".dcvc":
        raise InputError(f"{name} is coded already", "dcvc decode reads it")
    if suffix in CONTAINER_SUFFIXES:
        return InputKind.CONTAINER
    if has_size:
        return InputKind.RAW
    # An MPEG transport stream has no better mark than the byte that begins each packet.
    if prefix[:1] == b"G":
        return InputKind.CONTAINER
    hint = "raw 8-bit yuv420p needs --input-res WxH"
    raise InputError(f"{name} is of no known kind: expected y4m, PNG or a video file, found {prefix[:12]!r}", hint)
