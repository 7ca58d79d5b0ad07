"""Turns the published codec's elementary stream into .dcvc and back, without changing payloads (docs/bitstream.md,
"Remux").

Every elementary stream comes back byte for byte. Some deviate from the published encoder's rule for SPSs: other ids,
SPSs sent again, integers longer than needed. Their bytes travel in a user-data SEI.
"""

from collections.abc import Iterable
from dataclasses import replace

from dcvc_cli.bitstream.faults import BitstreamError, Rule
from dcvc_cli.bitstream.nal import NalType
from dcvc_cli.bitstream.sei import UserData
from dcvc_cli.bitstream.sps import Sps
from dcvc_cli.bitstream.stream_writer import StreamWriter
from dcvc_cli.bitstream.units import FrameUnit, SeiUnit, Unit
from dcvc_cli.bitstream.window import ByteSink, ByteSource
from dcvc_cli.families.elementary_form import ElementaryForm, LostUnits, RemuxReport, check_format, phrases_of
from dcvc_cli.families.rt.elementary_stream import (
    ElementaryFrameUnit,
    ElementaryReader,
    ElementarySps,
    ElementarySpsUnit,
    ElementaryWriter,
    SpsTable,
)
from dcvc_cli.format.entropy_format import EntropyFormat

KEPT_BYTES_UUID = bytes.fromhex("6d1f0b7c52e94a3f9d38a4c7e015b286")
"""User data with this UUID hold the bytes of the elementary stream before the next frame's payload, or at the stream's
end."""


class RtElementaryForm(ElementaryForm):
    """The elementary stream of DCVC-RT, byte for byte."""

    def to_dcvc(self, source: ByteSource, sink: ByteSink, template: Sps) -> RemuxReport:
        """Turns an elementary stream into a .dcvc stream, frame by frame."""
        return elementary_to_dcvc(source, sink, template)

    def from_dcvc(self, units: Iterable[Unit], sink: ByteSink) -> RemuxReport:
        """Turns a .dcvc stream into an elementary stream, frame by frame. It refuses payloads in our own entropy
        formats."""
        return dcvc_to_elementary(units, sink)


def elementary_to_dcvc(source: ByteSource, sink: ByteSink, template: Sps) -> RemuxReport:
    """Turns an elementary stream into a .dcvc stream.

    Args:
        template: the facts that an elementary stream lacks: skip threshold, frame rate, model and fingerprints,
            precision, colour. Width, height and entropy format come from the stream.

    Raises:
        BitstreamError: the elementary stream is damaged or truncated, or no decoder can follow it.
    """
    writer = StreamWriter(sink)
    table = SpsTable()
    pending: list[ElementarySpsUnit] = []
    for unit in ElementaryReader(source):
        if isinstance(unit, ElementarySpsUnit):
            pending.append(unit)
            continue
        try:
            _write_dcvc_frame(writer, table, pending, unit, template)
        except BitstreamError as error:
            raise error.at(unit.offset) from None
        pending.clear()
    if pending:
        writer.write_user_data(KEPT_BYTES_UUID, b"".join(unit.raw for unit in pending))
    if not writer.num_frames:
        raise BitstreamError(Rule.TRUNCATED, "the elementary stream holds no frame", 0)
    writer.finish()
    return RemuxReport(writer.num_frames, ())


def _write_dcvc_frame(
    writer: StreamWriter, table: SpsTable, pending: list[ElementarySpsUnit], frame: ElementaryFrameUnit, template: Sps
) -> None:
    """Writes one frame with its SPS. `table` takes in the SPSs of the elementary stream."""
    reset = frame.frame_type is NalType.P and frame.sps.use_ada_i
    found = b"".join(unit.raw for unit in pending) + frame.header
    try:
        by_rule = table.prefix(frame.frame_type, replace(frame.sps, use_ada_i=reset), frame.qp, len(frame.payload))
    except BitstreamError:
        by_rule = b""  # All 16 ids are taken. So the stream replaced one, which the rule never does.
    if found != by_rule:
        writer.write_user_data(KEPT_BYTES_UUID, found)
    for unit in pending:
        table.put(unit.sps_id, unit.sps)
    sps = replace(
        template,
        width=frame.sps.width,
        height=frame.sps.height,
        entropy_format=EntropyFormat.PUBLISHED_TWO if frame.sps.ec_part else EntropyFormat.PUBLISHED_ONE,
    )
    writer.write_frame(frame.frame_type, writer.use_sps(sps), frame.qp, reset, frame.payload)


def dcvc_to_elementary(units: Iterable[Unit], sink: ByteSink) -> RemuxReport:
    """Turns the units of a .dcvc stream into an elementary stream.

    Raises:
        BitstreamError: the stream is damaged, or the published codec cannot read its payloads (partitioned and compact
            entropy coding).
    """
    writer = ElementaryWriter(sink)
    kept: bytes | None = None
    num_frames = num_unfit = 0
    others, all_sps = LostUnits(), dict[Sps, None]()
    for unit in units:
        if isinstance(unit, FrameUnit):
            all_sps[unit.sps] = None
            check_format(unit)
            sps = _elementary_sps(unit)
            if kept is None or not writer.write_kept_frame(kept, unit.frame_type, sps, unit.qp, unit.payload):
                num_unfit += kept is not None
                writer.write_frame(unit.frame_type, sps, unit.qp, unit.payload)
            kept = None
            num_frames += 1
        elif isinstance(unit, SeiUnit) and isinstance(unit.message, UserData) and unit.message.uuid == KEPT_BYTES_UUID:
            kept = unit.message.data
        else:
            others.see(unit)
    if kept is not None and not writer.write_kept_tail(kept):
        num_unfit += 1
    lost = [phrase for sps in all_sps for phrase in phrases_of(sps)] + others.phrases()
    if num_unfit:
        lost.append(f"{num_unfit} kept headers of an older elementary stream that do not fit these frames")
    return RemuxReport(num_frames, tuple(dict.fromkeys(lost)))


def _elementary_sps(frame: FrameUnit) -> ElementarySps:
    sps = frame.sps
    return ElementarySps(sps.height, sps.width, sps.entropy_format is EntropyFormat.PUBLISHED_TWO, frame.reset)
