"""Outputs appear whole or not at all; what was there stays unless told otherwise; pipes and devices are written
directly."""

import contextlib
import io
import os
import signal
import stat
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from dcvc_cli.errors import ExitCode, InputError, UsageError
from dcvc_cli.format.types import Picture, PictureSize, VideoFormat
from dcvc_cli.media import OutputFile, open_writer


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_file_appears_at_the_end_only(tmp_path):
    with OutputFile(str(tmp_path / "a"), overwrite=False) as output:
        output.write(b"abc")
        output.write(memoryview(b"de"))
        output.write(np.frombuffer(b"fghi", np.uint8).reshape(2, 2))
        assert output.size_bytes == 9
        assert all(name.startswith(".dcvc-") and name.endswith(".part") for name in names(tmp_path))
    assert names(tmp_path) == ["a"]
    assert (tmp_path / "a").read_bytes() == b"abcdefghi"


@pytest.mark.parametrize("failure", [ValueError, KeyboardInterrupt, SystemExit])
def test_failure_leaves_nothing(tmp_path, failure):
    def fail() -> None:
        with OutputFile(str(tmp_path / "a"), overwrite=False) as output:
            output.write(b"abc")
            raise failure

    with pytest.raises(failure):
        fail()
    assert names(tmp_path) == []


def test_existing_file_is_kept(tmp_path):
    (tmp_path / "a").write_bytes(b"old")
    with pytest.raises(UsageError, match=r"exists and is kept.*-y"):
        OutputFile(str(tmp_path / "a"), overwrite=False)
    assert (tmp_path / "a").read_bytes() == b"old"


def test_old_file_stays_until_the_new_one_is_whole(tmp_path):
    (tmp_path / "a").write_bytes(b"old")
    (tmp_path / "a").chmod(0o640)
    output = OutputFile(str(tmp_path / "a"), overwrite=True)
    output.write(b"new")
    assert (tmp_path / "a").read_bytes() == b"old"
    output.abort()
    assert (tmp_path / "a").read_bytes() == b"old"
    with OutputFile(str(tmp_path / "a"), overwrite=True) as output:
        output.write(b"new")
    assert (tmp_path / "a").read_bytes() == b"new"
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o640
    assert names(tmp_path) == ["a"]


def test_file_that_appears_meanwhile_is_kept(tmp_path):
    output = OutputFile(str(tmp_path / "a"), overwrite=False)
    output.write(b"ours")
    (tmp_path / "a").write_bytes(b"theirs")
    with pytest.raises(UsageError, match="exists and is kept"):
        output.commit()
    assert names(tmp_path) == ["a"]
    assert (tmp_path / "a").read_bytes() == b"theirs"


def test_symbolic_link_is_followed_and_kept(tmp_path):
    (tmp_path / "far").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "far" / "a")
    with OutputFile(str(tmp_path / "link"), overwrite=False) as output:
        output.write(b"abc")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "far" / "a").read_bytes() == b"abc"


def test_commit_and_abort_once(tmp_path):
    output = OutputFile(str(tmp_path / "a"), overwrite=False)
    output.commit()
    output.abort()
    output.commit()
    assert names(tmp_path) == ["a"]


@pytest.mark.parametrize("target", ["nowhere/a", "folder", "folder/", "name" * 100, "nul\0name"])
def test_unwritable_targets(tmp_path, target):
    (tmp_path / "folder").mkdir()
    with pytest.raises(InputError, match="cannot write"):
        OutputFile(f"{tmp_path}/{target}", overwrite=True)
    assert names(tmp_path) == ["folder"]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_full_device_is_an_input_error():
    def fill() -> None:
        with OutputFile("/dev/full", overwrite=False) as output:
            output.write(bytes(1 << 20))

    with pytest.raises(InputError, match="No space left on device") as caught:
        fill()
    assert caught.value.exit_code == ExitCode.INPUT


