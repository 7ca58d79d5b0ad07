"""A bounded queue between two threads. It forwards exceptions, and either end can stop it.

The main thread consumes and writes, all other threads produce. The main thread waits in this queue only: a signal can
    interrupt that wait.
"""

import threading
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

T = TypeVar("T")
PRODUCER_STOP_SECONDS = 1.0
"""How long `read_ahead` waits at its end for the producer's thread. A producer that is busy in a read or a long
computation keeps running and ends at its next item. The program may end before that (app.py)."""


class QueueStoppedError(Exception):
    """Raised in the producer after the consumer has gone."""


class BoundedQueue(Generic[T]):
    """Holds at most `capacity` items between one producer and one consumer, so that memory does not grow with the
    clip."""

    def __init__(self, capacity: int) -> None:
        if capacity < 1:
            raise ValueError(f"a queue of {capacity} items holds nothing")
        self._capacity = capacity
        self._items: deque[T] = deque()
        self._changed = threading.Condition()
        self._finished = self._stopped = False
        self._error: BaseException | None = None

    def put(self, item: T) -> None:
        """Adds an item, and waits while the queue is full; QueueStoppedError once the consumer has gone."""
        with self._changed:
            while len(self._items) >= self._capacity and not self._stopped:
                self._changed.wait()
            if self._stopped:
                raise QueueStoppedError
            self._items.append(item)
            self._changed.notify_all()

    def finish(self, error: BaseException | None = None) -> None:
        """Ends the queue. The producer calls it last. The consumer gets the items that are left, then the error, if
        any, or the end."""
        with self._changed:
            self._finished, self._error = True, error
            self._changed.notify_all()

    def stop(self) -> None:
        """Stops the queue. The consumer calls it last. It drops the items that are left and wakes the producer."""
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
    """Iterates over `source` in a thread of its own, at most `capacity` items ahead of the consumer.

    The iterator raises an exception of the source after the items before it. When the context ends early, the thread
    ends at its next item.
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
        thread.join(PRODUCER_STOP_SECONDS)
