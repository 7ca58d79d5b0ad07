"""Tells whether the unit at a place of a stream is whole and intact. Limits come first: no reader waits for the bytes
of a unit above them."""

from dataclasses import dataclass

from dcvc_cli.bitstream.faults import BitstreamError, Rule, TruncatedStreamError
from dcvc_cli.bitstream.limits import FrameLimits, LimitsOf, limits_under
from dcvc_cli.bitstream.nal import (
    CHECK_SIZE,
    MAX_HEADER_SIZE,
    MIN_UNIT_SIZE,
    SIGNATURE,
    NalType,
    UnitHeader,
    check_seed,
    find_frame_number,
    read_header,
)
from dcvc_cli.bitstream.sei import MAX_SEI_PAYLOAD_SIZE
from dcvc_cli.bitstream.sps import MAX_SPS_PAYLOAD_SIZE, Sps
from dcvc_cli.bitstream.tracks import MAX_METADATA_PAYLOAD_SIZE, MAX_TRACK_PAYLOAD_SIZE
from dcvc_cli.bitstream.units import END_PAYLOAD_SIZE, MAX_INDEX_PAYLOAD_SIZE
from dcvc_cli.bitstream.window import Window

_PAYLOAD_LIMITS = {
    NalType.SPS: MAX_SPS_PAYLOAD_SIZE,
    NalType.SEI: MAX_SEI_PAYLOAD_SIZE,
    NalType.INDEX: MAX_INDEX_PAYLOAD_SIZE,
    NalType.END: END_PAYLOAD_SIZE,
    NalType.METADATA: MAX_METADATA_PAYLOAD_SIZE,
}
"""The limit of the other types is MAX_TRACK_PAYLOAD_SIZE; that of I and P units depends on their SPS."""


@dataclass(frozen=True)
class KnownSps:
    """An SPS as it was last received.

    Attributes:
        sps: its values.
        check: that of its unit.
        limits: those of its frames.
    """

    sps: Sps
    check: int
    limits: FrameLimits


@dataclass(frozen=True)
class Verified:
    """A unit whose check is right.

    Attributes:
        header: None for a signature.
        unit_size: in bytes.
        number: of a frame unit, units since the last I unit, mod 256; else 0.
        check: that of the unit.
    """

    header: UnitHeader | None
    unit_size: int
    number: int = 0
    check: int = 0


