"""File signature, NAL unit headers and unit checks of the .dcvc stream (docs/bitstream.md, "Units").

Bit-exact: the same unit gives the same bytes everywhere. A unit is

    type and SPS id (1) | I and P only: reset and QP (1) | uv payload length (1, 2, 4) | payload | check (4)
"""

import zlib
from dataclasses import dataclass
from enum import IntEnum

from dcvc_cli.bitstream.faults import BitstreamError, Rule
from dcvc_cli.bitstream.varint import UV_LIMIT, ByteReader, write_uv

SIGNATURE = b"\xdcDCV\r\n\x1a\n"
"""High bit, no UTF-8, CR LF, ^Z and LF: every text-mode or 7-bit transfer changes it. 0xD is never a NAL type."""
CHECK_SIZE = 4
MIN_UNIT_SIZE = 6
"""Type, one length byte, check. No unit is shorter, so a reader that waits for so many bytes never waits too long."""
MAX_HEADER_SIZE = 6
MAX_SPS_IDS = 16
MAX_UNIT_QP = 127
"""The unit header has seven bits for the QP. A model family allows fewer QPs (limits.py)."""


class NalType(IntEnum):
    """High nibble of a unit's first byte. 0, 1 and 2 mean what they mean in the published codec's elementary stream."""

    SPS = 0
    I = 1  # noqa: E741
    P = 2
    SEI = 3
    INDEX = 4
    END = 5
    METADATA = 6
    TRACK = 7
    LATER_8 = 8
    LATER_9 = 9
    LATER_10 = 10
    LATER_11 = 11
    LATER_12 = 12

    @property
    def is_frame(self) -> bool:
        return self is NalType.I or self is NalType.P

    @property
    def needs_version_2(self) -> bool:
        """Returns whether the type exists under an SPS of format version 2 only. No decoded sample depends on such a
        unit."""
        return self > NalType.END

    @property
    def is_later(self) -> bool:
        """Returns whether the type is reserved for later versions. Readers check such a unit and pass over it."""
        return self > NalType.TRACK


@dataclass(frozen=True)
class UnitHeader:
    """What stands before a payload.

    Args:
        sps_id: 0..15 for SPS, I and P units, 0 for all others.
        payload_size: bytes, 0..2^30-1.
        qp: final table index of an I or P unit, 0..127, else 0.
        reset: P units: the decoder drops the reference feature first (use_ada_i of the published codec).
    """

    nal_type: NalType
    sps_id: int
    payload_size: int
    qp: int = 0
    reset: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.sps_id < MAX_SPS_IDS or not 0 <= self.payload_size < UV_LIMIT:
            raise ValueError(f"SPS id {self.sps_id} or payload size {self.payload_size} is out of range")
        max_qp = MAX_UNIT_QP if self.nal_type.is_frame else 0
        if not 0 <= self.qp <= max_qp or (self.reset and self.nal_type is not NalType.P):
            raise ValueError(
                f"QP {self.qp} or reset {self.reset} is not allowed in a unit of type {self.nal_type.name}"
            )

    @property
    def header_size(self) -> int:
        length_size = 1 if self.payload_size < 1 << 7 else 2 if self.payload_size < 1 << 14 else 4
        return 1 + self.nal_type.is_frame + length_size

    @property
    def unit_size(self) -> int:
        """Counts the bytes of the whole unit: header, payload, check."""
        return self.header_size + self.payload_size + CHECK_SIZE


def write_header(header: UnitHeader) -> bytes:
    """Makes the 2..6 bytes before the payload."""
    first = bytes([header.nal_type << 4 | header.sps_id])
    frame = bytes([header.reset << 7 | header.qp]) if header.nal_type.is_frame else b""
    return first + frame + write_uv(header.payload_size)


def read_header(data: bytes) -> UnitHeader:
    """Reads the header at the start of `data`; the bytes after it do not matter.

    The range of the QP depends on the SPS, so the caller checks the QP.

    Raises:
        BitstreamError: the header breaks a rule, which the error names.
    """
    reader = ByteReader(data)
    first = reader.uint(1)
    if first >> 4 > max(NalType):
        raise BitstreamError(Rule.UNIT_TYPE, f"unit type {first >> 4} is not one of 0..{max(NalType):d}")
    nal_type, sps_id = NalType(first >> 4), first & 15
    qp, reset = 0, False
    if nal_type.is_frame:
        flags = reader.uint(1)
        qp, reset = flags & 0x7F, bool(flags >> 7)
        if reset and nal_type is NalType.I:
            raise BitstreamError(Rule.RESET_ON_I, "an I unit carries the reset flag")
    elif nal_type is not NalType.SPS and sps_id:
        raise BitstreamError(Rule.UNIT_TYPE, f"a unit of type {nal_type.name} names SPS id {sps_id}, expected 0")
    return UnitHeader(nal_type, sps_id, reader.uv(), qp, reset)


def unit_check(header_and_payload: bytes) -> int:
    """Computes the check of every unit but I and P units: CRC-32 (zlib) of all bytes of the unit before the check."""
    return zlib.crc32(header_and_payload)


def check_seed(sps_check: int, i_check: int | None) -> int:
    """Computes the CRC-32 that the check of a frame unit continues from.

    So a frame verifies under its own SPS only, and a P frame after its own I frame only.

    Args:
        sps_check: CRC-32 of the bytes of the frame's SPS unit.
        i_check: check of the I unit that a P unit follows; None for an I unit.
    """
    return sps_check if i_check is None else zlib.crc32(i_check.to_bytes(CHECK_SIZE, "big"), sps_check)


def frame_check(body_check: int, frame_number: int) -> int:
    """Computes the check of an I or P unit.

    Args:
        body_check: CRC-32 of the unit's bytes before its check, continued from `check_seed`.
        frame_number: frames since the I frame mod 256, 0 for the I frame itself. The check covers it as one more byte,
            which is not sent.
    """
    return zlib.crc32(bytes([frame_number]), body_check)


def _crc_rows_by_top_byte() -> list[int]:
    rows = [0] * 256
    for index in range(256):
        rows[(zlib.crc32(bytes([index]), 0xFFFF_FFFF) ^ 0xFFFF_FFFF) >> 24] = index
    return rows


_CRC_ROWS = _crc_rows_by_top_byte()


def find_frame_number(body_check: int, check: int) -> int | None:
    """Finds the one number 0..255 for which `frame_check(body_check, number) == check`. None if no number fits: the
    unit is damaged.

    A CRC step is invertible: the top byte of the result tells the table row, so no search is needed. A damaged unit
    passes with probability 2^-24. It passes with 2^-32 if the reader knows which number comes next.
    """
    number = _CRC_ROWS[(check ^ 0xFFFF_FFFF) >> 24] ^ ((body_check ^ 0xFFFF_FFFF) & 0xFF)
    return number if frame_check(body_check, number) == check else None


def write_unit(nal_type: NalType, sps_id: int, payload: bytes) -> bytes:
    """Makes a whole unit of any type but I and P."""
    body = write_header(UnitHeader(nal_type, sps_id, len(payload))) + payload
    return body + unit_check(body).to_bytes(CHECK_SIZE, "big")


def write_frame_unit(header: UnitHeader, payload: bytes, seed: int, frame_number: int) -> bytes:
    """Makes a whole I or P unit.

    Args:
        seed: from `check_seed`.
        frame_number: frames since the last I frame, mod 256; 0 for an I frame.
    """
    body = write_header(header) + payload
    return body + frame_check(zlib.crc32(body, seed), frame_number).to_bytes(CHECK_SIZE, "big")
