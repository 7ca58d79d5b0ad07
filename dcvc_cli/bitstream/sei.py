"""Supplemental units of the .dcvc stream: picture hash, user data, free text. No decoded sample depends on them.

Source: docs/bitstream.md, "SEI".
"""

import hashlib
import zlib
from collections.abc import Iterable
from dataclasses import dataclass

from dcvc_cli.bitstream.faults import BitstreamError, Rule
from dcvc_cli.bitstream.sps import MAX_PICTURES, HashKind
from dcvc_cli.bitstream.varint import ByteReader

MAX_SEI_PAYLOAD_SIZE = 1 << 20
UUID_SIZE = 16
_PICTURE_HASH, _USER_DATA, _FREE_TEXT = 0, 1, 2
_DIGEST_SIZES = {HashKind.CRC32: 4, HashKind.MD5: 16}


@dataclass(frozen=True)
class PictureHash:
    """Hashes of the output samples of the last frame unit before this SEI.

    Attributes:
        kind: CRC32 or MD5.
        digest: for each picture of that unit, in coding order, what `hash_picture` returns: 4 bytes or 16.
        frame_number: number of that unit since its I unit, mod 256. After a loss it keeps a decoder from comparing the
            hash with another frame.
    """

    kind: HashKind
    digest: bytes
    frame_number: int

    @property
    def digests(self) -> tuple[bytes, ...]:
        """Returns the digest of each picture, in coding order."""
        size = _DIGEST_SIZES[self.kind]
        return tuple(self.digest[start : start + size] for start in range(0, len(self.digest), size))


@dataclass(frozen=True)
class UserData:
    """Bytes in a user's own format. A 16-byte UUID names the format."""

    uuid: bytes
    data: bytes


@dataclass(frozen=True)
class FreeText:
    """UTF-8 text for people, such as the encoder's settings."""

    text: str


@dataclass(frozen=True)
class UnknownSei:
    """A message of a later version. Readers pass over it."""

    kind: int
    data: bytes


SeiMessage = PictureHash | UserData | FreeText | UnknownSei


def hash_picture(kind: HashKind, planes: Iterable[bytes | bytearray | memoryview]) -> bytes:
    """Returns the digest of the output samples as a raw planar file holds them. Bit-exact.

    Args:
        kind: CRC32 (4 bytes, big endian) or MD5 (16 bytes).
        planes: in file order (Y Cb Cr, or R G B), each of the cropped size, row by row. A sample takes one byte, above
            8 bits two (little endian).

    Raises:
        ValueError: the kind is another one.
    """
    if kind is HashKind.CRC32:
        check = 0
        for plane in planes:
            check = zlib.crc32(plane, check)
        return check.to_bytes(4, "big")
    if kind is HashKind.MD5:
        md5 = hashlib.md5(usedforsecurity=False)
        for plane in planes:
            md5.update(plane)
        return md5.digest()
    raise ValueError(f"no picture hash is of kind {kind!r}")


def write_sei(message: SeiMessage) -> bytes:
    """Returns the SEI payload of a message.

    Raises:
        ValueError: the layout cannot hold the message.
    """
    if isinstance(message, PictureHash):
        _check_digests(message.kind, len(message.digest))
        payload = bytes([_PICTURE_HASH, message.kind, message.frame_number]) + message.digest
    elif isinstance(message, UserData):
        if len(message.uuid) != UUID_SIZE:
            raise ValueError(f"a UUID of {len(message.uuid)} bytes, expected {UUID_SIZE}")
        payload = bytes([_USER_DATA]) + message.uuid + message.data
    elif isinstance(message, FreeText):
        payload = bytes([_FREE_TEXT]) + message.text.encode()
    else:
        payload = bytes([message.kind]) + message.data
    if len(payload) > MAX_SEI_PAYLOAD_SIZE:
        raise ValueError(f"an SEI payload of {len(payload)} bytes is above {MAX_SEI_PAYLOAD_SIZE}")
    return payload


def _check_digests(kind: HashKind, size_bytes: int) -> None:
    size = _DIGEST_SIZES.get(kind)
    if size is None or size_bytes % size or not 1 <= size_bytes // size <= MAX_PICTURES:
        raise ValueError(f"{size_bytes} bytes are not 1..{MAX_PICTURES} digests of kind {kind!r}")


def read_sei(payload: bytes) -> SeiMessage:
    """Inverts write_sei.

    Raises:
        BitstreamError: the message breaks its layout (rule sei-content).
    """
    try:
        return _read_message(ByteReader(payload))
    except (BitstreamError, ValueError) as error:
        reason = error.reason if isinstance(error, BitstreamError) else str(error)
        raise BitstreamError(Rule.SEI_CONTENT, f"the SEI does not hold its message: {reason}") from error


def _read_message(reader: ByteReader) -> SeiMessage:
    kind = reader.uint(1)
    if kind == _PICTURE_HASH:
        hash_kind = HashKind(reader.uint(1))
        if hash_kind is HashKind.NONE:
            raise ValueError("a picture hash of kind 0")
        frame_number = reader.uint(1)
        _check_digests(hash_kind, reader.remaining)
        return PictureHash(hash_kind, reader.take(reader.remaining), frame_number)
    if kind == _USER_DATA:
        return UserData(reader.take(UUID_SIZE), reader.take(reader.remaining))
    if kind == _FREE_TEXT:
        return FreeText(reader.take(reader.remaining).decode())
    return UnknownSei(kind, reader.take(reader.remaining))
