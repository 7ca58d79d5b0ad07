"""docs/farm.md: its commands run, and chunks give the bytes that it promises."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from dcvc_cli.coding.chunk_plan import InputOptions
from dcvc_cli.coding.encode_settings import EncodeSettings
from dcvc_cli.coding.plan_making import ChunkFrames
from dcvc_cli.farm.run import InputState
from dcvc_cli.farm.work import FarmJob
from dcvc_cli.format.limits import Limits
from tests.cli.test_films import write_film
from tests.contracts.test_man_pages import COMMANDS

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "farm.md").read_text(encoding="utf-8")


@pytest.mark.native
def test_the_contract_of_the_page_runs(tmp_path: Path, dcvc_environment: dict[str, str]):
    write_film(tmp_path / "film.mkv")
    program = tmp_path / "bin" / "dcvc"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m dcvc_cli "$@"\n')
    program.chmod(0o755)
    block = re.findall(r"```sh\n(.*?)```", PAGE, re.S)[0]
    # The clip of the test has twelve pictures, so its chunks are short.
    block = block.replace("96:480", "3:6")
    whole = re.findall(r"`(dcvc encode film.mkv --plan plan.json) -o film.dcvc`", PAGE)[0]
    script = f"{block}\n{whole} -o whole.dcvc\ncmp film.dcvc whole.dcvc\n"
    result = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=tmp_path,
        env=dcvc_environment | {"PATH": f"{program.parent}{os.pathsep}{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    assert result.returncode == 0, result.stderr


def test_the_page_names_what_a_report_holds():
    job = FarmJob("a", "b", "c", InputOptions(), EncodeSettings(), ChunkFrames(), False, 1, Limits(), False)
    names = set(InputState(job).report()) - {"input", "output"}
    assert {name for name in names if f"`{name}`" not in PAGE} == set()
    assert f"holds their lengths: a\nscene that is longer than {ChunkFrames().most} frames" in PAGE
    assert f"`--chunk-frames {ChunkFrames().least}:{ChunkFrames().most}`" in PAGE


def test_commands_of_the_page_have_their_options():
    for line in re.findall(r"^dcvc .*$", PAGE, re.M):
        words = shlex.split(line)
        path = max((known for known in COMMANDS if tuple(words[: len(known)]) == known), key=len)
        options = {option for parameter in COMMANDS[path].params for option in parameter.opts}
        assert {word for word in words if word.startswith("-")} <= options, line
