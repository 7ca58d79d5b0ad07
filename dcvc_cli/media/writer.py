"""Opens a target for pictures: its name decides the format."""

import os
from pathlib import PurePath

from dcvc_cli.errors import UsageError
from dcvc_cli.format.types import ChromaFormat, VideoFormat
from dcvc_cli.media.base import PictureWriter
from dcvc_cli.media.endings import PNG, RAW, Y4M, check_ending
from dcvc_cli.media.output import OutputFile, is_direct
from dcvc_cli.media.png_writer import PngWriter
from dcvc_cli.media.probe import RAW_SUFFIXES
from dcvc_cli.media.raw import RawWriter
from dcvc_cli.media.y4m import Y4mWriter

__all__ = ["OUTPUT_FORMATS", "PictureWriter", "open_writer"]

OUTPUT_FORMATS = ("y4m", "yuv", "png")


def open_writer(
    target: str, video_format: VideoFormat, *, overwrite: bool, output_format: str | None = None, option: str = "-o"
) -> PictureWriter:
    """Opens a target for pictures of one format.

    Args:
        target: NAME.y4m, NAME.yuv, a folder or `im%05d.png` for PNG, NAME.png for a single picture, or `-` (y4m).
        video_format: what every picture will be. RGB goes to PNG, 4:2:0 to y4m and yuv; nothing is converted.
        overwrite: replace what is there.
        output_format: y4m, yuv or png where the name does not say it.
        option: the option that gave the target, for messages.

    Returns:
        A context manager whose output appears complete at its end or not at all (pipes and devices aside).

    Raises:
        UsageError: a name that says nothing, a format that cannot hold these pictures, or an existing output without
            overwrite.
        InputError: the output cannot be written.
    """
    if output_format is not None and output_format not in OUTPUT_FORMATS:
        raise UsageError(f"output format {output_format} is not known, expected one of {', '.join(OUTPUT_FORMATS)}")
    chosen = output_format or _format_of_name(target, option)
    check_ending(option, target, {"y4m": Y4M, "yuv": RAW, "png": PNG}[chosen])
    if video_format.chroma is ChromaFormat.RGB and chosen != "png":
        name = "standard output" if target == "-" else target
        raise UsageError(
            f"{name} would be {chosen} and this stream is RGB, which only PNG holds",
            "decode to a folder or to im%05d.png",
        )
    if video_format.chroma is ChromaFormat.YUV420 and chosen == "png":
        hint = "decode to OUT.y4m, then ffmpeg -i OUT.y4m im%05d.png converts it"
        raise UsageError(f"{target} would be PNG, which is RGB, and this stream is 4:2:0", hint)
    if chosen == "png":
        return PngWriter(target, video_format, overwrite=overwrite)
    output = OutputFile(target, overwrite=overwrite)
    try:
        return Y4mWriter(output, video_format) if chosen == "y4m" else RawWriter(output, video_format)
    except BaseException:
        output.abort()
        raise


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
