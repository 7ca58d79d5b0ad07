"""Named parts of coding a picture, and who listens to their times.

A function that `timed` marks belongs to a stage. Nothing is measured until a clock listens (`measuring.stage_clock`),
so that coding pays one comparison a call.
"""

import functools
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import ParamSpec, Protocol, TypeVar

P = ParamSpec("P")
R = TypeVar("R")
MOTION, ANALYSIS, HYPER, CONTEXT, PRIORS, ENTROPY, SYNTHESIS, RECONSTRUCTION, FILTER, COLOUR, OTHER = COMMON_STAGES = (
    "motion",
    "analysis",
    "hyper-analysis",
    "temporal context",
    "priors",
    "entropy coding",
    "synthesis",
    "reconstruction",
    "output filter",
    "colour and export",
    "other",
)
"""Names that several families use, in the order in which they are shown. A family may add its own."""


class Clock(Protocol):
    """Something that counts the time inside a stage."""

    def stage(self, name: str) -> AbstractContextManager[None]: ...


_clock: Clock | None = None


def timed(stage: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Marks a function as part of a stage: the time that it takes, less that of other stages inside it, is the
    stage's."""

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(function)
        def counted(*arguments: P.args, **options: P.kwargs) -> R:
            if _clock is None:
                return function(*arguments, **options)
            with _clock.stage(stage):
                return function(*arguments, **options)

        return counted

    return decorate


@contextmanager
def listening(clock: Clock) -> Iterator[None]:
    """Lets `clock` count the stages of this process while the block runs."""
    global _clock
    before, _clock = _clock, clock
    try:
        yield
    finally:
        _clock = before
