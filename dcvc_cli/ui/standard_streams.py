"""Makes standard output and standard error usable in any state: closed, on a full disk, or with a reader that went
away."""

import errno
import io
import os
import sys
from contextlib import suppress
from typing import Any


class _Messages(io.FileIO):
    """Standard error. A message that cannot be written is lost, and the command goes on."""

    def write(self, data: Any, /) -> int:
        view = memoryview(data).cast("B")
        num_written = 0
        with suppress(OSError):
            while num_written < len(view):
                # None where the stream does not wait and has no room.
                num_written += super().write(view[num_written:]) or len(view)
        return len(view)


class _Closed(io.RawIOBase):
    """A standard output that was closed before the program began. Writing to it raises OSError.

    Attributes:
        is_told: whether the user has been told; then writing drops the data.
    """

    is_told = False

    def writable(self) -> bool:
        return True

    def write(self, data: Any, /) -> int:
        if self.is_told:
            return len(data)
        raise OSError(errno.EBADF, "it is closed")


def prepare_standard_streams() -> None:
    """Replaces both streams: writing to standard error never fails, and writing to a closed standard output always
    fails.

    Characters that the encoding lacks are written as escapes.
    """
    encoding = getattr(sys.stderr, "encoding", None) or "utf-8"
    messages = io.BufferedWriter(_Messages(2, "w", closefd=False))
    sys.stderr = io.TextIOWrapper(messages, encoding, errors="backslashreplace", line_buffering=True)
    if sys.stdout is None:
        sys.stdout = io.TextIOWrapper(io.BufferedWriter(_Closed()), "utf-8", errors="backslashreplace")
    elif isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def drop_standard_output() -> None:
    """Redirects standard output to the null device, so that its buffer does not fail again when the interpreter flushes
    it."""
    _Closed.is_told = True
    with suppress(OSError, ValueError, AttributeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
