"""Cuts the batches of the next steps on threads while a step computes, so that the device never waits for them."""

import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

NUM_THREADS = max(2, min(8, (os.cpu_count() or 2) // 2))
"""Number of threads: more on machines with many cores, since a crop takes a millisecond or two and a GPU must not
wait."""
NUM_AHEAD = NUM_THREADS + 2

Batch = NDArray[np.uint8]


class Prefetcher:
    """Gives the batches of steps `first` .. `end` - 1 in order.

    Args:
        prepare: returns a function that cuts a step's batch, on a thread. It is called with each step in order, so that
            a stage's sampler is built once.
    """

    def __init__(self, prepare: Callable[[int], Callable[[], Batch]], first: int, end: int) -> None:
        self._prepare, self._step, self._end = prepare, first, end
        self._pool = ThreadPoolExecutor(NUM_THREADS)
        self._pending: list[Future[Batch]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown(cancel_futures=True)

    def next(self) -> Batch:
        while len(self._pending) < NUM_AHEAD and self._step < self._end:
            self._pending.append(self._pool.submit(self._prepare(self._step)))
            self._step += 1
        return self._pending.pop(0).result()
