"""C++ is laid out by clang-format (.clang-format), so that no review has to speak of it."""

import subprocess
from pathlib import Path

from tests.support.programs import tool

ROOT = Path(__file__).resolve().parents[2]
SOURCES = sorted(
    path
    for folder in ("entropy_cpp", "kernels", "tests")
    for path in (ROOT / folder).rglob("*")
    if path.suffix in {".cpp", ".hpp", ".cu", ".cuh"}
)


def test_sources_are_formatted():
    """`clang-format -i` changes nothing. Its version is pinned in the test extra: others break lines elsewhere."""
    done = subprocess.run(
        [tool("clang-format"), "--dry-run", "--Werror", *SOURCES], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]


def test_lines_end_at_120():
    """clang-format leaves long strings and comments alone that it cannot break."""
    long = [
        f"{path.relative_to(ROOT)}:{i}"
        for path in SOURCES
        for i, line in enumerate(path.read_text().splitlines(), 1)
        if len(line) > 120
    ]
    assert not long
