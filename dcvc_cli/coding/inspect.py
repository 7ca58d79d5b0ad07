"""Reads what `dcvc info` shows of a stream: SPS, frames, messages, sums and faults. No payload is decoded."""

from dataclasses import asdict, dataclass, field
from typing import Any

from dcvc_cli.bitstream.faults import BitstreamError
from dcvc_cli.bitstream.sei import FreeText, PictureHash
from dcvc_cli.bitstream.sps import Sps
from dcvc_cli.bitstream.stream_reader import StreamReader
from dcvc_cli.bitstream.tracks import MAX_TRACKS, TrackHeader
from dcvc_cli.bitstream.units import (
    Damage,
    EndUnit,
    FrameUnit,
    IndexUnit,
    MetadataUnit,
    SeiUnit,
    SpsUnit,
    StartUnit,
    TrackUnit,
)
from dcvc_cli.bitstream.validate import Fault
from dcvc_cli.bitstream.window import ByteSource
from dcvc_cli.coding.frame_report import bitrate_kbps, bits_per_pixel
from dcvc_cli.coding.memory import decoding_memory
from dcvc_cli.coding.opened_models import NAMES_OF_PRECISIONS, weights_of_stream
from dcvc_cli.coding.report_files import SCHEMA_VERSION
from dcvc_cli.errors import EnvironmentFault, StreamError
from dcvc_cli.format.colour_names import MATRICES, PRIMARIES, TRANSFERS, ffmpeg_flags
from dcvc_cli.format.limits import Limits
from dcvc_cli.format.types import ColourDescription


@dataclass(frozen=True)
class FrameRow:
    """One frame unit.

    Attributes:
        index: number of its first picture.
        qp_frame: QP of the unit.
        size_bytes: size of the unit and of the SPS that is repeated before it.
        offset: first byte of the unit, without that SPS.
        sps_number: position of its SPS in `StreamFacts.all_sps`.
        reset: whether the frame drops the reference feature.
        times: of its pictures, in ticks of the SPS's time base since the start of the stream; empty without one.
    """

    index: int
    frame_type: str
    qp_frame: int
    size_bytes: int
    offset: int
    sps_number: int
    reset: bool
    num_pictures: int = 1
    times: tuple[int, ...] = ()


@dataclass
class StreamFacts:
    """Everything found in a stream.

    Attributes:
        size_bytes: bytes read, up to the end of the last unit.
        all_sps: every different SPS that a frame uses, in the order of first use.
        frames: a row for each frame unit.
        texts: free texts of the stream.
        num_parts: how many streams were joined, 1 for a stream that was not.
        num_hashes: messages with picture hashes.
        tracks: headers of other tracks.
        num_metadata: units with metadata of single pictures.
        has_index: whether there is an index unit.
        has_end: whether the stream ends with an end unit.
        faults: broken rules in the order of the stream; empty for an intact stream.
    """

    name: str
    size_bytes: int = 0
    all_sps: list[Sps] = field(default_factory=list)
    frames: list[FrameRow] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    num_parts: int = 0
    num_hashes: int = 0
    tracks: list[TrackHeader] = field(default_factory=list)
    num_metadata: int = 0
    has_index: bool = False
    has_end: bool = False
    faults: list[Fault] = field(default_factory=list)

    @property
    def num_pictures(self) -> int:
        """Counts the pictures of all frame units."""
        return sum(row.num_pictures for row in self.frames)

    @property
    def bpp(self) -> float:
        return bits_per_pixel(self.size_bytes, self.num_pictures, self.all_sps[0].width * self.all_sps[0].height)

    @property
    def bitrate_kbps(self) -> float | None:
        sps = self.all_sps[0]
        return bitrate_kbps(
            self.size_bytes, self.num_pictures, sps.frame_rate_num / sps.frame_rate_den if sps.frame_rate_den else 0.0
        )

    @property
    def duration_seconds(self) -> float | None:
        sps = self.all_sps[0]
        return self.num_pictures * sps.frame_rate_den / sps.frame_rate_num if sps.frame_rate_num else None


