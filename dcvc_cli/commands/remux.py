"""`dcvc remux`: turns .dcvc streams into elementary streams of the published codec or Matroska files, and back."""

from enum import StrEnum
from pathlib import PurePath
from typing import Annotated

import typer

from dcvc_cli.commands.options import Overwrite, Quiet, check_places, parse_frame_rate
from dcvc_cli.errors import UsageError
from dcvc_cli.format.constants import ELEMENTARY_MODEL

_WAYS = "-o OUT.mkv keeps it in a Matroska file, -o OUT.bin makes an elementary stream"


class StreamForm(StrEnum):
    """Kinds of file that `dcvc remux` writes."""

    DCVC = "dcvc"
    MKV = "mkv"
    BIN = "bin"


def remux(
    source: Annotated[
        str,
        typer.Argument(
            metavar="IN",
            help="A .dcvc stream, an elementary stream of the published codec (.bin), or a Matroska file (.mkv) that "
            "holds a .dcvc stream; - is standard input.",
        ),
    ],
    output: Annotated[
        str,
        typer.Option(
            "--output",
            "-o",
            metavar="OUT",
            help="The stream of the other kind: .bin or .mkv of a .dcvc stream, else .dcvc. - is standard output.",
        ),
    ],
    overwrite: Overwrite = False,
    output_format: Annotated[
        StreamForm | None, typer.Option(help="Kind of OUT, whatever its name says, as for -.", show_default=False)
    ] = None,
    force_zero_thres: Annotated[
        float | None,
        typer.Option(metavar="T", help="Skip threshold that the elementary stream was coded with. Default: none."),
    ] = None,
    fps: Annotated[
        str | None, typer.Option(metavar="N[/D]", help="Frames per second of the elementary stream.", show_default="25")
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Weights of the elementary stream, by a name that `dcvc models list` shows.",
            show_default=ELEMENTARY_MODEL,
        ),
    ] = None,
    precision: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="Arithmetic of the elementary stream: fp16, bf16, fp32 or fp64.", show_default="fp32"
        ),
    ] = None,
    quiet: Quiet = False,
) -> None:
    """Turn a .dcvc stream into an elementary stream of the published codec or a Matroska file, or the other way round.

    The coded payloads stay as they are. Options say what an elementary stream lacks; notes name what it cannot hold. A
    Matroska file holds the .dcvc stream whole, as a track with the codec id V_DCVC, and gives it back byte for byte.
    """
    check_places([source], {"-o": output})
    frame_rate = parse_frame_rate(fps or "25")

    from dcvc_cli.coding import transmux
    from dcvc_cli.coding.matroska import to_matroska
    from dcvc_cli.coding.stream_source import StreamSource, naming
    from dcvc_cli.media import OutputFile
    from dcvc_cli.media.endings import ELEMENTARY_STREAM, STREAM, check_ending
    from dcvc_cli.ui.voice import Voice

    voice = Voice(quiet)
    options = {"--force-zero-thres": force_zero_thres, "--fps": fps, "--model": model, "--precision": precision}
    given = [name for name, value in options.items() if value is not None]
    with StreamSource(source) as stream:
        peeked = transmux.PeekedSource(stream)
        if peeked.is_dcvc and given:
            raise UsageError(
                f"{given[0]} is for elementary streams, and {stream.name} is a .dcvc stream, which says it itself"
            )
        if peeked.is_matroska and given:
            raise UsageError(f"{given[0]} is for elementary streams, and {stream.name} is a Matroska file")
        form = _form_of(peeked.is_dcvc, stream.name, output, output_format)
        into_matroska = form is StreamForm.MKV
        if output_format is None and not into_matroska:
            check_ending("-o", output, STREAM if form is StreamForm.DCVC else ELEMENTARY_STREAM)
        template, note = transmux.template_sps(
            model or ELEMENTARY_MODEL, precision or "fp32", frame_rate, force_zero_thres
        )
        if note and not peeked.is_dcvc and not peeked.is_matroska:
            voice.warn(note)
        with OutputFile(output, overwrite=overwrite) as sink, naming(stream.name):
            report = to_matroska(peeked, sink) if into_matroska else transmux.remux(peeked, sink, template)
    for phrase in report.lost:
        voice.note(f"lost: {phrase}")
    voice.note(
        f"{sink.name}: {report.num_frames} frame{'s' if report.num_frames != 1 else ''}, {sink.size_bytes} bytes"
    )


def _form_of(is_dcvc: bool, name: str, output: str, wanted: StreamForm | None) -> StreamForm:
    """The kind of file to write.

    Raises:
        UsageError: the input, called `name`, is of this kind already or goes through a .dcvc stream; or the name of the
            output promises a kind that is not written.
    """
    from dcvc_cli.media.probe import CONTAINER_SUFFIXES

    ending = PurePath(output).suffix.lower()
    if not is_dcvc:
        if wanted not in (None, StreamForm.DCVC):
            message = f"{name} is no .dcvc stream, and --output-format {wanted} is made of one"
            raise UsageError(message, "dcvc remux it into a .dcvc stream first")
        return StreamForm.DCVC
    if wanted is StreamForm.DCVC or (wanted is None and ending == ".dcvc"):
        raise UsageError(f"{name} is a .dcvc stream already", _WAYS)
    if wanted is not None:
        return wanted
    if ending == ".mkv":
        return StreamForm.MKV
    if ending in CONTAINER_SUFFIXES:
        message = f"-o {output} is the name of a video file, and only .mkv holds a .dcvc stream"
        raise UsageError(message, f"{_WAYS}; dcvc decode {name} -o {output} writes its pictures")
    return StreamForm.BIN