class UnitVerifier:
    """Verifies units against those before them in the same stream.

    Args:
        window: the bytes.
        signed: whether the source starts with a signature.
        limits_of: what model families allow (limits.py).

    Attributes:
        sps: the SPSs received since the signature, by id.
        gop: SPS and check of the last I unit, None before the first.
        ended: whether the last unit was an END unit.
        has_version_2: whether an SPS of format version 2 came since the signature. From then on, its unit types may
            come.
        expected_end: where the unit that `verify` saw last would end; None where its header did not tell.
        damaged_gop: SPS and check of the I unit that `verify` saw last, if its bytes are damaged.
        largest_limit: in bytes, the largest limit of payloads among all SPSs so far.
    """

    def __init__(self, window: Window, signed: bool, limits_of: LimitsOf | None) -> None:
        self._window, self._signed, self._limits_of = window, signed, limits_of
        self.expected_end: int | None = None
        self.damaged_gop: tuple[Sps, int] | None = None
        self.largest_limit = 0
        self.start_segment()

    def start_segment(self) -> None:
        """Forgets everything before a signature."""
        self.sps: dict[int, KnownSps] = {}
        self.gop: tuple[Sps, int] | None = None
        self.ended = False
        self.has_version_2 = False

    def add_sps(self, sps_id: int, sps: Sps, check: int) -> None:
        """Lets `sps_id` stand for `sps` from now on."""
        known = KnownSps(sps, check, limits_under(sps, self._limits_of))
        self.sps[sps_id] = known
        self.largest_limit = max(self.largest_limit, known.limits.max_payload_size)
        self.has_version_2 |= sps.format_version > 1

    def verify(self, position: int) -> Verified:
        """Verifies the unit at `position` of the window.

        Raises:
            TruncatedStreamError: the source ends inside the unit.
            BitstreamError: the unit breaks a rule, which the error names.
        """
        window = self._window
        self.expected_end = self.damaged_gop = None
        has_minimum = window.ensure(position + MIN_UNIT_SIZE)
        first = window.peek(position, position + 1)
        at_segment_start = self._signed and position == 0 and window.offset == 0
        if first == SIGNATURE[:1] or self.ended or at_segment_start:
            return self._verify_signature(position)
        if not has_minimum:
            message = f"{window.num_available - position} bytes are left, fewer than any unit has"
            raise TruncatedStreamError(Rule.TRUNCATED, message)
        header = read_header(window.peek(position, position + MAX_HEADER_SIZE))
        limit, seed = self._limit(header)
        if header.payload_size > limit:
            message = f"a payload of {header.payload_size} bytes is above the limit of {limit}"
            raise BitstreamError(Rule.LENGTH_LIMIT, message)
        end = position + header.unit_size
        if not window.ensure(end):
            found = window.num_available - position
            message = f"a unit of type {header.nal_type.name} has {header.unit_size} bytes, {found} are there"
            raise TruncatedStreamError(Rule.TRUNCATED, message)
        self.expected_end = end
        check = int.from_bytes(window.peek(end - CHECK_SIZE, end), "big")
        number = self._intact_number(header, window.crc32(position, end - CHECK_SIZE, seed), check)
        if number is None:
            if header.nal_type is NalType.I:
                self.damaged_gop = (self.sps[header.sps_id].sps, check)
            message = f"the check of a unit of type {header.nal_type.name} and {header.unit_size} bytes does not match"
            raise BitstreamError(Rule.CHECK, message)
        return Verified(header, header.unit_size, number, check)

    @staticmethod
    def _intact_number(header: UnitHeader, body_check: int, check: int) -> int | None:
        """Returns the number that a frame unit's check tells, 0 for another intact unit, None for a damaged one."""
        if not header.nal_type.is_frame:
            return 0 if body_check == check else None
        number = find_frame_number(body_check, check)
        return None if header.nal_type is NalType.I and number else number

    def _verify_signature(self, position: int) -> Verified:
        self._window.ensure(position + len(SIGNATURE))
        found = self._window.peek(position, position + len(SIGNATURE))
        if found == SIGNATURE:
            return Verified(None, len(SIGNATURE))
        if SIGNATURE.startswith(found):
            raise TruncatedStreamError(Rule.TRUNCATED, "the file signature is cut short")
        if self.ended:
            message = f"the end unit is followed by {found[:4].hex(' ')}, expected nothing or another stream"
            raise BitstreamError(Rule.AFTER_END, message)
        message = f"the file signature is damaged: {found.hex(' ')}, expected {SIGNATURE.hex(' ')}"
        raise BitstreamError(Rule.SIGNATURE, message)

    def _limit(self, header: UnitHeader) -> tuple[int, int]:
        """Returns (payload limit in bytes, seed of the check) of a unit. Both follow from its header."""
        name = header.nal_type.name
        if not header.nal_type.is_frame:
            if header.nal_type.needs_version_2 and not self.has_version_2:
                message = f"a unit of type {header.nal_type:d} stands before any SPS of format version 2"
                raise BitstreamError(Rule.UNIT_TYPE, message)
            return _PAYLOAD_LIMITS.get(header.nal_type, MAX_TRACK_PAYLOAD_SIZE), 0
        known = self.sps.get(header.sps_id)
        if known is None:
            message = f"a unit of type {name} names SPS id {header.sps_id}, which was not seen"
            raise BitstreamError(Rule.SPS_MISSING, message)
        is_key = header.nal_type is NalType.I
        max_qp = known.limits.max_qp_i if is_key else known.limits.max_qp_p
        if header.qp > max_qp:
            raise BitstreamError(Rule.QP_RANGE, f"QP {header.qp} of a unit of type {name} is above {max_qp}")
        if is_key:
            return known.limits.max_payload_size, check_seed(known.check, None)
        if self.gop is None:
            raise BitstreamError(Rule.P_WITHOUT_I, "a P unit comes before any I unit")
        return known.limits.max_payload_size, check_seed(known.check, self.gop[1])
