"""The scripts of examples/ run as they stand, and what builds packages names what is there."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from tests.support.clips import y4m_clip

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = sorted((ROOT / "examples").glob("*.sh"))


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Makes a folder with clips/a.y4m, clips/b.y4m and bin/dcvc."""
    (tmp_path / "clips").mkdir()
    for name in ("a", "b"):
        (tmp_path / "clips" / f"{name}.y4m").write_bytes(y4m_clip(16, 16, 1))
    program = tmp_path / "bin" / "dcvc"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m dcvc_cli "$@"\n')
    program.chmod(0o755)
    return tmp_path


def run(place: Path, environment: dict[str, str], name: str, *arguments: str, **more: str) -> None:
    path = f"{place / 'bin'}{os.pathsep}{os.environ['PATH']}"
    command = ["bash", str(ROOT / "examples" / name), *arguments]
    result = subprocess.run(
        command,
        cwd=place,
        env=environment | {"PATH": path} | more,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    assert result.returncode == 0, result.stderr


def streams(place: Path) -> list[str]:
    return sorted(path.name for path in (place / "out").glob("*.dcvc"))


def test_a_job_of_a_slurm_array(place: Path, dcvc_environment: dict[str, str]) -> None:
    run(place, dcvc_environment, "slurm_array.sh", "clips", "out", SLURM_ARRAY_TASK_ID="2", SLURM_CPUS_PER_TASK="1")
    assert streams(place) == ["b.dcvc"]


def test_gnu_parallel_or_xargs(place: Path, dcvc_environment: dict[str, str]) -> None:
    run(place, dcvc_environment, "parallel.sh", "clips", "out")
    assert streams(place) == ["a.dcvc", "b.dcvc"]


@pytest.fixture
def whole(place: Path, call: Callable[..., int]) -> bytes:
    """Returns the stream of clips/a.y4m by plan.json beside it, on one machine."""
    assert call("plan", place / "clips" / "a.y4m", "-o", place / "plan.json", "-q") == 0
    words = ("encode", place / "clips" / "a.y4m", "--plan", place / "plan.json", "-o", place / "whole.dcvc", "-q")
    assert call(*words) == 0
    return (place / "whole.dcvc").read_bytes()


def test_chunks_as_jobs_of_a_slurm_array(
    place: Path, dcvc_environment: dict[str, str], whole: bytes, call: Callable[..., int]
) -> None:
    words = ("slurm_chunks.sh", "clips/a.y4m", "plan.json", "out")
    run(place, dcvc_environment, *words, SLURM_ARRAY_TASK_ID="0", SLURM_CPUS_PER_TASK="1")
    assert streams(place) == ["0.dcvc"]
    assert call("concat", "--plan", place / "plan.json", place / "out", "-o", place / "joined.dcvc") == 0
    assert (place / "joined.dcvc").read_bytes() == whole


def test_chunks_with_gnu_parallel_or_xargs(place: Path, dcvc_environment: dict[str, str], whole: bytes) -> None:
    run(place, dcvc_environment, "parallel_chunks.sh", "clips/a.y4m", "a.dcvc")
    assert (place / "a.dcvc").read_bytes() == whole
    assert not (place / "a.dcvc.parts").exists()


def test_a_watched_folder(place: Path, dcvc_environment: dict[str, str]) -> None:
    (place / "clips" / "b.y4m").write_bytes(b"YUV4MPEG2 W16 H16 F25:1\nFRAME\nshort")
    run(place, dcvc_environment, "watch_folder.sh", "--once", "clips", "out", SETTLE="3600")
    assert streams(place) == [], "both are still being written"
    run(place, dcvc_environment, "watch_folder.sh", "--once", "clips", "out", SETTLE="0")
    assert streams(place) == ["a.dcvc"]
    assert "b.y4m" in (place / "clips" / "b.y4m.failed").read_text()


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_scripts_are_told_and_sound(path: Path) -> None:
    assert f"`{path.name}`" in (ROOT / "examples" / "README.md").read_text()
    assert os.access(path, os.X_OK)
    assert "set -euo pipefail" in path.read_text()
    assert subprocess.run(["bash", "-n", str(path)], check=False).returncode == 0
    if shutil.which("shellcheck"):
        assert subprocess.run(["shellcheck", str(path)], check=False).returncode == 0


def test_wheels_are_built_for_every_python() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    settings = project["tool"]["cibuildwheel"]
    assert settings["build"].split() == [f"cp3{minor}-manylinux*" for minor in (11, 12, 13, 14)]
    for command in settings["test-command"]:
        for path in re.findall(r"\{project\}/(\S+)", command):
            assert (ROOT / path).exists()
    assert project["tool"]["scikit-build"]["wheel"]["packages"] == ["dcvc", "dcvc_cli"]
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "wheels.yml").read_text())
    assert any("cibuildwheel" in str(step.get("uses")) for step in workflow["jobs"]["wheels"]["steps"])


def test_the_container_runs_the_program() -> None:
    text = (ROOT / "Dockerfile").read_text()
    assert text.count("FROM python:") == 2
    assert 'ENTRYPOINT ["dcvc"]' in text
    ignored = (ROOT / ".dockerignore").read_text().split()
    needed = ("dcvc", "dcvc_cli", "entropy_cpp", "kernels", "presets", "recipes", "man", "tools")
    assert not set(ignored) & set(needed)
