"""`dcvc decode`: decodes a .dcvc stream into pictures."""

from typing import Annotated

import typer

from dcvc_cli.coding.on_error import OnError
from dcvc_cli.commands.decode_batch import decode_batch
from dcvc_cli.commands.decode_stream import DecodeChoices, Reports, decode_stream
from dcvc_cli.commands.option_list import takes_options
from dcvc_cli.commands.options import (
    STREAM_HELP,
    Device,
    Frames,
    Jobs,
    LimitOptions,
    Overwrite,
    PictureFormat,
    ProgressOption,
    Quiet,
    Seek,
    SkipExisting,
    Threads,
    Verbose,
    check_places,
)
from dcvc_cli.commands.positions import position_of
from dcvc_cli.errors import UsageError
from dcvc_cli.ui.progress import ProgressMode


@takes_options
def decode(
    *,
    sources: Annotated[list[str], typer.Argument(metavar="IN.dcvc...", help=STREAM_HELP)],
    output: Annotated[
        str | None,
        typer.Option(
            "--output",
            "-o",
            metavar="OUT|DIR/",
            help=".y4m, .yuv, a PNG folder or im%05d.png, .mkv, .mp4; - is standard output (y4m); null drops the "
            "pictures. Needed unless a report is asked for. For several streams, a folder, or null.",
            show_default=False,
        ),
    ] = None,
    overwrite: Overwrite = False,
    jobs: Jobs = 1,
    skip_existing: SkipExisting = False,
    output_format: Annotated[
        PictureFormat | None, typer.Option(help="Format of OUT, whatever its name says.", show_default=False)
    ] = None,
    codec: Annotated[
        str,
        typer.Option(
            metavar="'NAME [KEY=VALUE...]'",
            help="What pictures are coded with in .mkv, .mp4 and other video files, such as 'libx264 crf=18'.",
        ),
    ] = "ffv1",
    mux: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="Take audio, subtitles, chapters and attachments from this video file, not from the stream.",
        ),
    ] = None,
    seek: Seek = "0",
    frames: Frames = None,
    verify: Annotated[
        bool, typer.Option("--verify/--no-verify", help="Check the picture hashes in the stream.")
    ] = True,
    keep_partial: Annotated[
        bool,
        typer.Option(
            "--keep-partial",
            help="Keep the frames before the damage of a damaged or cut stream. The exit code is 4 all the same.",
        ),
    ] = False,
    on_error: Annotated[
        OnError,
        typer.Option(
            help="What to do with frames that cannot be decoded: stop at the first, skip them, or conceal them with "
            "the last "
            "good picture. The exit code is 4 in any case."
        ),
    ] = OnError.STOP,
    md5: Annotated[
        bool,
        typer.Option(
            "--md5",
            help="Print the MD5 of all samples, as ffmpeg's md5 muxer does: MD5=...",
            rich_help_panel="Reports",
        ),
    ] = False,
    frame_times: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="Write the seconds that each frame took (CSV); - is standard output.",
            rich_help_panel="Reports",
        ),
    ] = None,
    timestamps: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="Write when each picture is shown, as mkvmerge reads it (--timestamps 0:FILE); - is standard output.",
            rich_help_panel="Reports",
        ),
    ] = None,
    json_file: Annotated[
        str | None,
        typer.Option(
            "--json",
            metavar="FILE",
            help="Write parameters, frames and sums; - is standard output.",
            rich_help_panel="Reports",
        ),
    ] = None,
    device: Device = None,
    threads: Threads = None,
    limit: LimitOptions,
    progress: ProgressOption = ProgressMode.AUTO,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Decode a .dcvc stream into pictures.

    Every picture hash in the stream is checked. A mismatch ends the command with exit code 4, and the message names the
    first wrong frame. A damaged or cut stream is decoded up to the damage, with exit code 4. The output file is dropped
    unless --keep-partial is given; the reader of a pipe has the frames by then. With --on-error skip or conceal the
    stream is decoded past the damage and the output is kept; the exit code is 4 all the same.

    A video file (.mkv, .mp4, ...) holds the pictures with their times and colour tags, and the other tracks that the
    stream carries. y4m and yuv have no place for times of pictures that are not evenly spaced: --timestamps keeps them.

    PNG files hold 4:2:0 pictures as RGB, by the stream's own matrix and range; where the stream says neither, BT.709
    from 720 lines on, else BT.601, in limited range. y4m and yuv hold RGB pictures as 4:4:4.
    """
    if output is None:
        if not (md5 or frame_times or timestamps or json_file):
            raise UsageError("the output is missing", "-o OUT.y4m, or -o null, or a report such as --md5")
        output = "null"
    reports = Reports(md5, frame_times, json_file, timestamps)
    files = {"--frame-times": frame_times, "--timestamps": timestamps, "--json": json_file}
    check_places(sources, {"-o": output, **files})
    if md5 and "-" in (output, *files.values()):
        raise UsageError("--md5 prints to standard output, and so would another output", "give that one a file name")

    from dcvc_cli.media.endings import CSV, JSON, TEXT, check_ending
    from dcvc_cli.ui.voice import Voice

    check_ending("--frame-times", frame_times, CSV)
    check_ending("--timestamps", timestamps, TEXT)
    check_ending("--json", json_file, JSON)
    choices = DecodeChoices(
        overwrite,
        None if output_format is None else output_format.value,
        position_of(seek, "--seek", 0),
        None if frames is None else position_of(frames, "--frames", 1),
        verify,
        keep_partial,
        on_error,
        device or "auto",
        threads,
        limit.limits(),
        progress,
        quiet,
        verbose,
        codec,
        mux,
    )
    if len(sources) > 1:
        if reports != Reports():
            raise UsageError(
                "--md5, --frame-times, --timestamps and --json are for one stream", "decode streams one by one for them"
            )
        decode_batch(sources, output, choices, jobs, skip_existing)
        return
    Voice(quiet, verbose).note(decode_stream(sources[0], output, choices, reports))
