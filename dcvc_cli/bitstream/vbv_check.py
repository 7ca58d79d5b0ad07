"""The checker of the VBV buffer (docs/bitstream.md, "VBV"): follows a stream unit by unit, apart from any encoder."""

from fractions import Fraction

from dcvc_cli.bitstream.sps import Sps
from dcvc_cli.bitstream.units import FrameUnit


class VbvCheck:
    """Fullness of the buffer over one stream; joined streams have one each.

    Attributes:
        lowest: fewest bits that were left behind a unit, below 0 for an underflow; None before the first unit.
    """

    def __init__(self) -> None:
        self.lowest: Fraction | None = None
        self._fullness: Fraction | None = None
        self._end_of_frame = 0
        self._duration = Fraction(0)
        """Seconds that the pictures of the unit taken out last are shown, by the frame rate."""
        self._shown: Fraction | None = None
        """Seconds at which the unit taken out last is shown, where pictures have times."""

    def start(self, offset: int) -> None:
        """A stream begins at this byte."""
        self._fullness, self._shown, self._end_of_frame = None, None, offset

    def pass_over(self, num_bytes: int) -> None:
        """Bytes of other tracks do not count."""
        self._end_of_frame += num_bytes

    def look_at(self, unit: FrameUnit) -> str | None:
        """Takes out a frame unit, with all since the one before it but tracks; tells of an underflow, else None."""
        end = unit.offset + unit.size_bytes
        num_bits = 8 * (end - self._end_of_frame)
        self._end_of_frame = end
        vbv = unit.sps.vbv
        if vbv is None:
            self._fullness = None
            return None
        if self._fullness is None:
            self._fullness = Fraction(vbv.initial_fullness)
        else:
            filled = self._fullness + vbv.max_rate * self._seconds_before(unit)
            self._fullness = min(Fraction(vbv.buffer_size), filled)
        self._fullness -= num_bits
        self.lowest = self._fullness if self.lowest is None else min(self.lowest, self._fullness)
        self._remember(unit)
        if self._fullness >= 0:
            return None
        missing = -(self._fullness.numerator // self._fullness.denominator)
        self._fullness = Fraction(0)
        return f"frame {unit.frame_index} takes {num_bits} bits, {missing} more than the VBV buffer holds then"

    def _remember(self, unit: FrameUnit) -> None:
        sps = unit.sps
        self._duration = unit.pictures.num_pictures * _seconds_a_picture(sps)
        if sps.time_base is not None:
            self._shown = Fraction(min(unit.times) * sps.time_base.den, sps.time_base.num)

    def _seconds_before(self, unit: FrameUnit) -> Fraction:
        """Returns the seconds from the unit taken out last to this one."""
        if unit.sps.time_base is None or self._shown is None:
            return self._duration
        shown = Fraction(min(unit.times) * unit.sps.time_base.den, unit.sps.time_base.num)
        return max(Fraction(0), shown - self._shown)


def _seconds_a_picture(sps: Sps) -> Fraction:
    return Fraction(sps.frame_rate_den, sps.frame_rate_num) if sps.frame_rate_num else Fraction(0)
