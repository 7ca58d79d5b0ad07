"""Reads a safetensors file that nobody vouches for: the header first, then no more than the header promises.

The library's own loader takes a whole file in memory and checks sizes afterwards. A service cannot afford that: a
compressed file of 3 MB expands to 3 GB. This reader checks the header, lets its caller compare names and shapes, and
then reads array by array. Format: https://github.com/huggingface/safetensors, "Format".
"""

import io
import json
import math
import os
import stat
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

import numpy as np
from numpy.typing import NDArray

from dcvc_cli.errors import shown

COMPRESSED_SUFFIX = ".gz"
MAX_HEADER_SIZE = 1 << 20
"""Bytes of the JSON header: five times what the largest model needs."""
KINDS = {
    "F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "|i1",
    "U64": "<u8", "U32": "<u4", "U16": "<u2", "U8": "|u1",
}  # fmt: skip
"""numpy's name of each type that a weights file may use."""
METADATA_KEY = "__metadata__"
_MAX_DIMENSIONS = 8
_GZIP = 31
"""zlib's name for a gzip wrapper with the largest window."""


@dataclass(frozen=True)
class ArrayEntry:
    """The header's entry of one array.

    Attributes:
        kind: numpy's type string.
        shape: at most eight sides, 0 or more each.
        start: first byte, counted from the end of the header.
    """

    kind: str
    shape: tuple[int, ...]
    start: int

    @property
    def num_bytes(self) -> int:
        return math.prod(self.shape) * np.dtype(self.kind).itemsize


