"""Lists of options that `encode`, `plan` and `farm encode` share: how pictures are read and coded."""

from dataclasses import dataclass, fields
from typing import Annotated, Any

import typer

from dcvc_cli.coding.encode_settings import DEFAULTS, EncodeSettings, layered_settings
from dcvc_cli.commands.encode_stream import ColourTags
from dcvc_cli.commands.options import Device, Frames, Seek, Threads, parse_frame_rate, parse_size
from dcvc_cli.commands.positions import Position, position_of
from dcvc_cli.errors import UsageError
from dcvc_cli.format.types import PictureSize, Rational

_QP = "0..63; HIGHER is better quality and a bigger file, the opposite of x264 and x265"


def _input(metavar: str, text: str) -> Any:
    return typer.Option(metavar=metavar, help=text, rich_help_panel="Input")


def _coding(metavar: str, text: str, default: object = None) -> Any:
    """Makes an option that a preset or a config file may set too: None means that it was not given, and the help names
    the default."""
    return typer.Option(
        metavar=metavar, help=text, show_default=False if default is None else str(default), rich_help_panel="Coding"
    )


Model = Annotated[
    str | None, _coding("NAME", "Weights by a name that `dcvc models list` shows, or a file.", DEFAULTS.model)
]
PrecisionName = Annotated[
    str | None,
    _coding(
        "NAME",
        "exact decodes alike on every machine; fp16, bf16, fp32, fp64 on one software stack. Default: exact if the "
        "weights have it, else fp32.",
    ),
]
ResetInterval = Annotated[
    int | None, _coding("N", "Frames between drops of the reference feature; 0: never.", DEFAULTS.reset_interval)
]
SkipThreshold = Annotated[
    float | None,
    _coding(
        "T",
        "Skip threshold: latents with a predicted scale up to T are not coded; 0: code all.",
        DEFAULTS.force_zero_thres,
    ),
]


@dataclass(frozen=True, kw_only=True)
class SourceOptions:
    """Facts of the input that it does not state, or that the user states over it."""

    input_res: Annotated[str | None, _input("WxH", "Picture size of raw input.")] = None
    fps: Annotated[str | None, _input("N[/D]", "Frames per second, whatever the input says.")] = None
    input_depth: Annotated[
        int | None,
        _input("8|10", "Bits a sample of raw input; 10 also takes PNG files of 16 bits a sample as 10. Default: 8."),
    ] = None
    input_format: Annotated[
        str | None, _input("NAME", "Format of the input: y4m, yuv, png or video. Default: by content and name.")
    ] = None
    tracks: Annotated[
        bool,
        typer.Option(
            "--tracks/--no-tracks",
            help="Carry audio, subtitles, chapters, attachments and tags of a video file in the stream.",
            rich_help_panel="Input",
        ),
    ] = True

    @property
    def size(self) -> PictureSize | None:
        """Returns the size of raw input; UsageError for no size."""
        return None if self.input_res is None else parse_size(self.input_res, "--input-res")

    @property
    def frame_rate(self) -> Rational | None:
        """Returns the frame rate over that of the input; UsageError for no rate."""
        return None if self.fps is None else parse_frame_rate(self.fps)


@dataclass(frozen=True, kw_only=True)
class ClipOptions(SourceOptions):
    """Options of a single clip: also its colour tags, and the part of it that is coded."""

    colorprim: Annotated[
        str | None, _input("NAME", "Colour primaries, whatever the input says: bt709, bt2020, ... or a number.")
    ] = None
    transfer: Annotated[str | None, _input("NAME", "Transfer characteristics: bt709, smpte2084, ... or a number.")] = (
        None
    )
    colormatrix: Annotated[
        str | None, _input("NAME", "Matrix of luma and chroma: bt709, smpte170m, bt2020nc, ... or a number.")
    ] = None
    colour_range: Annotated[
        str | None,
        typer.Option("--range", metavar="full|limited", help="Range of the samples.", rich_help_panel="Input"),
    ] = None
    seek: Seek = "0"
    frames: Frames = None

    @property
    def colour(self) -> ColourTags:
        """Returns the colour tags over those of the input; UsageError for unknown names."""
        return ColourTags.parse(self.colorprim, self.transfer, self.colormatrix, self.colour_range)

    @property
    def first(self) -> Position:
        """Returns where the part begins; UsageError for no position."""
        return position_of(self.seek, "--seek", 0)

    @property
    def length(self) -> Position | None:
        """Returns how long the part is; None: to the end. UsageError for no length."""
        return None if self.frames is None else position_of(self.frames, "--frames", 1)


