"""Small networks of DCVC-UF with random parameters, in a home of their own."""

from collections.abc import Callable
from pathlib import Path

import pytest

UF_MODELS = ("tiny-uf-ld", "tiny-uf-hts", "tiny-uf-htl")


@pytest.fixture(scope="session")
def uf_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Makes a DCVC_HOME with the three small models."""
    from dcvc_cli.preparing.random_weights import random_weights
    from dcvc_cli.weights.file import write_weights

    home = tmp_path_factory.mktemp("uf-home")
    for name in UF_MODELS:
        write_weights(home / "weights" / f"{name}.safetensors", random_weights(name, exact=False))
    return home


@pytest.fixture
def call_uf(uf_home: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Runs `dcvc` inside this process with that home: call_uf("info", path) -> exit code."""
    from dcvc_cli.app import run

    monkeypatch.setenv("DCVC_HOME", str(uf_home))
    monkeypatch.setenv("NO_COLOR", "1")
    return lambda *arguments: run([str(argument) for argument in arguments])
