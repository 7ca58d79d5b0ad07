"""Builds the C++ test of the output filter with address and undefined-behaviour sanitizers and runs it, with SSE2 and without."""

import subprocess
from pathlib import Path

import pytest

from tests.support.programs import tool

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_filter_under_sanitizers(tmp_path: Path):
    cmake = tool("cmake")
    tool("c++")
    told = []
    for command in (
        [cmake, "-S", str(ROOT), "-B", str(tmp_path), "-DDCVC_SANITIZE=ON", "-DDCVC_PYTHON=OFF", "-DDCVC_CPP_TESTS=ON"],
        [cmake, "--build", str(tmp_path), "--parallel", "2", "--target", "filter_test", "filter_test_plain"],
        [str(tmp_path / "kernels" / "tests" / "filter_test"), "200"],
        [str(tmp_path / "kernels" / "tests" / "filter_test_plain"), "200"],
    ):
        done = subprocess.run(command, capture_output=True, text=True, timeout=280, check=False)
        assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
        told.append(done.stdout)
    assert "all filters come back" in told[2]
    assert told[2] == told[3], "SSE2 and plain C++ do not filter alike"
