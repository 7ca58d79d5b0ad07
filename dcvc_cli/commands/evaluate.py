"""`dcvc eval`: codes test sets at several rates, decodes them and measures; makes one result file."""

import os
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dcvc_cli.coding.encode_settings import EncodeSettings, option_name
from dcvc_cli.commands.coding_options import Model, PrecisionName, ResetInterval, SkipThreshold
from dcvc_cli.commands.evaluate_rates import CodecName, rates_of
from dcvc_cli.commands.options import Device, Overwrite, Threads, check_places
from dcvc_cli.errors import BatchError, UsageError
from dcvc_cli.format.constants import DEFAULT_MODEL

if TYPE_CHECKING:
    from dcvc_cli.evaluating.evaluation import CoderSettings, EvaluationPoint, PointOutcome

_SET, _OTHERS = "Test set", "Conventional codecs"
_QP_LIST = "N,N,..."


def evaluate(
    config: Annotated[
        Path,
        typer.Argument(
            metavar="CONFIG.json", help="Test configuration in the form of the DCVC test programs.", show_default=False
        ),
    ],
    output: Annotated[
        str, typer.Option("--output", "-o", metavar="RESULT.json", help="The result file.", show_default=False)
    ],
    overwrite: Overwrite = False,
    root: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Folder of the test set, instead of root_path in the file.", rich_help_panel=_SET
        ),
    ] = None,
    force_frame_num: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="Code the first N frames of each clip, all frames of a shorter one.",
            rich_help_panel=_SET,
        ),
    ] = None,
    force_intra: Annotated[
        bool, typer.Option("--force-intra", help="Code I frames only.", rich_help_panel=_SET)
    ] = False,
    force_intra_period: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="Frames from one I frame to the next in every clip; -1: only the first frame is one.",
            rich_help_panel=_SET,
        ),
    ] = None,
    rate_num: Annotated[
        int | None,
        typer.Option(
            metavar="2..64",
            help="Number of rates, evenly over QP 0..63.",
            show_default="4: QP 0, 21, 42, 63",
            rich_help_panel=_SET,
        ),
    ] = None,
    qp_i: Annotated[
        str | None,
        typer.Option(
            metavar=_QP_LIST,
            help="QPs of I frames, one for each rate: 0..63, HIGHER is better quality.",
            rich_help_panel=_SET,
        ),
    ] = None,
    qp_p: Annotated[
        str | None,
        typer.Option(
            metavar=_QP_LIST,
            help="Base QPs of P frames, as many as --qp-i. Default: those of --qp-i.",
            rich_help_panel=_SET,
        ),
    ] = None,
    model: Model = None,
    precision: PrecisionName = None,
    reset_interval: ResetInterval = None,
    force_zero_thres: SkipThreshold = None,
    device: Device = None,
    threads: Threads = None,
    workers: Annotated[
        int,
        typer.Option(
            min=1,
            max=256,
            metavar="N",
            help="Number of processes, each with its own copy of the model. They take the GPUs in turn, or share the "
            "cores.",
        ),
    ] = 1,
    stream_dir: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Keep the stream and a JSON file of each point in this folder.")
    ] = None,
    check_existing: Annotated[
        bool,
        typer.Option(
            "--check-existing", help="Use the finished points in --stream-dir that were made with the same settings."
        ),
    ] = False,
    msssim: Annotated[bool, typer.Option("--msssim", help="Measure MS-SSIM too; slow.")] = False,
    scores: Annotated[str | None, typer.Option(metavar="NAME,NAME", help="Let ffmpeg measure: vmaf, xpsnr.")] = None,
    verbose: Annotated[
        int,
        typer.Option(
            min=0,
            max=2,
            metavar="0|1|2",
            help="0: errors only; 1: a line for each point; 2: a line for each frame too.",
        ),
    ] = 1,
    codec: Annotated[
        CodecName | None,
        typer.Option(
            help="Measure this codec through ffmpeg instead. --qp-i is then its own QP: LOWER is better quality.",
            rich_help_panel=_OTHERS,
        ),
    ] = None,
    codec_args: Annotated[
        str | None,
        typer.Option(
            metavar='"..."',
            help='Options of that codec, such as "-preset medium -tune zerolatency".',
            rich_help_panel=_OTHERS,
        ),
    ] = None,
    b_frames: Annotated[
        bool,
        typer.Option(
            "--b-frames", help="Let the codec's preset choose B frames. Default: no B frames.", rich_help_panel=_OTHERS
        ),
    ] = False,
) -> None:
    """Code a test set at several rates, decode the streams, and measure. The result file has the DCVC schema, for `dcvc
    compare`.

    A point is one clip at one rate. It is coded into a stream in a file; that stream is decoded, with its picture
    hashes checked. PSNR is that of the 8-bit pictures that a decoder puts out: by plane and as (6Y + U + V) / 8, or
    over R, G and B for PNG. Published DCVC figures are taken before rounding to 8 bits. Rates count the units of frames
    and SPSs; stream_bytes in the result file is the size of the whole stream. Speed figures leave out the first 10
    frames. A clip that fails does not stop the others; the exit code is then 6.
    """
    check_places([str(config)], {"-o": output})
    if check_existing and stream_dir is None:
        raise UsageError("--check-existing needs --stream-dir, the folder with the finished points")
    if force_intra and force_intra_period is not None:
        raise UsageError("--force-intra and --force-intra-period exclude each other")
    if force_intra_period is not None and force_intra_period != -1 and force_intra_period < 1:
        raise UsageError(
            f"--force-intra-period {force_intra_period}: expected 1 or more, or -1 for the first frame only"
        )
    _check_output(output, overwrite)
    if threads is None and workers > 1:
        threads = max(1, (os.cpu_count() or 1) // workers)
    rates = rates_of(codec, rate_num, qp_i, qp_p)
    named: dict[str, Any] = {
        "model": model,
        "precision": precision,
        "reset_interval": reset_interval,
        "force_zero_thres": force_zero_thres,
    }
    given = {name: value for name, value in named.items() if value is not None}
    coding = EncodeSettings(**given)

    from dcvc_cli.evaluating.coders import rates_of_model
    from dcvc_cli.evaluating.evaluation import EvaluationPoint, limited
    from dcvc_cli.evaluating.sequence_sources import read_test_config

    intra_period = 1 if force_intra else force_intra_period
    sequences = [limited(sequence, force_frame_num, intra_period) for sequence in read_test_config(config, root)]
    if codec is None:
        rates = rates_of_model(model or DEFAULT_MODEL, rates, is_default=rate_num is None and qp_i is None)
    points = [EvaluationPoint(sequence, rate) for sequence in sequences for rate in rates]
    settings: CoderSettings
    if codec is not None:
        _refuse([option_name(name) for name in given], f"with --codec {codec}")
        settings = _conventional(codec, codec_args, b_frames, threads, msssim)
    else:
        _refuse(
            [
                name
                for name, value in (("--codec-args", codec_args), ("--b-frames", b_frames or None))
                if value is not None
            ],
            "without --codec",
        )
        settings = _dcvc(coding, device, threads, msssim)
    from dcvc_cli.evaluating.scores import measuring

    _run(points, measuring(settings, scores), output, overwrite, stream_dir, workers, check_existing, verbose)


def _check_output(output: str, overwrite: bool) -> None:
    """Checks at the start what would otherwise fail at the end of a long run."""
    from dcvc_cli.media.endings import JSON, check_ending
    from dcvc_cli.media.output import STANDARD_OUTPUT_NAMES, OutputFile, is_direct

    check_ending("-o", output, JSON)
    if output in STANDARD_OUTPUT_NAMES or not is_direct(output):
        OutputFile(output, overwrite=overwrite).abort()


def _run(
    points: Sequence["EvaluationPoint"],
    settings: "CoderSettings",
    output: str,
    overwrite: bool,
    stream_dir: Path | None,
    num_workers: int,
    keep_existing: bool,
    verbose: int,
) -> None:
    from dcvc_cli.evaluating.evaluation import collect, evaluate_points
    from dcvc_cli.metrics.results import write_results
    from dcvc_cli.ui.console import say

    outcomes: dict[EvaluationPoint, PointOutcome] = {}
    for point, outcome in evaluate_points(
        points, settings, stream_dir, num_workers=num_workers, keep_existing=keep_existing
    ):
        outcomes[point] = outcome
        if verbose or outcome.fault:
            say(f"[{len(outcomes):>{len(str(len(points)))}}/{len(points)}] {point.name}: {_told(outcome)}")
        for line in _frame_lines(outcome) if verbose == 2 else ():
            say(line)
    results = collect(points, outcomes)
    if results:
        write_results(Path(output), results, overwrite=overwrite)
    failed = list(
        dict.fromkeys(f"{point.sequence.class_name} {point.sequence.name}" for point in points if outcomes[point].fault)
    )
    if failed:
        num_failed = sum(outcome.fault is not None for outcome in outcomes.values())
        where = f"{output} holds the others" if results else "there is no result file"
        hint = (
            "--check-existing uses the finished points"
            if stream_dir is not None
            else "--stream-dir and --check-existing keep and use finished points"
        )
        raise BatchError(f"{num_failed} of {len(points)} points failed, of {', '.join(failed)}; {where}", hint)
    if verbose:
        say(f"{output}: {len(points)} points")


def _told(outcome: "PointOutcome") -> str:
    figures = outcome.figures
    if figures is None:
        return f"failed: {outcome.fault}"
    parts = [f"{figures['ave_all_frame_bpp']:.4f} bpp", f"{figures['ave_all_frame_psnr']:.3f} dB"]
    for name, kind in (("avg_frame_encoding_time", "encode"), ("avg_frame_decoding_time", "decode")):
        if figures.get(name):
            parts.append(f"{kind} {1 / figures[name]:.2f} fps")
    parts.append("from an earlier run" if outcome.was_there else f"{figures['test_time']:.1f} s")
    return ", ".join(parts)


def _frame_lines(outcome: "PointOutcome") -> list[str]:
    return [
        f"  {row['index']:5d} {row['type']} {row['num_bits'] // 8:8d} bytes {row['psnr']:8.3f} dB, "
        f"encode {row.get('encode_seconds', 0):.4f} s, decode {row.get('decode_seconds', 0):.4f} s"
        for row in outcome.frames
    ]


def _refuse(options: Sequence[str], where: str) -> None:
    if options:
        raise UsageError(f"{', '.join(options)} cannot be used {where}")


def _conventional(
    codec: CodecName, codec_args: str | None, b_frames: bool, threads: int | None, msssim: bool
) -> "CoderSettings":
    from dcvc_cli.evaluating.coders import ConventionalSettings
    from dcvc_cli.evaluating.encoders import ConventionalCodec, EncoderSettings, require_encoder

    try:
        options = tuple(shlex.split(codec_args or ""))
    except ValueError as fault:
        raise UsageError(f"--codec-args {codec_args}: {fault}") from fault
    chosen = ConventionalCodec(codec)
    require_encoder(chosen)
    # One thread by default: with more threads, some settings cut pictures into slices, and slices cost bits.
    return ConventionalSettings(chosen, EncoderSettings(options, b_frames=b_frames, num_threads=threads or 1), msssim)


def _dcvc(coding: EncodeSettings, device: str | None, threads: int | None, msssim: bool) -> "CoderSettings":
    from dcvc_cli.evaluating.coders import DcvcSettings

    return DcvcSettings.for_model(
        coding.model,
        coding.precision,
        reset_interval=coding.reset_interval,
        skip_threshold=coding.force_zero_thres or None,
        device=device or "auto",
        threads=threads,
        msssim=msssim,
    )