def inspect_stream(name: str, source: ByteSource, limits: Limits | None = None) -> StreamFacts:
    """Reads a whole stream. Damage is listed and passed over.

    Args:
        name: the stream's name in messages.
        limits: how many frames the caller grants; None grants any number.

    Raises:
        StreamError: the source is no .dcvc stream, is of a newer version, holds no frame, or holds more than granted.
    """
    facts = StreamFacts(name)
    sps_bytes = 0
    numbers: dict[Sps, int] = {}
    for unit in StreamReader(source, tolerant=True):
        facts.size_bytes = unit.offset + unit.size_bytes
        if isinstance(unit, FrameUnit):
            if limits is not None:
                limits.check_frames(name, unit.frame_index + unit.pictures.num_pictures, StreamError)
            number = numbers.setdefault(unit.sps, len(numbers))
            size_bytes = unit.size_bytes + sps_bytes
            facts.frames.append(
                FrameRow(
                    unit.frame_index,
                    unit.frame_type.name,
                    unit.qp,
                    size_bytes,
                    unit.offset,
                    number,
                    unit.reset,
                    unit.pictures.num_pictures,
                    unit.times,
                )
            )
        elif isinstance(unit, SeiUnit):
            if isinstance(unit.message, FreeText):
                facts.texts.append(unit.message.text)
            facts.num_hashes += isinstance(unit.message, PictureHash)
        elif isinstance(unit, Damage):
            facts.faults.append(Fault(unit.offset, unit.rule, unit.message))
        elif isinstance(unit, StartUnit):
            facts.num_parts += 1
        elif isinstance(unit, TrackUnit) and isinstance(unit.message, TrackHeader):
            if unit.message not in facts.tracks[-MAX_TRACKS:]:
                facts.tracks.append(unit.message)
        elif isinstance(unit, MetadataUnit):
            facts.num_metadata += 1
        facts.has_index |= isinstance(unit, IndexUnit)
        facts.has_end = isinstance(unit, EndUnit)
        sps_bytes = unit.size_bytes if isinstance(unit, SpsUnit) else 0
    facts.all_sps = list(numbers)
    if not facts.frames:
        fault = facts.faults[0] if facts.faults else None
        raise (
            BitstreamError(fault.rule, fault.message, fault.offset) if fault else StreamError(f"{name} holds no frame")
        )
    return facts


def weights_status(sps: Sps) -> str:
    """Returns "here" if this machine has the weights that the SPS names, else why not."""
    try:
        weights_of_stream(sps)
    except EnvironmentFault as error:
        return error.message
    return "here"


def sps_values(sps: Sps) -> dict[str, Any]:
    """Returns everything in an SPS as JSON values."""
    return {
        "format_version": sps.format_version,
        "width": sps.width,
        "height": sps.height,
        "bit_depth": sps.bit_depth,
        "chroma_format": sps.chroma_format,
        "chroma_location": sps.chroma_location,
        "interlacing": sps.interlacing,
        "frame_rate": f"{sps.frame_rate_num}/{sps.frame_rate_den}",
        "sample_aspect_ratio": f"{sps.sar_num}:{sps.sar_den}",
        "colour_primaries": sps.colour_primaries,
        "transfer": sps.transfer,
        "matrix": sps.matrix,
        "full_range": sps.full_range,
        "colour_names": colour_names(sps),
        "ffmpeg_flags": " ".join(
            ffmpeg_flags(ColourDescription(sps.colour_primaries, sps.transfer, sps.matrix, sps.full_range))
        ),
        "model_family": sps.model_family,
        "model_variant": sps.model_variant,
        "syntax": sps.syntax,
        "fingerprints": [f"{fingerprint:016x}" for fingerprint in sps.fingerprints],
        "precision": NAMES_OF_PRECISIONS[sps.precision],
        "arithmetic_level": sps.arithmetic_level,
        "entropy_format": sps.entropy_format.name.lower(),
        "truncate_chroma": sps.truncate_chroma,
        "force_zero_thres": sps.skip_threshold,
        "reset_interval": sps.reset_interval,
        "qp_offsets": list(sps.qp_offsets),
        "hash": sps.hash_kind.name.lower(),
        "memory_bytes": decoding_memory(sps),
        "max_pictures": sps.max_pictures,
        "max_reorder": sps.max_reorder,
        "time_base": None if sps.time_base is None else f"{sps.time_base.num}/{sps.time_base.den}",
        "family_block": sps.family_block.hex(),
        "mastering_display": None if sps.mastering_display is None else asdict(sps.mastering_display),
        "content_light": None if sps.content_light is None else asdict(sps.content_light),
        "vbv": None if sps.vbv is None else asdict(sps.vbv),
        "other_blocks": [block.kind for block in sps.other_blocks],
    }


