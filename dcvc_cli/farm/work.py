"""Work of a farm: a worker plans an input, codes a chunk, or joins the parts. It ends with a result, never with an
exception."""

import contextlib
import os
import shutil
import time
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

from dcvc_cli import __version__
from dcvc_cli.coding.chunk_encode import encode_chunk, open_plan_model
from dcvc_cli.coding.chunk_join import check_part, join_parts, part_name
from dcvc_cli.coding.chunk_plan import InputOptions, Plan, read_plan
from dcvc_cli.coding.encode_settings import EncodeSettings
from dcvc_cli.coding.opened_models import OpenedModel
from dcvc_cli.coding.plan_making import ChunkFrames, make_plan, source_facts
from dcvc_cli.errors import DcvcError, ExitCode, StreamError
from dcvc_cli.format.limits import Limits
from dcvc_cli.media import OutputFile
from dcvc_cli.staged_files import write_whole

_models: dict[tuple[object, ...], OpenedModel] = {}
"""The model that this process opened last. A worker codes many chunks with it."""


class Step(StrEnum):
    """A step of the work on one input."""

    PLAN = "plan"
    CHUNK = "chunk"
    JOIN = "join"


@dataclass(frozen=True)
class FarmJob:
    """One input, the same for all of its steps.

    Attributes:
        source: the input.
        output: the stream.
        folder: holds plan and parts until the stream is there. Workers and the driver see one file system.
        threads: CPU threads of a worker.
        overwrite: replace an output that is there.
    """

    source: str
    output: str
    folder: str
    options: InputOptions
    settings: EncodeSettings
    lengths: ChunkFrames
    allow_float: bool
    threads: int
    limits: Limits
    overwrite: bool

    @property
    def plan_file(self) -> str:
        return os.path.join(self.folder, "plan.json")


@dataclass(frozen=True)
class Work:
    """A step of a job; `chunk` is the number of the chunk, -1 for the other steps."""

    job: FarmJob
    step: Step
    chunk: int = -1


@dataclass(frozen=True)
class Result:
    """How a step ended.

    Attributes:
        exit_code: what `dcvc` would have ended with.
        text: one line about a failure, "" without one.
        num_frames: frames that were coded or joined.
        size_bytes: bytes that were written.
        seconds: wall time.
        has_died: whether its worker died.
    """

    exit_code: int = ExitCode.DONE
    text: str = ""
    num_frames: int = 0
    size_bytes: int = 0
    seconds: float = 0.0
    has_died: bool = False


def do_work(work: Work) -> Result:
    """Does a step and returns its result. An engine would take an exception, and `sys.exit` above all, for a crash."""
    start = time.perf_counter()
    try:
        num_frames, size_bytes = _STEPS[work.step](work)
    except DcvcError as error:
        return Result(error.exit_code, str(error))
    except MemoryError:
        return Result(ExitCode.ENVIRONMENT, "out of memory")
    except (Exception, SystemExit) as error:
        return Result(ExitCode.INTERNAL, f"internal error: {type(error).__name__}: {error}")
    return Result(num_frames=num_frames, size_bytes=size_bytes, seconds=time.perf_counter() - start)


def fitting_plan(job: FarmJob) -> Plan | None:
    """Returns the plan in a job's folder; None where there is none, or one of another input or other settings."""
    if not os.path.exists(job.plan_file):
        return None
    try:
        plan = read_plan(job.plan_file)
        fits = (
            plan.settings == replace(job.settings, device="auto", threads=None)
            and plan.dcvc_version == __version__
            and (plan.options, plan.allow_float) == (job.options, job.allow_float)
            and (plan.source_bytes, plan.source_digest) == source_facts(job.source)
        )
    except DcvcError:
        return None
    return plan if fits else None


def _plan(work: Work) -> tuple[int, int]:
    job = work.job
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(job.folder)
    plan = make_plan(job.source, job.options, job.settings, job.lengths, limits=job.limits, allow_float=job.allow_float)
    os.makedirs(job.folder, exist_ok=True)
    content = plan.to_json()
    write_whole(Path(job.plan_file), content)
    return plan.num_frames, len(content)


def _code_chunk(work: Work) -> tuple[int, int]:
    job = work.job
    plan = read_plan(job.plan_file)
    name = os.path.join(job.folder, part_name(work.chunk))
    if os.path.exists(name):
        with contextlib.suppress(StreamError):
            check_part(plan, work.chunk, name)
            return plan.chunk(work.chunk).num_frames, os.path.getsize(name)
    key = (plan.settings.model, plan.settings.precision, tuple(plan.fingerprints.values()), job.threads)
    if key not in _models:
        _models.clear()
        _models[key] = open_plan_model(plan, None, job.threads)
    with OutputFile(name, overwrite=True) as sink:
        encode_chunk(plan, work.chunk, job.source, _models[key], sink, job.limits)
    return plan.chunk(work.chunk).num_frames, sink.size_bytes


def _join(work: Work) -> tuple[int, int]:
    job = work.job
    plan = read_plan(job.plan_file)
    with OutputFile(job.output, overwrite=job.overwrite) as sink:
        join_parts(plan, job.folder, sink, job.limits, job.source)
    shutil.rmtree(job.folder, ignore_errors=True)
    return plan.num_frames, sink.size_bytes


_STEPS = {Step.PLAN: _plan, Step.CHUNK: _code_chunk, Step.JOIN: _join}
