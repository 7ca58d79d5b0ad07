"""Compares an index with the units of its stream. The reader and the validator both do it."""

from array import array
from collections.abc import Sequence

from dcvc_cli.bitstream.nal import NalType
from dcvc_cli.bitstream.units import MAX_INDEX_ENTRIES, IndexEntry


class UnitPlaces:
    """The offsets of the frame units of one stream, in 16 bytes a unit.

    Offsets count from the stream's signature. An offset leads to the SPS unit before an I unit, or to the P unit
    itself.
    """

    def __init__(self) -> None:
        self._offsets = array("Q")
        """Twice the offset of each unit, plus 1 for an I unit."""
        self._numbers = array("Q")

    def add(self, frame_type: NalType, frame_number: int, offset: int) -> None:
        """Adds the next frame unit; frame_number: pictures before it."""
        self._offsets.append(2 * offset + (frame_type is NalType.I))
        self._numbers.append(frame_number)

    def problem(self, entries: Sequence[IndexEntry]) -> str | None:
        """Says what is wrong with an index. None if it lists every I unit, and all its entries are right."""
        unit = num_listed = 0
        for entry in entries:
            while unit < len(self._numbers) and self._numbers[unit] < entry.frame_number:
                unit += 1
            stored = 2 * entry.offset + (entry.frame_type is NalType.I)
            if unit == len(self._numbers) or (self._numbers[unit], self._offsets[unit]) != (entry.frame_number, stored):
                where = f"frame {entry.frame_number} at byte {entry.offset} of its stream"
                return f"the index lists {entry.frame_type.name} {where}, where it is not"
            num_listed += entry.frame_type is NalType.I
        num_there = sum(offset & 1 for offset in self._offsets)
        if num_listed != num_there and len(entries) < MAX_INDEX_ENTRIES:
            return f"the index lists {num_listed} I frames, the stream has {num_there}"
        return None
