"""docs/guide.md: its commands run, one after the other, and print what matters of what stands below them."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.programs import tool

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "guide.md").read_text(encoding="utf-8")


@pytest.mark.slow
@pytest.mark.native
@pytest.mark.ffmpeg
def test_commands_of_the_guide_run(tmp_path: Path):
    tool("ffmpeg")
    tool("ffprobe")
    blocks = re.findall(r"```sh\n(.*?)```", PAGE, re.S)
    assert len(blocks) >= 8
    shutil.copy(ROOT / "tests" / "data" / "carphone_qcif.y4m", tmp_path / "carphone.y4m")
    shutil.copytree(ROOT / "docs" / "results", tmp_path / "results")
    folder = tmp_path / "bin"
    folder.mkdir()
    for name, arguments in (("dcvc", "-m dcvc_cli "), ("python", "")):
        (folder / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" {arguments}"$@"\n')
        (folder / name).chmod(0o755)
    environment = os.environ | {
        "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "DCVC_HOME": str(tmp_path / "home"),
        "OMP_NUM_THREADS": "1",
        "NO_COLOR": "1",
    }
    result = subprocess.run(
        ["bash", "-eu", "-o", "pipefail", "-c", "\n".join(blocks)],
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    assert result.returncode == 0, result.stdout
    for line in (
        "the same times",
        "im00002.png",
        "-colorspace smpte170m -color_range tv",
        "10 inputs: 9 done, 1 failed",
        "3 inputs: 0 done, 3 skipped",
        "176x144 4 frames",
        "No such option: --tune (dcvc encode --help)",
        "BD-rate against x265 (psnr)",
    ):
        assert line in result.stdout, line
        assert line in PAGE, line
    sound = re.findall(r"codec_name=aac\|nb_read_packets=\d+", result.stdout)
    assert len(sound) == 2
    assert sound[0] == sound[1], "all packets of the sound came back"
    digests = re.findall(r"MD5=\w{32}", result.stdout)
    assert len(digests) == 2
    assert digests[0] == digests[1], "ffmpeg finds the MD5 that dcvc prints"
    assert "<circle" in (tmp_path / "report.html").read_text()
    assert (tmp_path / "logged.dcvc").exists()
    assert (tmp_path / "run.log").exists()