class SafetensorsReader:
    """A safetensors file, plain or in gzip (by its name). A context manager.

    Attributes:
        metadata: strings by name.
        entries: by key, in the order of the file; together they cover the data without gap or overlap.
        size_bytes: size of the file as it lies on the disk.

    Raises:
        OSError: missing, unreadable, or no regular file.
        ValueError: no safetensors file; the message says why. Also while arrays are read.
    """

    def __init__(self, path: Path) -> None:
        self._file = _open_regular(path)
        try:
            self._status = os.fstat(self._file.fileno())
            self.size_bytes = self._status.st_size
            self._source: BinaryIO | Inflated = (
                Inflated(self._file) if path.name.endswith(COMPRESSED_SUFFIX) else self._file
            )
            header = self._read_header()
            self.metadata = _checked_metadata(header.pop(METADATA_KEY, {}))
            self.entries = _checked_entries(header)
        except BaseException:
            self._file.close()
            raise

    def _read_header(self) -> dict[str, Any]:
        size = int.from_bytes(self._exactly(8), "little")
        if not 2 <= size <= MAX_HEADER_SIZE:
            raise ValueError(f"its header has {size} bytes, expected 2..{MAX_HEADER_SIZE}")
        try:
            header = json.loads(self._exactly(size))
        except RecursionError:
            raise ValueError("its header is nested too deep") from None
        if not isinstance(header, dict):
            raise ValueError(f"its header holds {type(header).__name__}, expected names")
        return header

    def require_end(self) -> None:
        """Holds what the header promises against the end of the file, for callers that read no arrays. A plain file has
        to be as long as promised. The last bytes of a gzip file say how much it unpacks to.

        Raises:
            ValueError: the file was cut short, or has more in it.
        """
        if not isinstance(self._source, Inflated):
            promised = self._file.tell() + sum(entry.num_bytes for entry in self.entries.values())
            if promised != self.size_bytes:
                raise ValueError(f"it has {self.size_bytes} bytes, expected {promised} by its header")
            return
        promised = self._source.num_out + sum(entry.num_bytes for entry in self.entries.values())
        recorded = int.from_bytes(os.pread(self._file.fileno(), 4, self.size_bytes - 4), "little")
        if promised & 0xFFFFFFFF != recorded:
            raise ValueError("its compressed data is cut short or followed by more")

    def _exactly(self, num_bytes: int) -> bytes:
        data = self._source.read(num_bytes)
        if len(data) < num_bytes:
            raise ValueError(f"it ends {num_bytes - len(data)} bytes too early")
        return data

    def arrays(self) -> Iterator[tuple[str, NDArray[Any]]]:
        """Yields key and array in the order of the file, each read when it is asked for. Iterate once and to the end:
        the last step checks that nothing follows, and that the file did not change meanwhile."""
        for key, entry in self.entries.items():
            array = np.empty(entry.shape, entry.kind)
            if array.nbytes:
                view = array.reshape(-1).view(np.uint8).data
                filled = 0
                while filled < len(view):
                    step = self._source.readinto(view[filled:])  # type: ignore[union-attr]
                    if not step:
                        raise ValueError(f"it ends inside {shown(key)}")
                    filled += step
            yield key, array
        if self._source.read(1):
            raise ValueError("it goes on after its last array")
        now = os.fstat(self._file.fileno())
        if (now.st_size, now.st_mtime_ns) != (self._status.st_size, self._status.st_mtime_ns):
            raise ValueError("it changed while it was read")

    def close(self) -> None:
        """Closes the file."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _open_regular(path: Path) -> BinaryIO:
    # A FIFO without a writer would wait for ever, and opening a device may do anything: look before the opening, and
    # again after it.
    _require_regular(os.stat(path))
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    file = os.fdopen(descriptor, "rb")
    try:
        _require_regular(os.fstat(descriptor))
    except BaseException:
        file.close()
        raise
    return file


def _require_regular(status: os.stat_result) -> None:
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError("it is a directory, expected a file")
    if not stat.S_ISREG(status.st_mode):
        raise OSError("it is no regular file")


def _checked_metadata(metadata: Any) -> dict[str, str]:
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise ValueError("its metadata is no list of names and texts")
    return metadata


def _checked_entries(header: Mapping[str, Any]) -> dict[str, ArrayEntry]:
    found: list[tuple[int, int, str, ArrayEntry]] = []
    for key, value in header.items():
        entry, end = _parse_entry(key, value)
        found.append((entry.start, end, key, entry))
    found.sort(key=lambda item: item[:2])
    position = 0
    for start, end, key, _ in found:
        if start != position:
            raise ValueError(f"{shown(key)} begins at byte {start} of the data, expected {position}")
        position = end
    return {key: entry for _, _, key, entry in found}


def _parse_entry(key: str, value: Any) -> tuple[ArrayEntry, int]:
    if not isinstance(value, dict) or value.keys() != {"dtype", "shape", "data_offsets"}:
        raise ValueError(f"{shown(key)} has no dtype, shape and data_offsets")
    name, shape, offsets = value["dtype"], value["shape"], value["data_offsets"]
    if not isinstance(name, str) or name not in KINDS:
        raise ValueError(f"{shown(key)} is of type {shown(name)}, expected one of {', '.join(KINDS)}")
    if not _are_sizes(shape) or len(shape) > _MAX_DIMENSIONS:
        raise ValueError(f"{shown(key)} has no shape of at most {_MAX_DIMENSIONS} sides")
    if not _are_sizes(offsets) or len(offsets) != 2:
        raise ValueError(f"{shown(key)} has no start and end")
    entry = ArrayEntry(KINDS[name], tuple(shape), offsets[0])
    if offsets[1] - offsets[0] != entry.num_bytes:
        found = offsets[1] - offsets[0]
        raise ValueError(f"{shown(key)} takes {found} bytes, its shape and type need {entry.num_bytes}")
    return entry, offsets[1]


def _are_sizes(values: Any) -> bool:
    return isinstance(values, list) and all(type(value) is int and 0 <= value < 1 << 48 for value in values)


class Inflated(io.RawIOBase):
    """The contents of a gzip file of one member, unpacked only as far as they are asked for.

    Attributes:
        num_out: bytes that were unpacked so far.

    Python's own gzip reader keeps no bound on what it takes in: a header with a file name of gigabytes keeps it busy
    for minutes.

    Raises:
        ValueError: damaged, cut short, more than one member, or bytes that unpack to next to nothing.
    """

    _CHUNK_BYTES = 1 << 16
    _FREE_BYTES = 1 << 20

    def __init__(self, file: BinaryIO) -> None:
        super().__init__()
        self._file, self._inflate = file, zlib.decompressobj(_GZIP)
        self._num_in = self.num_out = 0
        self._input = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        """Fills a part of the buffer; 0 at the end only."""
        view = memoryview(buffer).cast("B")
        data = self._some(min(len(view), self._CHUNK_BYTES))
        view[: len(data)] = data
        return len(data)

    def read(self, size: int = -1, /) -> bytes:
        """Reads as many bytes as asked for, fewer only at the end."""
        parts, missing = [], size
        while missing > 0:
            part = self._some(missing)
            if not part:
                break
            parts.append(part)
            missing -= len(part)
        return b"".join(parts)

    def _some(self, limit: int) -> bytes:
        try:
            while limit > 0 and not self._inflate.eof:
                if not self._input:
                    self._input = self._file.read(self._CHUNK_BYTES)
                    self._num_in += len(self._input)
                    if not self._input:
                        raise ValueError("its compressed data is cut short")
                data = self._inflate.decompress(self._input, limit)
                self._input = self._inflate.unconsumed_tail
                self.num_out += len(data)
                if data:
                    return data
                # Deflate never makes data much longer: whoever sends megabytes that unpack to nothing wants to waste
                # time.
                if self._num_in > 2 * self.num_out + self._FREE_BYTES:
                    raise ValueError("its compressed data unpacks to next to nothing")
        except zlib.error as error:
            raise ValueError(f"its compressed data is damaged: {error}") from error
        if self._inflate.eof and (self._inflate.unused_data or self._file.read(1)):
            raise ValueError("its compressed data is followed by more")
        return b""
