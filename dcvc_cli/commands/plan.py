"""`dcvc plan`: splits a clip into chunks that many machines code."""

from typing import Annotated

import typer

from dcvc_cli.commands.coding_options import ChunkOptions, ClipOptions, MeasuredCodingOptions
from dcvc_cli.commands.encode_stream import EncodeChoices
from dcvc_cli.commands.option_list import takes_options
from dcvc_cli.commands.options import LimitOptions, Overwrite, ProgressOption, Quiet, check_places
from dcvc_cli.commands.plan_stream import input_options, parse_chunk_frames, read_and_plan
from dcvc_cli.ui.progress import ProgressMode


@takes_options
def plan(
    *,
    source: Annotated[
        str, typer.Argument(metavar="IN", help="A file, a PNG folder or im%05d.png; a pipe cannot be split.")
    ],
    output: Annotated[str, typer.Option("--output", "-o", metavar="PLAN.json", help="The plan.")],
    overwrite: Overwrite = False,
    chunks: ChunkOptions,
    clip: ClipOptions,
    coding: MeasuredCodingOptions,
    limit: LimitOptions,
    progress: ProgressOption = ProgressMode.AUTO,
    quiet: Quiet = False,
) -> None:
    """Split a clip into chunks that many machines code.

    The plan is a file. `dcvc encode --chunk` codes one of its chunks, `dcvc concat --plan` joins them, and
    `dcvc encode --plan` does all of it on one machine: the result is the same, byte for byte.

    Chunks begin where scenes begin, found as `dcvc encode` finds them. Each is coded as a clip of its own. --target
    codes the clip up to four times here, and the chunks get the QPs that were found.
    """
    settings = coding.settings()
    check_places([source], {"-o": output})
    choices = EncodeChoices(
        settings,
        overwrite=overwrite,
        size=clip.size,
        frame_rate=clip.frame_rate,
        input_depth=clip.input_depth,
        input_format=clip.input_format,
        seek=clip.first,
        frames=clip.length,
        limits=limit.limits(),
        colour=clip.colour,
        keep_tracks=clip.tracks,
        progress=progress,
        quiet=quiet,
    )
    lengths = parse_chunk_frames(chunks.chunk_frames)
    read_and_plan(source, output, choices, input_options(source, choices), lengths, chunks.allow_float)
