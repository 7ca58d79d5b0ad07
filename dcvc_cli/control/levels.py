"""QPs by scene, finer than whole ones: groups of eight frames at two neighbouring QPs in turn."""

from collections.abc import Sequence

from dcvc_cli.control.rate import GROUP
from dcvc_cli.control.scene_cuts import SeenPicture
from dcvc_cli.format.constants import MAX_BASE_QP

PARTS = 8
"""Levels to a QP."""
MAX_LEVEL = PARTS * MAX_BASE_QP


class LevelRate:
    """Gives each scene its level.

    Args:
        levels: 0..MAX_LEVEL by scene, at least one; scenes after the last one have that of the last.

    Attributes:
        starts: numbers of the pictures that begin a scene, the first picture included.
    """

    def __init__(self, levels: Sequence[int]) -> None:
        self._levels = levels
        self.starts: list[int] = []
        self._index = self._in_group = self._group = 0

    def qp(self, seen: SeenPicture, *, is_key: bool) -> int:
        """Returns the QP of the next picture. A scene begins at a cut that is an I frame."""
        if not self._index or (is_key and seen.begins_scene):
            self.starts.append(self._index)
            self._group = self._in_group = 0
        elif is_key or self._in_group == GROUP:
            self._group, self._in_group = self._group + 1, 0
        self._index, self._in_group = self._index + 1, self._in_group + 1
        level = self._levels[min(len(self.starts), len(self._levels)) - 1]
        return min(qp_of_group(level, self._group), MAX_BASE_QP)

    def coded(self, num_bits: int, num_pictures: int, lowered: int = 0) -> None:
        """Bits change nothing."""


def qp_of_group(level: int, group: int) -> int:
    """Returns the QP of a scene's group: PARTS groups in a row have the level as their mean."""
    whole, part = divmod(level, PARTS)
    half = PARTS // 2
    return whole + ((group + 1) * part + half) // PARTS - (group * part + half) // PARTS
