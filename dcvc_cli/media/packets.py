"""Facts from the packets of a video track before decoding: how many pictures there are, and when each is shown."""

from array import array
from fractions import Fraction
from typing import Any

from dcvc_cli.media.timing import StampClock, Timing, timing_of

_MAX_PACKETS = 1 << 22
"""Nineteen hours at 60 pictures a second."""


class Packets:
    """Numbers and times of the pictures of a track, from its packets.

    Attributes:
        num_pictures: packets that show a picture.
        num_left_out: packets that an edit list leaves out, or that are empty.
        is_whole: the walk came to the end of the file.
    """

    def __init__(self, codec: str) -> None:
        self._codec = codec
        self.num_pictures = self.num_left_out = 0
        self.is_whole = True
        self._stamps = array("q")
        self._has_all_stamps = True
        self._last = (0, 0)

    def add(self, packet: Any) -> bool:
        """Counts a packet; False where there are more than a film can have, as only a hostile file does."""
        if packet.is_discard or not packet.size:
            self.num_left_out += 1
            return True
        if self._codec in ("vp8", "libvpx") and not bytes(packet)[0] & 0x10:
            # A reference that is never shown: VP8's header says so, and no container does.
            return True
        self.num_pictures += 1
        if packet.pts is None:
            self._has_all_stamps = False
        else:
            self._stamps.append(packet.pts)
            self._last = max(self._last, (packet.pts, packet.duration or 0))
        self.is_whole = self.num_pictures < _MAX_PACKETS
        return self.is_whole

    @property
    def end(self) -> int:
        """Returns when the last picture ends, in units of the track's time base."""
        return sum(self._last)

    def times(self, time_base: Fraction, origin: int) -> list[Fraction]:
        """Seconds of all pictures from the stamp `origin` on, in the order in which they are shown."""
        return [(stamp - origin) * time_base for stamp in sorted(self._stamps)]

    def clock(self, time_base: Fraction | None, origin: int) -> StampClock | None:
        """Makes a clock for all pictures from the stamp `origin` on; None where not every picture has a stamp."""
        if not self._has_all_stamps or not self.is_whole or not time_base or not self._stamps:
            return None
        origin = min(origin, min(self._stamps))
        return StampClock(time_base, origin, max(self._stamps) - origin)

    def timing(self, time_base: Fraction | None, nominal: Fraction | None) -> Timing:
        """Finds how the pictures are spaced; `nominal` where the packets do not tell."""
        if not self._has_all_stamps or not self.is_whole or not time_base:
            return Timing(nominal)
        return timing_of(self._stamps, time_base, self._last[1], nominal)
