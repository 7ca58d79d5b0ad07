"""Outputs that are either finished or not there (`staged_files.py`), and outputs that are written directly: pipes and
devices."""

import contextlib
import errno
import os
import stat
import sys
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self, cast

import numpy as np
from numpy.typing import NDArray

from dcvc_cli.errors import DcvcError, InputError, UsageError
from dcvc_cli.staged_files import StagedFile

STANDARD_OUTPUT_NAMES = ("-", "/dev/stdout")
_DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def output_fault(name: str, error: OSError) -> DcvcError:
    """Makes the error for an output that cannot be written."""
    if error.errno in _DISK_FULL:
        return InputError(f"cannot write {name}: {os.strerror(error.errno or 0)}", "make room, or write somewhere else")
    return InputError(f"cannot write {name}: {error.strerror or error}")


def refuse_existing(name: str) -> UsageError:
    """Makes the error for an output that exists where -y was not given."""
    return UsageError(f"{name} exists and is kept", "-y overwrites it")


def check_name(target: str) -> None:
    """Checks at the start what would otherwise fail at the end of a long run.

    Raises:
        InputError: no file can have this name here: it is too long, lies below something that is no folder, or cannot
            be looked at.
    """
    if "\0" in target:
        raise InputError(f"cannot write {target!r}: file names hold no NUL")
    try:
        os.stat(target)
    except FileNotFoundError:
        pass
    except OSError as error:
        raise output_fault(target, error) from error


def is_direct(target: str) -> bool:
    """Returns whether a target is written directly, without a rename: standard output, devices, FIFOs, sockets."""
    if target in STANDARD_OUTPUT_NAMES:
        return True
    try:
        mode = os.stat(target).st_mode
    except (OSError, ValueError):
        return False
    # /dev/fd/N and /proc/self/fd/N may lead to a regular file, but that file is somebody's open descriptor: never
    # replace it.
    return (not stat.S_ISREG(mode) and not stat.S_ISDIR(mode)) or target.startswith(("/dev/fd/", "/proc/"))


class OutputFile:
    """One output file. As a context manager it commits on a normal end and aborts on any exception.

    A regular file gets its name in `commit`, so that a failed or killed run leaves nothing, and an old file stays whole
    until the new one is. A symbolic link is followed and kept. Standard output is never closed.

    Args:
        target: a path or `-`.
        overwrite: replace an existing regular file; without it, one is kept.

    Attributes:
        name: the path, or "standard output", for messages.
        size_bytes: number of bytes written so far.

    Raises:
        UsageError: the file exists and overwrite is not set, or standard output is a terminal.
        InputError: the output cannot be opened, written or renamed (a full disk included).
        BrokenPipeError: the reader of a pipe went away; passed up as it is.
    """

    def __init__(self, target: str, *, overwrite: bool) -> None:
        self.size_bytes = 0
        self._overwrite = overwrite
        self._staged: StagedFile | None = None
        self._open = True
        self._is_stdout = target in STANDARD_OUTPUT_NAMES
        self.name = "standard output" if self._is_stdout else target
        if self._is_stdout:
            self._stream = _standard_output()
        elif is_direct(target):
            self._stream = self._open_direct(target)
        else:
            check_name(target)
            self._place = Path(os.path.realpath(target))
            self._stream = self._open_staged()

    def _open_direct(self, target: str) -> BinaryIO:
        try:
            # Without O_CREAT: a device that vanished must not turn into a regular file.
            return cast(BinaryIO, os.fdopen(os.open(target, os.O_WRONLY), "wb"))
        except OSError as error:
            raise output_fault(self.name, error) from error

    def _open_staged(self) -> BinaryIO:
        if os.path.isdir(self._place) or self.name.endswith("/"):
            raise InputError(f"cannot write {self.name}: it is a directory, expected a file name")
        old_mode = stat.S_IMODE(os.stat(self._place).st_mode) if os.path.exists(self._place) else None
        if old_mode is not None and not self._overwrite:
            raise refuse_existing(self.name)
        try:
            self._staged = StagedFile(self._place, old_mode)
        except OSError as error:
            raise output_fault(self.name, error) from error
        return self._staged.stream

    @property
    def seekable_stream(self) -> BinaryIO | None:
        """Returns the file itself, for writers that go back in it; None for pipes and devices."""
        return None if self._staged is None else self._staged.stream

    def write(self, data: bytes | bytearray | memoryview | NDArray[Any]) -> None:
        """Appends bytes (any contiguous buffer)."""
        view = data.data if isinstance(data, np.ndarray) else memoryview(data)
        try:
            self._stream.write(view)
        except BrokenPipeError:
            raise
        except OSError as error:
            raise output_fault(self.name, error) from error
        self.size_bytes += view.nbytes

    def flush(self) -> None:
        """Hands everything written so far to the system: for pipes whose reader waits."""
        try:
            self._stream.flush()
        except BrokenPipeError:
            raise
        except OSError as error:
            raise output_fault(self.name, error) from error

    def complete(self) -> None:
        """Does the part of `commit` that a full disk can stop, so that several outputs can be committed together."""
        self.flush()
        if self._staged is not None:
            try:
                self._staged.settle()
            except OSError as error:
                raise output_fault(self.name, error) from error

    def commit(self) -> None:
        """Flushes the output, and puts a regular file in its place. Does nothing a second time."""
        if not self._open:
            return
        try:
            self.flush()
            if self._staged is not None:
                self._staged.put(overwrite=self._overwrite)
            elif not self._is_stdout:
                self._stream.close()
        except FileExistsError as error:
            self.abort()
            raise refuse_existing(self.name) from error
        except BaseException as error:
            self.abort()
            if isinstance(error, OSError) and not isinstance(error, BrokenPipeError):
                raise output_fault(self.name, error) from error
            raise
        self._open = False

    def abort(self) -> None:
        """Drops what was written to a regular file; what went down a pipe is gone. Never raises; does nothing a second
        time."""
        if not self._open:
            return
        self._open = False
        if self._staged is not None:
            self._staged.drop()
        elif not self._is_stdout:
            with contextlib.suppress(OSError):
                self._stream.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.commit()
        else:
            self.abort()


def _standard_output() -> BinaryIO:
    stdout = sys.stdout
    if stdout is None:
        raise InputError("cannot write standard output: it is closed")
    if stdout.isatty():
        raise UsageError(
            "standard output is a terminal, and binary data would go to it", "-o FILE, or pipe it into a program"
        )
    try:
        descriptor = stdout.fileno()
    except (OSError, ValueError):
        # Something else stands in for standard output, such as a test's capture.
        return cast(BinaryIO, stdout.buffer)
    stdout.flush()
    # A buffer of our own: after a broken pipe, sys.stdout holds nothing that the interpreter would try to flush on its
    # way out.
    return cast(BinaryIO, open(descriptor, "wb", closefd=False))
