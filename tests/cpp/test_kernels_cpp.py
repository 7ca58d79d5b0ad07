"""Builds the C++ test of the integer kernels and runs it: under the sanitizers here, and as Arm code in an emulator."""

import subprocess
from pathlib import Path

import pytest

from tests.support.programs import tool

ROOT = Path(__file__).resolve().parents[2]
ARM_COMPILER, ARM_EMULATORS = "aarch64-linux-gnu-g++", ("qemu-aarch64-static", "qemu-aarch64")


def run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout


def build(folder: Path, *options: str) -> str:
    """Path of the built kernels_test."""
    cmake = tool("cmake")
    run(cmake, "-S", str(ROOT), "-B", str(folder), "-DDCVC_PYTHON=OFF", "-DDCVC_CPP_TESTS=ON", *options)
    run(cmake, "--build", str(folder), "--target", "kernels_test")
    return str(folder / "kernels" / "tests" / "kernels_test")


@pytest.mark.slow
def test_kernels_under_sanitizers(tmp_path: Path):
    tool("c++")
    assert "all bits equal" in run(build(tmp_path, "-DDCVC_SANITIZE=ON"), "25")


def test_neon_kernels_in_an_emulator(tmp_path: Path):
    emulator = tool(*ARM_EMULATORS)
    options = ["-DCMAKE_SYSTEM_NAME=Linux", "-DCMAKE_SYSTEM_PROCESSOR=aarch64", f"-DCMAKE_CXX_COMPILER={tool(ARM_COMPILER)}"]
    program = build(tmp_path, *options, "-DCMAKE_EXE_LINKER_FLAGS=-static")
    assert "the best one neon: all bits equal" in run(emulator, program, "300")
