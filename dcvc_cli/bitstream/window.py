"""Byte sources and sinks, and a sliding view of a source: what a reader has looked at but not yet consumed. Works on
pipes, never seeks."""

import re
import zlib
from typing import Protocol

from dcvc_cli.errors import InputError

READ_SIZE = 1 << 16


class ByteSource(Protocol):
    """Anything with read(n) -> bytes, shorter only at a pipe's whim, empty at the end."""

    def read(self, size: int, /) -> bytes: ...


class ByteSink(Protocol):
    """Anything with write(bytes)."""

    def write(self, data: memoryview, /) -> object: ...


def write_all(sink: ByteSink, data: bytes) -> None:
    """Writes all of `data`: an unbuffered pipe may take a part only; other sinks return None or everything."""
    view = memoryview(data)
    while view:
        taken = sink.write(view)
        view = view[taken if isinstance(taken, int) else len(view) :]


class Window:
    """Bytes of `source` from `offset` on. Memory grows with the bytes that arrived, never with a length that was
    promised.

    Positions are relative to the first byte not yet consumed; `offset` is that byte's place in the source.
    """

    def __init__(self, source: ByteSource, offset: int = 0) -> None:
        # read1 returns what a pipe has; read(n) of a buffered pipe waits for all n bytes, so there exactly the missing
        # ones are asked for.
        self._read1 = getattr(source, "read1", None)
        self._read = source.read
        self._buffer = bytearray()
        self._ended = False
        self.offset = offset

    def ensure(self, num_bytes: int) -> bool:
        """Reads until `num_bytes` bytes are there; False when the source ends before."""
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
        """Bytes that can be looked at without reading."""
        return len(self._buffer)

    def peek(self, start: int, stop: int) -> bytes:
        """A copy of the available bytes in start..stop-1."""
        return bytes(self._buffer[start:stop])

    def crc32(self, start: int, stop: int, seed: int = 0) -> int:
        """zlib.crc32 of the available bytes in start..stop-1, without a copy."""
        with memoryview(self._buffer) as view, view[start:stop] as part:
            return zlib.crc32(part, seed)

    def consume(self, num_bytes: int) -> None:
        """Forgets the first `num_bytes` available bytes."""
        del self._buffer[:num_bytes]
        self.offset += num_bytes

    def search(self, pattern: re.Pattern[bytes], start: int) -> int | None:
        """Position of the first match among the available bytes from `start` on."""
        match = pattern.search(self._buffer, start)
        return match.start() if match else None
