"""Opens a .dcvc stream or an elementary stream for reading: a file, a FIFO, or standard input."""

import os
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self, cast

from dcvc_cli.errors import EnvironmentFault, InputError, StreamError, UsageError

STANDARD_INPUT = "-"


@contextmanager
def naming(name: str) -> Iterator[None]:
    """Puts the stream's name before the message of what is raised inside: a StreamError, or the EnvironmentFault of
    what the stream needs."""
    try:
        yield
    except (StreamError, EnvironmentFault) as error:
        if not error.message.startswith((f"{name}: ", f"{name} ")):
            error.message = f"{name}: {error.message}"
        raise


class StreamSource:
    """The bytes of a coded stream. A context manager.

    Args:
        source: a path, or `-` for standard input.

    Attributes:
        name: the path, or "standard input", for messages.
        is_seekable: whether `seek` works: for regular files only.

    Raises:
        UsageError: standard input is a terminal.
        InputError: the file is missing, a folder, or unreadable. `read` and `seek` raise it too.
    """

    def __init__(self, source: str) -> None:
        self._is_stdin = source == STANDARD_INPUT
        self.name = "standard input" if self._is_stdin else source
        self._stream = self._open(source)
        # Standard input redirected from a file counts as a pipe: its offset may be anywhere.
        self.is_seekable = not self._is_stdin and stat.S_ISREG(os.fstat(self._stream.fileno()).st_mode)

    def _open(self, source: str) -> BinaryIO:
        if self._is_stdin:
            stdin = cast(BinaryIO | None, getattr(sys.stdin, "buffer", None))
            if stdin is None:
                raise InputError("standard input is closed, expected a coded stream on it")
            if stdin.isatty():
                raise UsageError(
                    "standard input is a terminal, expected a coded stream on it",
                    "give a file name, or pipe a stream in",
                )
            return stdin
        if "\0" in source:
            raise InputError(f"cannot read {source!r}: file names hold no NUL")
        if Path(source).is_dir():
            raise InputError(f"cannot read {source}: it is a folder, expected a coded stream")
        try:
            return open(source, "rb")
        except OSError as error:
            raise InputError(f"cannot read {source}: {error.strerror or error}") from error

    def read(self, size: int, /) -> bytes:
        """Reads at most `size` bytes, fewer where a pipe has fewer now; none at the end only."""
        try:
            return self._stream.read1(size)  # type: ignore[attr-defined]
        except OSError as error:
            raise InputError(f"cannot read {self.name}: {error.strerror or error}") from error

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """Moves as `io.IOBase.seek` does; works for regular files only."""
        try:
            return self._stream.seek(offset, whence)
        except OSError as error:
            raise InputError(f"cannot read {self.name}: {error.strerror or error}") from error

    @property
    def size_bytes(self) -> int | None:
        """Returns the size of a regular file, None for a pipe."""
        return os.fstat(self._stream.fileno()).st_size if self.is_seekable else None

    def close(self) -> None:
        """Closes a file; leaves standard input alone."""
        if not self._is_stdin:
            self._stream.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
