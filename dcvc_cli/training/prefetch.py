"""Cuts the batches of the next steps on threads while a step computes, so that the loader never holds up the device."""

import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

NUM_THREADS = max(2, min(8, (os.cpu_count() or 2) // 2))
"""Cutting a crop takes a millisecond or two: more threads where a GPU waits for them and many cores are there to
cut."""
NUM_AHEAD = NUM_THREADS + 2

Batch = NDArray[np.uint8]


class Prefetcher:
    """The batches of steps `first` .. `end` - 1 in order.

    Args:
        prepare: called with each step in order, so that a stage's sampler is built once; what it returns cuts the
            batch, on a thread.
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
