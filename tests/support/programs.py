"""Programs that tests need besides Python."""

import shutil
import sys
from pathlib import Path

import pytest


def tool(*names: str) -> str:
    """Returns the first of these programs that is installed; skips the test without one."""
    for name in names:
        beside = Path(sys.executable).parent / name
        path = str(beside) if beside.exists() else shutil.which(name)
        if path is not None:
            return path
    pytest.skip(f"{names[0]} is not installed")
