"""The buffer of a receiver in the encoder (docs/bitstream.md, "VBV"): a model that rates steer by, and the buffer
itself, which no unit may empty. `dcvc info --validate` has a checker of its own (bitstream/vbv_check.py)."""

from fractions import Fraction

from dcvc_cli.bitstream.sps_blocks import Vbv
from dcvc_cli.control.vbv_plan import BufferRoom

P_MARGIN, I_MARGIN = 4, 2
"""A frame may take so many times its predicted bits: good P frames take most."""
RESERVE = 8
"""1/RESERVE of the buffer is kept for errors of predictions."""


class VbvBuffer:
    """The buffer while a receiver takes the units of one stream out of it.

    Attributes:
        num_underflows: units with more bits than the buffer held.
    """

    def __init__(self, vbv: Vbv) -> None:
        self._vbv = vbv
        self._fullness = Fraction(vbv.initial_fullness)
        self._shown: Fraction | None = None
        self.num_underflows = 0

    def room(self, shown: Fraction) -> int:
        """Returns the bits that a unit may take whose first picture is shown at so many seconds."""
        if self._shown is not None:
            filled = self._fullness + self._vbv.max_rate * max(Fraction(0), shown - self._shown)
            self._fullness = min(Fraction(self._vbv.buffer_size), filled)
        self._shown = shown
        return int(self._fullness)

    def take(self, num_bits: int) -> None:
        """Takes the next unit out, after `room` of its time."""
        self.num_underflows += num_bits > self._fullness
        self._fullness = max(Fraction(0), self._fullness - num_bits)


class VbvModel:
    """Counts the fullness in bits times the frame rate's numerator, so that every step is exact."""

    def __init__(self, vbv: Vbv, frame_rate: Fraction) -> None:
        self._unit, self._per_picture = frame_rate.numerator, vbv.max_rate * frame_rate.denominator
        self._size = vbv.buffer_size * self._unit
        self.fullness = vbv.initial_fullness * self._unit

    def take(self, num_bits: int, num_pictures: int) -> None:
        """Takes a unit out, and fills the buffer while the unit's pictures are shown."""
        self.fullness = min(self._size, self.fullness - num_bits * self._unit + num_pictures * self._per_picture)

    def carries(self, num_bits: int, waiting: int, num_waiting: int, *, is_key: bool) -> bool:
        """Returns whether a frame fits behind `num_waiting` frames that have `waiting` bits together, with room to
        spare."""
        margin = I_MARGIN if is_key else P_MARGIN
        left = self.fullness + num_waiting * self._per_picture - waiting * self._unit
        return margin * num_bits * self._unit <= left - self._size // RESERVE

    def room(self, waiting: int, num_waiting: int) -> BufferRoom:
        """The buffer behind `num_waiting` frames that have `waiting` bits together."""
        size, inflow = self._size // self._unit, self._per_picture // self._unit
        fullness = (self.fullness + num_waiting * self._per_picture) // self._unit - waiting
        return BufferRoom(size, max(0, min(size, fullness)), inflow)

    def carries_all(self, sizes: list[int]) -> bool:
        """Returns whether frames of these bits, one after the other, never empty the buffer below half of the
        reserve."""
        fullness, reserve = self.fullness, self._size // (2 * RESERVE)
        for size in sizes:
            fullness -= size * self._unit
            if fullness < reserve:
                return False
            fullness = min(self._size, fullness + self._per_picture)
        return True
