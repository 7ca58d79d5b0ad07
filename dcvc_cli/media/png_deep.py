"""PNG files of 16 bits a sample. Pillow neither reads nor writes them as they are (findings/pillow-16-bit-and-cicp.sh).

Pictures of 10 bits go into such files and come out of them: level v of 0..1023 is round(65535 v / 1023) there.
"""

import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dcvc_cli.errors import InputError
from dcvc_cli.format.types import PictureSize, Planes
from dcvc_cli.media.av_files import fault_text, import_av

PNG_MAX = 65535
_CHANNELS = {"rgb48be": 3, "rgba64be": 4, "gray16be": 1, "ya16be": 2}
"""Samples a pixel of the pixel formats that FFmpeg decodes PNG files of 16 bits to."""
_UP = 2
"""The filter of a row: less the row above."""


def read_deep_png(path: Path, size: PictureSize, bit_depth: int) -> NDArray[np.uint16]:
    """Reads a PNG of 16 bits a sample as (height, width, 3) R, G, B levels of so many bits. Grey is expanded, an alpha
    channel that is opaque everywhere is dropped.

    Raises:
        EnvironmentFault: PyAV is not installed.
        InputError: unreadable, damaged, or transparent anywhere.
    """
    av = import_av(str(path))
    try:
        with av.open(f"file:{path}", format="png_pipe", options={"protocol_whitelist": "file"}) as file:
            frame = next(file.decode(video=0), None)
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise InputError(f"{path} cannot be decoded: {fault_text(error)}") from error
    channels = None if frame is None else _CHANNELS.get(frame.format.name)
    if frame is None or channels is None or (frame.width, frame.height) != (size.width, size.height):
        raise InputError(f"{path} is damaged: its picture is not the one of 16 bits and {size} that it announces")
    plane = frame.planes[0]
    rows = np.frombuffer(plane, ">u2")[: size.height * (plane.line_size // 2)].reshape(size.height, -1)
    samples = rows[:, : size.width * channels].reshape(size.height, size.width, channels)
    if channels in (2, 4) and samples[:, :, -1].min() != PNG_MAX:
        hint = "flatten it first: ffmpeg -i IN.png -pix_fmt rgb48be OUT.png drops the alpha channel"
        raise InputError(f"{path} is transparent in places, dcvc codes opaque RGB pictures", hint)
    colours: NDArray[Any] = samples[:, :, :3] if channels > 2 else samples[:, :, :1].repeat(3, axis=2)
    most = (1 << bit_depth) - 1
    return ((colours.astype(np.uint32) * most + PNG_MAX // 2) // PNG_MAX).astype(np.uint16)


def encode_deep_png(planes: Planes, bit_depth: int, level: int) -> bytes:
    """Makes a PNG file of 16 bits a sample.

    Args:
        planes: R, G, B levels of so many bits.
        level: of zlib's compression.
    """
    most, (height, width) = (1 << bit_depth) - 1, planes[0].shape
    wide = (np.stack(planes, axis=2).astype(np.uint32) * PNG_MAX + most // 2) // most
    rows = np.ascontiguousarray(wide.astype(">u2")).view(np.uint8).reshape(height, -1)
    filtered = np.empty((height, rows.shape[1] + 1), np.uint8)
    filtered[:, 0], filtered[0, 1:] = _UP, rows[0]
    np.subtract(rows[1:], rows[:-1], out=filtered[1:, 1:])
    head = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
    chunks = ((b"IHDR", head), (b"IDAT", zlib.compress(filtered.data, level)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(png_chunk(kind, data) for kind, data in chunks)


def png_chunk(kind: bytes, data: bytes) -> bytes:
    """Makes a chunk: size, kind, data, CRC-32."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
