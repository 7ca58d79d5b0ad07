"""Byte sources and sinks, and a sliding window on a source. Everything here works on pipes and never seeks."""

import re
import zlib
from typing import Protocol

from dcvc_cli.errors import InputError

READ_SIZE = 1 << 16


class ByteSource(Protocol):
    """Anything with read(n) -> bytes. A pipe may return fewer than n bytes; no bytes mean the end."""

    def read(self, size: int, /) -> bytes: ...


class ByteSink(Protocol):
    """Anything with write(bytes)."""

    def write(self, data: memoryview, /) -> object: ...


def write_all(sink: ByteSink, data: bytes) -> None:
    """Writes all of `data`. An unbuffered pipe may take only a part at a time and returns its size."""
    view = memoryview(data)
    while view:
        taken = sink.write(view)
        view = view[taken if isinstance(taken, int) else len(view) :]


class Window:
    """The bytes of a source that a reader has seen but not yet consumed.

    Memory grows with the bytes that arrive, never with a length that a stream promises. Positions count from the first
    byte not yet consumed.

    Args:
        source: where the bytes come from.
        offset: place of the first byte in the source.

    Attributes:
        offset: place in the source of the first byte not yet consumed.
    """

    def __init__(self, source: ByteSource, offset: int = 0) -> None:
        # read1 returns what a pipe has. A buffered pipe's read(n) waits for all n bytes: it is asked for no more than
        # the missing ones.
        self._read1 = getattr(source, "read1", None)
        self._read = source.read
        self._buffer = bytearray()
        self._ended = False
        self.offset = offset

    def ensure(self, num_bytes: int) -> bool:
        """Reads until `num_bytes` bytes are there. Returns False where the source ends before.

        Raises:
            InputError: the source is in non-blocking mode and has no bytes now.
        """
        while len(self._buffer) < num_bytes and not self._ended:
            missing = num_bytes - len(self._buffer)
            chunk = (
                self._read1(max(READ_SIZE, min(missing, 1 << 20))) if self._read1 else self._read(min(missing, 1 << 20))
            )
            if chunk is None:
                raise InputError("the source has no bytes now and does not wait for them", "open it in blocking mode")
            self._ended = not chunk
            self._buffer += chunk
        return len(self._buffer) >= num_bytes

    @property
    def num_available(self) -> int:
        """Returns the number of bytes that are there without another read."""
        return len(self._buffer)

    def peek(self, start: int, stop: int) -> bytes:
        """Returns a copy of the available bytes in start..stop-1."""
        return bytes(self._buffer[start:stop])

    def crc32(self, start: int, stop: int, seed: int = 0) -> int:
        """Returns zlib.crc32 of the available bytes in start..stop-1, without a copy."""
        with memoryview(self._buffer) as view, view[start:stop] as part:
            return zlib.crc32(part, seed)

    def consume(self, num_bytes: int) -> None:
        """Forgets the first `num_bytes` available bytes."""
        del self._buffer[:num_bytes]
        self.offset += num_bytes

    def search(self, pattern: re.Pattern[bytes], start: int) -> int | None:
        """Returns the position of the first match among the available bytes from `start` on, None without one."""
        match = pattern.search(self._buffer, start)
        return match.start() if match else None
