"""What only a process of its own shows: signals, closed pipes, full disks, memory over time, and what is imported."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.clips import y4m_clip
from tests.support.processes import ROOT, Run

WAIT_SECONDS = 60


@pytest.fixture(scope="module")
def stream(dcvc: Run) -> bytes:
    done = dcvc("encode", "-", "-o", "-", "--model", "tiny", input=y4m_clip(64, 64, 40))
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_help_without_torch(dcvc_environment: dict[str, str]) -> None:
    program = """
import sys
from dcvc_cli.app import app, run
import typer
assert run(["--help"]) == 0
for name in typer.main.get_command(app).commands:
    assert run([name, "--help"]) == 0, name
assert run(["--version"]) == 0
assert run(["encode", "missing", "-o", "x", "--qp", "70"]) == 2
heavy = {"torch", "av", "scipy", "matplotlib", "safetensors"} & sys.modules.keys()
assert not heavy, heavy
"""
    done = subprocess.run(
        [sys.executable, "-c", program], env=dcvc_environment, capture_output=True, timeout=WAIT_SECONDS, check=False
    )
    assert done.returncode == 0, done.stderr.decode()[-2000:]
    assert b"HIGHER is better" in done.stdout
    assert b"\x1b" not in done.stdout + done.stderr, "NO_COLOR is obeyed"


@contextlib.contextmanager
def waiting_process(
    environment: dict[str, str], folder: Path, fed: bytes, *arguments: str
) -> Iterator["subprocess.Popen[bytes]"]:
    """Starts dcvc and waits until it is in the middle of its work: it has written something, and waits for the rest of
    its standard input."""
    command = [sys.executable, "-m", "dcvc_cli", *arguments]
    process = subprocess.Popen(
        command, cwd=folder, env=environment, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    try:
        assert process.stdin is not None
        process.stdin.write(fed)
        process.stdin.flush()
        yield process
    finally:
        process.kill()
        process.communicate()


def wait_for_output(folder: Path, process: "subprocess.Popen[bytes]") -> None:
    """Waits until the process has written into a file that is not at its place yet: one without a name, or with a
    hidden one."""
    end = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < end:
        for descriptor in Path(f"/proc/{process.pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                name = os.readlink(descriptor)
                if (
                    name.startswith(f"{folder}/")
                    and ("(deleted)" in name or ".dcvc-" in name)
                    and descriptor.stat().st_size
                ):
                    return
        time.sleep(0.05)
    pytest.fail("nothing was written")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_in_the_middle(
    dcvc_environment: dict[str, str], tmp_path: Path, stream: bytes, number: signal.Signals
) -> None:
    for name in ("encode", "decode"):
        (tmp_path / name).mkdir()
    clip = y4m_clip(64, 64, 8)
    options = ("-o", "o.dcvc", "--model", "tiny", "--recon", "r.y4m", "--csv", "f.csv")
    with (
        waiting_process(dcvc_environment, tmp_path / "encode", clip, "encode", "-", *options) as encoder,
        waiting_process(
            dcvc_environment, tmp_path / "decode", stream[: len(stream) // 2], "decode", "-", "-o", "o.y4m"
        ) as decoder,
    ):
        for name, process in (("encode", encoder), ("decode", decoder)):
            wait_for_output(tmp_path / name, process)
            process.send_signal(number)
            assert process.wait(WAIT_SECONDS) == 128 + number
            assert process.stderr is not None
            words = process.stderr.read().decode()
            assert words.splitlines()[-1] == f"dcvc: stopped by {number.name}"
            assert "Traceback" not in words
            assert "Fatal" not in words
            assert list((tmp_path / name).iterdir()) == [], "nothing stays behind"


def test_closed_pipe_ends_quietly(dcvc_environment: dict[str, str], tmp_path: Path, stream: bytes) -> None:
    """`dcvc decode a.dcvc -o - | head -c 100`: no word, nothing left, and the exit code that a shell expects."""
    (tmp_path / "a.dcvc").write_bytes(stream)
    (tmp_path / "clip.y4m").write_bytes(y4m_clip(64, 64, 60))
    for arguments in (
        ("decode", "a.dcvc", "-o", "-", "-q"),
        ("encode", "clip.y4m", "-o", "-", "-q", "--model", "tiny", "--recon", "r.y4m"),
    ):
        command = [sys.executable, "-m", "dcvc_cli", *arguments]
        process = subprocess.Popen(
            command, cwd=tmp_path, env=dcvc_environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.read(10)
        process.stdout.close()
        words = process.stderr.read().decode()
        assert process.wait(WAIT_SECONDS) == 128 + signal.SIGPIPE
        assert words == ""
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.dcvc", "clip.y4m"]


def test_standard_input_is_left_alone(dcvc: Run, tmp_path: Path, stream: bytes) -> None:
    """A shell loop that feeds names on standard input must not lose them to dcvc."""
    (tmp_path / "a.dcvc").write_bytes(stream)
    (tmp_path / "names").write_bytes(b"one\ntwo\n")
    with open(tmp_path / "names", "rb") as names:
        assert dcvc("info", "--json", tmp_path / "a.dcvc", stdin=names).returncode == 0
        assert names.read() == b"one\ntwo\n"


@pytest.mark.skipif(os.geteuid() != 0, reason="a small file system takes root to mount")
def test_full_disk(dcvc: Run, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "none", disk], capture_output=True, check=False
    ).returncode:
        pytest.skip("no small file system can be mounted here")
    try:
        (tmp_path / "clip.y4m").write_bytes(y4m_clip(64, 64, 30))
        done = dcvc(
            "encode", tmp_path / "clip.y4m", "-o", tmp_path / "o.dcvc", "--model", "tiny", "--recon", disk / "r.y4m"
        )
        assert done.returncode == 3
        assert b"No space left on device (make room, or write somewhere else)" in done.stderr
        assert list(disk.iterdir()) == []
        assert not (tmp_path / "o.dcvc").exists()
    finally:
        subprocess.run(["umount", disk], check=True)


def test_memory_is_flat(dcvc_environment: dict[str, str], tmp_path: Path) -> None:
    """Peak memory of coding and decoding 500 frames is within 5 % of that of 50."""
    program = """
