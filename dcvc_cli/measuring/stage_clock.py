"""Measures the seconds of each stage that families and the layers below them name (stages.timed).

The time of a stage is its own: while one of its functions runs another stage, the time counts for that other stage.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from dcvc_cli.stages import OTHER, listening


class StageClock:
    """Sums the seconds of each stage between two calls of `take`, in the thread that made the clock: what another
    thread does beside it takes none of its time.

    Args:
        synchronise: waits until the device has done all its work; called at every border between stages.
    """

    def __init__(self, synchronise: Callable[[], None] = lambda: None) -> None:
        self._synchronise = synchronise
        self._seconds: dict[str, float] = {}
        self._running: list[str] = [OTHER]
        self._since = time.perf_counter()
        self._thread = threading.get_ident()

    def _switch(self) -> None:
        self._synchronise()
        now = time.perf_counter()
        stage = self._running[-1]
        self._seconds[stage] = self._seconds.get(stage, 0.0) + now - self._since
        self._since = now

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Counts the time inside for stage `name`."""
        if threading.get_ident() != self._thread:
            yield
            return
        self._switch()
        self._running.append(name)
        try:
            yield
        finally:
            self._switch()
            self._running.pop()

    def reset(self) -> None:
        """Drops the seconds counted so far and starts now."""
        self._synchronise()
        self._seconds, self._since = {}, time.perf_counter()

    def take(self) -> dict[str, float]:
        """Seconds by stage since the last `reset`; they add up to the time that passed."""
        self._switch()
        return dict(self._seconds)

    def attached(self) -> AbstractContextManager[None]:
        """Counts the stages of this process while the context lasts."""
        return listening(self)
