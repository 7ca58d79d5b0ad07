"""Builds the C++ test of the range coder with address and undefined-behaviour sanitizers and runs it."""

import subprocess
from pathlib import Path

from tests.support.programs import tool

ROOT = Path(__file__).resolve().parents[2]


def test_coder_under_sanitizers(tmp_path: Path):
    cmake = tool("cmake")
    tool("c++")
    options = ["-DDCVC_SANITIZE=ON", "-DDCVC_PYTHON=OFF", "-DDCVC_CPP_TESTS=ON"]
    for command in (
        [cmake, "-S", str(ROOT), "-B", str(tmp_path), *options],
        [cmake, "--build", str(tmp_path), "--target", "entropy_test"],
        [str(tmp_path / "kernels" / "tests" / "entropy_test"), "40"],
    ):
        done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
        assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
