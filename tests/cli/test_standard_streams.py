"""Standard streams that are closed or full, and signals from the first statement on: a sentence or silence, and no work
lost."""

import os
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from tests.support.clips import y4m_clip

WAIT_SECONDS = 60
STREAMS = {"closed": "{}>&-", "full": "{}>/dev/full"}


@pytest.fixture(scope="module")
def place(dcvc_environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("streams")
    (folder / "clip.y4m").write_bytes(y4m_clip(24, 20, 2))
    done = shell(dcvc_environment, folder, "encode clip.y4m -o a.dcvc --model tiny")
    assert done.returncode == 0, done.stderr
    return folder


def shell(environment: dict[str, str], folder: Path, line: str) -> "subprocess.CompletedProcess[str]":
    command = ["bash", "-c", f'"{sys.executable}" -m dcvc_cli {line}']
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=WAIT_SECONDS, check=False
    )


@pytest.mark.parametrize("state", STREAMS)
@pytest.mark.parametrize(
    "line", ["info a.dcvc", "info a.dcvc --json", "models list", "--version", "--help", "decode a.dcvc -q -o -"]
)
def test_result_that_nobody_takes(dcvc_environment: dict[str, str], place: Path, line: str, state: str) -> None:
    done = shell(dcvc_environment, place, f"{line} {STREAMS[state].format('')}")
    assert done.returncode == 3, done.stderr
    assert done.stderr.startswith("dcvc: error: ")
    assert "standard output: " in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("redirection", ["2>&-", "2>/dev/full", ">&- 2>&-", "<&- >&- 2>&-", "2> >(true)"])
def test_work_is_done_without_listeners(dcvc_environment: dict[str, str], place: Path, redirection: str) -> None:
    done = shell(dcvc_environment, place, f"encode clip.y4m -o b.dcvc -y --model tiny -v --progress json {redirection}")
    assert done.returncode == 0
    assert (place / "b.dcvc").read_bytes() == (place / "a.dcvc").read_bytes()


def test_result_goes_out_without_listeners(dcvc_environment: dict[str, str], place: Path) -> None:
    done = shell(dcvc_environment, place, "encode clip.y4m -o - --model tiny --psnr 2>&- | cmp - a.dcvc")
    assert done.returncode == 0
    assert done.stdout == ""


def test_name_that_is_not_utf_8(dcvc_environment: dict[str, str], place: Path) -> None:
    """It is shown in what the terminal's encoding has."""
    name = os.fsdecode(b"\xff\xc3\xa9.dcvc")
    (place / name).write_bytes((place / "a.dcvc").read_bytes())
    environment = dcvc_environment | {"PYTHONIOENCODING": "ascii"}
    done = shell(environment, place, "info $'\\xff\\xc3\\xa9.dcvc' --no-frame-table")
    assert done.returncode == 0, done.stderr
    assert "\\udcff\\xe9.dcvc" in done.stdout


INTERRUPTED_IMPORT = """
import builtins, os, runpy, signal, sys

name, number = sys.argv[1], int(sys.argv[2])
real = builtins.__import__

def interrupted(module, *arguments, **options):
    if module == name:
        builtins.__import__ = real
        os.kill(os.getpid(), number)
    return real(module, *arguments, **options)

builtins.__import__ = interrupted
sys.argv = ["dcvc", *sys.argv[3:]]
runpy.run_module("dcvc_cli", run_name="__main__", alter_sys=True)
"""


@pytest.mark.parametrize(
    ("module", "number"),
    [
        ("typer", signal.SIGINT),
        ("typer", signal.SIGHUP),
        ("dcvc_cli.commands.encode", signal.SIGINT),
        ("numpy", signal.SIGINT),
        ("torch", signal.SIGINT),
        ("torch", signal.SIGTERM),
    ],
)
def test_signal_while_modules_are_loaded(
    dcvc_environment: dict[str, str], place: Path, tmp_path: Path, module: str, number: signal.Signals
) -> None:
    words = [
        "encode",
        str(place / "clip.y4m"),
        "-o",
        str(tmp_path / "o.dcvc"),
        "--model",
        "tiny",
        "--precision",
        "fp32",
        "-q",
    ]
    command = [sys.executable, "-c", INTERRUPTED_IMPORT, module, str(int(number)), *words]
    # A parent may have turned the signal off (nohup does), and a child inherits that.
    heeded = partial(signal.signal, number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    done = subprocess.run(
        command,
        env=dcvc_environment,
        capture_output=True,
        text=True,
        timeout=WAIT_SECONDS,
        check=False,
        preexec_fn=heeded,
    )
    assert done.returncode == 128 + number, done.stderr
    assert done.stderr in ("", f"dcvc: stopped by {number.name}\n")
    assert list(tmp_path.iterdir()) == []


def test_signals_are_taken_before_any_module_is_loaded(dcvc_environment: dict[str, str]) -> None:
    """Until then SIGINT is Python's own, and each module that loads is a moment in which it shows a traceback."""
    program = """
import os, sys
before = set(sys.modules)
import dcvc_cli.__main__ as program

def taken():
    print(*sorted(set(sys.modules) - before))
    os._exit(0)

program._fill_standard_streams = taken
program.main()
"""
    command = [sys.executable, "-u", "-S", "-c", program]
    environment = {**dcvc_environment, "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=WAIT_SECONDS, check=False)
    assert done.stdout.split() == ["dcvc_cli", "dcvc_cli.__main__"], done.stderr


def test_signal_while_torch_loads_waits_for_its_end(dcvc_environment: dict[str, str], tmp_path: Path) -> None:
    """Compiled parts of torch abort the process, with a page of traceback, on an exception while they load."""
    (tmp_path / "torch").mkdir()
    (tmp_path / "torch" / "__init__.py").write_text("from torch import compiled")
    (tmp_path / "torch" / "compiled.py").write_text("""
import os, signal, time
try:
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(0.2)
except BaseException:
    os.abort()
""")
    program = """
import time
from dcvc_cli import app

def run(arguments):
    import torch
    print("loaded", flush=True)
    time.sleep(60)

app.run = run
app.main()
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=dcvc_environment | {"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=WAIT_SECONDS,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (143, "loaded\n", "")


def test_signal_that_a_finaliser_swallows(dcvc_environment: dict[str, str]) -> None:
    """Python prints and drops exceptions of finalisers; the signal ends the program all the same."""
    program = """
import os, signal, time
from dcvc_cli import app

class Swallowing:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0)

def run(arguments):
    Swallowing()
    time.sleep(60)
    return 0

app.run = run
app.main()
"""
    done = subprocess.run(
        [sys.executable, "-c", program], env=dcvc_environment, capture_output=True, text=True, timeout=50, check=False
    )
    assert (done.returncode, done.stderr) == (143, "")
