"""Finds the next intact unit after damage, in bounded work (docs/bitstream.md, "Damage")."""

import re

from dcvc_cli.bitstream.faults import BitstreamError
from dcvc_cli.bitstream.nal import SIGNATURE, NalType
from dcvc_cli.bitstream.unit_verifier import UnitVerifier
from dcvc_cli.bitstream.window import READ_SIZE, Window

_SCAN_WORK_PER_BYTE = 64
"""A search may check so many bytes for each byte of the source. Without the limit, false starts that state huge lengths
would take quadratic time."""
_SCAN_WORK_FREE = 64 << 20


class Resync:
    """Consumes damaged bytes, up to the next intact unit or the end of the source."""

    def __init__(self, window: Window, verifier: UnitVerifier) -> None:
        self._window, self._verifier = window, verifier
        self.scan_work = 0

    def skip_damaged_unit(self) -> tuple[bool, bool]:
        """Passes over the damaged unit that was verified last, if an intact unit follows where it ends.

        This is the common case, a damaged payload. The payload is not searched, so nothing inside is taken for a unit.

        Returns:
            (whether the unit was passed over, whether it was an I unit whose P units verify by the check in it). Such P
            units cannot be decoded.
        """
        verifier = self._verifier
        end, damaged_gop = verifier.expected_end, verifier.damaged_gop
        if end is None:
            return False, False
        intact, is_lost_gop = self._is_intact(end), False
        if damaged_gop and not (intact and self._window.peek(end, end + 1)[0] >> 4 == NalType.P):
            before, verifier.gop = verifier.gop, damaged_gop
            intact = intact or self._is_intact(end)
            is_lost_gop = intact
            if not intact:
                verifier.gop = before
        if intact:
            self._window.consume(end)
        return intact, is_lost_gop

    def scan(self) -> None:
        """Looks byte by byte for the next intact unit that pictures need, or a signature."""
        window, plausible_start = self._window, self._plausible_start()
        position = 1
        while True:
            more = window.ensure(position + len(SIGNATURE))
            match = window.search(plausible_start, position)
            if match is None:
                if not more:
                    window.consume(window.num_available)
                    return
                window.consume(max(position, window.num_available - len(SIGNATURE) + 1))
                position = 0
            elif self._is_intact(match):
                window.consume(match)
                return
            else:
                position = match + 1
                if position > READ_SIZE:
                    window.consume(position)
                    position = 0

    def _plausible_start(self) -> re.Pattern[bytes]:
        """Returns what the next intact unit may start with. Frame units need an SPS that is known."""
        forms = [
            re.escape(SIGNATURE),
            rb"[\x00-\x0f][\x30-\x90]",
            rb"\x30[\x01-\xff]",
            rb"\x40[\x0d-\xff]",
            rb"\x50\x14",
        ]
        for sps_id, known in self._verifier.sps.items():
            forms.append(rb"\x1%x[\x00-\x%02x]" % (sps_id, known.limits.max_qp_i))
            if self._verifier.gop is not None:
                max_qp = known.limits.max_qp_p
                forms.append(rb"\x2%x[\x00-\x%02x\x80-\x%02x]" % (sps_id, max_qp, 0x80 | max_qp))
        return re.compile(b"|".join(forms))

    def _is_intact(self, position: int) -> bool:
        """Returns whether an intact unit starts at `position`. False also if the check would exceed the work
        allowed."""
        allowed = _SCAN_WORK_FREE + 4 * self._verifier.largest_limit
        if self.scan_work > allowed + _SCAN_WORK_PER_BYTE * (self._window.offset + position):
            return False
        try:
            verified = self._verifier.verify(position)
        except BitstreamError:
            self.scan_work += (self._verifier.expected_end or position) - position
            return False
        self.scan_work += verified.unit_size
        return True
