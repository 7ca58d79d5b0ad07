"""Unfinished files leave nothing: without a name where the system has that, else removed by the next run once their
maker is gone."""

import fcntl
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from dcvc_cli import staged_files
from dcvc_cli.staged_files import StagedFile, StagedFolder, remove_abandoned, staging_name, write_whole
from tests.support.processes import ROOT

Names = Callable[[], list[str]]
KILLED = """
import os, signal, sys
from pathlib import Path
from dcvc_cli import staged_files

if sys.argv[1] == "named":
    staged_files.StagedFile._open_unnamed = lambda self: None
place = Path(sys.argv[2])
if sys.argv[1] == "folder":
    made = staged_files.StagedFolder(place.parent)
    (made.path / "im00001.png").write_bytes(b"picture")
else:
    made = staged_files.StagedFile(place)
    made.stream.write(b"half of it")
    made.stream.flush()
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture(params=["unnamed", "named", "copied"])
def kind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Yields every way to a finished file: O_TMPFILE and a link, a hidden name, and a system that cannot link a
    descriptor."""
    if request.param == "named":
        monkeypatch.setattr(StagedFile, "_open_unnamed", lambda self: None)
    elif request.param == "copied":

        def refuse(self: StagedFile, path: Path) -> None:
            raise PermissionError("no links here")

        monkeypatch.setattr(StagedFile, "_link_to", refuse)
    return request.param


@pytest.fixture
def names(tmp_path: Path) -> Names:
    return lambda: sorted(path.name for path in tmp_path.iterdir())


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("old", [None, b"old contents, longer"])
def test_place_is_taken_whole_or_not_at_all(
    tmp_path: Path, names: Names, kind: str, old: bytes | None, overwrite: bool
) -> None:
    place = tmp_path / "a"
    if old is not None:
        place.write_bytes(old)
    staged = StagedFile(place, 0o640)
    staged.stream.write(b"new")
    assert (place.read_bytes() if old else None) == old
    if old is not None and not overwrite:
        with pytest.raises(FileExistsError):
            staged.put(overwrite=False)
        staged.drop()
        assert place.read_bytes() == old
    else:
        staged.put(overwrite=overwrite)
        assert place.read_bytes() == b"new"
        assert place.stat().st_mode & 0o777 == 0o640
    assert names() == ["a"]


def test_what_is_dropped_leaves_nothing(tmp_path: Path, names: Names, kind: str) -> None:
    staged = StagedFile(tmp_path / "a")
    staged.stream.write(b"new")
    staged.drop()
    staged.drop()
    assert names() == []


def test_permissions_are_those_of_any_new_file(tmp_path: Path, kind: str) -> None:
    (tmp_path / "plain").write_bytes(b"")
    write_whole(tmp_path / "a", b"new")
    assert (tmp_path / "a").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_unnamed_where_the_system_has_that(tmp_path: Path, names: Names) -> None:
    """The kernel removes such a file with the process: nothing is there to be left."""
    try:
        os.close(os.open(tmp_path, os.O_TMPFILE | os.O_RDWR))
    except OSError:
        pytest.skip("no O_TMPFILE on this file system")
    staged = StagedFile(tmp_path / "a")
    assert names() == []
    staged.drop()


@pytest.mark.parametrize("what", ["unnamed", "named", "folder"])
def test_next_run_removes_what_a_killed_one_left(tmp_path: Path, names: Names, what: str) -> None:
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", KILLED, what, str(tmp_path / "a")], env=environment, timeout=60, check=False
    )
    assert done.returncode == -signal.SIGKILL
    assert len(names()) == (0 if what == "unnamed" else 1)
    write_whole(tmp_path / "b", b"other")
    assert names() == ["b"]


def test_runs_beside_each_other_keep_their_files(tmp_path: Path, names: Names, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(StagedFile, "_open_unnamed", lambda self: None)
    first, folder = StagedFile(tmp_path / "a"), StagedFolder(tmp_path)
    second = StagedFile(tmp_path / "a")
    assert len(names()) == 3
    second.put(overwrite=False)
    first.put(overwrite=True)
    folder.drop()
    assert names() == ["a"]


def test_only_our_own_leftovers_are_removed(tmp_path: Path, names: Names) -> None:
    kept = [".dcvc-notes", "x.dcvc-0.part", "dcvc-0.part", ".other.part"]
    for name in kept:
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "target").write_bytes(b"target of a link")
    (tmp_path / staging_name()).symlink_to(tmp_path / "target")
    os.mkfifo(tmp_path / staging_name())
    (tmp_path / staging_name()).write_bytes(b"abandoned")
    before = names()
    remove_abandoned(tmp_path)
    assert len(names()) == len(before) - 1
    assert set(kept) | {"target"} <= set(names())
    remove_abandoned(tmp_path / "nowhere")


def test_file_removed_before_its_lock_is_made_again(
    tmp_path: Path, names: Names, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between making a hidden file and locking it, another run may take it for abandoned."""
    monkeypatch.setattr(StagedFile, "_open_unnamed", lambda self: None)
    real, robbed = fcntl.flock, []

    def rob_once(descriptor: int, operation: int) -> None:
        if not robbed:
            robbed.extend(tmp_path.iterdir())
            for path in robbed:
                path.unlink()
        real(descriptor, operation)

    monkeypatch.setattr(staged_files.fcntl, "flock", rob_once)
    write_whole(tmp_path / "a", b"new")
    assert len(robbed) == 1
    assert names() == ["a"]
    assert (tmp_path / "a").read_bytes() == b"new"


def test_full_disk_keeps_the_old_file(tmp_path: Path, names: Names, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").write_bytes(b"old")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_whole(tmp_path / "a", b"new")
    assert names() == ["a"]
    assert (tmp_path / "a").read_bytes() == b"old"
