"""The units that a reader of a .dcvc stream yields, each a frozen value, and the payloads of index and end units.
Source: docs/bitstream.md."""

from dataclasses import dataclass

from dcvc_cli.bitstream.faults import BitstreamError, Rule
from dcvc_cli.bitstream.nal import NalType
from dcvc_cli.bitstream.picture_header import ONE_PICTURE, PictureHeader
from dcvc_cli.bitstream.sei import SeiMessage
from dcvc_cli.bitstream.sps import Sps
from dcvc_cli.bitstream.tracks import Metadata, TrackHeader, TrackPacket
from dcvc_cli.bitstream.varint import ByteReader

INDEX_ENTRY_SIZE = 13
MAX_INDEX_ENTRIES = 4_000_000
MAX_INDEX_PAYLOAD_SIZE = INDEX_ENTRY_SIZE * MAX_INDEX_ENTRIES
MIN_FRAME_UNIT_SIZE = 7
"""Type, QP, length and check. No frame takes fewer bytes."""
END_PAYLOAD_SIZE = 20
END_UNIT_SIZE = END_PAYLOAD_SIZE + 6
"""It is fixed, so that a reader finds the end unit from the end of a file."""


@dataclass(frozen=True)
class IndexEntry:
    """The place of one frame. In a stream, numbers and offsets count from the signature. In the results of `read_index`
    and `scan_units`, they count from the start of the source.

    Attributes:
        frame_type: I or P.
        frame_number: 0-based number of the frame.
        offset: offset of a P unit, or of the SPS unit just before an I unit.
    """

    frame_type: NalType
    frame_number: int
    offset: int


@dataclass(frozen=True)
class StartUnit:
    """The file signature. A joined file has one at the start of each part."""

    offset: int
    size_bytes: int


@dataclass(frozen=True)
class SpsUnit:
    """An SPS. For the frames that follow, it replaces the one of the same id."""

    offset: int
    size_bytes: int
    sps_id: int
    sps: Sps


@dataclass(frozen=True)
class FrameUnit:
    """One coded frame.

    Attributes:
        reset: the decoder drops the reference feature first.
        payload: the coded pictures, without the picture header before them.
        frame_index: 0-based number of the unit's first picture among those that the reader yielded.
        number: units since the last I unit, mod 256; 0 for an I unit.
        decodable: False from a loss until the next I frame, because the frame's reference is missing.
        num_missing: units missing right before a P unit, mod 256. The unit's number tells them.
        pictures: how many pictures the unit holds, and their order.
        times: presentation time of each picture in ticks since the start of the stream; empty without a time base.
    """

    offset: int
    size_bytes: int
    frame_type: NalType
    sps_id: int
    sps: Sps
    qp: int
    reset: bool
    payload: bytes
    frame_index: int
    number: int
    decodable: bool = True
    num_missing: int = 0
    pictures: PictureHeader = ONE_PICTURE
    times: tuple[int, ...] = ()


@dataclass(frozen=True)
class SeiUnit:
    """A supplemental message. A PictureHash is that of the last frame before it."""

    offset: int
    size_bytes: int
    message: SeiMessage


@dataclass(frozen=True)
class MetadataUnit:
    """A message of one picture of the last frame unit before it."""

    offset: int
    size_bytes: int
    message: Metadata


@dataclass(frozen=True)
class TrackUnit:
    """A header or a packet of a track beside the pictures."""

    offset: int
    size_bytes: int
    message: TrackHeader | TrackPacket


@dataclass(frozen=True)
class LaterUnit:
    """A unit of a type that a later version may define. Nothing that this version decodes depends on it."""

    offset: int
    size_bytes: int
    nal_type: NalType


@dataclass(frozen=True)
class IndexUnit:
    """The index as it stands in the stream: offsets count from the signature."""

    offset: int
    size_bytes: int
    entries: tuple[IndexEntry, ...]


@dataclass(frozen=True)
class EndUnit:
    """The end of a stream.

    Attributes:
        num_frames: pictures since the signature.
        index_distance: bytes from the start of the index unit to the start of this unit, 0 = no index.
        stream_distance: bytes from the signature to the start of this unit.
        stream_check: CRC-32 of the checks of all units since the signature.
    """

    offset: int
    size_bytes: int
    num_frames: int
    index_distance: int
    stream_distance: int
    stream_check: int


@dataclass(frozen=True)
class Damage:
    """A rule that the stream breaks.

    Attributes:
        offset: where the stream breaks it.
        size_bytes: bytes that the reader passed over; 0 where frames are missing and no bytes are damaged.
        rule: its stable name.
        message: what was expected and what was found, in one line.
    """

    offset: int
    size_bytes: int
    rule: Rule
    message: str


Unit = StartUnit | SpsUnit | FrameUnit | SeiUnit | MetadataUnit | TrackUnit | LaterUnit | IndexUnit | EndUnit | Damage


def write_index(entries: list[IndexEntry]) -> bytes:
    """Returns the index payload. An entry has 13 bytes: type (1), frame number (4), offset (8)."""
    return b"".join(
        bytes([e.frame_type]) + e.frame_number.to_bytes(4, "big") + e.offset.to_bytes(8, "big") for e in entries
    )


def read_index_payload(payload: bytes) -> tuple[IndexEntry, ...]:
    """Inverts write_index.

    Raises:
        BitstreamError: the payload breaks its layout, or frame numbers or offsets do not increase (rule index-content).
    """
    if len(payload) % INDEX_ENTRY_SIZE:
        raise BitstreamError(
            Rule.INDEX_CONTENT, f"an index of {len(payload)} bytes is no multiple of {INDEX_ENTRY_SIZE}"
        )
    reader = ByteReader(payload)
    entries: list[IndexEntry] = []
    while reader.remaining:
        code, frame_number, offset = reader.uint(1), reader.uint(4), reader.uint(8)
        if code not in (NalType.I, NalType.P):
            raise BitstreamError(
                Rule.INDEX_CONTENT, f"index entry {len(entries)} has type {code}, expected I (1) or P (2)"
            )
        if entries and not (frame_number > entries[-1].frame_number and offset > entries[-1].offset):
            raise BitstreamError(
                Rule.INDEX_CONTENT, f"index entry {len(entries)} does not come after the one before it"
            )
        entries.append(IndexEntry(NalType(code), frame_number, offset))
    return tuple(entries)


def write_end(num_frames: int, index_distance: int, stream_distance: int, stream_check: int) -> bytes:
    """Returns the end payload, 20 bytes: frames (4), index distance (4), stream distance (8), stream check (4)."""
    return b"".join(
        value.to_bytes(size, "big")
        for value, size in ((num_frames, 4), (index_distance, 4), (stream_distance, 8), (stream_check, 4))
    )


def read_end(payload: bytes, offset: int) -> EndUnit:
    """Returns the end unit that starts at `offset`.

    Raises:
        BitstreamError: the payload has another size (rule end-content).
    """
    if len(payload) != END_PAYLOAD_SIZE:
        raise BitstreamError(Rule.END_CONTENT, f"an end unit holds {len(payload)} bytes, expected {END_PAYLOAD_SIZE}")
    reader = ByteReader(payload)
    return EndUnit(offset, END_UNIT_SIZE, reader.uint(4), reader.uint(4), reader.uint(8), reader.uint(4))
