"""`dcvc encode`: encodes pictures into a .dcvc stream."""

from typing import Annotated, Any

import typer

from dcvc_cli.coding.encode_settings import DEFAULTS, layered_settings
from dcvc_cli.commands.batch import names_folder
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
from dcvc_cli.commands.positions import position_of
from dcvc_cli.errors import UsageError
from dcvc_cli.ui.progress import ProgressMode

_QP = "0..63; HIGHER is better quality and a bigger file, the opposite of x264 and x265"


def _input(metavar: str, text: str) -> Any:
    return typer.Option(metavar=metavar, help=text, rich_help_panel="Input")


def _coding(metavar: str, text: str, default: object = None) -> Any:
    """An option that a preset or a config file may set too: None means that it was not given, and the help names the
    default."""
    return typer.Option(
        metavar=metavar, help=text, show_default=False if default is None else str(default), rich_help_panel="Coding"
    )


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
    jobs: Jobs = 1,
    skip_existing: SkipExisting = False,
    input_res: Annotated[str | None, _input("WxH", "Picture size of raw input.")] = None,
    fps: Annotated[str | None, _input("N[/D]", "Frames per second, whatever the input says.")] = None,
    input_depth: Annotated[int, _input("BITS", "Bits per sample of raw input; only 8 is supported.")] = 8,
    input_format: Annotated[
        str | None, _input("NAME", "Format of the input: y4m, yuv, png or video. Default: by content and name.")
    ] = None,
    colorprim: Annotated[
        str | None, _input("NAME", "Colour primaries, whatever the input says: bt709, bt2020, ... or a number.")
    ] = None,
    transfer: Annotated[
        str | None, _input("NAME", "Transfer characteristics: bt709, smpte2084, ... or a number.")
    ] = None,
    colormatrix: Annotated[
        str | None, _input("NAME", "Matrix of luma and chroma: bt709, smpte170m, bt2020nc, ... or a number.")
    ] = None,
    colour_range: Annotated[
        str | None,
        typer.Option("--range", metavar="full|limited", help="Range of the samples.", rich_help_panel="Input"),
    ] = None,
    tracks: Annotated[
        bool,
        typer.Option(
            "--tracks/--no-tracks",
            help="Carry audio, subtitles, chapters, attachments and tags of a video file in the stream.",
            rich_help_panel="Input",
        ),
    ] = True,
    seek: Seek = "0",
    frames: Frames = None,
    qp: Annotated[int | None, _coding("0..63", f"Quality, {_QP}.", DEFAULTS.qp)] = None,
    qp_i: Annotated[int | None, _coding("0..63", f"QP of I frames: {_QP}. Default: --qp.")] = None,
    qp_p: Annotated[
        int | None, _coding("0..63", f"QP of P frames: {_QP}. A single frame may use up to 8 more. Default: --qp.")
    ] = None,
    keyint: Annotated[
        int | None,
        _coding("N", "Frames from one I frame to the next; -1: only the first frame is one.", DEFAULTS.keyint),
    ] = None,
    force_keyframes: Annotated[
        str | None, _coding("N,N,...", "Frames that become I frames; 0 is the first one coded.")
    ] = None,
    scenecut: Annotated[
        bool | None,
        typer.Option(
            "--scenecut/--no-scenecut",
            help="Make the first frame of a scene an I frame. Flashes and fades make none.",
            show_default="scenecut",
            rich_help_panel="Coding",
        ),
    ] = None,
    min_keyint: Annotated[
        int | None,
        _coding("N", "Frames from an I frame to one that a scene cut makes, at least.", DEFAULTS.min_keyint),
    ] = None,
    bitrate: Annotated[float | None, _coding("KBPS", "Choose QPs so that the stream takes so many kbit/s.")] = None,
    passes: Annotated[
        int | None,
        _coding("1|2", "2: code twice, the first time to find out what frames take. Closer to --bitrate.", 1),
    ] = None,
    maxrate: Annotated[
        float | None,
        _coding("KBPS", "Fill rate of the receiver's buffer (VBV), which the stream names and QPs steer by."),
    ] = None,
    bufsize: Annotated[float | None, _coding("KBIT", "Size of that buffer. Default: a second of --maxrate.")] = None,
    reset_interval: Annotated[
        int | None, _coding("N", "Frames between drops of the reference feature; 0: never.", DEFAULTS.reset_interval)
    ] = None,
    force_zero_thres: Annotated[
        float | None,
        _coding(
            "T",
            "Skip threshold: latents with a predicted scale up to T are not coded; 0: code all.",
            DEFAULTS.force_zero_thres,
        ),
    ] = None,
    model: Annotated[
        str | None, _coding("NAME", "Weights by a name that `dcvc models list` shows, or a file.", DEFAULTS.model)
    ] = None,
    preset: Annotated[
        str | None, _coding("NAME", "Settings that come with dcvc: default, archive or low-latency.")
    ] = None,
    config: Annotated[
        str | None, _coding("FILE.yaml", "File with settings under the names of these options; the command line wins.")
    ] = None,
    precision: Annotated[
        str | None,
        _coding(
            "NAME",
            "exact decodes alike on every machine; fp16, bf16, fp32, fp64 on one software stack. Default: exact if the "
            "weights have it, else fp32.",
        ),
    ] = None,
    entropy_format: Annotated[
        str | None,
        _coding(
            "NAME",
            "auto: compact up to 1280x720, else partitioned. `dcvc remux` turns published-one and published-two into "
            "the published codec's stream.",
            DEFAULTS.entropy_format,
        ),
    ] = None,
    hash_name: Annotated[
        str | None,
        typer.Option(
            "--hash",
            metavar="crc|md5|none",
            help="Picture hashes that the decoder checks.",
            show_default=DEFAULTS.hash,
            rich_help_panel="Coding",
        ),
    ] = None,
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
    if crf is not None:
        raise UsageError("--crf does not exist yet", "--qp 0..63 sets the quality; higher is better")
    if bitrate is not None and (qp, qp_i, qp_p) != (None, None, None):
        raise UsageError("--bitrate chooses the QPs, so --qp, --qp-i and --qp-p do not go with it", "leave one out")
    given = {
        "qp": qp,
        "qp_i": qp_i,
        "qp_p": qp_p,
        "keyint": keyint,
        "force_keyframes": None if force_keyframes is None else _frame_numbers(force_keyframes),
        "scenecut": scenecut,
        "min_keyint": min_keyint,
        "bitrate": bitrate,
        "passes": passes,
        "maxrate": maxrate,
        "bufsize": bufsize,
        "reset_interval": reset_interval,
        "force_zero_thres": force_zero_thres,
        "model": model,
        "precision": precision,
        "hash": hash_name,
        "entropy_format": entropy_format,
        "device": device,
        "threads": threads,
    }
    settings = layered_settings(given, preset, config)
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
    reports = EncodeReports(recon, csv_file, json_file)
    if len(sources) > 1 or names_folder(output):
        if reports != EncodeReports():
            raise UsageError("--recon, --csv and --json are for one input", "encode inputs one by one for them")
        encode_batch(sources, output, choices, jobs, skip_existing)
        return
    check_places(sources, {"-o": output, "--recon": recon, "--csv": csv_file, "--json": json_file})

    from dcvc_cli.ui.voice import Voice

    Voice(quiet, verbose).note(encode_stream(sources[0], output, choices, reports))


def _frame_numbers(text: str) -> list[int]:
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if not parts or not all(part.isascii() and part.isdigit() and len(part) <= 10 for part in parts):
        raise UsageError(f"--force-keyframes {text}: expected frame numbers", "--force-keyframes 0,48,96")
    return [int(part) for part in parts]
