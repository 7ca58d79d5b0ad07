"""The bounded queue between threads: order, bounds, errors from the source, and leaving early."""

import threading
import time
from collections.abc import Iterator

import pytest

from dcvc_cli.coding.queues import BoundedQueue, read_ahead


def test_order_and_end() -> None:
    with read_ahead(range(100), capacity=3) as items:
        assert list(items) == list(range(100))
        assert list(items) == []


def test_error_comes_in_its_place() -> None:
    def source() -> Iterator[int]:
        yield from range(5)
        raise LookupError("fifth")

    seen = []

    def consume() -> None:
        with read_ahead(source()) as items:
            for item in items:
                seen.append(item)  # noqa: PERF402 - what was seen before the error counts

    with pytest.raises(LookupError, match="fifth"):
        consume()
    assert seen == [0, 1, 2, 3, 4]


def test_never_more_than_capacity_ahead() -> None:
    made = []

    def source() -> Iterator[int]:
        for number in range(50):
            made.append(number)
            yield number

    with read_ahead(source(), capacity=2) as items:
        for number in items:
            time.sleep(0.002)
            # One item is in the consumer's hands, two wait, and one is made and waits for its place.
            assert len(made) <= number + 1 + 2 + 1


@pytest.mark.parametrize("failure", [ValueError, KeyboardInterrupt])
def test_leaving_early_ends_the_thread(failure: type[BaseException]) -> None:
    closed = threading.Event()

    def source() -> Iterator[int]:
        try:
            number = 0
            while True:
                yield number
                number += 1
        finally:
            closed.set()

    def leave() -> None:
        with read_ahead(source()) as items:
            next(items)
            raise failure

    before = threading.active_count()
    with pytest.raises(failure):
        leave()
    assert threading.active_count() == before
    assert closed.wait(5)


def test_a_queue_holds_something() -> None:
    with pytest.raises(ValueError, match="0 items"):
        BoundedQueue(0)
