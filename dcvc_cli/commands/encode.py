"""`dcvc encode`: encodes pictures into a .dcvc stream."""

from typing import Annotated, Any

import typer

from dcvc_cli.commands.batch import names_folder
from dcvc_cli.commands.coding_options import (
    Bitrate,
    Bufsize,
    Colormatrix,
    Colorprim,
    ColourRange,
    Config,
    EntropyFormat,
    ForceKeyframes,
    ForceZeroThres,
    Fps,
    HashName,
    InputDepth,
    InputFormat,
    InputRes,
    Keyint,
    Maxrate,
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
from dcvc_cli.commands.encode_stream import ColourTags, EncodeChoices, EncodeReports, encode_batch, encode_stream
from dcvc_cli.commands.options import (
    Device,
    Frames,
    Jobs,
    MaxFrames,
    MaxMemory,
    MaxPixels,
    Overwrite,
    ProgressOption,
    Quiet,
    Seek,
    SkipExisting,
    Threads,
    Verbose,
    check_places,
    limits_of,
    parse_frame_rate,
    parse_size,
)
from dcvc_cli.commands.plan_stream import (
    encode_by_plan_file,
    encode_chunk_file,
    parse_chunk,
    refuse_beside_plan,
)
from dcvc_cli.commands.positions import position_of
from dcvc_cli.errors import UsageError
from dcvc_cli.ui.progress import ProgressMode


def _report(metavar: str | None, text: str, name: str) -> Any:
    return typer.Option(name, metavar=metavar, help=text, rich_help_panel="Reports")


def encode(
    sources: Annotated[
        list[str],
        typer.Argument(metavar="IN...", help=".y4m, .yuv, a PNG folder or im%05d.png, mp4/mkv, or - (y4m or raw)."),
    ],
    output: Annotated[
        str,
        typer.Option(
            "--output",
            "-o",
            metavar="OUT.dcvc|DIR/",
            help="The stream; - is standard output. A folder takes a stream for each input.",
        ),
    ],
    overwrite: Overwrite = False,
    plan: Annotated[
        str | None,
        typer.Option(metavar="PLAN.json", help="Code chunk after chunk of a plan of `dcvc plan`, as a farm does."),
    ] = None,
    chunk: Annotated[str | None, typer.Option(metavar="PLAN.json:N", help="Code chunk N of a plan only.")] = None,
    jobs: Jobs = 1,
    skip_existing: SkipExisting = False,
    input_res: InputRes = None,
    fps: Fps = None,
    input_depth: InputDepth = 8,
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
    maxrate: Maxrate = None,
    bufsize: Bufsize = None,
    reset_interval: ResetInterval = None,
    force_zero_thres: ForceZeroThres = None,
    model: Model = None,
    preset: Preset = None,
    config: Config = None,
    precision: Precision = None,
    entropy_format: EntropyFormat = None,
    hash_name: HashName = None,
    device: Device = None,
    threads: Threads = None,
    recon: Annotated[
        str | None, _report("FILE", "Write the pictures that the decoder will show: .y4m, .yuv or PNG.", "--recon")
    ] = None,
    psnr: Annotated[bool, _report(None, "Measure PSNR of every frame.", "--psnr")] = False,
    msssim: Annotated[bool, _report(None, "Measure MS-SSIM of every frame.", "--msssim")] = False,
    csv_file: Annotated[
        str | None, _report("FILE", "Write a line for each frame; - is standard output.", "--csv")
    ] = None,
    json_file: Annotated[
        str | None, _report("FILE", "Write settings, frames and sums; - is standard output.", "--json")
    ] = None,
    max_pixels: MaxPixels = None,
    max_frames: MaxFrames = None,
    max_memory: MaxMemory = None,
    progress: ProgressOption = ProgressMode.AUTO,
    quiet: Quiet = False,
    verbose: Verbose = False,
    crf: Annotated[str | None, typer.Option(hidden=True)] = None,
) -> None:
    """Encode pictures into a .dcvc stream.

    QP runs from 0 to 63 and HIGHER is better quality and a bigger file, the opposite of x264 and x265.

    Several inputs go to a folder, each under its own name. What fails is told at the end, with exit code 6, and the
    others are done.
    """
    given = dict(locals())
    if crf is not None:
        raise UsageError("--crf does not exist yet", "--qp 0..63 sets the quality; higher is better")
    settings = settings_of(given, preset, config)
    choices = EncodeChoices(
        settings,
        overwrite=overwrite,
        size=None if input_res is None else parse_size(input_res, "--input-res"),
        frame_rate=None if fps is None else parse_frame_rate(fps),
        input_depth=input_depth,
        input_format=input_format,
        seek=position_of(seek, "--seek", 0),
        frames=None if frames is None else position_of(frames, "--frames", 1),
        limits=limits_of(max_pixels, max_frames, max_memory),
        psnr=psnr,
        msssim=msssim,
        colour=ColourTags.parse(colorprim, transfer, colormatrix, colour_range),
        keep_tracks=tracks,
        progress=progress,
        quiet=quiet,
        verbose=verbose,
    )
    if plan is not None or chunk is not None:
        if (plan is not None and chunk is not None) or len(sources) > 1 or names_folder(output):
            raise UsageError("--plan and --chunk take one of them, one input and one output")
        refuse_beside_plan("--plan" if chunk is None else "--chunk", given)
        check_places([*sources, plan or parse_chunk(chunk or "")[0]], {"-o": output})
        if chunk is not None:
            encode_chunk_file(sources[0], output, parse_chunk(chunk), choices, skip_existing)
        elif plan is not None:
            encode_by_plan_file(sources[0], output, plan, choices)
        return
    reports = EncodeReports(recon, csv_file, json_file)
    if len(sources) > 1 or names_folder(output):
        if reports != EncodeReports():
            raise UsageError("--recon, --csv and --json are for one input", "encode inputs one by one for them")
        encode_batch(sources, output, choices, jobs, skip_existing)
        return
    check_places(sources, {"-o": output, "--recon": recon, "--csv": csv_file, "--json": json_file})

    from dcvc_cli.ui.voice import Voice

    Voice(quiet, verbose).note(encode_stream(sources[0], output, choices, reports))
