"""FFmpeg's pixel formats: which are coded, what their names mean, and the samples of a picture of PyAV."""

import re
from typing import Any

import numpy as np

from dcvc_cli.errors import InputError
from dcvc_cli.format.types import ChromaFormat, Picture, Plane, Planes, VideoFormat

PIXEL_FORMATS = {
    "yuv420p": (ChromaFormat.YUV420, 8),
    "yuvj420p": (ChromaFormat.YUV420, 8),
    "yuv420p10le": (ChromaFormat.YUV420, 10),
    "yuv422p": (ChromaFormat.YUV422, 8),
    "yuvj422p": (ChromaFormat.YUV422, 8),
    "yuv422p10le": (ChromaFormat.YUV422, 10),
    "yuv444p": (ChromaFormat.YUV444, 8),
    "yuvj444p": (ChromaFormat.YUV444, 8),
    "yuv444p10le": (ChromaFormat.YUV444, 10),
}
"""Sampling and bit depth of those that are coded; those with a j have full range."""


def check_pixel_format(file_name: str, name: str) -> tuple[ChromaFormat, int]:
    """Finds sampling and bit depth of a pixel format; InputError with the way out for one that is not coded."""
    if name in PIXEL_FORMATS:
        return PIXEL_FORMATS[name]
    is_deep = re.search(r"1[0-6](le|be)$", name) is not None
    target = "yuv420p10le -strict -1" if is_deep else "yuv420p"
    coded = "4:2:0, 4:2:2 and 4:4:4 of 8 or 10 bits (such as yuv420p)"
    hint = f"ffmpeg -i {file_name} -pix_fmt {target} OUT.y4m converts it"
    raise InputError(f"{file_name} has pixel format {name}, dcvc codes {coded}", hint)


def pixel_format_of(video_format: VideoFormat) -> str:
    """Returns FFmpeg's name of a Y Cb Cr format."""
    return f"{video_format.chroma.value}p" + ("" if video_format.bit_depth == 8 else f"{video_format.bit_depth}le")


def planes_of_frame(frame: Any, video_format: VideoFormat) -> Planes:
    """Returns the planes of PyAV's picture, which is of this format; they own their memory."""
    dtype = video_format.dtype
    planes: list[Plane] = []
    for plane, (height, width) in zip(frame.planes, video_format.plane_shapes, strict=True):
        pitch = plane.line_size // dtype.itemsize
        rows = np.frombuffer(plane, dtype.newbyteorder("<"))[: height * pitch].reshape(height, pitch)
        planes.append(rows[:, :width].astype(dtype))
    return planes[0], planes[1], planes[2]


def fill_frame(frame: Any, picture: Picture) -> None:
    """Puts a Y Cb Cr picture into PyAV's picture of its pixel format."""
    for plane, samples in zip(frame.planes, picture.planes, strict=True):
        padded = np.zeros((samples.shape[0], plane.line_size // samples.itemsize), samples.dtype.newbyteorder("<"))
        padded[:, : samples.shape[1]] = samples
        plane.update(padded.view(np.uint8))
