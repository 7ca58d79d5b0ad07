"""The C++ test programs (`kernels/tests`), by ctest: under sanitizers here, and as Arm code in an emulator.

They are built in `build/cpp/`, where they stay: the next run compiles only what has changed.
"""

import subprocess
from pathlib import Path

import pytest

from tests.support.programs import tool

ROOT = Path(__file__).resolve().parents[2]
BUILDS = ROOT / "build" / "cpp"
ARM_COMPILER, ARM_EMULATORS = "aarch64-linux-gnu-g++", ("qemu-aarch64-static", "qemu-aarch64")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]  # a first build on a busy machine takes minutes
PROGRAMS = (
    "entropy",
    "kernels",
    "motion",
    "motion_parity",
    "filter",
    "filter_parity",
    "floor",
    "lossless",
    "cuda_plan",
    "entropy_fuzz",
    "motion_fuzz",
    "filter_fuzz",
)


def run(*command: str | Path) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=840, check=False)
    assert done.returncode == 0, f"{' '.join(map(str, command))}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout


def build(name: str, *options: str, targets: tuple[str, ...] = ()) -> Path:
    """Returns the folder of the built programs."""
    cmake, folder = tool("cmake"), BUILDS / name
    if not (folder / "build.ninja").exists():
        generator = ("-G", "Ninja", f"-DCMAKE_MAKE_PROGRAM={tool('ninja')}")
        run(cmake, "-S", ROOT, "-B", folder, *generator, "-DDCVC_PYTHON=OFF", "-DDCVC_CPP_TESTS=ON", *options)
    run(cmake, "--build", folder, *(("--target", *targets) if targets else ()))
    return folder


@pytest.fixture(scope="module")
def sanitized() -> Path:
    tool("c++")
    return build("address", "-DDCVC_SANITIZE=address,undefined")


@pytest.mark.parametrize("program", PROGRAMS)
def test_programs_under_sanitizers(sanitized: Path, program: str):
    """Memory and arithmetic, with every instruction set that this machine has."""
    run(tool("ctest"), "--test-dir", sanitized, "--output-on-failure", "--no-tests=error", "-R", f"^{program}$")


def test_threads_do_not_race():
    """Thread pool and wavefront under ThreadSanitizer."""
    tool("c++")
    folder = build("thread", "-DDCVC_SANITIZE=thread", targets=("threads_test",))
    assert "no races" in run(folder / "kernels" / "tests" / "threads_test", "2")


@pytest.mark.parametrize(
    ("program", "rounds"),
    [("kernels_test", "60"), ("motion_parity_test", "100"), ("filter_parity_test", "100"), ("motion_test", "8")],
)
def test_neon_in_an_emulator(program: str, rounds: str):
    emulator = tool(*ARM_EMULATORS)
    arm = [
        "-DCMAKE_SYSTEM_NAME=Linux",
        "-DCMAKE_SYSTEM_PROCESSOR=aarch64",
        f"-DCMAKE_CXX_COMPILER={tool(ARM_COMPILER)}",
    ]
    folder = build("arm", *arm, "-DCMAKE_EXE_LINKER_FLAGS=-static")
    assert "neon" in run(emulator, folder / "kernels" / "tests" / program, rounds)
