"""The file of the published EVC: one picture behind a big-endian header. The file has no signature and does not name
its model."""

import struct

from dcvc_cli.errors import StreamError
from dcvc_cli.format.types import PictureSize

_HEADER = struct.Struct(">IIHI")
LARGEST_SIDE = 1 << 14


def write_file(size: PictureSize, index: int, payload: bytes) -> bytes:
    """Makes the file of a picture. index: the rate's scale in hundredths."""
    return _HEADER.pack(size.height, size.width, index, len(payload)) + payload


def read_file(data: bytes) -> tuple[PictureSize, int, bytes]:
    """Reads a file. Returns (size, scale in hundredths, payload).

    Raises:
        StreamError: the header is impossible.
    """
    if len(data) < _HEADER.size:
        raise StreamError(f"a file of {len(data)} bytes has no room for its header of {_HEADER.size}")
    height, width, index, num_bytes = _HEADER.unpack_from(data)
    if not (1 <= height <= LARGEST_SIDE and 1 <= width <= LARGEST_SIDE) or index == 0:
        raise StreamError(f"a file's header has {width}x{height} samples at scale {index}")
    if len(data) != _HEADER.size + num_bytes:
        raise StreamError(f"a file's payload has {num_bytes} bytes, {len(data) - _HEADER.size} are there")
    return PictureSize(width, height), index, data[_HEADER.size :]
