"""docs/farm.md: its commands run, and chunks give the bytes that it promises."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.test_films import write_film

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
