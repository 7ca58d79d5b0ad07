"""Builds the C++ test of the floor with address and undefined-behaviour sanitizers and runs it."""

import subprocess
from pathlib import Path

import pytest

from tests.support.programs import tool

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_floor_under_sanitizers(tmp_path: Path):
    cmake = tool("cmake")
    tool("c++")
    told = ""
    for command in (
        [cmake, "-S", str(ROOT), "-B", str(tmp_path), "-DDCVC_SANITIZE=ON", "-DDCVC_PYTHON=OFF", "-DDCVC_CPP_TESTS=ON"],
        [cmake, "--build", str(tmp_path), "--parallel", "2", "--target", "floor_test"],
        [str(tmp_path / "kernels" / "tests" / "floor_test"), "100"],
    ):
        done = subprocess.run(command, capture_output=True, text=True, timeout=280, check=False)
        assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
        told = done.stdout
    assert "all floors come back" in told
