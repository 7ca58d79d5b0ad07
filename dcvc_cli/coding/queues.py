"""A bounded queue between two threads that forwards exceptions and stops cleanly from either end.

The main thread is always the last of a chain: it writes, and it only ever waits here, where a signal finds it. Every other thread produces.
"""

import threading
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

T = TypeVar("T")
STOP_SECONDS = 1.0
"""How long leaving waits for the producer. One that is stuck in a read or in a long computation is left behind: it ends at its next item,
and the program does not depend on it (app.py)."""


class QueueStoppedError(Exception):
    """Raised in the producer after the consumer has gone."""


class BoundedQueue(Generic[T]):
    """At most `capacity` items between one producer and one consumer, so that memory does not grow with the clip."""

    def __init__(self, capacity: int) -> None:
        if capacity < 1:
            raise ValueError(f"a queue of {capacity} items holds nothing")
        self._capacity = capacity
        self._items: deque[T] = deque()
        self._changed = threading.Condition()
        self._finished = self._stopped = False
        self._error: BaseException | None = None

    def put(self, item: T) -> None:
        """Adds an item, waiting while the queue is full; QueueStoppedError once the consumer has gone."""
        with self._changed:
            while len(self._items) >= self._capacity and not self._stopped:
                self._changed.wait()
            if self._stopped:
                raise QueueStoppedError
            self._items.append(item)
            self._changed.notify_all()

    def finish(self, error: BaseException | None = None) -> None:
        """The producer's last call: the consumer gets what is left, then the error or the end."""
        with self._changed:
            self._finished, self._error = True, error
            self._changed.notify_all()

    def stop(self) -> None:
        """The consumer's last call: drops what is left and releases the producer."""
        with self._changed:
            self._stopped = True
            self._items.clear()
            self._changed.notify_all()

    def __iter__(self) -> Iterator[T]:
        while True:
            with self._changed:
                while not self._items and not self._finished:
                    self._changed.wait()
                if not self._items:
                    if self._error is not None:
                        raise self._error
                    return
                item = self._items.popleft()
                self._changed.notify_all()
            yield item


@contextmanager
def read_ahead(source: Iterable[T], capacity: int = 2) -> Iterator[Iterator[T]]:
    """Runs `source` in a thread of its own, at most `capacity` items ahead. An exception of the source comes out of the iterator, in its place.

    Leaving early stops the thread at its next item.
    """
    queue: BoundedQueue[T] = BoundedQueue(capacity)

    def produce() -> None:
        try:
            for item in source:
                queue.put(item)
        except QueueStoppedError:
            queue.finish()
        except BaseException as error:
            queue.finish(error)
        else:
            queue.finish()

    thread = threading.Thread(target=produce, name="dcvc-read-ahead", daemon=True)
    thread.start()
    try:
        yield iter(queue)
    finally:
        queue.stop()
        thread.join(STOP_SECONDS)
