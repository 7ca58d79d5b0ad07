"""The kernels built for the CPU, once a session."""

import os
from pathlib import Path

import pytest

from tests.cuda.emulated import build


@pytest.fixture(scope="session")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The emulator's library with all kernels; DCVC_TEST_EMULATOR may name one that is built already."""
    known = os.environ.get("DCVC_TEST_EMULATOR")
    return Path(known) if known else build(tmp_path_factory.mktemp("emulator"))
