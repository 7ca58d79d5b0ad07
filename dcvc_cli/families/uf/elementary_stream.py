"""DCVC-UF's published elementary stream: a plain row of units without signature, checks or end mark.

The writer writes the published encoder's bytes. The stream does not name its video model, the number of pictures of the
last chunk to show, or the skip threshold. A reader has to know them.
Source: docs/bitstream.md, "The elementary stream of DCVC-UF".
"""

from collections.abc import Iterator
from dataclasses import dataclass

from dcvc_cli.bitstream.faults import BitstreamError, Rule
from dcvc_cli.bitstream.limits import largest_payload
from dcvc_cli.bitstream.nal import MAX_SPS_IDS, NalType
from dcvc_cli.bitstream.varint import write_uv
from dcvc_cli.bitstream.window import ByteSink, ByteSource, write_all
from dcvc_cli.families.elementary_bytes import ElementaryBytes
from dcvc_cli.families.uf.coder import MAX_CODERS
from dcvc_cli.format.constants import MAX_BASE_QP, MAX_SIDE

MAX_LATENTS = 256


@dataclass(frozen=True)
class ElementarySps:
    """The size of the pictures, luma samples, 1..16384."""

    height: int
    width: int

    @property
    def max_payload_size(self) -> int:
        """Returns the largest payload of this picture size in bytes: 4 a symbol, and the states and starts of the
        coders."""
        return largest_payload(self.width, self.height, MAX_LATENTS)


@dataclass(frozen=True)
class ElementaryUnit:
    """An I or P unit.

    Attributes:
        offset: offset of its first byte in the stream.
        sps_id: 0..15.
        sps: the SPS under that id.
        qp: 0..63.
        num_coders: 1..8.
        reset: the coder drops memory and feature after this unit; False in I units.
    """

    offset: int
    frame_type: NalType
    sps_id: int
    sps: ElementarySps
    qp: int
    num_coders: int
    reset: bool
    payload: bytes


def write_sps(sps_id: int, sps: ElementarySps) -> bytes:
    """Makes a whole SPS unit. Height comes first."""
    return bytes([NalType.SPS << 4 | sps_id]) + write_uv(sps.height) + write_uv(sps.width)


def write_header(frame_type: NalType, sps_id: int, qp: int, num_coders: int, reset: bool, payload_size: int) -> bytes:
    """Makes the bytes before the payload of an I or P unit."""
    return bytes([frame_type << 4 | sps_id, qp, num_coders << 1 | reset]) + write_uv(payload_size)


class ElementaryReader:
    """Iterates over the I and P units. It holds one payload at a time, at most the limit of the picture size.

    Raises:
        BitstreamError: the stream is damaged. The error names offset and rule.
        TruncatedStreamError: the stream ends inside a unit.
    """

    def __init__(self, source: ByteSource) -> None:
        self._bytes = ElementaryBytes(source)
        self._window = self._bytes.window
        self._sps: dict[int, ElementarySps] = {}

    def __iter__(self) -> Iterator[ElementaryUnit]:
        while self._window.ensure(1):
            try:
                unit = self._read_unit()
            except BitstreamError as error:
                raise error.at(self._window.offset) from None
            if unit is not None:
                yield unit

    def _read_unit(self) -> ElementaryUnit | None:
        first = self._bytes.byte(0)
        nal_type, sps_id = first >> 4, first & 15
        if nal_type == NalType.SPS:
            self._read_sps(sps_id)
            return None
        if nal_type not in (NalType.I, NalType.P):
            raise BitstreamError(Rule.UNIT_TYPE, f"unit type {nal_type} is not one of 0, 1, 2")
        return self._read_frame(NalType(nal_type), sps_id)

    def _read_sps(self, sps_id: int) -> None:
        height, position = self._bytes.number(1)
        width, position = self._bytes.number(position)
        if not (1 <= height <= MAX_SIDE and 1 <= width <= MAX_SIDE):
            raise BitstreamError(
                Rule.SPS_CONTENT, f"picture size {width}x{height} is outside 1x1..{MAX_SIDE}x{MAX_SIDE}"
            )
        self._sps[sps_id] = ElementarySps(height, width)
        self._window.consume(position)

    def _read_frame(self, frame_type: NalType, sps_id: int) -> ElementaryUnit:
        qp, flags = self._bytes.byte(1), self._bytes.byte(2)
        if qp > MAX_BASE_QP:
            raise BitstreamError(Rule.QP_RANGE, f"QP {qp} of a unit of type {frame_type.name} is above {MAX_BASE_QP}")
        num_coders, reset = flags >> 1, bool(flags & 1)
        if not 1 <= num_coders <= MAX_CODERS:
            raise BitstreamError(Rule.UNIT_TYPE, f"a unit has {num_coders} coders, expected 1..{MAX_CODERS}")
        sps = self._sps.get(sps_id)
        if sps is None:
            raise BitstreamError(
                Rule.SPS_MISSING, f"a unit of type {frame_type.name} names SPS id {sps_id}, which was not seen"
            )
        offset = self._window.offset
        _, payload = self._bytes.payload(3, sps.max_payload_size)
        is_p = frame_type is NalType.P
        return ElementaryUnit(offset, frame_type, sps_id, sps, qp, num_coders, reset and is_p, payload)


class ElementaryWriter:
    """Writes an elementary stream by the published encoder's rule: an SPS stands before the first unit that needs
    it."""

    def __init__(self, sink: ByteSink) -> None:
        self._sink = sink
        self._ids: dict[ElementarySps, int] = {}

    def write(
        self, frame_type: NalType, sps: ElementarySps, qp: int, num_coders: int, reset: bool, payload: bytes
    ) -> int:
        """Writes a unit, and its SPS before it if that was not written yet. Returns the number of bytes."""
        data = b""
        if sps not in self._ids:
            if len(self._ids) >= MAX_SPS_IDS:
                raise BitstreamError(Rule.SPS_MISSING, f"an elementary stream has room for {MAX_SPS_IDS} SPSs")
            self._ids[sps] = len(self._ids)
            data = write_sps(self._ids[sps], sps)
        data += write_header(frame_type, self._ids[sps], qp, num_coders, reset, len(payload)) + payload
        write_all(self._sink, data)
        return len(data)
