"""Several outputs of one run: all or none. And what is missing on this machine is named."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.clips import y4m_clip
from tests.support.processes import Run

Call = Callable[..., int]
INPUT, ENVIRONMENT = 3, 5
OUTPUTS = {"-o": "o.dcvc", "--recon": "r.y4m", "--csv": "f.csv", "--json": "f.json"}


@pytest.mark.parametrize("full", OUTPUTS)
def test_one_that_fails_takes_the_others_with_it(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, full: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("clip.y4m").write_bytes(y4m_clip(24, 20, 2))
    for name in OUTPUTS.values():
        Path(name).write_bytes(b"old")
    words = [word for option, name in OUTPUTS.items() for word in (option, "/dev/full" if option == full else name)]
    formats = ["--recon", "/dev/full"] if full == "--recon" else []
    assert call("encode", "clip.y4m", "-y", *words, *formats) in (2, INPUT)
    assert {Path(name).read_bytes() for name in OUTPUTS.values()} == {b"old"}
    assert sorted(os.listdir()) == sorted(["clip.y4m", *OUTPUTS.values()])


@pytest.mark.parametrize("option", ["-o", "--csv", "--json", "--recon"])
def test_disk_that_is_full_at_the_end(call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, option: str) -> None:
    """Room is asked for, for all of them, before the first gets its name."""
    monkeypatch.chdir(tmp_path)
    Path("clip.y4m").write_bytes(y4m_clip(24, 20, 2))
    names = list(OUTPUTS.values())
    failing = list(OUTPUTS).index(option)
    real, settled = os.fsync, []

    def fsync(descriptor: int) -> None:
        settled.append(descriptor)
        if len(settled) == failing + 1:
            raise OSError(28, os.strerror(28))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    assert call("encode", "clip.y4m", *[word for pair in OUTPUTS.items() for word in pair]) == INPUT
    assert not {path.name for path in tmp_path.iterdir()} & set(names)


def test_a_float_analysis_without_torch(dcvc_environment: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "clip.y4m").write_bytes(y4m_clip(24, 20, 2))
    program = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "torch":
            raise ModuleNotFoundError("No module named 'torch'", name="torch")
sys.meta_path.insert(0, Absent())
from dcvc_cli.app import main
main()
"""
    words = ["encode", "clip.y4m", "-o", "o.dcvc", "--model", "tiny"]
    command = [sys.executable, "-c", program, *words]
    done = subprocess.run(
        command, cwd=tmp_path, env=dcvc_environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == ENVIRONMENT, done.stderr
    assert "pip install 'dcvc[torch]'" in done.stderr.splitlines()[-1]
    assert not (tmp_path / "o.dcvc").exists()


def test_more_threads_than_the_system_gives(dcvc: Run, dcvc_environment: dict[str, str], tmp_path: Path) -> None:
    """A container may limit address space or threads: fewer do the same work."""
    (tmp_path / "clip.y4m").write_bytes(y4m_clip(64, 64, 2))
    done = dcvc("encode", "clip.y4m", "-o", "a.dcvc", "--model", "tiny-exact", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert dcvc("decode", "a.dcvc", "-o", "a.y4m", cwd=tmp_path).returncode == 0
    # Stacks of 256 MB: the address space holds a few threads, and room for the rest.
    line = f'ulimit -v 1500000 -s 262144; "{sys.executable}" -m dcvc_cli decode a.dcvc -o o.y4m --threads 16'
    done = subprocess.run(
        ["bash", "-c", line], cwd=tmp_path, env=dcvc_environment, capture_output=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "o.y4m").read_bytes() == (tmp_path / "a.y4m").read_bytes()


@pytest.mark.parametrize("overwrites", [False, True])
def test_two_runs_with_one_output(dcvc_environment: dict[str, str], tmp_path: Path, overwrites: bool) -> None:
    """What stands there at the end is whole and one run's; without -y the later run keeps the earlier one's."""
    (tmp_path / "clip.y4m").write_bytes(y4m_clip(24, 20, 2))
    words = ["encode", "clip.y4m", "-o", "o.dcvc", "--model", "tiny", "-q", *(["-y"] if overwrites else [])]
    command = [sys.executable, "-m", "dcvc_cli", *words]
    options = {"cwd": tmp_path, "env": dcvc_environment, "stderr": subprocess.PIPE, "text": True}
    runs = [subprocess.Popen([*command, "--qp", qp], **options) for qp in ("10", "50")]  # type: ignore[call-overload]
    told = [run.communicate(timeout=60)[1] for run in runs]
    kept = "dcvc: error: o.dcvc exists and is kept (-y overwrites it)\n"
    assert sorted(run.returncode for run in runs) == ([0, 0] if overwrites else [0, 2])
    assert sorted(told) == (["", ""] if overwrites else ["", kept])
    assert sorted(os.listdir(tmp_path)) == ["clip.y4m", "o.dcvc"]
    info = [sys.executable, "-m", "dcvc_cli", "info", "o.dcvc", "--validate"]
    assert subprocess.run(info, cwd=tmp_path, env=dcvc_environment, capture_output=True, check=False).returncode == 0