import json, sys
from dcvc_cli.app import run
clip, folder = sys.argv[1:]
quiet = ["--threads", "1", "-q", "-y"]
reports = ["--csv", f"{folder}/f.csv", "--json", f"{folder}/f.json", "--recon", f"{folder}/r.y4m", "--psnr"]
assert run(["encode", clip, "-o", f"{folder}/a.dcvc", "--model", "tiny", *reports, *quiet]) == 0
assert run(["decode", f"{folder}/a.dcvc", "-o", f"{folder}/o.y4m", *quiet]) == 0
lines = open("/proc/self/status").read().splitlines()
print(json.dumps(next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))))
"""
    peaks = []
    for num_frames in (50, 500):
        folder = tmp_path / str(num_frames)
        folder.mkdir()
        (folder / "clip.y4m").write_bytes(y4m_clip(48, 48, num_frames))
        command = [sys.executable, "-c", program, str(folder / "clip.y4m"), str(folder)]
        done = subprocess.run(command, env=dcvc_environment, cwd=ROOT, capture_output=True, timeout=120, check=False)
        assert done.returncode == 0, done.stderr.decode()[-2000:]
        peaks.append(json.loads(done.stdout))
    assert peaks[1] <= 1.05 * peaks[0], f"{peaks[0]} kB for 50 frames, {peaks[1]} kB for 500"


def test_small_stream_in_a_small_address_space(dcvc_environment: dict[str, str], stream: bytes, tmp_path: Path) -> None:
    """Batch systems and sandboxes limit the address space: nothing reserves what it will not use."""
    program = (
        "import os, resource, sys; resource.setrlimit(resource.RLIMIT_AS, (1_500_000 << 10,) * 2); "
        "os.execv(sys.executable, sys.argv[1:])"
    )
    command = [sys.executable, "-m", "dcvc_cli", "decode", "-", "-o", "o.y4m", "--threads", "8"]
    done = subprocess.run(
        [sys.executable, "-c", program, *command],
        input=stream,
        cwd=tmp_path,
        env=dcvc_environment,
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "o.y4m").stat().st_size > 40 * 64 * 64
