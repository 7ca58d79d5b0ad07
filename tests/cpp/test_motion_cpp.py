"""Builds the C++ test of motion search, compensation and vector coding with address and undefined-behaviour sanitizers and runs it, with
SSE2 and without."""

import subprocess
from pathlib import Path

import pytest

from tests.support.programs import tool

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_motion_under_sanitizers(tmp_path: Path):
    cmake = tool("cmake")
    tool("c++")
    options = ["-DDCVC_SANITIZE=ON", "-DDCVC_PYTHON=OFF", "-DDCVC_CPP_TESTS=ON"]
    told = []
    for command in (
        [cmake, "-S", str(ROOT), "-B", str(tmp_path), *options],
        [cmake, "--build", str(tmp_path), "--parallel", "2", "--target", "motion_test", "motion_test_plain"],
        [str(tmp_path / "kernels" / "tests" / "motion_test"), "300"],
        [str(tmp_path / "kernels" / "tests" / "motion_test_plain"), "300"],
    ):
        done = subprocess.run(command, capture_output=True, text=True, timeout=280, check=False)
        assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
        told.append(done.stdout)
    assert "all motion comes back" in told[2]
    assert told[2] == told[3], "SSE2 and plain C++ do not compensate or search alike"
