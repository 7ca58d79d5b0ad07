"""Joins .dcvc streams unit by unit: SPS ids renumbered, one index, one end unit; payloads and picture hashes are untouched."""

from collections.abc import Sequence
from dataclasses import dataclass

from dcvc_cli.bitstream.faults import BitstreamError
from dcvc_cli.bitstream.sps import Sps
from dcvc_cli.bitstream.stream_reader import StreamReader
from dcvc_cli.bitstream.stream_writer import StreamWriter
from dcvc_cli.bitstream.units import FrameUnit, SeiUnit
from dcvc_cli.bitstream.window import ByteSink, ByteSource


@dataclass(frozen=True)
class ConcatReport:
    """What a join did.

    Args:
        num_frames: frames of the result.
        notes: one sentence for each thing that changes between the streams and that a player or decoder may stumble over.
    """

    num_frames: int
    notes: tuple[str, ...]


_COMPARED = (
    ("picture size", lambda sps: f"{sps.width}x{sps.height}"),
    ("chroma format", lambda sps: sps.chroma_format),
    ("frame rate", lambda sps: f"{sps.frame_rate_num}/{sps.frame_rate_den}"),
    ("model", lambda sps: f"{sps.model_family}/{sps.model_variant} {sps.image_fingerprint:016x} {sps.video_fingerprint:016x}"),
    ("precision", lambda sps: sps.precision.name.lower()),
)


def concat_streams(sources: Sequence[tuple[str, ByteSource]], sink: ByteSink) -> ConcatReport:
    """Joins streams, in order, into one.

    Args:
        sources: (name for messages, source) of each stream; joined streams are taken apart first.

    Raises BitstreamError, its message led by the name, for a stream that is damaged or cut short.
    """
    writer = StreamWriter(sink)
    notes: list[str] = []
    previous: Sps | None = None
    for name, source in sources:
        try:
            for unit in StreamReader(source):
                if isinstance(unit, FrameUnit):
                    notes += _changes(name, previous, unit.sps)
                    previous = unit.sps
                    writer.write_frame(unit.frame_type, writer.use_sps(unit.sps), unit.qp, unit.reset, unit.payload)
                elif isinstance(unit, SeiUnit):
                    writer.write_message(unit.message)
        except BitstreamError as error:
            raise type(error)(error.rule, f"{name}: {error.message}", hint=error.hint) from error
    writer.finish()
    return ConcatReport(writer.num_frames, tuple(notes))


def _changes(name: str, previous: Sps | None, sps: Sps) -> list[str]:
    if previous is None or previous == sps:
        return []
    values = [(what, show(previous), show(sps)) for what, show in _COMPARED]
    return [f"{what} changes from {before} to {after} in {name}" for what, before, after in values if before != after]
