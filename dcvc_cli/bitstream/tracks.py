"""Payloads of METADATA and TRACK units (docs/bitstream.md): messages of single pictures, and other tracks as opaque
packets.

No decoded sample depends on them.
"""

from dataclasses import dataclass

from dcvc_cli.bitstream.faults import BitstreamError, Rule
from dcvc_cli.bitstream.picture_header import MAX_TIME
from dcvc_cli.bitstream.sps import MAX_PICTURES
from dcvc_cli.bitstream.sps_blocks import TimeBase
from dcvc_cli.bitstream.varint import UV_LIMIT, ByteReader, write_uv

MAX_METADATA_PAYLOAD_SIZE = 1 << 20
MAX_TRACK_PAYLOAD_SIZE = 1 << 24
MAX_TRACKS = 255
MATROSKA_TRACK = 255
"""Number of the track that holds the Matroska header (docs/bitstream.md, "TRACK")."""
ITU_T_T35 = 0
"""Kind of a metadata message: the bytes of an ITU-T T.35 message from its country code on, such as HDR10+."""
TRACK_KINDS = ("other", "audio", "subtitles", "data")
_HEADER, _PACKET = 0, 1


@dataclass(frozen=True)
class Metadata:
    """A message of one picture of the last frame unit before it.

    Attributes:
        frame_number: number of that unit since its I unit, mod 256, as in a picture hash.
        picture: 0-based place of the picture in its unit, in coding order.
        kind: 0..255. ITU_T_T35 is known; dcvc carries others through.
        data: the message.
    """

    frame_number: int
    picture: int
    kind: int
    data: bytes


@dataclass(frozen=True)
class TrackHeader:
    """Announces a track. It stands before the track's first packet and may be repeated as it is.

    Attributes:
        track: number of the track, 1..255.
        kind: one of TRACK_KINDS.
        codec: name of what the packets hold, at most 255 bytes of UTF-8, such as `aac`.
        language: ISO 639-2 code of three letters a-z, or "".
        time_base: ticks of the packets' times.
        setup: the codec's own header, such as an AudioSpecificConfig.
    """

    track: int
    kind: str
    codec: str
    language: str
    time_base: TimeBase
    setup: bytes


@dataclass(frozen=True)
class TrackPacket:
    """One packet of a track, with the bytes that it had in its container.

    Attributes:
        track: number of the track, 1..255.
        time: presentation time since the start of the stream in ticks of the track, 0..2^63-1.
        duration: in ticks, 0..2^30-1; 0 = not known.
        data: the packet.
    """

    track: int
    time: int
    duration: int
    data: bytes


def write_metadata(message: Metadata) -> bytes:
    """Returns the METADATA payload of a message.

    Raises:
        ValueError: the layout cannot hold the message.
    """
    if not 0 <= message.picture < MAX_PICTURES:
        raise ValueError(f"picture {message.picture} of a unit is outside 0..{MAX_PICTURES - 1}")
    payload = bytes([message.frame_number, message.picture, message.kind]) + message.data
    return _limited(payload, MAX_METADATA_PAYLOAD_SIZE)


def read_metadata(payload: bytes) -> Metadata:
    """Inverts write_metadata.

    Raises:
        BitstreamError: the payload breaks its layout (rule metadata-content).
    """
    reader = ByteReader(payload)
    try:
        frame_number, picture, kind = reader.uint(1), reader.uint(1), reader.uint(1)
    except BitstreamError as error:
        raise BitstreamError(Rule.METADATA_CONTENT, f"the metadata unit is too short: {error.reason}") from error
    if picture >= MAX_PICTURES:
        raise BitstreamError(Rule.METADATA_CONTENT, f"metadata of picture {picture}, a unit has {MAX_PICTURES} at most")
    return Metadata(frame_number, picture, kind, reader.take(reader.remaining))


def write_track(message: TrackHeader | TrackPacket) -> bytes:
    """Returns the TRACK payload of a header or packet.

    Raises:
        ValueError: the layout cannot hold it.
    """
    _check_track(message.track)
    if isinstance(message, TrackPacket):
        if not 0 <= message.time <= MAX_TIME or not 0 <= message.duration < UV_LIMIT:
            raise ValueError(f"time {message.time} or duration {message.duration} of a packet is out of range")
        start = bytes([_PACKET, message.track]) + message.time.to_bytes(8, "big") + write_uv(message.duration)
        return _limited(start + message.data, MAX_TRACK_PAYLOAD_SIZE)
    codec = message.codec.encode()
    _check_header(message.kind, len(codec), message.language)
    start = bytes([_HEADER, message.track, TRACK_KINDS.index(message.kind), len(codec)]) + codec
    language = (message.language or "\0\0\0").encode("ascii")
    return _limited(start + language + message.time_base.write() + message.setup, MAX_TRACK_PAYLOAD_SIZE)


def read_track(payload: bytes) -> TrackHeader | TrackPacket:
    """Inverts write_track.

    Raises:
        BitstreamError: the payload breaks its layout (rule track-content).
    """
    try:
        return _read_track(ByteReader(payload))
    except (BitstreamError, ValueError) as error:
        reason = error.reason if isinstance(error, BitstreamError) else str(error)
        raise BitstreamError(Rule.TRACK_CONTENT, f"the track unit does not follow its layout: {reason}") from error


def _read_track(reader: ByteReader) -> TrackHeader | TrackPacket:
    form, track = reader.uint(1), reader.uint(1)
    _check_track(track)
    if form == _PACKET:
        time, duration = reader.uint(8), reader.uv()
        if time > MAX_TIME:
            raise ValueError(f"time {time} is above {MAX_TIME}")
        return TrackPacket(track, time, duration, reader.take(reader.remaining))
    if form != _HEADER:
        raise ValueError(f"form {form} is neither a header (0) nor a packet (1)")
    kind = reader.uint(1)
    if kind >= len(TRACK_KINDS):
        raise ValueError(f"track kind {kind} is not one of 0..{len(TRACK_KINDS) - 1}")
    codec = reader.take(reader.uint(1))
    language = reader.take(3)
    text = "" if language == b"\0\0\0" else language.decode("latin-1")
    _check_header(TRACK_KINDS[kind], len(codec), text)
    return TrackHeader(
        track, TRACK_KINDS[kind], codec.decode(), text, TimeBase.read(reader), reader.take(reader.remaining)
    )


def _check_track(track: int) -> None:
    if not 1 <= track <= MAX_TRACKS:
        raise ValueError(f"track {track} is outside 1..{MAX_TRACKS}")


def _check_header(kind: str, codec_size: int, language: str) -> None:
    if kind not in TRACK_KINDS or codec_size > 255:
        raise ValueError(f"track kind {kind!r} is not known, or the codec's name has {codec_size} bytes, more than 255")
    if language and not (len(language) == 3 and all("a" <= letter <= "z" for letter in language)):
        raise ValueError(f"language {language!r} is not three letters a-z")


def _limited(payload: bytes, limit: int) -> bytes:
    if len(payload) > limit:
        raise ValueError(f"a payload of {len(payload)} bytes is above {limit}")
    return payload
