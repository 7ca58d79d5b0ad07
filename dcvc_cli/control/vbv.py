"""The encoder's picture of the buffer of a receiver (docs/bitstream.md, "VBV"). `dcvc info --validate` has a checker of
its own (bitstream/vbv_check.py)."""

from fractions import Fraction

from dcvc_cli.bitstream.sps_blocks import Vbv

P_MARGIN, I_MARGIN = 4, 2
"""A frame may take so many times what is predicted for it: good P frames take most."""
RESERVE = 8
"""1/RESERVE of the buffer is kept for what predictions miss."""


class VbvModel:
    """Follows the fullness in bits of the frame rate's numerator, so that every step is exact."""

    def __init__(self, vbv: Vbv, frame_rate: Fraction) -> None:
        self._unit, self._per_picture = frame_rate.numerator, vbv.max_rate * frame_rate.denominator
        self._size = vbv.buffer_size * self._unit
        self.fullness = vbv.initial_fullness * self._unit

    def take(self, num_bits: int, num_pictures: int) -> None:
        """A unit is taken out, and the buffer fills while its pictures are shown."""
        self.fullness = min(self._size, self.fullness - num_bits * self._unit + num_pictures * self._per_picture)

    def carries(self, num_bits: int, waiting: int, num_waiting: int, *, is_key: bool) -> bool:
        """Whether a frame fits behind `num_waiting` ones of `waiting` bits together, with room to spare."""
        margin = I_MARGIN if is_key else P_MARGIN
        left = self.fullness + num_waiting * self._per_picture - waiting * self._unit
        return margin * num_bits * self._unit <= left - self._size // RESERVE

    def carries_all(self, sizes: list[int]) -> bool:
        """Whether frames of these bits, one after the other, never empty the buffer below half of the reserve."""
        fullness, reserve = self.fullness, self._size // (2 * RESERVE)
        for size in sizes:
            fullness -= size * self._unit
            if fullness < reserve:
                return False
            fullness = min(self._size, fullness + self._per_picture)
        return True
