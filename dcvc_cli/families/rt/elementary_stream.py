"""Reader and writer of the published codec's elementary stream (docs/bitstream.md, "The elementary stream of DCVC-RT").

The stream is a row of units without signature, checks or end mark. The writer makes the same bytes as the published
encoder.
"""

import io
from collections.abc import Iterator
from dataclasses import dataclass, replace

from dcvc_cli.bitstream.faults import BitstreamError, Rule
from dcvc_cli.bitstream.limits import MAX_QP_I, MAX_QP_P, general_limits
from dcvc_cli.bitstream.nal import MAX_SPS_IDS, NalType
from dcvc_cli.bitstream.sps import Sps
from dcvc_cli.bitstream.varint import write_uv
from dcvc_cli.bitstream.window import ByteSink, ByteSource, write_all
from dcvc_cli.families.elementary_bytes import ElementaryBytes
from dcvc_cli.format.constants import MAX_SIDE


@dataclass(frozen=True)
class ElementarySps:
    """The published codec's sequence parameter set.

    Attributes:
        height, width: luma samples, 1..16384.
        ec_part: False: one coder of symbols; True: two.
        use_ada_i: P frames only: the decoder drops the reference feature first.
    """

    height: int
    width: int
    ec_part: bool
    use_ada_i: bool


@dataclass(frozen=True)
class ElementarySpsUnit:
    """An SPS unit.

    Attributes:
        offset: of its first byte in the stream.
        raw: its bytes as they stand in the stream.
        sps_id: 0..15.
        sps: what it says.
    """

    offset: int
    raw: bytes
    sps_id: int
    sps: ElementarySps


@dataclass(frozen=True)
class ElementaryFrameUnit:
    """An I or P unit.

    Attributes:
        offset: of its first byte in the stream.
        header: the bytes before its payload, as they stand in the stream.
        frame_type: I or P.
        sps_id: 0..15.
        sps: the SPS that this id names here.
        qp: 0..63, in P frames 0..71.
        payload: its entropy-coded symbols.
    """

    offset: int
    header: bytes
    frame_type: NalType
    sps_id: int
    sps: ElementarySps
    qp: int
    payload: bytes


ElementaryUnit = ElementarySpsUnit | ElementaryFrameUnit


def write_elementary_sps(sps_id: int, sps: ElementarySps) -> bytes:
    """Returns a whole SPS unit. Height comes before width."""
    flags = sps.ec_part << 2 | sps.use_ada_i
    return bytes([NalType.SPS << 4 | sps_id]) + write_uv(sps.height) + write_uv(sps.width) + bytes([flags])


def write_elementary_frame_header(frame_type: NalType, sps_id: int, qp: int, payload_size: int) -> bytes:
    """Returns the bytes before the payload of an I or P unit."""
    return bytes([frame_type << 4 | sps_id, qp]) + write_uv(payload_size)


class SpsTable:
    """The SPSs of a stream so far, and the published encoder's rule for the next one."""

    def __init__(self, sps: dict[int, ElementarySps] | None = None) -> None:
        self._sps = dict(sps or {})

    def copy(self) -> "SpsTable":
        return SpsTable(self._sps)

    def get(self, sps_id: int) -> ElementarySps | None:
        return self._sps.get(sps_id)

    def put(self, sps_id: int, sps: ElementarySps) -> None:
        """Takes an SPS in; one of a known id replaces the old one."""
        self._sps[sps_id] = sps

    def choose(self, sps: ElementarySps) -> tuple[int, bool]:
        """Chooses the id of an SPS. Changes nothing here.

        Returns:
            (id, whether the SPS is new). The id is that of the same SPS sent before, else the highest id so far + 1.

        Raises:
            BitstreamError: all 16 ids are taken (rule sps-missing).
        """
        for sps_id, known in self._sps.items():
            if known == sps:
                return sps_id, False
        sps_id = max(self._sps, default=-1) + 1
        if sps_id >= MAX_SPS_IDS:
            raise BitstreamError(
                Rule.SPS_MISSING, f"an elementary stream has room for {MAX_SPS_IDS} SPSs, one more is needed"
            )
        return sps_id, True

    def prefix(self, frame_type: NalType, sps: ElementarySps, qp: int, payload_size: int) -> bytes:
        """Returns what the published encoder writes before a payload: its header, and an SPS unit if `sps` is new.

        Changes nothing here.

        Raises:
            BitstreamError: all 16 ids are taken (rule sps-missing).
        """
        sps_id, is_new = self.choose(sps)
        sps_unit = write_elementary_sps(sps_id, sps) if is_new else b""
        return sps_unit + write_elementary_frame_header(frame_type, sps_id, qp, payload_size)


