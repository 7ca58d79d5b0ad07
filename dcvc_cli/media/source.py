"""A byte source: a file, a FIFO or standard input, read forward only, with the first bytes looked at before a reader is
chosen."""

import os
import stat
import sys
from typing import BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from dcvc_cli.errors import InputError, UsageError

PROBE_BYTES = 16
"""How many bytes `ByteSource.prefix` holds: enough for every magic that is looked for."""
READ_BUFFER_BYTES = 1 << 20


class ByteSource:
    """Bytes that are read in order, and skipped without reading where the source is a regular file.

    Args:
        source: a path, or `-` for standard input.

    Attributes:
        name: the path, or "standard input", for messages.
        size_bytes: size of a regular file at opening time, None for pipes and devices.
        prefix: the first bytes, at most PROBE_BYTES; fewer only when the source is shorter. Looking does not consume
            them.
        position: number of bytes consumed.

    Raises:
        UsageError: standard input is a terminal.
        InputError: the source cannot be opened or read.
    """

    def __init__(self, source: str) -> None:
        self._owned = source != "-"
        self.name = source if self._owned else "standard input"
        self.position = 0
        self._stream = self._open(source)
        self.size_bytes = self._regular_file_size()
        try:
            self.prefix = self._read_up_to(PROBE_BYTES)
        except InputError:
            self.close()
            raise
        self._unread = self.prefix

    def _open(self, source: str) -> BinaryIO:
        if not self._owned:
            stdin = cast(BinaryIO | None, getattr(sys.stdin, "buffer", None))
            if stdin is None:
                raise InputError("standard input is closed, expected y4m or raw pictures on it")
            if stdin.isatty():
                raise UsageError(
                    "standard input is a terminal, expected y4m or raw pictures on it",
                    "give a file name, or pipe pictures in",
                )
            return stdin
        try:
            return open(source, "rb", buffering=READ_BUFFER_BYTES)
        except (OSError, ValueError) as error:
            raise InputError(f"cannot read {source}: {_reason(error)}") from error

    def _regular_file_size(self) -> int | None:
        # Standard input redirected from a file counts as a pipe: its offset may be anywhere, and it is ours only to
        # read on.
        if not self._owned:
            return None
        status = os.fstat(self._stream.fileno())
        return status.st_size if stat.S_ISREG(status.st_mode) else None

    def _read_up_to(self, num_bytes: int) -> bytes:
        """Reads at most num_bytes, fewer only at the end; pipes give less than asked, so this asks again."""
        parts = []
        while num_bytes > 0:
            try:
                part = self._stream.read(num_bytes)
            except OSError as error:
                raise InputError(f"cannot read {self.name}: {_reason(error)}") from error
            if not part:
                break
            parts.append(part)
            num_bytes -= len(part)
        return b"".join(parts)

    def read_into(self, target: NDArray[np.uint8]) -> int:
        """Fills a 1-D array as far as the source goes. Returns the number of bytes read: the array's size, or less at
        the end."""
        view = target.data
        filled = min(len(self._unread), len(view))
        view[:filled] = self._unread[:filled]
        self._unread = self._unread[filled:]
        while filled < len(view):
            try:
                step = self._stream.readinto(view[filled:])  # type: ignore[attr-defined]
            except OSError as error:
                raise InputError(f"cannot read {self.name}: {_reason(error)}") from error
            if not step:
                break
            filled += step
        self.position += filled
        return filled

    def read_line(self, max_bytes: int) -> bytes:
        """Reads one line with its newline, at most max_bytes long; without the newline when it is longer or the source
        ends; empty at the end."""
        line = self._unread[:max_bytes]
        end = line.find(b"\n")
        if end >= 0:
            line = line[: end + 1]
        self._unread = self._unread[len(line) :]
        if end < 0 and len(line) < max_bytes:
            try:
                line += self._stream.readline(max_bytes - len(line))
            except OSError as error:
                raise InputError(f"cannot read {self.name}: {_reason(error)}") from error
        self.position += len(line)
        return line

    def peek_at(self, offset: int, num_bytes: int) -> bytes:
        """Reads bytes at an absolute offset of a regular file; does not move the position."""
        try:
            return os.pread(self._stream.fileno(), num_bytes, offset)
        except OSError as error:
            raise InputError(f"cannot read {self.name}: {_reason(error)}") from error

    def seek_to(self, offset: int) -> None:
        """Moves to an absolute offset; regular files only."""
        self._stream.seek(offset)
        self._unread = b""
        self.position = offset

    def close(self) -> None:
        """Closes a file; leaves standard input alone."""
        if self._owned:
            self._stream.close()


def _reason(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
