"""The driver of a farm: gives steps to an engine, tries failed steps again, and keeps the result of each input."""

import os
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from dcvc_cli.errors import ExitCode
from dcvc_cli.farm.work import FarmJob, Result, Step, Work, fitting_plan

MAX_TRIES, MAX_DEATHS = 3, 12
"""Number of failures of a step, and of deaths of its worker, after which its input has failed. A death is often the
machine's fault; the limit ends a step that kills each worker."""


class Engine(Protocol):
    """Runs `do_work` somewhere else."""

    def submit(self, work: Work) -> None:
        """Starts a step once there is room."""

    def next_finished(self) -> tuple[Work, Result]:
        """Waits for a step to end, in any order. The result of a step whose worker died says so."""


@dataclass
class InputState:
    """One input of a run.

    Attributes:
        state: "waiting", "done", "skipped" or "failed".
        num_chunks: of its plan; 0 before there is one.
        num_frames: coded so far.
        size_bytes: of the stream, once it is there.
        tries: number of tries of each step that was tried again, such as {"chunk 3": 2}.
        deaths: how many of these tries ended with the death of the worker.
        exit_code: of its failure. text: one line about the failure.
    """

    job: FarmJob
    state: str = "waiting"
    num_chunks: int = 0
    num_frames: int = 0
    size_bytes: int = 0
    tries: Counter[str] = field(default_factory=Counter)
    deaths: Counter[str] = field(default_factory=Counter)
    exit_code: int = ExitCode.DONE
    text: str = ""
    left: set[int] = field(default_factory=set)
    """Chunks whose parts are missing yet."""

    def report(self) -> dict[str, Any]:
        """Returns the values of a JSON report."""
        return {
            "input": self.job.source,
            "output": self.job.output,
            "state": self.state,
            "num_chunks": self.num_chunks,
            "num_frames": self.num_frames,
            "size_bytes": self.size_bytes,
            "tried_again": {name: count for name, count in sorted(self.tries.items()) if count > 1},
            "exit_code": int(self.exit_code),
            "error": self.text or None,
        }


class FarmRun:
    """Codes inputs on an engine.

    Args:
        num_workers: steps that the engine is given at once.
        resume: keep plans and parts of a run that ended early, and outputs for which `is_whole` is true.
        is_whole: tells of (input, output) whether the output is there and whole.
        on_chunk: called with (frames, bytes) of each chunk that is there.
        on_event: called with one line about what failed or ended.
    """

    def __init__(
        self,
        jobs: Sequence[FarmJob],
        engine: Engine,
        num_workers: int,
        *,
        resume: bool,
        is_whole: Callable[[str, str], bool],
        on_chunk: Callable[[int, int], None],
        on_event: Callable[[str], None],
    ) -> None:
        self.inputs = {job.output: InputState(job) for job in jobs}
        self._engine, self._num_workers, self._resume = engine, num_workers, resume
        self._is_whole, self._on_chunk, self._on_event = is_whole, on_chunk, on_event
        self._ready: deque[Work] = deque()
        self._num_running = 0

    def run(self) -> None:
        """Does all inputs; returns when each is done, skipped or failed."""
        for state in self.inputs.values():
            self._begin(state)
        while self._ready or self._num_running:
            while self._ready and self._num_running < self._num_workers:
                work = self._ready.popleft()
                if self._state_of(work).state == "failed":
                    continue
                self._state_of(work).tries[_name(work)] += 1
                self._engine.submit(work)
                self._num_running += 1
            if self._num_running:
                work, result = self._engine.next_finished()
                self._num_running -= 1
                self._take(work, result)

    def _state_of(self, work: Work) -> InputState:
        return self.inputs[work.job.output]

    def _begin(self, state: InputState) -> None:
        job = state.job
        if self._resume and os.path.exists(job.output) and self._is_whole(job.source, job.output):
            state.state = "skipped"
            self._on_event(f"{job.output} is there and whole")
        elif self._resume and fitting_plan(job) is not None:
            self._plan_is_there(state)
        else:
            self._ready.append(Work(job, Step.PLAN))

    def _take(self, work: Work, result: Result) -> None:
        state = self._state_of(work)
        if state.state == "failed":
            return
        if result.exit_code != ExitCode.DONE:
            self._fail(work, state, result)
        elif work.step is Step.PLAN:
            self._plan_is_there(state)
        elif work.step is Step.CHUNK:
            state.left.discard(work.chunk)
            state.num_frames += result.num_frames
            self._on_chunk(result.num_frames, result.size_bytes)
            if not state.left:
                self._ready.appendleft(Work(state.job, Step.JOIN))
        else:
            state.state, state.size_bytes = "done", result.size_bytes
            self._on_event(f"{state.job.output}: {state.num_frames} frames, {state.size_bytes} bytes")

    def _plan_is_there(self, state: InputState) -> None:
        plan = fitting_plan(state.job)
        if plan is None:
            state.state, state.exit_code = "failed", ExitCode.INPUT
            state.text = f"{state.job.plan_file} is not what a worker wrote: driver and workers need one file system"
            self._on_event(f"error: {state.job.source}: {state.text}")
            return
        state.num_chunks = len(plan.chunks)
        state.left = {chunk.number for chunk in plan.chunks}
        self._ready.extend(Work(state.job, Step.CHUNK, chunk.number) for chunk in plan.chunks)

    def _fail(self, work: Work, state: InputState, result: Result) -> None:
        name = _name(work)
        text = result.text if state.job.source in result.text else f"{state.job.source}: {result.text}"
        state.deaths[name] += result.has_died
        if state.deaths[name] < MAX_DEATHS and state.tries[name] - state.deaths[name] < MAX_TRIES:
            self._on_event(f"{text} [{name}, tried again]")
            self._ready.appendleft(work)
            return
        state.state, state.exit_code, state.text = "failed", result.exit_code, f"{name}: {result.text}"
        self._on_event(f"error: {text} [{name}, exit code {int(result.exit_code)}]")


def _name(work: Work) -> str:
    return work.step.value if work.chunk < 0 else f"{work.step.value} {work.chunk}"


def report_of(run: FarmRun, seconds: float) -> dict[str, Any]:
    """Returns the results of a run as JSON values."""
    states = list(run.inputs.values())
    num_frames = sum(state.num_frames for state in states)
    return {
        "schema_version": 1,
        "inputs": [state.report() for state in states],
        "num_failed": sum(state.state == "failed" for state in states),
        "num_frames": num_frames,
        "seconds": round(seconds, 3),
        "fps": round(num_frames / max(seconds, 1e-9), 3),
    }
