"""Files and folders under construction: they appear at their place whole, and nothing of them stays when the process is
killed.

Where the system has files without a name (O_TMPFILE), the kernel removes an unfinished file with its last descriptor.
Elsewhere, and for folders, there is a hidden name and a lock, which the kernel drops when the process ends: the next
run in the same folder removes what nobody holds any more.
"""

import contextlib
import fcntl
import os
import secrets
import shutil
import stat
from pathlib import Path
from typing import BinaryIO, cast

_PREFIX, _SUFFIX = ".dcvc-", ".part"
_COPY_BYTES = 1 << 20
_MAX_TRIES = 100


def staging_name() -> str:
    """Makes a hidden file name that no reader takes for a finished output."""
    return f"{_PREFIX}{secrets.token_hex(6)}{_SUFFIX}"


def remove_abandoned(folder: Path) -> None:
    """Removes the unfinished files and folders of processes that are gone. Never raises."""
    with contextlib.suppress(OSError):
        for name in os.listdir(folder):
            if name.startswith(_PREFIX) and name.endswith(_SUFFIX):
                with contextlib.suppress(OSError):
                    _remove_unless_held(folder / name)


def _remove_unless_held(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        mode = os.fstat(descriptor).st_mode
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if stat.S_ISDIR(mode):
            shutil.rmtree(path)
        elif stat.S_ISREG(mode):
            os.unlink(path)
    finally:
        os.close(descriptor)


def _hold(descriptor: int, path: Path) -> bool:
    """Locks what was just made; False where another run removed it before that."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True  # a file system without locks: others cannot lock it either, and leave it alone
    try:
        return os.path.samestat(os.stat(path, follow_symlinks=False), os.fstat(descriptor))
    except FileNotFoundError:
        return False


class StagedFile:
    """One file under construction in the folder of its place.

    Args:
        place: the file's name when it is finished; no symbolic link.
        mode: permission bits, None for the user's default.

    Attributes:
        stream: takes the contents.

    Raises:
        OSError: the folder cannot be written to.
    """

    def __init__(self, place: Path, mode: int | None = None) -> None:
        self._place = place
        self._path: Path | None = None
        self._is_settled = False
        remove_abandoned(place.parent)
        descriptor = self._open_unnamed()
        if descriptor is None:
            descriptor = self._open_named()
        if mode is not None:
            with contextlib.suppress(OSError):
                os.fchmod(descriptor, mode)
        self.stream = cast(BinaryIO, os.fdopen(descriptor, "w+b"))

    def _open_unnamed(self) -> int | None:
        if not hasattr(os, "O_TMPFILE"):
            return None
        try:
            descriptor = os.open(self._place.parent, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o666)
        except OSError:
            return None
        # Its name comes through /proc, which a sandbox may lack.
        if os.path.exists(f"/proc/self/fd/{descriptor}"):
            with contextlib.suppress(OSError):
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)  # for the moment between its two names
            return descriptor
        os.close(descriptor)
        return None

    def _open_named(self) -> int:
        for _ in range(_MAX_TRIES):
            path = self._place.with_name(staging_name())
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
            if _hold(descriptor, path):
                self._path = path
                return descriptor
            os.close(descriptor)
        raise FileExistsError(f"no file can be kept in {self._place.parent}")

    def settle(self) -> None:
        """Writes everything to the disk; OSError where it is full."""
        if not self._is_settled:
            self.stream.flush()
            os.fsync(self.stream.fileno())
            self._is_settled = True

    def put(self, *, overwrite: bool) -> None:
        """Writes everything to the disk and gives the file its name; nothing is written after `settle`.

        Raises:
            FileExistsError: the name is taken and overwrite is not set.
            OSError: the disk is full, or the file cannot be renamed.
        """
        self.settle()
        if self._path is None and not self._link(overwrite):
            return self._finish()
        assert self._path is not None
        put_in_place(self._path, self._place, overwrite=overwrite)
        self._path = None
        return self._finish()

    def _link(self, overwrite: bool) -> bool:
        """Names an unnamed file: its place where that is free, else a hidden name to be renamed. Returns whether it is
        the hidden one."""
        try:
            self._link_to(self._place)
        except FileExistsError:
            if not overwrite:
                raise
        except OSError:
            pass  # told below, or got round there
        else:
            return False
        path = self._place.with_name(staging_name())
        self._path = path
        try:
            self._link_to(path)
        except OSError:
            # A sandbox that cannot link descriptors: the bytes themselves are still there.
            self._copy_to(path)
        return True

    def _link_to(self, path: Path) -> None:
        # Only with a folder's descriptor does Python follow the link in /proc; the name is absolute, so which one does
        # not matter.
        os.link(f"/proc/self/fd/{self.stream.fileno()}", path, src_dir_fd=self.stream.fileno(), follow_symlinks=True)

    def _copy_to(self, path: Path) -> None:
        mode = stat.S_IMODE(os.fstat(self.stream.fileno()).st_mode)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
        with os.fdopen(descriptor, "wb") as copy:
            _hold(descriptor, path)
            self.stream.seek(0)
            shutil.copyfileobj(self.stream, copy, _COPY_BYTES)
            copy.flush()
            os.fsync(descriptor)

    def drop(self) -> None:
        """Removes what was written. Never raises; does nothing after `put`."""
        with contextlib.suppress(OSError):
            self.stream.close()
        if self._path is not None:
            with contextlib.suppress(OSError):
                os.unlink(self._path)
            self._path = None

    def _finish(self) -> None:
        self.stream.close()


def write_whole(place: Path, content: bytes) -> None:
    """Writes a file, in place of an old one only once it is whole.

    Raises:
        OSError: it cannot be written; the old one is kept.
    """
    staged = StagedFile(place)
    try:
        staged.stream.write(content)
        staged.put(overwrite=True)
    except BaseException:
        staged.drop()
        raise


class StagedFolder:
    """A hidden folder under construction, held by this process.

    Attributes:
        path: where files go meanwhile.

    Raises:
        OSError: the parent cannot be written to.
    """

    def __init__(self, parent: Path) -> None:
        remove_abandoned(parent)
        for _ in range(_MAX_TRIES):
            self.path = parent / staging_name()
            self.path.mkdir()
            try:
                self._descriptor = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            except FileNotFoundError:
                continue
            if _hold(self._descriptor, self.path):
                return
            os.close(self._descriptor)
        raise FileExistsError(f"no folder can be kept in {parent}")

    def release(self) -> None:
        """Lets go of the folder, which was renamed or emptied. Does nothing a second time."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def drop(self) -> None:
        """Removes the folder and what is in it. Never raises."""
        with contextlib.suppress(OSError):
            shutil.rmtree(self.path)
        self.release()


def put_in_place(staging: Path, place: Path, *, overwrite: bool) -> None:
    """Renames a finished file; without overwrite, a file that appeared in its place meanwhile is kept.

    Raises:
        FileExistsError: the place is taken and overwrite is not set.
        OSError: the rename failed.
    """
    if overwrite:
        os.replace(staging, place)
        return
    try:
        # A hard link fails where the name is taken, a rename does not: no moment between looking and acting.
        os.link(staging, place)
    except FileExistsError:
        raise
    except OSError:
        # File systems without hard links.
        if os.path.lexists(place):
            raise FileExistsError(f"{place} is there") from None
        os.replace(staging, place)
        return
    os.unlink(staging)
