"""`dcvc plan`: splits a clip into chunks that many machines code."""

from typing import Annotated

import typer

from dcvc_cli.commands.coding_options import (
    Bitrate,
    Colormatrix,
    Colorprim,
    ColourRange,
    Config,
    EntropyFormat,
    ForceKeyframes,
    ForceZeroThres,
    Fps,
    HashName,
    InputFormat,
    InputRes,
    Keyint,
    MinKeyint,
    Model,
    Passes,
    Precision,
    Preset,
    Qp,
    QpI,
    QpP,
    ResetInterval,
    Scenecut,
    Tracks,
    Transfer,
    settings_of,
)
from dcvc_cli.commands.encode_stream import ColourTags, EncodeChoices
from dcvc_cli.commands.options import (
    AllowFloat,
    ChunkLength,
    Frames,
    MaxFrames,
    MaxMemory,
    MaxPixels,
    Overwrite,
    ProgressOption,
    Quiet,
    Seek,
    check_places,
    limits_of,
    parse_frame_rate,
    parse_size,
)
from dcvc_cli.commands.plan_stream import input_options, parse_chunk_frames, read_and_plan
from dcvc_cli.commands.positions import position_of
from dcvc_cli.ui.progress import ProgressMode


def plan(
    source: Annotated[
        str, typer.Argument(metavar="IN", help="A file, a PNG folder or im%05d.png; a pipe cannot be split.")
    ],
    output: Annotated[str, typer.Option("--output", "-o", metavar="PLAN.json", help="The plan.")],
    overwrite: Overwrite = False,
    chunk_frames: ChunkLength = None,
    input_res: InputRes = None,
    fps: Fps = None,
    input_format: InputFormat = None,
    colorprim: Colorprim = None,
    transfer: Transfer = None,
    colormatrix: Colormatrix = None,
    colour_range: ColourRange = None,
    tracks: Tracks = True,
    seek: Seek = "0",
    frames: Frames = None,
    qp: Qp = None,
    qp_i: QpI = None,
    qp_p: QpP = None,
    keyint: Keyint = None,
    force_keyframes: ForceKeyframes = None,
    scenecut: Scenecut = None,
    min_keyint: MinKeyint = None,
    bitrate: Bitrate = None,
    passes: Passes = None,
    reset_interval: ResetInterval = None,
    force_zero_thres: ForceZeroThres = None,
    model: Model = None,
    preset: Preset = None,
    config: Config = None,
    precision: Precision = None,
    allow_float: AllowFloat = False,
    entropy_format: EntropyFormat = None,
    hash_name: HashName = None,
    max_pixels: MaxPixels = None,
    max_frames: MaxFrames = None,
    max_memory: MaxMemory = None,
    progress: ProgressOption = ProgressMode.AUTO,
    quiet: Quiet = False,
) -> None:
    """Split a clip into chunks that many machines code.

    The plan is a file. `dcvc encode --chunk` codes one of its chunks, `dcvc concat --plan` joins them, and
    `dcvc encode --plan` does all of it on one machine: the result is the same, byte for byte.

    Chunks begin where scenes begin, found as `dcvc encode` finds them. Each is coded as a clip of its own.
    """
    settings = settings_of(locals(), preset, config)
    check_places([source], {"-o": output})
    choices = EncodeChoices(
        settings,
        overwrite=overwrite,
        size=None if input_res is None else parse_size(input_res, "--input-res"),
        frame_rate=None if fps is None else parse_frame_rate(fps),
        input_format=input_format,
        seek=position_of(seek, "--seek", 0),
        frames=None if frames is None else position_of(frames, "--frames", 1),
        limits=limits_of(max_pixels, max_frames, max_memory),
        colour=ColourTags.parse(colorprim, transfer, colormatrix, colour_range),
        keep_tracks=tracks,
        progress=progress,
        quiet=quiet,
    )
    lengths = parse_chunk_frames(chunk_frames)
    read_and_plan(source, output, choices, input_options(source, choices), lengths, allow_float)