def colour_names(sps: Sps) -> dict[str, str | None]:
    """Returns ffmpeg's names for the colour of a stream; None where ffmpeg has no name for a code point."""
    ranges = {None: "unknown", False: "limited", True: "full"}
    return {
        "primaries": PRIMARIES.get(sps.colour_primaries),
        "transfer": TRANSFERS.get(sps.transfer),
        "matrix": MATRICES.get(sps.matrix),
        "range": ranges[sps.full_range],
    }


def fault_values(faults: list[Fault]) -> list[dict[str, Any]]:
    """Faults as JSON values."""
    return [{"offset": fault.offset, "rule": fault.rule.value, "message": fault.message} for fault in faults]


def frame_values(facts: StreamFacts, row: FrameRow) -> dict[str, Any]:
    """Returns one frame as JSON values."""
    sps = facts.all_sps[row.sps_number]
    return {
        "index": row.index,
        "type": row.frame_type,
        "qp_frame": row.qp_frame,
        "size_bytes": row.size_bytes,
        "bpp": round(8 * row.size_bytes / (sps.width * sps.height), 6),
        "offset": row.offset,
        "sps": row.sps_number,
        "reset": row.reset,
        "num_pictures": row.num_pictures,
        **({"times": list(row.times)} if row.times else {}),
    }


def track_values(track: TrackHeader) -> dict[str, Any]:
    """Returns the header of another track as JSON values. The codec's name may hold any text: unprintable characters
    become "?"."""
    codec = "".join(character if character.isprintable() else "?" for character in track.codec)
    return {"track": track.track, "kind": track.kind, "codec": codec, "language": track.language}


def stream_values(facts: StreamFacts, *, frames: bool = True) -> dict[str, Any]:
    """Makes the whole document of `dcvc info --json`; without `frames`, nothing of single frames."""
    rows = [frame_values(facts, row) for row in facts.frames] if frames else []
    duration, kbps = facts.duration_seconds, facts.bitrate_kbps
    return {
        "schema_version": SCHEMA_VERSION,
        "name": facts.name,
        "size_bytes": facts.size_bytes,
        "num_frames": facts.num_pictures,
        "num_i_frames": sum(row.frame_type == "I" for row in facts.frames),
        "duration_seconds": None if duration is None else round(duration, 6),
        "bitrate_kbps": None if kbps is None else round(kbps, 6),
        "bpp": round(facts.bpp, 6),
        "sps": [sps_values(sps) | {"weights": weights_status(sps)} for sps in facts.all_sps],
        "texts": facts.texts,
        "num_parts": facts.num_parts,
        "num_hashes": facts.num_hashes,
        "tracks": [track_values(track) for track in facts.tracks],
        "num_metadata": facts.num_metadata,
        "has_index": facts.has_index,
        "has_end": facts.has_end,
        "is_intact": not facts.faults,
        "faults": fault_values(facts.faults),
        **({"frames": rows} if frames else {}),
    }
