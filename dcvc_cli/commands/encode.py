"""`dcvc encode`: encodes pictures into a .dcvc stream."""

from typing import Annotated, Any

import typer

from dcvc_cli.commands.batch import names_folder
from dcvc_cli.commands.coding_options import ClipOptions, LocalCodingOptions
from dcvc_cli.commands.encode_stream import EncodeChoices, EncodeReports, encode_batch, encode_stream
from dcvc_cli.commands.option_list import takes_options
from dcvc_cli.commands.options import (
    Jobs,
    LimitOptions,
    Overwrite,
    ProgressOption,
    Quiet,
    SkipExisting,
    Verbose,
    check_places,
)
from dcvc_cli.commands.plan_stream import (
    encode_by_plan_file,
    encode_chunk_file,
    parse_chunk,
    refuse_beside_plan,
)
from dcvc_cli.errors import UsageError
from dcvc_cli.ui.progress import ProgressMode


def _report(metavar: str | None, text: str, name: str) -> Any:
    return typer.Option(name, metavar=metavar, help=text, rich_help_panel="Reports")


@takes_options
def encode(
    *,
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
    clip: ClipOptions,
    coding: LocalCodingOptions,
    stats: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="Keep the first of two passes in FILE; where FILE exists, take it from there.",
            rich_help_panel="Coding",
        ),
    ] = None,
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
    limit: LimitOptions,
    progress: ProgressOption = ProgressMode.AUTO,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Encode pictures into a .dcvc stream.

    QP runs from 0 to 63 and HIGHER is better quality and a bigger file, the opposite of x264 and x265.

    Several inputs go to a folder, each under its own name. Inputs that fail are named at the end, with exit code 6; the
    others are done.
    """
    settings = coding.settings()
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
        psnr=psnr,
        msssim=msssim,
        colour=clip.colour,
        keep_tracks=clip.tracks,
        stats=stats,
        progress=progress,
        quiet=quiet,
        verbose=verbose,
    )
    reports = EncodeReports(recon, csv_file, json_file)
    if plan is not None or chunk is not None:
        if (plan is not None and chunk is not None) or len(sources) > 1 or names_folder(output):
            raise UsageError("--plan and --chunk take one of them, one input and one output")
        given = vars(clip) | vars(coding) | vars(reports) | {"stats": stats} | {"psnr": psnr, "msssim": msssim}
        refuse_beside_plan("--plan" if chunk is None else "--chunk", given)
        check_places([*sources, plan or parse_chunk(chunk or "")[0]], {"-o": output})
        if chunk is not None:
            encode_chunk_file(sources[0], output, parse_chunk(chunk), choices, skip_existing)
        elif plan is not None:
            encode_by_plan_file(sources[0], output, plan, choices)
        return
    if len(sources) > 1 or names_folder(output):
        if reports != EncodeReports() or stats is not None:
            raise UsageError(
                "--recon, --csv, --json and --stats are for one input", "encode inputs one by one for them"
            )
        encode_batch(sources, output, choices, jobs, skip_existing)
        return
    check_places(sources, {"-o": output, "--stats": stats, "--recon": recon, "--csv": csv_file, "--json": json_file})

    from dcvc_cli.ui.voice import Voice

    Voice(quiet, verbose).note(encode_stream(sources[0], output, choices, reports))
