"""Standard output and error whatever their state: closed, on a full disk, or with a reader that went away."""

import errno
import io
import os
import sys
from contextlib import suppress
from typing import Any


class _Words(io.FileIO):
    """Standard error. Words that nobody can take are lost, and never the work that they tell of."""

    def write(self, data: Any, /) -> int:
        view = memoryview(data).cast("B")
        num_written = 0
        with suppress(OSError):
            while num_written < len(view):
                # None where the stream does not wait and has no room.
                num_written += super().write(view[num_written:]) or len(view)
        return len(view)


class _Closed(io.RawIOBase):
    """A standard output that was closed before the program began: whoever writes a result is told.

    Attributes:
        is_told: that happened, and what is still buffered may go.
    """

    is_told = False

    def writable(self) -> bool:
        return True

    def write(self, data: Any, /) -> int:
        if self.is_told:
            return len(data)
        raise OSError(errno.EBADF, "it is closed")


def prepare_standard_streams() -> None:
    """Makes writing to standard error never fail, and to a closed standard output always; what cannot be encoded is spelled out."""
    encoding = getattr(sys.stderr, "encoding", None) or "utf-8"
    words = io.BufferedWriter(_Words(2, "w", closefd=False))
    sys.stderr = io.TextIOWrapper(words, encoding, errors="backslashreplace", line_buffering=True)
    if sys.stdout is None:
        sys.stdout = io.TextIOWrapper(io.BufferedWriter(_Closed()), "utf-8", errors="backslashreplace")
    elif isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def drop_standard_output() -> None:
    """What is still in its buffer has nowhere to go, and must not fail again when the interpreter flushes it."""
    _Closed.is_told = True
    with suppress(OSError, ValueError, AttributeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
