"""Fixtures that many tests share: tiny weights in a home of their own, and `dcvc` in a fresh process."""

import os
import subprocess
import sys
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import pytest

from tests.support.processes import ROOT, Run
from tests.support.tiny_weights import write_tiny_exact_weights

# Before torch is imported: on pictures as small as the tests', threads wait for each other longer than they work.
os.environ["OMP_NUM_THREADS"] = "1"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Fails, in CI, a conformance test that is skipped: a green run must have compared with the published
    codec."""
    report = yield
    if os.environ.get("CI") and report.skipped and item.path.parent.name == "conformance":
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} was skipped in CI"
    return report


@pytest.fixture(scope="session")
def tiny_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Makes a DCVC_HOME with the weights `tiny`, and `tiny-exact`, which have an exact form."""
    home = tmp_path_factory.mktemp("home")
    write_tiny_exact_weights(home)
    return home


@pytest.fixture(scope="session")
def dcvc_environment(tiny_home: Path) -> dict[str, str]:
    """Returns environment of a dcvc process in the tests. One thread: two on a busy machine wait for each other."""
    return {
        **os.environ,
        "DCVC_HOME": str(tiny_home),
        "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": "1",
        "NO_COLOR": "1",
        "COLUMNS": "200",
    }


@pytest.fixture(scope="session")
def dcvc(dcvc_environment: dict[str, str]) -> Run:
    """Runs `dcvc` in a fresh process: dcvc("info", path) -> CompletedProcess with bytes. `environment` changes
    variables."""

    def run(
        *arguments: str | Path, environment: dict[str, str] | None = None, **options: object
    ) -> "subprocess.CompletedProcess[bytes]":
        if "input" not in options and "stdin" not in options:
            options["stdin"] = subprocess.DEVNULL
        if "stdout" not in options:
            options["stdout"] = subprocess.PIPE
        command = [sys.executable, "-m", "dcvc_cli", *map(str, arguments)]
        return subprocess.run(
            command,
            stderr=subprocess.PIPE,
            env=dcvc_environment | (environment or {}),
            timeout=120,
            check=False,
            **options,
        )  # type: ignore[call-overload, no-any-return]

    return run


@pytest.fixture(autouse=True)
def restored_torch() -> Iterator[None]:
    """Commands inside this process turn denormals off and set the number of threads; the next test starts as the first
    one did."""
    yield
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.set_flush_denormal(False)
        torch.set_num_threads(1)


@pytest.fixture
def training_arithmetic() -> Iterator[None]:
    """As `dcvc train --threads 1` sets it: flat test pictures make gradients so small that arithmetic with them takes
    ten times as long."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    yield
    torch.set_flush_denormal(False)
    torch.set_num_threads(threads)


@pytest.fixture
def call(tiny_home: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Runs `dcvc` inside this process, for speed: call("info", path) -> exit code. Words go to the captured standard
    error."""
    from dcvc_cli.app import run

    monkeypatch.setenv("DCVC_HOME", str(tiny_home))
    monkeypatch.setenv("NO_COLOR", "1")

    def call(*arguments: str | Path) -> int:
        words = [str(argument) for argument in arguments]
        if words[0] == "encode":
            names_model = {"--model", "--plan", "--chunk"} & set(words)
            words += ["--threads", "1"] + ([] if names_model else ["--model", "tiny"])
        elif words[0] == "decode":
            words += ["--threads", "1"]
        return run(words)

    return call
