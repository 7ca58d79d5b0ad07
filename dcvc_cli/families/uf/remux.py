"""DCVC-UF's elementary stream <-> .dcvc without touching the coded payloads (docs/bitstream.md, "Remux").

A stream made by the published encoder's rule comes back byte for byte. Only a .dcvc stream has the number of pictures
of a chunk to show. A .dcvc stream made of an elementary stream shows all eight.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace

from dcvc_cli.bitstream.faults import BitstreamError, Rule
from dcvc_cli.bitstream.nal import NalType
from dcvc_cli.bitstream.picture_header import PictureHeader
from dcvc_cli.bitstream.sps import Sps
from dcvc_cli.bitstream.stream_writer import StreamWriter
from dcvc_cli.bitstream.units import FrameUnit, Unit
from dcvc_cli.bitstream.window import ByteSink, ByteSource
from dcvc_cli.families.base import Model
from dcvc_cli.families.elementary_form import ElementaryForm, LostUnits, RemuxReport, check_format, phrases_of
from dcvc_cli.families.uf.coder import MAX_CODERS
from dcvc_cli.families.uf.elementary_stream import ElementaryReader, ElementarySps, ElementaryUnit, ElementaryWriter
from dcvc_cli.format.entropy_format import EntropyFormat


class UfElementaryForm(ElementaryForm):
    """The elementary stream of DCVC-UF.

    Args:
        models: the family's models by name. An elementary stream does not name its model.
    """

    def __init__(self, models: Mapping[str, Model]) -> None:
        self._models = models

    def to_dcvc(self, source: ByteSource, sink: ByteSink, template: Sps) -> RemuxReport:
        """Turns an elementary stream into a .dcvc stream. Each unit holds as many pictures as the template's model
        codes at once."""
        unit_pictures = self._models[template.model_variant].max_pictures
        fields = replace(
            template,
            entropy_format=EntropyFormat.PUBLISHED_ONE,
            max_pictures=unit_pictures,
            reset_interval=0,
            qp_offsets=(),
        )
        writer = StreamWriter(sink)
        for unit in ElementaryReader(source):
            count = unit_pictures if unit.frame_type is NalType.P else 1
            try:
                _write_frame(writer, unit, fields, PictureHeader(count))
            except BitstreamError as error:
                raise error.at(unit.offset) from None
        if not writer.num_frames:
            raise BitstreamError(Rule.TRUNCATED, "the elementary stream holds no frame", 0)
        writer.finish()
        return RemuxReport(writer.num_frames, ())

    def from_dcvc(self, units: Iterable[Unit], sink: ByteSink) -> RemuxReport:
        """Turns a .dcvc stream into an elementary stream. It refuses payloads whose z has tables of our own."""
        writer, others, all_sps = ElementaryWriter(sink), LostUnits(), dict[Sps, None]()
        num_frames = num_cut = 0
        for unit in units:
            if not isinstance(unit, FrameUnit):
                others.see(unit)
                continue
            check_format(unit)
            sps, count = unit.sps, unit.pictures.num_pictures
            all_sps[sps] = None
            if not unit.payload or not 1 <= unit.payload[0] <= MAX_CODERS:
                raise BitstreamError(Rule.UNSUPPORTED, "a unit does not say how many coders it has", unit.offset)
            num_coders, payload = unit.payload[0], unit.payload[1:]
            size = ElementarySps(sps.height, sps.width)
            writer.write(unit.frame_type, size, unit.qp, num_coders, unit.reset, payload)
            num_frames += count
            num_cut += unit.frame_type is NalType.P and count < sps.max_pictures
        lost = [phrase for sps in all_sps for phrase in phrases_of(sps)] + others.phrases()
        if num_cut:
            lost.append(f"that {num_cut} chunks hold fewer pictures than they code, which a decoder must be told")
        return RemuxReport(num_frames, tuple(dict.fromkeys(lost)))


def _write_frame(writer: StreamWriter, unit: ElementaryUnit, fields: Sps, pictures: PictureHeader) -> None:
    sps = replace(fields, width=unit.sps.width, height=unit.sps.height)
    payload = bytes([unit.num_coders]) + unit.payload
    writer.write_frame(unit.frame_type, writer.use_sps(sps), unit.qp, unit.reset, payload, pictures)
