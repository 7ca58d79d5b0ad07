"""The frame rate of a clip from its time stamps. A stream has one rate, a file has a time for every picture."""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from dcvc_cli.format.types import Rational

KEPT_DEVIATION = Fraction(1, 4)
"""Pictures may stand this part of a picture's duration away from an even spacing, and still count as evenly spaced."""
_MAX_PART = 1 << 20
_MAX_SPAN = (1 << 30) - 1
"""Ticks from an I frame to a later frame of its GOP that a stream can hold; a clip may be one GOP."""


@dataclass(frozen=True)
class Timing:
    """How the pictures of a clip are spaced.

    Attributes:
        frame_rate: pictures a second that keep the clip's duration; None where the time stamps do not tell.
        faults: what one frame rate cannot keep, each a phrase that follows the file's name.
        is_even: whether all pictures last as long, so that one frame rate tells every time.
    """

    frame_rate: Fraction | None
    faults: tuple[str, ...] = ()
    is_even: bool = True


class StampClock:
    """Turns time stamps of a file into the times of a stream: ticks since its start that increase from picture to
    picture.

    Args:
        time_base: seconds of a unit of the file's stamps.
        origin: the stamp that is time 0.
        span: units that the clip lasts at most. Ticks are coarser than the file's units where a stream could not count
            so many.

    Attributes:
        time_base: ticks a second.
        origin: the stamp that is time 0.
    """

    def __init__(self, time_base: Fraction, origin: int, span: int) -> None:
        self.origin, self._step = origin, max(1, -(-span // _MAX_SPAN))
        rate = _limited(1 / (time_base * self._step))
        self.time_base = Rational(rate.numerator, rate.denominator)
        self._last = -1

    def begin_at(self, stamp: int) -> None:
        """Makes a stamp time 0: that of the first picture after skipped ones."""
        self.origin = stamp

    def time(self, stamp: int | None) -> int:
        """Returns the time of the next picture. A picture without a stamp, or with that of another, comes a tick after
        the last one."""
        ticks = -1 if stamp is None else (stamp - self.origin) // self._step
        self._last = max(ticks, self._last + 1)
        return self._last


def timing_of(stamps: Sequence[int], time_base: Fraction, last_duration: int, nominal: Fraction | None) -> Timing:
    """Finds the frame rate from the time stamps of all pictures.

    Args:
        stamps: one a picture in units of time_base, in any order.
        time_base: seconds.
        last_duration: of the last picture, in units of time_base; 0 where it is not known.
        nominal: frame rate that the file states; it is kept where the time stamps agree with it.
    """
    num_intervals = len(stamps) - 1
    if num_intervals < 1:
        return Timing(nominal)
    ordered = np.sort(np.asarray(stamps, np.int64))
    # Python's integers: hostile time stamps may lie 2^64 apart.
    first, span = int(ordered[0]), int(ordered[-1]) - int(ordered[0])
    # In float64, whole numbers below 2^53 are exact; films stay far below.
    offsets = ordered.astype(np.float64) - first
    gaps = np.diff(offsets)
    faults = []
    num_doubled = int(np.count_nonzero(gaps == 0))
    if num_doubled:
        has = "pictures have" if num_doubled > 1 else "picture has"
        faults.append(f"is odd: {num_doubled} {has} the time stamp of another")
    if span == 0:
        return Timing(nominal, tuple(faults))
    step = Fraction(span, num_intervals)
    # Time stamps are rounded to the time base, so two units are noise.
    tolerance = 2 + step * KEPT_DEVIATION
    if np.abs(offsets - np.arange(len(ordered)) * float(step)).max() <= float(tolerance):
        if nominal and abs(span - num_intervals / (nominal * time_base)) <= tolerance:
            return Timing(nominal, tuple(faults))
        if nominal:
            spacing = float(step * time_base)
            stated = f"states {float(nominal):.6g} frames per second and its pictures are {spacing:.3f} s apart"
            faults.insert(0, stated)
        return Timing(_limited(1 / (step * time_base)), tuple(faults))
    shortest, longest = (float(gap) * float(time_base) for gap in (gaps[gaps > 0].min(), gaps.max()))
    faults.insert(0, f"has a variable frame rate: its pictures are {shortest:.3f} to {longest:.3f} s apart")
    duration = (span + (last_duration or step)) * time_base
    return Timing(_limited(len(stamps) / duration), tuple(faults), is_even=False)


def _limited(rate: Fraction) -> Fraction:
    """Makes a rate whose parts a stream can hold."""
    return rate if rate.numerator < _MAX_PART and rate.denominator < _MAX_PART else rate.limit_denominator(1001)
