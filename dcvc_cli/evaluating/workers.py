"""Gives jobs to spawned processes, one job at a time to each. A process that dies loses its job, and the run goes
on."""

import contextlib
import multiprocessing
import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import Generic, TypeVar

Job = TypeVar("Job")
Result = TypeVar("Result")
WORKER_STOP_SECONDS = 5.0
"""How long a run waits for a process to end before it kills the process."""

Work = Callable[[Job], Result]
StartWork = Callable[[int], Work[Job, Result]]
"""Called in each process with the number of the process, 0, 1, ...; returns a function that does a job. StartWork, jobs
and results are pickled."""


def run_jobs(
    jobs: Sequence[Job], num_workers: int, start: StartWork[Job, Result], on_death: Callable[[Job, str], Result]
) -> Iterator[tuple[Job, Result]]:
    """Yields jobs with their results, in the order in which the results are ready.

    Args:
        num_workers: number of processes; 1 does the jobs in this process, one after the other.
        start: makes the function that does the jobs.
        on_death: makes the result of a job whose process died, from the job and the reason.

    Raises:
        Exception: what `start` raises. A job must not raise: it turns its failure into a result.
    """
    if num_workers == 1:
        work = start(0)
        for job in jobs:
            yield job, work(job)
        return
    pool = _Workers(start, min(num_workers, len(jobs)))
    try:
        yield from pool.run(deque(jobs), on_death)
    finally:
        pool.stop()


class _Worker(Generic[Job, Result]):
    """A process, this end of the pipe to it, and the job that it does."""

    def __init__(self, number: int, start: StartWork[Job, Result]) -> None:
        # Spawned, not forked: a fork of a process with torch's threads may hang.
        context = multiprocessing.get_context("spawn")
        self.number = number
        self.job: Job | None = None
        self.connection, theirs = context.Pipe()
        self.process: SpawnProcess = context.Process(
            target=_serve, args=(theirs, start, number), name=f"dcvc-worker-{number}", daemon=True
        )
        self.process.start()
        theirs.close()

    def give(self, job: Job | None) -> None:
        """Sends a job; None ends the process."""
        self.job = job
        # `run` sees the closed pipe of a process that died.
        with contextlib.suppress(OSError):
            self.connection.send(job)


class _Workers(Generic[Job, Result]):
    def __init__(self, start: StartWork[Job, Result], num_workers: int) -> None:
        self._start = start
        self._workers = [_Worker(number, start) for number in range(num_workers)]

    def run(self, left: deque[Job], on_death: Callable[[Job, str], Result]) -> Iterator[tuple[Job, Result]]:
        for worker in self._workers:
            worker.give(left.popleft())
        while busy := {worker.connection: worker for worker in self._workers if worker.job is not None}:
            for ready in wait(list(busy)):
                worker = busy[ready]  # type: ignore[index]
                job = worker.job
                assert job is not None
                try:
                    result, fault = worker.connection.recv()
                except (EOFError, OSError):
                    result, fault = on_death(job, self._reason(worker)), None
                    worker = self._replace(worker)
                if fault is not None:
                    raise fault
                worker.job = None
                if left:
                    worker.give(left.popleft())
                yield job, result

    @staticmethod
    def _reason(worker: "_Worker[Job, Result]") -> str:
        worker.process.join(WORKER_STOP_SECONDS)
        code = worker.process.exitcode
        reason = f"signal {-code}" if code is not None and code < 0 else f"exit code {code}"
        return f"its process ended with {reason}; a machine that runs out of memory does that"

    def _replace(self, dead: "_Worker[Job, Result]") -> "_Worker[Job, Result]":
        dead.connection.close()
        fresh = _Worker(dead.number, self._start)
        self._workers[self._workers.index(dead)] = fresh
        return fresh

    def stop(self) -> None:
        """Ends all processes, even in the middle of a job."""
        for worker in self._workers:
            if worker.job is None:
                worker.give(None)
            else:
                worker.process.terminate()
        for worker in self._workers:
            worker.process.join(WORKER_STOP_SECONDS)
            if worker.process.is_alive():
                worker.process.kill()
            worker.connection.close()


def _serve(connection: Connection, start: StartWork[Job, Result], number: int) -> None:
    """Runs in a worker process until the job is None, the parent ends, or SIGTERM comes. SIGTERM lets it remove
    temporary files."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group of processes, and the parent decides
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        work = start(number)
    except Exception as fault:
        connection.recv()
        connection.send((None, fault))
        return
    try:
        while (job := connection.recv()) is not None:
            connection.send((work(job), None))
    except (EOFError, BrokenPipeError):
        pass  # the parent is gone


def _end_with_parent() -> None:
    """Ends this process when its parent has ended: a killed parent cannot stop its workers, and a job may take many
    minutes."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os.kill(os.getpid(), signal.SIGTERM)
