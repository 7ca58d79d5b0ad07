"""Rate control in one pass: a base QP for each group of eight frames, so that a stream meets its bitrate.

Everything is integer arithmetic on thumbnails and on the bits of pictures that were coded at least two pictures before.
So a stream depends neither on the number of threads nor on how far the device runs ahead.
"""

from collections import deque
from dataclasses import dataclass
from fractions import Fraction
from typing import Protocol

from dcvc_cli.bitstream.sps_blocks import Vbv
from dcvc_cli.control.growth import growth
from dcvc_cli.control.scene_cuts import SeenPicture
from dcvc_cli.control.vbv import P_MARGIN, VbvModel
from dcvc_cli.format.constants import MAX_BASE_QP

GROUP = 8
"""Pictures that share a base QP: one period of the models' patterns of good frames."""
WINDOW_SECONDS, KNOWN_WINDOW_SECONDS = 3, 8
"""Time over which a debt of bits is paid, of a clip whose end is not known, and of one that goes on for longer."""
NOW_SECONDS = 1
"""Time for which pictures are expected to stay as busy as they are now; then as busy as in the window that is over."""
MAX_STEP, MAX_STEP_DOWN, MAX_STEP_AT_CUT = 2, 20, 12
"""Largest change of the QP from group to group. An I frame that begins a scene may change it more."""
SURPRISE = 3
"""Ratio of a picture's bits to the predicted bits of a picture of its group. Above this ratio a new group begins, and
its QP may be lower by any step."""
UNKNOWN_FRAMES = 3
"""P frames after an I frame that begins an unknown scene: each may take as many bits as the I frame."""
MEMORY = 16
"""Number of frames after which about half of an estimate is forgotten."""
NOISE = 128
"""Added to the difference of thumbnails: half a grey level, for detail that thumbnails do not show."""
BESIDE = 64
"""About the bits of a frame unit that no QP changes: its header and check."""
_PRIOR_QP, _PRIOR_P, _PRIOR_I = 32, (45, 900), (1100, 3840)
"""First estimate, before anything is coded: millibits a luma sample at this QP, for the activity at which they were
measured."""


@dataclass(frozen=True)
class RateTarget:
    """The bits that a stream may take.

    Args:
        bits_per_second: above 0.
        frame_rate: pictures a second, above 0.
        num_frames: of the clip; None where it is not known. A known end is met more closely.
        num_pixels: luma samples of a picture.
        keyint: of the choices.
        vbv: the buffer that must not run empty, or None.
    """

    bits_per_second: int
    frame_rate: Fraction
    num_frames: int | None
    num_pixels: int
    keyint: int
    vbv: Vbv | None = None

    def bits_of(self, num_frames: int) -> int:
        """Returns the bits of so many frames."""
        return self.bits_per_second * num_frames * self.frame_rate.denominator // self.frame_rate.numerator


class RateControl(Protocol):
    """Gives the base QP of each picture and learns from what was coded."""

    def qp(self, seen: SeenPicture, *, is_key: bool) -> int:
        """Returns the base QP of the next picture."""

    def coded(self, num_bits: int, num_pictures: int, lowered: int = 0) -> None:
        """Takes the bits of the oldest pictures whose bits are not known yet. Their QP was `lowered` below the given
        one."""


@dataclass
class Estimate:
    """Bits a unit of activity at QP 0, of one frame type.

    Attributes:
        bits: sum of the bits seen, decaying.
        work: sum of activity times growth.
    """

    bits: int
    work: int

    def add(self, bits: int, work: int) -> None:
        """Takes one more frame into account."""
        self.bits += bits - self.bits // MEMORY
        self.work += work - self.work // MEMORY

    def of(self, work: int) -> int:
        """Returns the bits that so much work takes."""
        return self.bits * work // max(1, self.work)


@dataclass(frozen=True)
class _Ordered:
    """A picture whose bits are not known yet."""

    activity: int
    qp: int
    is_key: bool
    predicted: int