@dataclass(frozen=True, kw_only=True)
class CodingOptions:
    """Settings under the names of `EncodeSettings`, and where more of them stand. None: not given."""

    qp: Annotated[int | None, _coding("0..63", f"Quality, {_QP}.", DEFAULTS.qp)] = None
    qp_i: Annotated[int | None, _coding("0..63", f"QP of I frames: {_QP}. Default: --qp.")] = None
    qp_p: Annotated[
        int | None, _coding("0..63", f"QP of P frames: {_QP}. A single frame may use up to 8 more. Default: --qp.")
    ] = None
    keyint: Annotated[
        int | None,
        _coding("N", "Frames from one I frame to the next; -1: only the first frame is one.", DEFAULTS.keyint),
    ] = None
    force_keyframes: Annotated[
        str | None, _coding("N,N,...", "Frames that become I frames; 0 is the first one coded.")
    ] = None
    scenecut: Annotated[
        bool | None,
        typer.Option(
            "--scenecut/--no-scenecut",
            help="Make the first frame of a scene an I frame. Flashes and fades make none.",
            show_default="scenecut",
            rich_help_panel="Coding",
        ),
    ] = None
    min_keyint: Annotated[
        int | None,
        _coding("N", "Frames from an I frame to one that a scene cut makes, at least.", DEFAULTS.min_keyint),
    ] = None
    bitrate: Annotated[float | None, _coding("KBPS", "Choose QPs so that the stream takes so many kbit/s.")] = None
    crf: Annotated[
        int | None,
        _coding(
            "0..63",
            "Quality on the scale of --qp, with complexity taken into account: a higher QP for what stands still. "
            "HIGHER is better, the opposite of x264 and x265.",
        ),
    ] = None
    passes: Annotated[
        int | None,
        _coding("1|2", "2: code twice, the first time to find out what frames take. Closer to --bitrate.", 1),
    ] = None
    lossless: Annotated[
        bool | None,
        typer.Option(
            "--lossless/--lossy",
            help="Code 4:2:0 or 4:4:4 pictures so that decoding gives them back sample for sample.",
            show_default="lossy",
            rich_help_panel="Coding",
        ),
    ] = None
    reset_interval: ResetInterval = None
    force_zero_thres: SkipThreshold = None
    model: Model = None
    preset: Annotated[
        str | None,
        _coding("NAME", "Settings that come with dcvc: archive, broadcast, default, low-latency, steady or streaming."),
    ] = None
    config: Annotated[
        str | None, _coding("FILE.yaml", "File with settings under the names of these options; the command line wins.")
    ] = None
    precision: PrecisionName = None
    entropy_format: Annotated[
        str | None,
        _coding(
            "NAME",
            "auto: compact up to 1280x720, else partitioned. `dcvc remux` turns published-one and published-two into "
            "the published codec's stream.",
            DEFAULTS.entropy_format,
        ),
    ] = None
    hash_name: Annotated[
        str | None,
        typer.Option(
            "--hash",
            metavar="crc|md5|none",
            help="Picture hashes that the decoder checks.",
            show_default=DEFAULTS.hash,
            rich_help_panel="Coding",
        ),
    ] = None

    def settings(self) -> EncodeSettings:
        """Returns the settings of the command line over those of a config file and a preset.

        Raises:
            UsageError: as `layered_settings`.
        """
        given = vars(self) | {"hash": self.hash_name}
        values = {setting.name: given.get(setting.name) for setting in fields(EncodeSettings)}
        if values["force_keyframes"] is not None:
            values["force_keyframes"] = _frame_numbers(values["force_keyframes"])
        return layered_settings(values, self.preset, self.config)


@dataclass(frozen=True, kw_only=True)
class MeasuredCodingOptions(CodingOptions):
    """Options of a command that measures what it codes: also a quality to reach."""

    target: Annotated[
        str | None,
        _coding(
            "METRIC=SCORE",
            "Choose QPs so that the clip has this quality: psnr=42, xpsnr=40 or vmaf=95, the mean of its frames. @p5 "
            "after it: the score that 95 % of frames reach. ,scene at the end: each scene by itself.",
        ),
    ] = None


@dataclass(frozen=True, kw_only=True)
class LocalCodingOptions(MeasuredCodingOptions):
    """Options of a command that codes the whole clip itself: also its size, the receiver's buffer, device and
    threads."""

    target_size: Annotated[
        str | None,
        _coding("BYTES", "Choose QPs so that the stream takes at most so many bytes: 700k, 4.5M, 2G."),
    ] = None
    maxrate: Annotated[
        float | None,
        _coding("KBPS", "Fill rate of the receiver's buffer (VBV), which the stream names and QPs steer by."),
    ] = None
    bufsize: Annotated[float | None, _coding("KBIT", "Size of that buffer. Default: a second of --maxrate.")] = None
    device: Device = None
    threads: Threads = None


@dataclass(frozen=True, kw_only=True)
class ChunkOptions:
    """How a clip is split into chunks for many machines."""

    chunk_frames: Annotated[
        str | None,
        typer.Option(
            "--chunk-frames",
            metavar="LEAST:MOST",
            help="Frames of a chunk. Scenes longer than MOST are split, shorter ones than LEAST joined.",
            show_default="96:480",
        ),
    ] = None
    allow_float: Annotated[
        bool,
        typer.Option(
            "--allow-float",
            help="Let chunks be coded in arithmetic whose bytes differ from machine to machine.",
            rich_help_panel="Coding",
        ),
    ] = False


def _frame_numbers(text: str) -> list[int]:
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if not parts or not all(part.isascii() and part.isdigit() and len(part) <= 10 for part in parts):
        raise UsageError(f"--force-keyframes {text}: expected frame numbers", "--force-keyframes 0,48,96")
    return [int(part) for part in parts]
