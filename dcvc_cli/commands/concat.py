"""`dcvc concat`: joins .dcvc streams."""

from typing import Annotated

import typer

from dcvc_cli.commands.options import Overwrite, Quiet, check_places
from dcvc_cli.errors import UsageError


def concat(
    sources: Annotated[list[str], typer.Argument(metavar="IN.dcvc...", help="Streams in order; - is standard input.")],
    output: Annotated[str, typer.Option("--output", "-o", metavar="OUT.dcvc", help="The joined stream; - is standard output.")],
    repair: Annotated[
        bool,
        typer.Option("--repair", help="Make a whole stream of one that is damaged or cut short: its intact frames, a new index and end."),
    ] = False,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Join .dcvc streams into one, without decoding.

    The result has one index and one end, and decodes as one clip where all pictures have one size. What changes from stream to stream is told.

    With --repair one stream is made whole: frames after damage are left out up to the next I frame, and what was lost is told.
    """
    check_places(sources, {"-o": output})
    if sources.count("-") > 1:
        raise UsageError("standard input is named twice, it can be read once")
    if repair and len(sources) > 1:
        raise UsageError(f"--repair takes one stream, {len(sources)} are given", "repair each, then join them")

    from dcvc_cli.coding.transmux import concat_files, repair_file
    from dcvc_cli.media import OutputFile
    from dcvc_cli.media.endings import STREAM, check_ending
    from dcvc_cli.ui.voice import Voice

    check_ending("-o", output, STREAM)
    voice = Voice(quiet)
    with OutputFile(output, overwrite=overwrite) as sink:
        report = repair_file(sources[0], sink) if repair else concat_files(sources, sink)
    for note in report.notes:
        voice.warn(note)
    voice.note(f"{sink.name}: {report.num_frames} frame{'s' if report.num_frames != 1 else ''}, {sink.size_bytes} bytes")
