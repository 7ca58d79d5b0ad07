"""QPs of a whole clip that a receiver's buffer carries, before it is coded a second time.

Where the buffer takes bits from a busy part, one QP for the clip would leave the stream below its rate. So the other
parts get a higher one: the plan looks for the QP at which the clip takes its bits with the buffer's cuts counted.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from dcvc_cli.format.constants import MAX_BASE_QP

MOST_SPANS = 1024
"""Spans of a plan at most: a longer clip has longer ones."""
RESERVE = 8
"""1/RESERVE of the buffer is kept for errors of predictions."""


@dataclass(frozen=True)
class BufferRoom:
    """The buffer when a plan begins, in one unit of bits.

    Attributes:
        size: of the buffer.
        fullness: at the start.
        inflow: of a frame's time.
    """

    size: int
    fullness: int
    inflow: int

    def after(self, fullness: int, num_bits: int, num_frames: int) -> int:
        """Returns the fullness after a span, which may be below 0. A span longer than the buffer lasts fills it again
        meanwhile."""
        return min(self.size, fullness + num_frames * self.inflow - num_bits)

    def is_empty(self, fullness: int) -> bool:
        """Whether the reserve is touched."""
        return fullness < self.size // RESERVE


Span = tuple[int, Callable[[int], int]]
"""(frames, bits by QP) of neighbouring frames that get one QP."""


def plan_qps(spans: Sequence[Span], room: BufferRoom, budget: int) -> list[int]:
    """Returns a QP 0..63 for each span, so that all together take the budget if the buffer allows that."""

    def total(qp: int) -> int:
        return sum(bits(own) for (_, bits), own in zip(spans, capped(spans, room, qp), strict=True))

    low, high = 0, MAX_BASE_QP
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if total(middle) <= budget else (low, middle - 1)
    above = min(low + 1, MAX_BASE_QP)
    return capped(spans, room, low if budget - total(low) <= total(above) - budget else above)


def capped(spans: Sequence[Span], room: BufferRoom, qp: int) -> list[int]:
    """Returns the QPs of spans that should all have one QP: lower ones from where the buffer was last full to where it
    would be empty."""
    qps = [qp] * len(spans)
    before = [room.fullness] * (len(spans) + 1)
    index = since_full = 0
    while index < len(spans):
        num_frames, bits = spans[index]
        before[index + 1] = room.after(before[index], bits(qps[index]), num_frames)
        if before[index + 1] == room.size:
            since_full = index + 1
        if room.is_empty(before[index + 1]) and qps[index] > 0:
            cap = _highest_cap(spans, room, qps, before, (since_full, index + 1))
            qps[since_full : index + 1] = [min(cap, own) for own in qps[since_full : index + 1]]
            index = since_full
        else:
            index += 1
    return qps


def _highest_cap(
    spans: Sequence[Span], room: BufferRoom, qps: Sequence[int], before: Sequence[int], part: tuple[int, int]
) -> int:
    """Returns the highest QP, below those of the last span, that a part may have without emptying the buffer; 0 where
    none does."""
    start, end = part

    def fits(cap: int) -> bool:
        fullness = before[start]
        for index in range(start, end):
            num_frames, bits = spans[index]
            fullness = room.after(fullness, bits(min(cap, qps[index])), num_frames)
            if room.is_empty(fullness):
                return False
        return True

    low, high = 0, qps[end - 1] - 1
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if fits(middle) else (low, middle - 1)
    return low
