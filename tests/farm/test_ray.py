"""`dcvc farm encode` on Ray, where it is installed: the bytes of one machine."""

import json
from pathlib import Path

import pytest

from tests.support.clips import clip_with_cuts
from tests.support.processes import Run

pytest.importorskip("ray", reason="pip install 'dcvc[farm]'")
pytestmark = [pytest.mark.native, pytest.mark.slow]


def test_a_farm_gives_the_bytes_of_one_machine(dcvc: Run, tmp_path: Path):
    for number in range(2):
        (tmp_path / f"{number}.y4m").write_bytes(clip_with_cuts((5 + number, 4, 7)))
    (tmp_path / "short.y4m").write_bytes(clip_with_cuts((5,))[:-5])
    options = ("--chunk-frames", "3:6", "--model", "tiny-exact")
    sources = sorted(tmp_path.glob("*.y4m"))
    done = dcvc("farm", "encode", *sources, "-o", tmp_path / "out", "--workers", 2, *options)
    assert done.returncode == 6, done.stderr
    report = json.loads((tmp_path / "out" / "farm.json").read_text())
    assert [entry["state"] for entry in report["inputs"]] == ["done", "done", "failed"]
    assert report["inputs"][2]["exit_code"] == 3
    assert "short.y4m" in done.stderr.decode()
    plan, whole = tmp_path / "plan.json", tmp_path / "whole.dcvc"
    assert dcvc("plan", sources[0], "-o", plan, *options).returncode == 0
    assert dcvc("encode", sources[0], "--plan", plan, "-o", whole).returncode == 0
    assert (tmp_path / "out" / "0.dcvc").read_bytes() == whole.read_bytes()
