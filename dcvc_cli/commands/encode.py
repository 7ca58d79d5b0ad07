"""`dcvc encode`: encodes pictures into a .dcvc stream."""

import sys
from contextlib import ExitStack, nullcontext
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dcvc_cli.coding.encode_settings import DEFAULTS, EncodeSettings, layered_settings
from dcvc_cli.commands.options import (
    Device,
    Frames,
    MaxFrames,
    MaxMemory,
    MaxPixels,
    Overwrite,
    ProgressOption,
    Quiet,
    Seek,
    Threads,
    Verbose,
    check_places,
    limits_of,
    parse_frame_rate,
    parse_size,
)
from dcvc_cli.errors import UsageError
from dcvc_cli.ui.progress import ProgressMode

if TYPE_CHECKING:
    from dcvc_cli.coding.encode import EncodeSummary
    from dcvc_cli.coding.frame_report import FrameReport
    from dcvc_cli.coding.opened_models import OpenedModel
    from dcvc_cli.coding.report_files import CsvReport, JsonReport, TextSink
    from dcvc_cli.media import PictureReader

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
    source: Annotated[
        str, typer.Argument(metavar="IN", help=".y4m, .yuv, a PNG folder or im%05d.png, mp4/mkv, or - (y4m or raw).")
    ],
    output: Annotated[
        str, typer.Option("--output", "-o", metavar="OUT.dcvc", help="The stream; - is standard output.")
    ],
    overwrite: Overwrite = False,
    input_res: Annotated[str | None, _input("WxH", "Picture size of raw input.")] = None,
    fps: Annotated[str | None, _input("N[/D]", "Frames per second, whatever the input says.")] = None,
    input_depth: Annotated[int, _input("BITS", "Bits per sample of raw input; only 8 is supported.")] = 8,
    input_format: Annotated[
        str | None, _input("NAME", "Format of the input: y4m, yuv, png or video. Default: by content and name.")
    ] = None,
    seek: Seek = 0,
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
            "auto: compact up to 1280x720, else partitioned. `dcvc remux` turns reference-one and reference-two into "
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
    bitrate: Annotated[str | None, typer.Option(hidden=True)] = None,
) -> None:
    """Encode pictures into a .dcvc stream.

    QP runs from 0 to 63 and HIGHER is better quality and a bigger file, the opposite of x264 and x265.
    """
    for name, value in (("--crf", crf), ("--bitrate", bitrate)):
        if value is not None:
            raise UsageError(f"{name} does not exist yet", "--qp 0..63 sets the quality; higher is better")
    given = {
        "qp": qp,
        "qp_i": qp_i,
        "qp_p": qp_p,
        "keyint": keyint,
        "force_keyframes": None if force_keyframes is None else _frame_numbers(force_keyframes),
        "scenecut": scenecut,
        "min_keyint": min_keyint,
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
    check_places([source], {"-o": output, "--recon": recon, "--csv": csv_file, "--json": json_file})
    size = None if input_res is None else parse_size(input_res, "--input-res")
    frame_rate = None if fps is None else parse_frame_rate(fps)
    limits = limits_of(max_pixels, max_frames, max_memory)

    from dcvc_cli.coding.encode import StreamEncoder, encode_pictures
    from dcvc_cli.coding.memory import encoding_memory
    from dcvc_cli.coding.report_files import summary_values
    from dcvc_cli.media import OutputFile, PictureWriter, open_reader, open_writer
    from dcvc_cli.media.endings import CSV, JSON, STREAM, check_ending
    from dcvc_cli.ui.progress import open_progress
    from dcvc_cli.ui.voice import Voice

    check_ending("-o", output, STREAM)
    check_ending("--csv", csv_file, CSV)
    check_ending("--json", json_file, JSON)
    voice = Voice(quiet, verbose)
    with ExitStack() as stack:
        reader = stack.enter_context(
            open_reader(
                source,
                size=size,
                frame_rate=frame_rate,
                bit_depth=input_depth,
                input_format=input_format,
                skip_frames=seek,
                max_frames=frames,
                limits=limits,
            )
        )
        sink = stack.enter_context(OutputFile(output, overwrite=overwrite))
        writer = (
            None
            if recon is None
            else stack.enter_context(open_writer(recon, reader.format, overwrite=overwrite, option="--recon"))
        )
        voice.note(f"{reader.name}: {reader.description}")
        num_told = len(reader.notes)
        for note in reader.notes:
            voice.note(f"note: {note}")
        opened = _open_model(settings)
        voice.note(_coding_line(opened, settings))
        picture_size = reader.format.size
        limits.check_encoding(
            reader.name, picture_size.width, picture_size.height, encoding_memory(opened, picture_size)
        )
        encoder = StreamEncoder(
            opened, reader.format, settings.coding_choices(), sink, recon=writer, psnr=psnr, msssim=msssim
        )
        reports = _open_reports(stack, csv_file, json_file, overwrite, _report_head(opened, settings, reader))
        num_pixels = picture_size.num_pixels

        def on_frame(report: "FrameReport") -> None:
            display.advance(report.size_bytes)
            if reports or verbose:
                row = _row(report, settings, num_pixels)
                for file in reports:
                    file.add(row)
                voice.detail(frame_line(report))

        rate = float(reader.format.frame_rate)
        with open_progress(progress, "encode", num_frames=reader.num_frames, frame_rate=rate, quiet=quiet) as display:
            summary = encode_pictures(encoder, reader, on_frame)
        for note in reader.notes[num_told:]:
            voice.note(f"note: {note}")
        for file in reports:
            file.finish(summary_values(summary))
        # All outputs appear or none: an output that finds no room fails before the first one gets its name.
        for output_file in (sink, writer, *(file.sink for file in reports)):
            if isinstance(output_file, OutputFile | PictureWriter):
                output_file.complete()
            elif output_file is not None:
                output_file.flush()
    voice.note(_summary_line(sink.name, summary))


def _frame_numbers(text: str) -> list[int]:
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if not parts or not all(part.isascii() and part.isdigit() and len(part) <= 10 for part in parts):
        raise UsageError(f"--force-keyframes {text}: expected frame numbers", "--force-keyframes 0,48,96")
    return [int(part) for part in parts]


def _open_model(settings: EncodeSettings) -> "OpenedModel":
    from dcvc_cli.coding.opened_models import open_model

    return open_model(settings.model, settings.precision, settings.device, settings.threads)


def _open_reports(
    stack: ExitStack, csv_file: str | None, json_file: str | None, overwrite: bool, head: dict[str, Any]
) -> "list[CsvReport | JsonReport]":
    from dcvc_cli.coding.report_files import CsvReport, JsonReport
    from dcvc_cli.media import OutputFile

    def sink(name: str) -> "TextSink":
        # OutputFile refuses a terminal, and text may go to one.
        return stack.enter_context(
            nullcontext(sys.stdout.buffer) if name == "-" else OutputFile(name, overwrite=overwrite)
        )

    reports: list[CsvReport | JsonReport] = []
    if csv_file is not None:
        reports.append(CsvReport(sink(csv_file)))
    if json_file is not None:
        reports.append(JsonReport(sink(json_file), head))
    return reports


def _report_head(opened: "OpenedModel", settings: EncodeSettings, reader: "PictureReader") -> dict[str, Any]:
    """The values that stand before the frames of a JSON report."""
    from dcvc_cli import __version__
    from dcvc_cli.coding.opened_models import NAMES_OF_PRECISIONS

    values = asdict(settings) | {
        "qp_i": settings.qp_base_i,
        "qp_p": settings.qp_base_p,
        "precision": NAMES_OF_PRECISIONS[opened.precision],
    }
    values["qp_base"] = values.pop("qp")
    size = reader.format.size
    video = {
        "width": size.width,
        "height": size.height,
        "frame_rate": str(reader.format.frame_rate),
        "chroma_format": reader.format.chroma.value,
    }
    model = {
        "name": opened.weights.name,
        **opened.weights.fingerprint_texts,
        "device": opened.device,
    }
    return {"dcvc_version": __version__, "settings": values, "video": video, "model": model}


def _row(report: "FrameReport", settings: EncodeSettings, num_pixels: int) -> dict[str, Any]:
    from dcvc_cli.coding.report_files import frame_row

    return frame_row(report, settings.qp_base_i if report.frame_type == "I" else settings.qp_base_p, num_pixels)


def _coding_line(opened: "OpenedModel", settings: EncodeSettings) -> str:
    from dcvc_cli.coding.opened_models import NAMES_OF_PRECISIONS

    qp = (
        f"QP {settings.qp_base_i}"
        if settings.qp_base_i == settings.qp_base_p
        else f"QP {settings.qp_base_i} (I) {settings.qp_base_p} (P)"
    )
    return (
        f"model {opened.weights.name}, {NAMES_OF_PRECISIONS[opened.precision]} on {opened.device}, {qp} of 0..63 "
        "(higher is better)"
    )


def frame_line(report: "FrameReport") -> str:
    """One frame in one line, as -v prints it."""
    quality = "".join(f" {name}={value:.4f}" for name, value in report.quality.items())
    return (
        f"frame {report.index} {report.frame_type} qp={report.qp_frame} size={report.size_bytes} "
        f"seconds={report.seconds:.4f}{quality}"
    )


def _summary_line(name: str, summary: "EncodeSummary") -> str:
    frames = f"{summary.num_frames} frame{'s' if summary.num_frames != 1 else ''} ({summary.num_i_frames} I)"
    rate = "" if summary.bitrate_kbps is None else f", {summary.bitrate_kbps:.2f} kbit/s"
    speed = summary.num_frames / max(summary.wall_seconds, 1e-9)
    quality = "".join(
        f", {label} {summary.quality[key]:.{digits}f}{unit}"
        for key, label, digits, unit in _MEANS
        if key in summary.quality
    )
    return f"{name}: {frames}, {summary.size_bytes} bytes, {summary.bpp:.5f} bpp{rate}, {speed:.2f} fps{quality}"


_MEANS = (
    ("psnr_y", "PSNR Y", 3, " dB"),
    ("psnr_u", "U", 3, " dB"),
    ("psnr_v", "V", 3, " dB"),
    ("psnr", "combined", 3, " dB"),
    ("msssim", "MS-SSIM", 5, ""),
)
