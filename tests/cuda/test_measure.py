"""The program for a first hour on a GPU, without one: all parts run, what is done is kept, what fails is told."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.gpu.measure import LIMIT_SECONDS
from tests.gpu.measure_parts import PLANNED_SECONDS

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.native


PARTS = ["facts", "primitives", "parity", "stream", "ceilings", "kernels", "frames"]


def command(emulator, folder, *options):
    program = str(ROOT / "tests" / "gpu" / "measure.py")
    return [sys.executable, program, "--emulator", str(emulator), "--output", str(folder), *options]


def run(emulator, folder, environment, *options):
    words = command(emulator, folder, *options)
    return subprocess.run(words, env=environment, capture_output=True, text=True, timeout=250, check=False)


def killed_in(part, emulator, folder, environment):
    """Runs until a part has begun, then kills."""
    words = command(emulator, folder)
    with subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout:
            if line == f"{part} ...\n":
                process.kill()
    assert process.returncode == -signal.SIGKILL


def begun_in(output):
    return [line.removesuffix(" ...") for line in output.splitlines() if line.endswith("...")]


def test_a_run_that_was_killed_goes_on(emulator, dcvc_environment, tmp_path):
    """What was done before is kept, the part that was cut off runs again."""
    pytest.importorskip("cuda.bindings.driver")
    killed_in("stream", emulator, tmp_path, dcvc_environment)
    assert list(json.loads((tmp_path / "measure.json").read_text())["parts"]) == PARTS[:3]
    done = run(emulator, tmp_path, dcvc_environment)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-2000:]
    assert begun_in(done.stdout) == PARTS[3:]
    parts = json.loads((tmp_path / "measure.json").read_text())["parts"]
    assert list(parts) == PARTS
    assert all(part["ok"] and part["rows"] for part in parts.values())
    assert [row["model"] for row in parts["frames"]["rows"]] == ["tiny", "tiny-uf-ld"]
    assert [row["model"] for row in parts["stream"]["rows"]] == ["tiny-exact", "tiny-uf-ld"]
    assert all(f"{name}: ok" in done.stdout for name in PARTS), "the table has every part"


def test_a_part_that_failed_runs_again(emulator, dcvc_environment, tmp_path):
    pytest.importorskip("cuda.bindings.driver")
    parts = {name: {"ok": name != "primitives", "seconds": 0} for name in PARTS}
    (tmp_path / "measure.json").write_text(json.dumps({"parts": parts}))
    again = run(emulator, tmp_path, dcvc_environment)
    assert (again.returncode, begun_in(again.stdout)) == (0, ["primitives"])


def test_the_plan_ends_within_nine_minutes():
    assert list(PLANNED_SECONDS) == PARTS
    assert sum(PLANNED_SECONDS.values()) <= LIMIT_SECONDS < 540


def test_what_is_wrong_is_told(emulator, dcvc_environment, tmp_path):
    pytest.importorskip("cuda.bindings.driver")
    late = run(emulator, tmp_path, dcvc_environment, "--only", "primitives", "--seconds", "-1")
    assert "primitives: no time left, run again" in late.stdout
    wrong = run(emulator, tmp_path, dcvc_environment | {"DCVC_HOME": str(tmp_path)}, "--only", "stream")
    assert wrong.returncode == 1
    assert "stream: FAILED" in wrong.stdout
    assert "tiny-exact" in json.loads((tmp_path / "measure.json").read_text())["parts"]["stream"]["error"]
    assert run(emulator, tmp_path, dcvc_environment, "--only", "magic").returncode == 2
