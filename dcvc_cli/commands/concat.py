"""`dcvc concat`: joins .dcvc streams, or repairs one."""

import os
from typing import Annotated

import typer

from dcvc_cli.commands.options import Overwrite, Quiet, check_places
from dcvc_cli.commands.plan_stream import join_by_plan
from dcvc_cli.errors import UsageError


def concat(
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="IN.dcvc...|DIR",
            help="Streams in order; - is standard input. With --plan a folder with 0.dcvc, 1.dcvc, ...",
        ),
    ],
    output: Annotated[
        str, typer.Option("--output", "-o", metavar="OUT.dcvc", help="The joined stream; - is standard output.")
    ],
    repair: Annotated[
        bool,
        typer.Option(
            "--repair",
            help="Make a whole stream of one damaged or cut stream: its frames that decode, a new index and a new end.",
        ),
    ] = False,
    plan: Annotated[
        str | None,
        typer.Option(metavar="PLAN.json", help="Join the chunks of this plan of `dcvc plan`, which must all fit it."),
    ] = None,
    source: Annotated[
        str | None,
        typer.Option(
            "--input",
            metavar="IN",
            help="With --plan: the clip, whose other tracks the stream carries. Default: as the plan names it.",
        ),
    ] = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Join .dcvc streams into one, without decoding.

    The result has one index and one end. It decodes as one clip if all pictures have one size. Warnings name what
    changes from stream to stream.

    --repair makes one stream whole: it leaves out damaged frames and the frames after them up to the next I frame.
    Warnings name what was lost.

    --plan joins chunks of a clip into the stream that `dcvc encode --plan` writes, and refuses parts that do not fit.
    """
    from dcvc_cli.media.endings import STREAM, check_ending

    check_places(sources, {"-o": output})
    if plan is not None:
        if repair or len(sources) > 1 or not os.path.isdir(sources[0]):
            raise UsageError("--plan takes one folder that holds the parts", "dcvc concat --plan plan.json DIR -o OUT")
        check_ending("-o", output, STREAM)
        join_by_plan(plan, sources[0], output, source, overwrite, quiet)
        return
    if source is not None:
        raise UsageError("--input is for --plan")
    if sources.count("-") > 1:
        raise UsageError("standard input is named twice, it can be read once")
    if repair and len(sources) > 1:
        raise UsageError(f"--repair takes one stream, {len(sources)} are given", "repair each, then join them")

    from dcvc_cli.coding.transmux import concat_files, repair_file
    from dcvc_cli.media import OutputFile
    from dcvc_cli.ui.voice import Voice

    check_ending("-o", output, STREAM)
    voice = Voice(quiet)
    with OutputFile(output, overwrite=overwrite) as sink:
        report = repair_file(sources[0], sink) if repair else concat_files(sources, sink)
    for note in report.notes:
        voice.warn(note)
    voice.note(
        f"{sink.name}: {report.num_frames} frame{'s' if report.num_frames != 1 else ''}, {sink.size_bytes} bytes"
    )