class OnePassRate:
    """Meets a bitrate without knowledge of later pictures."""

    def __init__(self, target: RateTarget) -> None:
        self.target = target
        self._estimates = {
            is_key: Estimate(millibits * target.num_pixels // 1000, activity * growth(_PRIOR_QP, is_key=is_key))
            for is_key, (millibits, activity) in ((False, _PRIOR_P), (True, _PRIOR_I))
        }
        self._vbv = None if target.vbv is None else VbvModel(target.vbv, target.frame_rate)
        self._ordered: deque[_Ordered] = deque()
        rate = target.frame_rate
        seconds = WINDOW_SECONDS if target.num_frames is None else KNOWN_WINDOW_SECONDS
        self._window = max(GROUP, seconds * rate.numerator // rate.denominator)
        self._now = max(GROUP, NOW_SECONDS * rate.numerator // rate.denominator)
        self._activities: deque[int] = deque(maxlen=self._window)
        self._thought = 0
        """Predicted bits of a P frame of this group."""
        self._is_surprised = False
        self._detail = _PRIOR_I[1]
        self._spent = 0
        self._num_ordered = self._num_cuts = 0
        self._since_key = self._in_group = 0
        self._qp: int | None = None

    def qp(self, seen: SeenPicture, *, is_key: bool) -> int:
        """Returns the base QP of the next picture. It changes with groups and I frames, and falls where the buffer runs
        low."""
        self._since_key = 0 if is_key else self._since_key + 1
        activity = (seen.detail if is_key else seen.difference) + NOISE
        if is_key:
            self._num_cuts += seen.begins_scene
            self._detail = activity
        else:
            self._activities.append(activity)
        is_busy = self._qp is not None and self._predicted(self._qp, activity, is_key) > SURPRISE * self._thought
        surprised = not is_key and (is_busy or self._is_surprised)
        self._in_group += 1
        if is_key or surprised or self._in_group >= GROUP:
            self._begin_group(is_key, seen.begins_scene, surprised)
        qp = self._qp or 0
        if self._vbv is not None:
            while qp > 0 and not self._fits(qp, activity, is_key):
                qp -= 1
        self._num_ordered += 1
        predicted = self._predicted(qp, activity, is_key)
        self._ordered.append(_Ordered(activity, qp, is_key, predicted))
        return qp

    def coded(self, num_bits: int, num_pictures: int, lowered: int = 0) -> None:
        """Takes the bits of a unit: they are spread over its pictures, which all have the QP of the first one."""
        qp = max(0, self._ordered[0].qp - lowered)
        for index in range(num_pictures):
            ordered = self._ordered.popleft()
            share = num_bits * (index + 1) // num_pictures - num_bits * index // num_pictures
            payload = max(share // 8, share - BESIDE)
            self._estimates[ordered.is_key].add(payload, ordered.activity * growth(qp, is_key=ordered.is_key))
            if not ordered.is_key and share > SURPRISE * max(ordered.predicted, self._thought):
                self._is_surprised = True
        self._spent += num_bits
        if self._vbv is not None:
            self._vbv.take(num_bits, num_pictures)

    def _predicted(self, qp: int, activity: int, is_key: bool) -> int:
        return BESIDE + self._estimates[is_key].of(activity * growth(qp, is_key=is_key))

    def _spent_by_now(self) -> int:
        return self._spent + sum(ordered.predicted for ordered in self._ordered)

    def _begin_group(self, is_key: bool, begins_scene: bool, surprised: bool) -> None:
        qp = self._wanted(is_key)
        if self._qp is not None:
            step = MAX_STEP_AT_CUT if begins_scene else MAX_STEP
            qp = min(qp, self._qp + step)
            qp = qp if surprised else max(qp, self._qp - max(step, MAX_STEP_DOWN))
        self._qp, self._in_group, self._is_surprised = qp, 0, False
        self._thought = self._predicted(qp, self._activity_now(), False)

    def _activity_now(self) -> int:
        """Returns the mean activity of the last group, or of the last two pictures where theirs is higher."""
        last = [self._activities[index] for index in range(-min(GROUP, len(self._activities)), 0)]
        return max(sum(last) // len(last), sum(last[-2:]) // len(last[-2:])) if last else _PRIOR_P[1]

    def _wanted(self, is_key: bool) -> int:
        """Finds the QP at which the predicted bits of the window that begins now come closest to the bits left for the
        window."""
        target, done = self.target, self._num_ordered
        window = self._window
        if target.num_frames is not None:
            window = max(1, min(window, target.num_frames - done))
        budget = max(0, target.bits_of(done + window) - self._spent_by_now())
        before = self._activities
        usual = sum(before) // len(before) if before else _PRIOR_P[1]
        return nearest_qp(budget, lambda qp: self._of_window(qp, window, is_key, usual))

    def _of_window(self, qp: int, window: int, is_key: bool, usual: int) -> int:
        """Predicts the bits of so many pictures from now on, with the I frames of keyint."""
        keyint = self.target.keyint
        num_keys = int(is_key) + self._num_cuts * (window - 1) // max(self._num_ordered, self._window // 4)
        if keyint > 0:
            num_keys += (self._since_key + window - 1) // keyint - self._since_key // keyint
        others = max(0, window - num_keys)
        now = min(others, self._now)
        work = now * self._activity_now() + (others - now) * usual
        return num_keys * self._predicted(qp, self._detail, True) + others * BESIDE + self._predicted(qp, work, False)

    def _fits(self, qp: int, activity: int, is_key: bool) -> bool:
        """Returns whether the buffer holds the next picture and the pictures on their way, with room to spare."""
        assert self._vbv is not None
        bits = self._predicted(qp, activity, is_key)
        if not is_key and self._since_key <= UNKNOWN_FRAMES:
            bits = max(bits, self._predicted(qp, self._detail, True) // P_MARGIN)
        waiting = sum(ordered.predicted for ordered in self._ordered)
        return self._vbv.carries(bits, waiting, len(self._ordered), is_key=is_key)


def nearest_qp(budget: int, bits_at: "BitsAt") -> int:
    """Finds the QP 0..63 whose bits come closest to a budget; bits grow with the QP."""
    below = [qp for qp in range(MAX_BASE_QP + 1) if bits_at(qp) <= budget]
    low = below[-1] if below else 0
    high = min(low + 1, MAX_BASE_QP)
    return low if budget - bits_at(low) <= bits_at(high) - budget else high


class BitsAt(Protocol):
    """Bits by QP."""

    def __call__(self, qp: int, /) -> int: ...
