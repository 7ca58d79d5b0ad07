"""`dcvc farm`: codes inputs on a cluster."""

import json
import os
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dcvc_cli.commands.batch import output_jobs
from dcvc_cli.commands.coding_options import ChunkOptions, CodingOptions, SourceOptions
from dcvc_cli.commands.option_list import takes_options
from dcvc_cli.commands.options import LimitOptions, Overwrite, ProgressOption, Quiet
from dcvc_cli.commands.plan_stream import parse_chunk_frames
from dcvc_cli.errors import BatchError, DcvcError, UsageError
from dcvc_cli.ui.progress import ProgressMode

if TYPE_CHECKING:
    from dcvc_cli.farm.work import FarmJob

app = typer.Typer(name="farm", no_args_is_help=True)
STATE_FOLDER = ".farm"
REPORT = "farm.json"


@app.callback()
def farm() -> None:
    """Encode many inputs on a cluster, chunk by chunk."""


@app.command("encode")
@takes_options
def farm_encode(
    *,
    sources: Annotated[list[str], typer.Argument(metavar="IN...", help="Files that driver and workers see alike.")],
    output: Annotated[
        str, typer.Option("--output", "-o", metavar="DIR", help="Takes a stream for each input, and farm.json.")
    ],
    workers: Annotated[
        int | None,
        typer.Option(
            min=1, max=4096, metavar="N", help="Chunks at once. Default: as many as the cluster has room for."
        ),
    ] = None,
    address: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", help="A Ray cluster, ray://HOST:10001 or auto. Default: one on this machine."),
    ] = None,
    threads: Annotated[int, typer.Option("--threads", min=1, max=1024, metavar="N", help="CPUs of a worker.")] = 1,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with a run that ended early; whole streams and parts are kept.")
    ] = False,
    overwrite: Overwrite = False,
    chunks: ChunkOptions,
    origin: SourceOptions,
    coding: CodingOptions,
    limit: LimitOptions,
    progress: ProgressOption = ProgressMode.AUTO,
    quiet: Quiet = False,
) -> None:
    """Encode inputs on a Ray cluster: `pip install 'dcvc[farm]'`.

    Each input is planned, its chunks are coded by workers, and the parts are joined, as `dcvc encode --plan` does on
    one machine and with the same bytes. A chunk whose worker dies is coded again. A step that fails three times fails
    its input and no other; the exit code is 6 then, and farm.json tells why.
    """
    settings = coding.settings()

    from dcvc_cli.coding.chunk_plan import InputOptions
    from dcvc_cli.coding.opened_models import precision_for
    from dcvc_cli.coding.plan_making import check_same_everywhere, check_settings
    from dcvc_cli.commands.encode_stream import is_whole_stream
    from dcvc_cli.farm.ray_engine import RayEngine
    from dcvc_cli.farm.run import FarmRun, report_of
    from dcvc_cli.farm.work import FarmJob
    from dcvc_cli.staged_files import write_whole
    from dcvc_cli.ui.progress import open_progress
    from dcvc_cli.ui.voice import Voice
    from dcvc_cli.weights.store import weights_by_name

    check_settings(settings)
    if settings.target is not None:
        hint = "dcvc plan --target, then dcvc encode --chunk; or --crf"
        raise UsageError("--target codes and measures a clip before its chunks are dealt out", hint)
    weights = weights_by_name(settings.model)
    if not chunks.allow_float:
        check_same_everywhere(weights, precision_for(weights, settings.precision))
    limits = limit.limits()
    options = InputOptions(
        size=origin.size,
        frame_rate=origin.frame_rate,
        bit_depth=origin.input_depth,
        input_format=origin.input_format,
        keep_tracks=origin.tracks,
    )
    lengths = parse_chunk_frames(chunks.chunk_frames)
    folder = os.path.abspath(output) + "/"
    jobs = []
    for job in output_jobs(sources, folder, ".dcvc"):
        if os.path.exists(job.output) and not (overwrite or resume):
            raise UsageError(f"{job.output} exists", "--resume keeps it if it is whole, -y replaces it")
        state = os.path.join(folder, STATE_FOLDER, os.path.basename(job.output))
        source = os.path.abspath(job.source)
        jobs.append(
            FarmJob(
                source,
                job.output,
                state,
                options,
                settings,
                lengths,
                chunks.allow_float,
                threads,
                limits,
                overwrite or resume,
            )
        )
    voice = Voice(quiet)
    try:
        os.makedirs(folder, exist_ok=True)
    except OSError as error:
        raise UsageError(f"cannot make the folder {output}: {error.strerror or error}") from error
    begin = time.perf_counter()
    with (
        RayEngine(address, workers, threads) as engine,
        open_progress(progress, "farm", num_frames=_num_frames(jobs), frame_rate=0.0, quiet=quiet) as display,
    ):
        voice.note(f"{len(jobs)} inputs, {engine.num_workers} workers of {threads} threads")

        def on_chunk(num_frames: int, size_bytes: int) -> None:
            for index in range(num_frames):
                display.advance(0 if index else size_bytes)

        run = FarmRun(
            jobs,
            engine,
            engine.num_workers,
            resume=resume,
            is_whole=lambda source, place: is_whole_stream(limits, source, place),
            on_chunk=on_chunk,
            on_event=voice.note,
        )
        run.run()
    with suppress(OSError):
        os.rmdir(os.path.join(folder, STATE_FOLDER))  # empty where every input is done
    report = report_of(run, time.perf_counter() - begin)
    write_whole(Path(folder) / REPORT, (json.dumps(report, indent=1) + "\n").encode())
    voice.note(f"{report['num_frames']} frames in {report['seconds']} s, {report['fps']} fps")
    if report["num_failed"]:
        failed = [entry["input"] for entry in report["inputs"] if entry["state"] == "failed"]
        shown = ", ".join(failed[:5]) + (", ..." if len(failed) > 5 else "")
        raise BatchError(f"{len(failed)} of {len(jobs)} inputs failed: {shown}", f"{output}/{REPORT} tells why")


def _num_frames(jobs: "list[FarmJob]") -> int | None:
    """Frames of all inputs; None where one does not state them. An input that cannot be read counts none here: its own
    steps report it."""
    from dcvc_cli.coding.plan_making import open_input

    total = 0
    for job in jobs:
        try:
            with open_input(job.source, job.options, job.limits) as reader:
                if reader.num_frames is None:
                    return None
                total += reader.num_frames
        except DcvcError:
            continue
    return total or None
