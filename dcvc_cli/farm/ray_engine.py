"""Ray as the engine of a farm. Each step is a task with its CPUs."""

import logging
import os
import signal
import warnings
from typing import Any

from dcvc_cli.errors import EnvironmentFault, ExitCode
from dcvc_cli.farm.work import Result, Work, do_work


class RayEngine:
    """Runs steps as tasks of a Ray cluster. A context manager.

    Ray itself tries nothing again: the driver does, and counts.

    Args:
        address: of a cluster, such as ray://head:10001 or auto; None starts one on this machine.
        num_workers: steps at once; None = as many as the cluster has room for.
        num_threads: CPUs of each step.

    Attributes:
        num_workers: steps at once.

    Raises:
        EnvironmentFault: the cluster does not answer, or has fewer CPUs than a worker needs.
    """

    def __init__(self, address: str | None, num_workers: int | None, num_threads: int) -> None:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        import ray

        self._ray = ray
        self._running: dict[Any, Work] = {}
        # Ray takes the signals, and dcvc removes unfinished outputs on them.
        handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        quiet = {"logging_level": logging.ERROR, "log_to_driver": False}
        try:
            if address is None:
                wanted = (num_workers or max(1, (os.cpu_count() or 1) // num_threads)) * num_threads
                ray.init(num_cpus=wanted, include_dashboard=False, **quiet)
            else:
                with warnings.catch_warnings(action="ignore"):  # failures are reported below, in one line
                    ray.init(address, **quiet)
        except (ConnectionError, RuntimeError, TimeoutError, ValueError) as error:
            first_line = (str(error).splitlines() or [""])[0]
            place = "no cluster starts here" if address is None else f"the cluster at {address} does not answer"
            raise EnvironmentFault(f"Ray: {place}: {first_line}") from error
        for number, handler in handlers.items():
            signal.signal(number, handler)
        room = int(ray.cluster_resources().get("CPU", 0)) // num_threads
        if not room:
            self.stop()
            raise EnvironmentFault(f"no worker of the cluster has {num_threads} CPUs", "--threads 1")
        self.num_workers = min(num_workers or room, room)
        self._do_work = ray.remote(num_cpus=num_threads, max_retries=0)(do_work)

    def submit(self, work: Work) -> None:
        """Starts a step once a worker is free."""
        self._running[self._do_work.remote(work)] = work

    def next_finished(self) -> tuple[Work, Result]:
        """Waits for a step to end."""
        (reference, *_), _ = self._ray.wait(list(self._running), num_returns=1)
        work = self._running.pop(reference)
        try:
            return work, self._ray.get(reference)
        except self._ray.exceptions.RayError as error:
            text = f"its worker died ({type(error).__name__})"
            return work, Result(ExitCode.INTERNAL, text, has_died=True)

    def stop(self) -> None:
        """Ends the tasks and leaves the cluster; a cluster of this machine ends with it."""
        self._ray.shutdown()

    def __enter__(self) -> "RayEngine":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
