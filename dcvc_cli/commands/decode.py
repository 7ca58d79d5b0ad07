"""`dcvc decode`: decodes a .dcvc stream into pictures."""

from contextlib import ExitStack
from typing import TYPE_CHECKING, Annotated

import typer

from dcvc_cli.coding.on_error import OnError
from dcvc_cli.commands.options import (
    Device,
    Frames,
    MaxFrames,
    MaxMemory,
    MaxPixels,
    Overwrite,
    PictureFormat,
    ProgressOption,
    Quiet,
    Seek,
    Threads,
    Verbose,
    check_places,
    limits_of,
)
from dcvc_cli.errors import StreamError
from dcvc_cli.ui.progress import ProgressMode

if TYPE_CHECKING:
    from dcvc_cli.bitstream.sps import Sps
    from dcvc_cli.coding.concealment import Losses
    from dcvc_cli.ui.voice import Voice


def decode(
    source: Annotated[str, typer.Argument(metavar="IN.dcvc", help="The stream; - is standard input.")],
    output: Annotated[
        str,
        typer.Option(
            "--output", "-o", metavar="OUT", help=".y4m, .yuv, a PNG folder or im%05d.png; - is standard output (y4m)."
        ),
    ],
    overwrite: Overwrite = False,
    output_format: Annotated[
        PictureFormat | None, typer.Option(help="Format of OUT, whatever its name says.", show_default=False)
    ] = None,
    seek: Seek = 0,
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
    device: Device = None,
    threads: Threads = None,
    max_pixels: MaxPixels = None,
    max_frames: MaxFrames = None,
    max_memory: MaxMemory = None,
    progress: ProgressOption = ProgressMode.AUTO,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Decode a .dcvc stream into pictures.

    Every picture hash in the stream is checked. A mismatch ends the command with exit code 4, and the message names the
    first wrong frame. A damaged or cut stream is decoded up to the damage, with exit code 4. The output file is dropped
    unless --keep-partial is given; the reader of a pipe has the frames by then. With --on-error skip or conceal the
    stream is decoded past the damage and the output is kept; the exit code is 4 all the same.
    """
    check_places([source], {"-o": output})
    limits = limits_of(max_pixels, max_frames, max_memory)

    from dcvc_cli.coding.decode import HashMismatchError, OpenedStream
    from dcvc_cli.coding.opened_models import StreamNetworks
    from dcvc_cli.coding.queues import read_ahead
    from dcvc_cli.coding.stream_source import StreamSource, naming
    from dcvc_cli.commands.encode import frame_line
    from dcvc_cli.media import open_writer
    from dcvc_cli.ui.progress import open_progress
    from dcvc_cli.ui.voice import Voice

    voice = Voice(quiet, verbose)
    fault: StreamError | None = None
    num_frames = 0
    with ExitStack() as stack:
        opened = stack.enter_context(StreamSource(source))
        stack.enter_context(naming(opened.name))
        stream = OpenedStream(opened, seek, frames, limits, on_error)
        video_format = stream.video_format
        chosen = None if output_format is None else output_format.value
        writer = stack.enter_context(open_writer(output, video_format, overwrite=overwrite, output_format=chosen))
        for note in writer.notes:
            voice.note(f"note: {note}")
        _announce(voice, stream.sps)
        for track in stream.tracks:
            voice.warn(f"track {track.track} of the stream ({track.kind}) is not written: only the pictures are")
        networks = StreamNetworks(device or "auto", threads)
        rate = float(video_format.frame_rate)
        display = stack.enter_context(
            open_progress(progress, "decode", num_frames=stream.num_frames, frame_rate=rate, quiet=quiet)
        )
        try:
            with read_ahead(stream.frames(networks, verify)) as decoded:
                for frame in decoded:
                    writer.write(frame.picture)
                    writer.flush()
                    num_frames += 1
                    display.advance(frame.report.size_bytes)
                    voice.detail(frame_line(frame.report))
        except StreamError as error:
            if isinstance(error, HashMismatchError):
                raise
            if not keep_partial or not num_frames:
                hint = "--keep-partial keeps them" if num_frames and output != "-" else None
                raise StreamError(
                    f"{error.message}; {_counted(num_frames)} before it decoded", error.hint or hint
                ) from error
            fault = error
        if not num_frames and stream.losses.num_faults:
            raise StreamError(f"no frame can be decoded: {stream.losses.summary}")
    with naming(opened.name):
        if fault is not None:
            raise StreamError(
                f"{fault.message}; {_counted(num_frames)} before it kept in {writer.name}", fault.hint
            ) from fault
        _tell_losses(voice, stream.losses, writer.name)
    voice.note(f"{writer.name}: {_counted(num_frames)} of {video_format.size}")


def _tell_losses(voice: "Voice", losses: "Losses", output: str) -> None:
    """Warns of each fault, then raises StreamError; does nothing for a stream without faults."""
    if not losses.num_faults:
        return
    for sentence in losses.faults:
        voice.warn(sentence)
    if losses.num_faults > len(losses.faults):
        voice.warn(f"{losses.num_faults - len(losses.faults)} more faults like these")
    raise StreamError(f"{losses.summary}; {output} is written")


def _counted(num_frames: int) -> str:
    return f"{num_frames} frame{'s' if num_frames != 1 else ''}"


def _announce(voice: "Voice", sps: "Sps") -> None:
    from dcvc_cli.bitstream.sps import Precision
    from dcvc_cli.coding.opened_models import NAMES_OF_PRECISIONS

    name = NAMES_OF_PRECISIONS[sps.precision]
    if sps.precision is not Precision.EXACT:
        voice.warn(
            f"this stream is coded in {name}, which holds on one software stack and number of threads only: "
            "elsewhere it may fail to decode"
        )
    if sps.time_base is not None:
        voice.warn("the pictures carry time stamps, and the output has no place for them: it has a constant rate")
    voice.detail(f"{sps.width}x{sps.height} {sps.chroma_format}, model {sps.model_variant}, {name}")
