"""Opens a target for pictures: its name decides the format."""

import os
from pathlib import PurePath

from dcvc_cli.errors import UsageError
from dcvc_cli.format.colour_conversion import matrix_of, rgb_format, rgb_picture, yuv444_format, yuv444_picture
from dcvc_cli.format.types import ChromaFormat, VideoFormat
from dcvc_cli.media.base import PictureWriter
from dcvc_cli.media.converted import ConvertedWriter, NullWriter
from dcvc_cli.media.endings import PNG, RAW, Y4M, check_ending
from dcvc_cli.media.output import OutputFile, is_direct
from dcvc_cli.media.png_writer import PngWriter
from dcvc_cli.media.probe import RAW_SUFFIXES
from dcvc_cli.media.raw import RawWriter
from dcvc_cli.media.video_writer import VideoFileWriter, container_of, takes_rgb
from dcvc_cli.media.y4m import Y4mWriter

__all__ = ["NULL", "OUTPUT_FORMATS", "PictureWriter", "open_writer"]

OUTPUT_FORMATS = ("y4m", "yuv", "png", "mkv", "mp4", "nut")
NULL = "null"
"""The name of the target that drops all pictures."""


def open_writer(
    target: str,
    video_format: VideoFormat,
    *,
    overwrite: bool = False,
    output_format: str | None = None,
    option: str = "-o",
    codec: str | None = None,
) -> PictureWriter:
    """Opens a target for pictures of one format.

    Args:
        target: NAME.y4m, NAME.yuv, a folder or `im%05d.png` for PNG, NAME.png for a single picture, `-` (y4m), or
            `null`.
        video_format: what every picture will be. Y Cb Cr becomes RGB in PNG files, RGB becomes 4:4:4 in y4m and yuv.
            The writer's notes tell what that assumes or loses.
        overwrite: replace what is there.
        output_format: one of OUTPUT_FORMATS where the name does not say it.
        option: the option that gave the target, for messages.
        codec: what pictures are coded with in NAME.mkv, NAME.mp4 and other video files; None refuses such names.

    Returns:
        A context manager whose output appears complete at its end or not at all (pipes and devices aside).

    Raises:
        UsageError: a name that says nothing, a format that cannot hold these pictures, or an existing output without
            overwrite.
        InputError: the output cannot be written.
        EnvironmentFault: a video file without PyAV installed.
    """
    if output_format is not None and output_format not in OUTPUT_FORMATS:
        raise UsageError(f"output format {output_format} is not known, expected one of {', '.join(OUTPUT_FORMATS)}")
    if target == NULL and output_format is None:
        return NullWriter(video_format)
    container = container_of(target) if output_format is None else container_of(f".{output_format}")
    if output_format is not None and container is not None and container_of(target) not in (None, container):
        raise UsageError(f"{option} {target} is the name of another kind of video file than {output_format}")
    if codec is not None and container is not None:
        return video_writer(OutputFile(target, overwrite=overwrite), video_format, container, codec)
    chosen = output_format or _format_of_name(target, option)
    check_ending(option, target, {"y4m": Y4M, "yuv": RAW, "png": PNG}[chosen])
    if chosen == "png":
        return _png_writer(target, video_format, overwrite)
    file_format = yuv444_format(video_format) if video_format.chroma is ChromaFormat.RGB else video_format
    output = OutputFile(target, overwrite=overwrite)
    try:
        writer = Y4mWriter(output, file_format) if chosen == "y4m" else RawWriter(output, file_format)
    except BaseException:
        output.abort()
        raise
    if file_format is video_format:
        return writer
    kind = "4:4:4 of BT.709 in full range, rounded"
    note = f"{writer.name} holds the RGB pictures as {kind}; PNG files hold them as they are"
    return ConvertedWriter(writer, video_format, lambda picture: yuv444_picture(picture, video_format), (note,))


def video_writer(output: OutputFile, video_format: VideoFormat, container: str, codec: str) -> PictureWriter:
    """Makes a VideoFileWriter, behind a conversion where its codec takes no R G B; drops `output` where it cannot
    be."""
    try:
        if video_format.chroma is not ChromaFormat.RGB or (takes_rgb(codec) and video_format.bit_depth == 8):
            return VideoFileWriter(output, video_format, container, codec)
        writer = VideoFileWriter(output, yuv444_format(video_format), container, codec)
    except BaseException:
        output.abort()
        raise
    note = f"{writer.name} holds the RGB pictures as 4:4:4 of BT.709 in full range, rounded"
    return ConvertedWriter(writer, video_format, lambda picture: yuv444_picture(picture, video_format), (note,))


def _png_writer(target: str, video_format: VideoFormat, overwrite: bool) -> PictureWriter:
    if video_format.chroma is ChromaFormat.RGB:
        return PngWriter(target, video_format, overwrite=overwrite)
    matrix = matrix_of(video_format)
    writer = PngWriter(target, rgb_format(video_format), overwrite=overwrite)
    notes = () if matrix.note is None else (matrix.note,)
    return ConvertedWriter(writer, video_format, lambda picture: rgb_picture(picture, video_format, matrix), notes)


def _format_of_name(target: str, option: str) -> str:
    suffix = PurePath(target).suffix.lower()
    if suffix == ".y4m":
        return "y4m"
    if suffix in RAW_SUFFIXES:
        return "yuv"
    if suffix == ".png" or target.endswith("/") or os.path.isdir(target):
        return "png"
    if is_direct(target):
        return "y4m"
    check_ending(option, target, Y4M)
    if not suffix:
        return "png"
    raise UsageError(f"{target} does not say its format, expected a name ending in .y4m, .yuv or .png, or a folder")
