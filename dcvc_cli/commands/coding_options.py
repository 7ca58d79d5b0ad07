"""Options of how pictures are read and coded, which `encode`, `plan` and `farm encode` share."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Annotated, Any

import typer

from dcvc_cli.coding.encode_settings import DEFAULTS, EncodeSettings, layered_settings
from dcvc_cli.errors import UsageError

_QP = "0..63; HIGHER is better quality and a bigger file, the opposite of x264 and x265"


def _input(metavar: str, text: str) -> Any:
    return typer.Option(metavar=metavar, help=text, rich_help_panel="Input")


def _coding(metavar: str, text: str, default: object = None) -> Any:
    """An option that a preset or a config file may set too: None means that it was not given, and the help names the
    default."""
    return typer.Option(
        metavar=metavar, help=text, show_default=False if default is None else str(default), rich_help_panel="Coding"
    )


InputRes = Annotated[str | None, _input("WxH", "Picture size of raw input.")]
Fps = Annotated[str | None, _input("N[/D]", "Frames per second, whatever the input says.")]
InputDepth = Annotated[int, _input("BITS", "Bits per sample of raw input; only 8 is supported.")]
InputFormat = Annotated[
    str | None, _input("NAME", "Format of the input: y4m, yuv, png or video. Default: by content and name.")
]
Colorprim = Annotated[
    str | None, _input("NAME", "Colour primaries, whatever the input says: bt709, bt2020, ... or a number.")
]
Transfer = Annotated[str | None, _input("NAME", "Transfer characteristics: bt709, smpte2084, ... or a number.")]
Colormatrix = Annotated[
    str | None, _input("NAME", "Matrix of luma and chroma: bt709, smpte170m, bt2020nc, ... or a number.")
]
ColourRange = Annotated[
    str | None,
    typer.Option("--range", metavar="full|limited", help="Range of the samples.", rich_help_panel="Input"),
]
Tracks = Annotated[
    bool,
    typer.Option(
        "--tracks/--no-tracks",
        help="Carry audio, subtitles, chapters, attachments and tags of a video file in the stream.",
        rich_help_panel="Input",
    ),
]
Qp = Annotated[int | None, _coding("0..63", f"Quality, {_QP}.", DEFAULTS.qp)]
QpI = Annotated[int | None, _coding("0..63", f"QP of I frames: {_QP}. Default: --qp.")]
QpP = Annotated[
    int | None, _coding("0..63", f"QP of P frames: {_QP}. A single frame may use up to 8 more. Default: --qp.")
]
Keyint = Annotated[
    int | None,
    _coding("N", "Frames from one I frame to the next; -1: only the first frame is one.", DEFAULTS.keyint),
]
ForceKeyframes = Annotated[str | None, _coding("N,N,...", "Frames that become I frames; 0 is the first one coded.")]
Scenecut = Annotated[
    bool | None,
    typer.Option(
        "--scenecut/--no-scenecut",
        help="Make the first frame of a scene an I frame. Flashes and fades make none.",
        show_default="scenecut",
        rich_help_panel="Coding",
    ),
]
MinKeyint = Annotated[
    int | None,
    _coding("N", "Frames from an I frame to one that a scene cut makes, at least.", DEFAULTS.min_keyint),
]
Bitrate = Annotated[float | None, _coding("KBPS", "Choose QPs so that the stream takes so many kbit/s.")]
Passes = Annotated[
    int | None,
    _coding("1|2", "2: code twice, the first time to find out what frames take. Closer to --bitrate.", 1),
]
Maxrate = Annotated[
    float | None,
    _coding("KBPS", "Fill rate of the receiver's buffer (VBV), which the stream names and QPs steer by."),
]
Bufsize = Annotated[float | None, _coding("KBIT", "Size of that buffer. Default: a second of --maxrate.")]
ResetInterval = Annotated[
    int | None, _coding("N", "Frames between drops of the reference feature; 0: never.", DEFAULTS.reset_interval)
]
ForceZeroThres = Annotated[
    float | None,
    _coding(
        "T",
        "Skip threshold: latents with a predicted scale up to T are not coded; 0: code all.",
        DEFAULTS.force_zero_thres,
    ),
]
Model = Annotated[
    str | None, _coding("NAME", "Weights by a name that `dcvc models list` shows, or a file.", DEFAULTS.model)
]
Preset = Annotated[str | None, _coding("NAME", "Settings that come with dcvc: default, archive or low-latency.")]
Config = Annotated[
    str | None, _coding("FILE.yaml", "File with settings under the names of these options; the command line wins.")
]
Precision = Annotated[
    str | None,
    _coding(
        "NAME",
        "exact decodes alike on every machine; fp16, bf16, fp32, fp64 on one software stack. Default: exact if the "
        "weights have it, else fp32.",
    ),
]
EntropyFormat = Annotated[
    str | None,
    _coding(
        "NAME",
        "auto: compact up to 1280x720, else partitioned. `dcvc remux` turns published-one and published-two into "
        "the published codec's stream.",
        DEFAULTS.entropy_format,
    ),
]
HashName = Annotated[
    str | None,
    typer.Option(
        "--hash",
        metavar="crc|md5|none",
        help="Picture hashes that the decoder checks.",
        show_default=DEFAULTS.hash,
        rich_help_panel="Coding",
    ),
]


def settings_of(given: Mapping[str, Any], preset: str | None, config: str | None) -> EncodeSettings:
    """The settings of a command line.

    Args:
        given: parameters of the command by name, None where an option was not given; names of no setting are left out.

    Raises:
        UsageError: as `layered_settings`, or --bitrate beside a QP.
    """
    if given.get("bitrate") is not None and any(given.get(name) is not None for name in ("qp", "qp_i", "qp_p")):
        raise UsageError("--bitrate chooses the QPs, so --qp, --qp-i and --qp-p do not go with it", "leave one out")
    values = {setting.name: given.get(setting.name) for setting in fields(EncodeSettings)}
    values["hash"] = given["hash_name"]
    if values["force_keyframes"] is not None:
        values["force_keyframes"] = _frame_numbers(values["force_keyframes"])
    return layered_settings(values, preset, config)


def _frame_numbers(text: str) -> list[int]:
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if not parts or not all(part.isascii() and part.isdigit() and len(part) <= 10 for part in parts):
        raise UsageError(f"--force-keyframes {text}: expected frame numbers", "--force-keyframes 0,48,96")
    return [int(part) for part in parts]
