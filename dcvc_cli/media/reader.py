"""Opens a source of pictures of any kind."""

import os
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from dcvc_cli.errors import InputError, UsageError
from dcvc_cli.format.constants import BIT_DEPTHS
from dcvc_cli.format.limits import Limits
from dcvc_cli.format.types import PictureSize, Rational
from dcvc_cli.media.base import PictureReader
from dcvc_cli.media.container import ContainerReader
from dcvc_cli.media.png import PngReader, faults_of_numbering, is_pattern, list_folder, list_pattern
from dcvc_cli.media.probe import InputKind, parse_input_format, probe_content, probe_path
from dcvc_cli.media.raw import RawReader
from dcvc_cli.media.source import ByteSource
from dcvc_cli.media.y4m import Y4mReader

__all__ = ["PictureReader", "open_reader"]


def open_reader(
    source: str,
    *,
    size: PictureSize | None = None,
    frame_rate: Rational | None = None,
    bit_depth: int | None = None,
    input_format: str | None = None,
    skip_frames: int = 0,
    max_frames: int | None = None,
    limits: Limits | None = None,
    keep_tracks: bool = False,
    zero_frame: int | None = None,
) -> PictureReader:
    """Opens a file, a folder of PNG files, a numbered pattern, or standard input.

    Args:
        source: path, folder, `im%05d.png`, or `-` (y4m by its magic, or raw when a size is given).
        size: picture size of raw video; anything else knows its own, and a different one is an error.
        frame_rate: frames per second; overrides what the input says. 25 where nobody says.
        bit_depth: 8 or 10 bits a sample of raw video, None for what its name says, else 8. 10 also takes PNG files of
            16 bits as 10. Other files know their own, and a different one is an error.
        input_format: y4m, yuv, png or video instead of looking.
        skip_frames: pictures to leave out at the start.
        max_frames: at most so many pictures after those, None for all.
        limits: what the caller grants, None for what the environment says.
        keep_tracks: of a video file, read the other tracks too.
        zero_frame: of a video file whose pictures carry times: the skipped picture that is time 0, 0 for the file's
            start; None for the first one after skipped ones.

    Returns:
        A context manager to iterate once. Each picture owns its memory.

    Raises:
        UsageError: options that cannot be obeyed.
        InputError: missing, unreadable, inconsistent, beyond the limits, or of a sampling that is not coded; also
            during iteration.
        EnvironmentFault: a video file without PyAV installed.
    """
    if skip_frames < 0 or (max_frames is not None and max_frames < 1):
        raise UsageError(
            f"cannot skip {skip_frames} and read {max_frames} pictures, expected --seek of 0 or more and "
            "--frames of 1 or more"
        )
    if frame_rate is not None and not float(frame_rate) > 0:
        raise UsageError(f"frame rate {frame_rate.num}/{frame_rate.den} is not above 0")
    if bit_depth not in (None, *BIT_DEPTHS):
        raise UsageError(
            f"{bit_depth}-bit input is not supported, dcvc codes pictures of 8 and 10 bits",
            "ffmpeg -i IN -pix_fmt yuv420p10le -strict -1 OUT.y4m converts",
        )
    kind = parse_input_format(input_format) if input_format is not None else probe_path(source)
    granted = Limits.from_environment() if limits is None else limits
    wishes = _Wishes(frame_rate, bit_depth, skip_frames, max_frames, granted, keep_tracks, zero_frame)
    if kind is InputKind.PNG and source != "-":
        reader: PictureReader = _open_png(source, wishes)
    else:
        reader = _open_bytes(source, kind, size, wishes)
    try:
        reader.grant(granted)
    except BaseException:
        reader.close()
        raise
    if size is not None and reader.format.size != size:
        found = reader.format.size
        reader.close()
        raise UsageError(
            f"{reader.name} is {found}, expected {size} as --input-res says", "only raw video needs --input-res"
        )
    if bit_depth not in (None, reader.format.bit_depth):
        found_depth = reader.format.bit_depth
        reader.close()
        raise UsageError(
            f"{reader.name} has {found_depth} bits a sample, expected {bit_depth} as --input-depth says",
            "only raw video and PNG files of 16 bits a sample need --input-depth",
        )
    reader.source = source
    if not is_pipe(source):
        reader.reopen = partial(
            open_reader,
            source,
            size=size,
            frame_rate=frame_rate,
            bit_depth=bit_depth,
            input_format=input_format,
            skip_frames=skip_frames,
            max_frames=max_frames,
            limits=limits,
            zero_frame=zero_frame,
        )
    return reader


def is_pipe(source: str) -> bool:
    """Returns whether a source can be read once only: standard input, or a named pipe."""
    return source == "-" or Path(source).is_fifo()


@dataclass(frozen=True)
class _Wishes:
    """Options that every kind of reader takes."""

    frame_rate: Rational | None
    bit_depth: int | None
    skip_frames: int
    max_frames: int | None
    limits: Limits
    keep_tracks: bool
    zero_frame: int | None


def _open_png(source: str, wishes: _Wishes) -> PictureReader:
    if os.path.isdir(source):
        paths = list_folder(source)
    elif is_pattern(source) and not os.path.exists(source):
        paths = list_pattern(source)
    else:
        paths = [Path(source)]
    reader = PngReader(
        source,
        paths,
        frame_rate=wishes.frame_rate,
        bit_depth=wishes.bit_depth or 8,
        skip_frames=wishes.skip_frames,
        max_frames=wishes.max_frames,
    )
    end = None if wishes.max_frames is None else wishes.skip_frames + wishes.max_frames
    names = [path.name for path in paths[wishes.skip_frames : end]]
    fault = faults_of_numbering(names) if os.path.isdir(source) else None
    if fault is not None:
        reader.notes += (f"folder {source}: {fault}",)
    return reader


def _open_bytes(source: str, kind: InputKind | None, size: PictureSize | None, wishes: _Wishes) -> PictureReader:
    """Opens one file or pipe. Its kind is found from the content where `kind` is None."""
    stream = ByteSource(source)
    try:
        kind = kind or probe_content(stream.name, stream.prefix, has_size=size is not None)
        if kind is InputKind.Y4M:
            return Y4mReader(
                stream, frame_rate=wishes.frame_rate, skip_frames=wishes.skip_frames, max_frames=wishes.max_frames
            )
        if kind is InputKind.RAW:
            return RawReader(
                stream,
                size=size,
                frame_rate=wishes.frame_rate,
                bit_depth=wishes.bit_depth,
                skip_frames=wishes.skip_frames,
                max_frames=wishes.max_frames,
            )
    except BaseException:
        stream.close()
        raise
    stream.close()
    if stream.size_bytes is None:
        raise InputError(
            f"{stream.name} is a pipe of {kind.name} data, expected y4m or raw video",
            "ffmpeg -i IN -f yuv4mpegpipe - | dcvc encode -",
        )
    if kind is InputKind.PNG:
        return _open_png(source, wishes)
    return ContainerReader(
        source,
        frame_rate=wishes.frame_rate,
        skip_frames=wishes.skip_frames,
        max_frames=wishes.max_frames,
        max_pixels=wishes.limits.max_pixels,
        keep_tracks=wishes.keep_tracks,
        zero_frame=wishes.zero_frame,
    )
