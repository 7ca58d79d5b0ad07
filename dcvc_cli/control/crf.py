"""Constant quality with complexity taken into account (`--crf`): what stands still gets a higher QP than what changes.

A picture that stays is looked at for longer, and frames after it are predicted from it, so bits spent there are spent
once. What is busy and soon gone hides errors and takes most bits.
"""

from collections import deque

from dcvc_cli.control.rate import GROUP, NOISE
from dcvc_cli.control.scene_cuts import SeenPicture
from dcvc_cli.format.constants import MAX_BASE_QP

USUAL = 1024
"""Activity at which the QP is the one that was asked for."""
MOST_UP, MOST_DOWN = 3, 2
"""QPs by which complexity raises or lowers it at most: one for each halving or doubling of the activity."""
MAX_STEP = 1
"""QPs from group to group."""


class CrfRate:
    """Gives QPs around one quality.

    Args:
        quality: 0..63, higher is better and bigger, on the scale of QPs.
    """

    def __init__(self, quality: int) -> None:
        self._quality = quality
        self._activities: deque[int] = deque(maxlen=GROUP)
        self._offset = 0
        self._since_key = 0

    def qp(self, seen: SeenPicture, *, is_key: bool) -> int:
        """Returns the QP of the next picture. A new one comes with each group of eight pictures; where a scene begins,
        nothing is known of it yet."""
        if seen.begins_scene:
            self._activities.clear()
            self._offset = 0
        self._since_key = 0 if is_key else self._since_key + 1
        if not is_key:
            self._activities.append(seen.difference + NOISE)
        if self._since_key % GROUP == 0 and self._activities:
            wanted = offset_of(sum(self._activities) // len(self._activities))
            self._offset = min(max(wanted, self._offset - MAX_STEP), self._offset + MAX_STEP)
        return min(max(self._quality + self._offset, 0), MAX_BASE_QP)

    def coded(self, num_bits: int, num_pictures: int, lowered: int = 0) -> None:
        """Bits change nothing."""


def offset_of(activity: int) -> int:
    """Returns the QPs that an activity adds to the quality, -MOST_DOWN..MOST_UP."""
    up = sum(activity <= USUAL >> step for step in range(1, MOST_UP + 1))
    return up - sum(activity >= USUAL << step for step in range(1, MOST_DOWN + 1))