class ElementaryReader:
    """Iterates over the units of an elementary stream.

    The reader accepts integers longer than needed, as the published decoder does. It holds one payload in memory, at
    most as large as the limit of the picture size.

    Args:
        source: anything with read(n).
        table: the SPSs known before the first unit, None for none. The reader adds to it.

    Raises:
        TruncatedStreamError: the stream ends inside a unit.
        BitstreamError: the stream is damaged; offset and rule say where and how.
    """

    def __init__(self, source: ByteSource, table: SpsTable | None = None) -> None:
        self._bytes = ElementaryBytes(source)
        self._window = self._bytes.window
        self._table = table or SpsTable()

    def __iter__(self) -> Iterator[ElementaryUnit]:
        while self._window.ensure(1):
            try:
                unit = self._read_unit()
            except BitstreamError as error:
                raise error.at(self._window.offset) from None
            yield unit

    def _read_unit(self) -> ElementaryUnit:
        first = self._bytes.byte(0)
        nal_type, sps_id = first >> 4, first & 15
        if nal_type == NalType.SPS:
            return self._read_sps(sps_id)
        if nal_type not in (NalType.I, NalType.P):
            raise BitstreamError(
                Rule.UNIT_TYPE,
                f"unit type {nal_type} is not one of 0, 1, 2: this is no elementary stream, or it is damaged",
            )
        return self._read_frame(NalType(nal_type), sps_id)

    def _read_sps(self, sps_id: int) -> ElementarySpsUnit:
        height, position = self._bytes.number(1)
        width, position = self._bytes.number(position)
        flags = self._bytes.byte(position)
        if not (1 <= height <= MAX_SIDE and 1 <= width <= MAX_SIDE):
            raise BitstreamError(
                Rule.SPS_CONTENT, f"picture size {width}x{height} is outside 1x1..{MAX_SIDE}x{MAX_SIDE}"
            )
        sps = ElementarySps(height, width, bool(flags & 4), bool(flags & 1))
        offset, raw = self._window.offset, self._window.peek(0, position + 1)
        self._window.consume(len(raw))
        self._table.put(sps_id, sps)
        return ElementarySpsUnit(offset, raw, sps_id, sps)

    def _read_frame(self, frame_type: NalType, sps_id: int) -> ElementaryFrameUnit:
        qp = self._bytes.byte(1)
        max_qp = MAX_QP_I if frame_type is NalType.I else MAX_QP_P
        if qp > max_qp:
            raise BitstreamError(Rule.QP_RANGE, f"QP {qp} of a unit of type {frame_type.name} is above {max_qp}")
        sps = self._table.get(sps_id)
        if sps is None:
            raise BitstreamError(
                Rule.SPS_MISSING, f"a unit of type {frame_type.name} names SPS id {sps_id}, which was not seen"
            )
        offset = self._window.offset
        limit = general_limits(Sps(sps.width, sps.height, format_version=1)).max_payload_size
        header, payload = self._bytes.payload(2, limit)
        return ElementaryFrameUnit(offset, header, frame_type, sps_id, sps, qp, payload)


class ElementaryWriter:
    """Writes an elementary stream by the published encoder's rule for SPSs."""

    def __init__(self, sink: ByteSink) -> None:
        self._sink = sink
        self._table = SpsTable()

    def write_frame(self, frame_type: NalType, sps: ElementarySps, qp: int, payload: bytes) -> int:
        """Writes a frame, and before it its SPS if that is new.

        Returns:
            The number of bytes written, which the published encoder counts as the frame's.

        Raises:
            BitstreamError: all 16 ids of SPSs are taken (rule sps-missing).
        """
        prefix = self._table.prefix(frame_type, sps, qp, len(payload))
        sps_id, _ = self._table.choose(sps)
        self._table.put(sps_id, sps)
        return self._write(prefix + payload)

    def write_kept_frame(self, prefix: bytes, frame_type: NalType, sps: ElementarySps, qp: int, payload: bytes) -> bool:
        """Writes a frame behind bytes kept from a stream that does not follow the rule.

        Args:
            prefix: the kept bytes: SPS units, and the frame's header.
            frame_type, sps, qp, payload: the frame.

        Returns:
            False where the kept bytes are not whole units that say what the other arguments say; nothing is written
            then.
        """
        table = self._table.copy()
        try:
            units = list(ElementaryReader(io.BytesIO(prefix + payload), table))
        except BitstreamError:
            return False
        frames = [unit for unit in units if isinstance(unit, ElementaryFrameUnit)]
        if len(frames) != 1 or frames[0] is not units[-1]:
            return False
        frame = frames[0]
        same_sps = frame.sps == sps or (frame_type is NalType.I and replace(frame.sps, use_ada_i=False) == sps)
        if (frame.frame_type, frame.qp, frame.payload) != (frame_type, qp, payload) or not same_sps:
            return False
        self._table = table
        self._write(prefix + payload)
        return True

    def write_kept_tail(self, tail: bytes) -> bool:
        """Writes SPS units that no frame follows. Returns False for other bytes, and writes nothing then."""
        try:
            units = list(ElementaryReader(io.BytesIO(tail), self._table.copy()))
        except BitstreamError:
            return False
        if not all(isinstance(unit, ElementarySpsUnit) for unit in units):
            return False
        self._write(tail)
        return True

    def _write(self, data: bytes) -> int:
        write_all(self._sink, data)
        return len(data)
