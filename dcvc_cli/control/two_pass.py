"""Rate control in two passes: the second pass knows the bits of each frame in the first.

One base QP for the whole clip gives the best quality for its bits. It changes only as far as coded bits differ from
predicted bits.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from dcvc_cli.control.growth import growth
from dcvc_cli.control.rate import BESIDE, GROUP, MEMORY, Estimate, RateTarget, nearest_qp
from dcvc_cli.control.scene_cuts import SeenPicture
from dcvc_cli.control.vbv import VbvModel
from dcvc_cli.control.vbv_plan import MOST_SPANS, Span, plan_qps

MAX_STEP, MAX_VBV_RISE = 2, 6
"""Largest change of the QP from group to group, after the start; with a buffer, largest rise."""
TRUST = 8
"""1/TRUST of the clip's bits must be seen before a ratio of seen to predicted bits counts half."""
MAX_VBV_STEP = 10
"""Largest number of QPs by which the buffer lowers one frame: later frames are lowered too."""
LOOKAHEAD_SECONDS = 2
"""The buffer is simulated so far ahead."""
VBV_PERCENT = 115
"""Frames may take this percentage of their predicted bits."""
_SCALE = 40
"""Bits behind the point of what a frame takes at QP 0."""


@dataclass(frozen=True)
class CodedFrame:
    """Facts about a frame from a pass.

    Attributes:
        qp: base QP of its unit.
        num_bits: its share of the unit and of everything since the frame unit before.
    """

    is_key: bool
    qp: int
    num_bits: int


class TwoPassRate:
    """Meets a bitrate with the results of another pass.

    Args:
        frames: of the other pass, all frames of the clip.
    """

    def __init__(self, target: RateTarget, frames: list[CodedFrame]) -> None:
        self.target, self._frames = target, frames
        self._base = [
            (max(frame.num_bits // 8, frame.num_bits - BESIDE) << _SCALE) // growth(frame.qp, is_key=frame.is_key)
            for frame in frames
        ]
        self._rest: list[tuple[int, int]] = [(0, 0)]
        for frame, base in zip(reversed(frames), reversed(self._base), strict=True):
            keys, others = self._rest[-1]
            self._rest.append((keys + base, others) if frame.is_key else (keys, others + base))
        self._rest.reverse()
        self._total = target.bits_of(len(frames))
        self._vbv = None if target.vbv is None else VbvModel(target.vbv, target.frame_rate)
        self._span = GROUP * -(-len(frames) // (GROUP * MOST_SPANS))
        self._planned: list[int] = []
        """QPs of spans, from the one that begins at the frame `_planned_from`."""
        self._planned_from = 0
        usual = max(1, self._total // max(1, len(frames)))
        self._lately = Estimate(MEMORY * usual, MEMORY * usual)
        """Bits seen and predicted, of the last frames."""
        self._index = self._num_told = self._since_key = 0
        self._spent = self._expected = 0
        self._qps: list[int] = []
        self._qp: int | None = None

    def qp(self, seen: SeenPicture, *, is_key: bool) -> int:
        """Returns the base QP of the next picture. It changes with groups and I frames, and falls where the buffer runs
        low."""
        self._since_key = 0 if is_key else self._since_key + 1
        if self._vbv is not None:
            if not self._planned or self._index >= self._planned_from + self._span:
                self._plan()
            if self._since_key % GROUP == 0:
                wanted = self._planned_qp(self._index)
                self._qp = wanted if self._qp is None else min(wanted, self._qp + MAX_VBV_RISE)
        elif self._since_key % GROUP == 0:
            wanted = self._wanted()
            if self._qp is not None:
                wanted = min(max(wanted, self._qp - MAX_STEP), self._qp + MAX_STEP)
            self._qp = wanted
        qp = self._qp or 0
        lowest = max(0, qp - MAX_VBV_STEP)
        while self._vbv is not None and qp > lowest and not self._carried(qp):
            qp -= 1
        self._qps.append(qp)
        self._index += 1
        return qp

    def nearest_constant(self) -> int:
        """Finds the one QP for the whole clip that comes closest to the target, by the other pass."""
        return self._wanted() if self._index == 0 else self._qps[0]

    def coded(self, num_bits: int, num_pictures: int, lowered: int = 0) -> None:
        """Takes the bits of the oldest pictures whose bits are not known yet. Their QP was `lowered` below the given
        one."""
        first = self._num_told
        qp = max(0, self._qps[first] - lowered)
        expected = sum(self._predicted(index, qp) for index in range(first, first + num_pictures))
        self._expected += expected
        self._lately.add(num_bits, expected)
        self._num_told += num_pictures
        self._spent += num_bits
        if self._vbv is not None:
            self._vbv.take(num_bits, num_pictures)

    def _predicted(self, index: int, qp: int) -> int:
        if index >= len(self._frames):
            return 0
        return BESIDE + ((self._base[index] * growth(qp, is_key=self._frames[index].is_key)) >> _SCALE)

    def _on_their_way(self) -> int:
        return sum(self._predicted(index, self._qps[index]) for index in range(self._num_told, self._index))

    def _corrected(self, bits: int) -> int:
        """Predicts bits from the frames before."""
        trust = self._total // TRUST + 1
        return bits * (self._spent + trust) // (self._expected + trust)

    def _wanted(self) -> int:
        keys, others = self._rest[min(self._index, len(self._frames))]
        num_left = max(0, len(self._frames) - self._index)
        left = self._total - self._spent - self._corrected(self._on_their_way())

        def rest_at(qp: int) -> int:
            bits = keys * growth(qp, is_key=True) + others * growth(qp, is_key=False)
            return self._corrected(num_left * BESIDE + (bits >> _SCALE))

        return nearest_qp(max(0, left), rest_at)

    def _plan(self) -> None:
        """Plans the QPs of all spans from here on."""
        assert self._vbv is not None
        first, num_frames = self._index, len(self._frames)
        spans: list[Span] = []
        for start in range(first, num_frames, self._span):
            end = min(num_frames, start + self._span)
            (keys, others), (later_keys, later_others) = self._rest[start], self._rest[end]
            spans.append((end - start, self._bits_of(end - start, keys - later_keys, others - later_others)))
        on_their_way = self._corrected(self._on_their_way())
        left = max(0, self._total - self._spent - on_their_way)
        room = self._vbv.room(on_their_way, first - self._num_told)
        self._planned, self._planned_from = plan_qps(spans, room, left), first

    def _bits_of(self, num_frames: int, keys: int, others: int) -> Callable[[int], int]:
        @cache
        def bits(qp: int) -> int:
            sums = keys * growth(qp, is_key=True) + others * growth(qp, is_key=False)
            return self._corrected(num_frames * BESIDE + (sums >> _SCALE))

        return bits

    def _planned_qp(self, index: int) -> int:
        """The plan's QP of a frame; that of the last span after the end."""
        span = (index - self._planned_from) // self._span
        return self._planned[min(span, len(self._planned) - 1)] if self._planned else 0

    def _carried(self, qp: int) -> bool:
        """Returns whether the buffer holds the next seconds at a QP, frames on their way included."""
        assert self._vbv is not None
        rate = self.target.frame_rate
        end = min(len(self._frames), self._index + LOOKAHEAD_SECONDS * rate.numerator // rate.denominator + 1)
        sizes = [
            self._lately.of(
                self._predicted(index, self._qps[index] if index < self._index else min(qp, self._planned_qp(index)))
            )
            for index in range(self._num_told, end)
        ]
        return self._vbv.carries_all([size * VBV_PERCENT // 100 for size in sizes])