@pytest.mark.parametrize("num_bytes", [100, 1 << 20])
def test_full_disk_leaves_nothing(tmp_path, num_bytes):
    # A file size limit stands in for a full disk: the write fails in the same place, the small one only when it is
    # flushed.
    script = (
        "import resource, signal, sys\n"
        "from dcvc_cli.media import OutputFile\n"
        "from dcvc_cli.errors import InputError\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (50, 50))\n"
        "try:\n"
        "    with OutputFile(sys.argv[1], overwrite=False) as output:\n"
        "        output.write(bytes(int(sys.argv[2])))\n"
        "except InputError as error:\n"
        "    sys.exit(f'caught {error}')\n"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "a"), str(num_bytes)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "caught cannot write" in result.stderr
    assert "make room" in result.stderr
    assert names(tmp_path) == []


def test_devices_are_written_directly():
    before = os.stat("/dev/null")
    with OutputFile("/dev/null", overwrite=False) as output:
        output.write(b"abc")
    assert stat.S_ISCHR(before.st_mode)
    assert os.stat("/dev/null").st_ino == before.st_ino


def test_fifo_is_written_directly(tmp_path):
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    got: list[bytes] = []
    drain = threading.Thread(target=lambda: got.append(fifo.read_bytes()))
    drain.start()
    with OutputFile(str(fifo), overwrite=False) as output:
        output.write(b"abc")
    drain.join()
    assert got == [b"abc"]
    assert stat.S_ISFIFO(fifo.stat().st_mode)


def test_standard_output_is_not_closed(monkeypatch):
    captured = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(captured))
    for target in ("-", "/dev/stdout"):
        with OutputFile(target, overwrite=False) as output:
            output.write(b"abc")
    assert captured.getvalue() == b"abcabc"


def test_standard_output_into_a_file_and_descriptor_paths(tmp_path):
    script = (
        "import sys; from dcvc_cli.media import OutputFile\nwith OutputFile(sys.argv[1], overwrite=False) as output: "
        "output.write(b'abc')"
    )
    for target in ("-", "/dev/stdout", "/dev/fd/1"):
        with open(tmp_path / "a", "wb") as stream:
            subprocess.run([sys.executable, "-c", script, target], stdout=stream, check=True)
        assert (tmp_path / "a").read_bytes() == b"abc"


def test_broken_pipe_passes_up_and_stays_quiet():
    script = (
        "import sys; from dcvc_cli.media import OutputFile\n"
        "try:\n"
        "    with OutputFile('-', overwrite=False) as output:\n"
        "        while True: output.write(bytes(1000))\n"
        "except BrokenPipeError: sys.exit(7)\n"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.read(10)
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 7


def test_interrupt_leaves_nothing(tmp_path):
    script = (
        "import signal, sys, time; from dcvc_cli.media import OutputFile\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job starts with it ignored\n"
        "with OutputFile(sys.argv[1], overwrite=False) as output:\n"
        "    output.write(b'abc'); output.flush(); print('ready', flush=True); time.sleep(60)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path / "a")], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert "a" not in names(tmp_path)
        process.send_signal(signal.SIGINT)
    assert names(tmp_path) == []


def test_terminal_is_refused():
    leader, follower = os.openpty()
    script = "from dcvc_cli.media import OutputFile; OutputFile('-', overwrite=False)"
    result = subprocess.run(
        [sys.executable, "-c", script], stdout=follower, stderr=subprocess.PIPE, text=True, check=False
    )
    with contextlib.suppress(OSError):
        os.close(follower)
        os.close(leader)
    assert "UsageError: standard output is a terminal" in result.stderr


def test_failed_clip_leaves_nothing(tmp_path):
    for target in ("a.y4m", "a.yuv"):
        with (
            pytest.raises(ValueError, match="promised"),
            open_writer(str(tmp_path / target), VideoFormat(PictureSize(4, 4)), overwrite=False) as writer,
        ):
            writer.write(Picture((np.zeros((4, 4), np.uint8),) * 3))
    assert names(tmp_path) == []
