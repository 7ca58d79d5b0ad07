"""The program for a first hour on a GPU, without one: all parts run, what is done is kept, what fails is told."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.native


def run(emulator, folder, environment, *options):
    command = [
        sys.executable,
        str(ROOT / "tests" / "gpu" / "measure.py"),
        "--emulator",
        str(emulator),
        "--output",
        str(folder),
    ]
    return subprocess.run(
        [*command, *options], env=environment, capture_output=True, text=True, timeout=250, check=False
    )


def test_all_parts_run_and_are_kept(emulator, dcvc_environment, tmp_path):
    pytest.importorskip("cuda.bindings.driver")
    done = run(emulator, tmp_path, dcvc_environment)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-2000:]
    document = json.loads((tmp_path / "measure.json").read_text())
    assert list(document["parts"]) == ["facts", "primitives", "parity", "stream", "ceilings", "kernels", "frames"]
    assert all(part["ok"] and part["rows"] for part in document["parts"].values())
    assert {row["model"] for row in document["parts"]["frames"]["rows"]} == {"tiny", "tiny-uf-ld"}

    document["parts"]["primitives"] = {"ok": False, "error": "as if cut off", "seconds": 0}
    (tmp_path / "measure.json").write_text(json.dumps(document))
    again = run(emulator, tmp_path, dcvc_environment)
    begun = [line for line in again.stdout.splitlines() if line.endswith("...")]
    assert (again.returncode, begun) == (0, ["primitives ..."])


def test_what_is_wrong_is_told(emulator, dcvc_environment, tmp_path):
    pytest.importorskip("cuda.bindings.driver")
    late = run(emulator, tmp_path, dcvc_environment, "--only", "primitives", "--seconds", "-1")
    assert "primitives: no time left, run again" in late.stdout
    wrong = run(emulator, tmp_path, dcvc_environment | {"DCVC_HOME": str(tmp_path)}, "--only", "stream")
    assert wrong.returncode == 1
    assert "stream: FAILED" in wrong.stdout
    assert "tiny-exact" in json.loads((tmp_path / "measure.json").read_text())["parts"]["stream"]["error"]
    assert run(emulator, tmp_path, dcvc_environment, "--only", "magic").returncode == 2
