"""Decodes many streams into a folder, and finds the outputs that are there already."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

from dcvc_cli.commands.batch import Job, output_jobs, run_batch, threads_of_each
from dcvc_cli.commands.decode_stream import DecodeChoices, Reports, decode_stream
from dcvc_cli.ui.progress import ProgressMode


def decode_batch(sources: Sequence[str], folder: str, choices: DecodeChoices, jobs: int, skip_existing: bool) -> None:
    """Decodes every stream into pictures of its name in `folder`, y4m unless the output format says another; "null"
    checks them all.

    Raises:
        UsageError: two streams would have one output.
        BatchError: some streams failed.
    """
    from dcvc_cli.media.writer import NULL

    chosen = choices.output_format or "y4m"
    if folder == NULL:
        work = [Job(source, folder) for source in sources]
    else:
        work = output_jobs(sources, folder, "" if chosen == "png" else f".{chosen}")
    each = replace(
        choices,
        output_format=None if folder == NULL else chosen,
        threads=threads_of_each(choices.threads, jobs),
        progress=choices.progress if jobs == 1 else ProgressMode.NONE,
    )
    skip = partial(is_whole_output, chosen) if skip_existing and folder != NULL else None
    run_batch(work, jobs, partial(_start_decoding, each), skip=skip, quiet=choices.quiet)


def _start_decoding(choices: DecodeChoices, skips_others: bool, worker: int) -> Callable[[Job], str]:
    # --skip-existing replaces an output that is there and not whole.
    each = replace(choices, overwrite=choices.overwrite or skips_others)
    return lambda job: decode_stream(job.source, job.output, each, Reports())


def is_whole_output(output_format: str, source: str, output: str) -> bool:
    """Returns whether `output` is whole: it holds as many pictures as the stream, of the same size, and pictures with a
    hash in the stream match it. RGB pictures in y4m and 4:2:0 pictures in PNG are converted, so only their number and
    size are compared."""
    from dcvc_cli.bitstream.sei import PictureHash, hash_picture
    from dcvc_cli.bitstream.stream_reader import StreamReader
    from dcvc_cli.bitstream.units import FrameUnit, SeiUnit
    from dcvc_cli.codec.pictures import video_format_of
    from dcvc_cli.coding.stream_source import StreamSource
    from dcvc_cli.errors import DcvcError
    from dcvc_cli.media import open_reader

    expected: dict[int, tuple[PictureHash, bytes]] = {}
    frame: FrameUnit | None = None
    try:
        with StreamSource(source) as stream:
            for unit in StreamReader(stream):
                if isinstance(unit, FrameUnit):
                    frame = unit
                elif isinstance(unit, SeiUnit) and isinstance(unit.message, PictureHash) and frame is not None:
                    for place, digest in enumerate(unit.message.digests):
                        expected[frame.frame_index + place] = (unit.message, digest)
        if frame is None:
            return False
        size = video_format_of(frame.sps).size
        if (frame.sps.chroma_format == "rgb") != (output_format == "png"):
            expected.clear()
        num_pictures = 0
        with open_reader(output, size=size if output_format == "yuv" else None) as reader:
            for picture in reader:
                message, digest = expected.get(num_pictures, (None, b""))
                planes = (plane.data for plane in picture.planes)
                if message is not None and hash_picture(message.kind, planes) != digest:
                    return False
                num_pictures += 1
        return num_pictures == frame.frame_index + frame.pictures.num_pictures and reader.format.size == size
    except DcvcError:
        return False
