"""Runs a command over many inputs, several at once. Outputs are named after inputs; failures are reported together at
the end."""

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import PurePath
from typing import Protocol

from dcvc_cli.errors import BatchError, DcvcError, ExitCode, UsageError

Skip = Callable[[str, str], bool]
"""A function of (source, output): whether the output is there and whole."""


@dataclass(frozen=True)
class Job:
    """One input of a batch and where it goes."""

    source: str
    output: str


@dataclass(frozen=True)
class Outcome:
    """How a job ended.

    Attributes:
        state: "done", "skipped" or "failed".
        text: one line about it.
        exit_code: what the command would have ended with for this input alone.
    """

    state: str
    text: str
    exit_code: int = ExitCode.DONE


class Start(Protocol):
    """Makes the function that does jobs, once in each process. It is pickled for other processes."""

    def __call__(self, skips_others: bool, worker: int, /) -> Callable[[Job], str]:
        """Returns a function that does a job and says one line; it raises DcvcError."""


def names_folder(output: str) -> bool:
    """Returns whether an output is a folder that takes a file for each input."""
    return output.endswith("/") or os.path.isdir(output)


def output_jobs(sources: Sequence[str], folder: str, ending: str) -> list[Job]:
    """Jobs whose outputs have the inputs' names with another ending.

    Raises:
        UsageError: standard input among several inputs, no folder, an input that is an output, or two inputs of one
            name.
    """
    if "-" in sources:
        raise UsageError("standard input has no name that its output could have", "give it alone, with -o FILE")
    if not names_folder(folder):
        raise UsageError(f"-o {folder}: several inputs go to a folder, expected one", f"-o {folder}/")
    jobs: dict[str, Job] = {}
    for source in sources:
        stem = (
            PurePath(source.rstrip("/")).stem if not os.path.isdir(source) else PurePath(os.path.abspath(source)).name
        )
        output = os.path.join(folder, stem + ending)
        if output in jobs:
            hint = "encode them into different folders"
            raise UsageError(f"{jobs[output].source} and {source} would both be written to {output}", hint)
        if os.path.realpath(output) == os.path.realpath(source):
            raise UsageError(f"{output} would replace its input {source}", "give another folder")
        jobs[output] = Job(source, output)
    return list(jobs.values())


def threads_of_each(threads: int | None, jobs: int) -> int | None:
    """Threads of the arithmetic of each of several jobs: a fair share of the cores, unless the user says a number."""
    return threads if threads is not None or jobs == 1 else max(1, (os.cpu_count() or 1) // jobs)


def run_batch(jobs: Sequence[Job], num_workers: int, start: Start, *, skip: Skip | None, quiet: bool) -> None:
    """Does all jobs and reports the end of each, then the sums.

    Args:
        num_workers: how many at once; 1 does them in this process.
        skip: jobs for which this is true are left out; None does all.
        quiet: report failures only.

    Raises:
        BatchError: some jobs failed; all others are done.
    """
    from dcvc_cli.evaluating.workers import run_jobs
    from dcvc_cli.ui.console import say
    from dcvc_cli.ui.voice import Voice

    voice = Voice(quiet)
    begin = time.perf_counter()
    folder = os.path.dirname(jobs[0].output)
    if folder:
        try:
            os.makedirs(folder, exist_ok=True)
        except OSError as error:
            raise UsageError(f"cannot make the folder {folder}: {error.strerror or error}") from error
    counts = {"done": 0, "skipped": 0, "failed": 0}
    failures: list[str] = []
    work = partial(_start_jobs, start, skip)
    for number, (job, outcome) in enumerate(run_jobs(jobs, num_workers, work, _died), 1):
        counts[outcome.state] += 1
        line = f"[{number}/{len(jobs)}] {outcome.text}"
        if outcome.state == "failed":
            failures.append(job.source)
            say(f"{line} [exit code {outcome.exit_code}]")
        else:
            voice.note(line)
    told = ", ".join(f"{count} {state}" for state, count in counts.items() if count or state == "done")
    count = f"{len(jobs)} input{'s' if len(jobs) != 1 else ''}"
    voice.note(f"{count}: {told}, {time.perf_counter() - begin:.1f} s")
    if failures:
        shown = ", ".join(failures[:5]) + (", ..." if len(failures) > 5 else "")
        raise BatchError(f"{len(failures)} of {count} failed: {shown}")


def _start_jobs(start: Start, skip: Skip | None, worker: int) -> Callable[[Job], Outcome]:
    do = start(skip is not None, worker)

    def work(job: Job) -> Outcome:
        try:
            if skip is not None and os.path.exists(job.output) and skip(job.source, job.output):
                return Outcome("skipped", f"{job.output} is there and whole")
            return Outcome("done", do(job))
        except DcvcError as error:
            text = str(error) if job.source in str(error) else f"{job.source}: {error}"
            return Outcome("failed", f"error: {text}", error.exit_code)
        except MemoryError:
            return Outcome("failed", f"error: {job.source}: out of memory", ExitCode.ENVIRONMENT)

    return work


def _died(job: Job, reason: str) -> Outcome:
    return Outcome("failed", f"error: {job.source}: {reason}", ExitCode.INTERNAL)
