"""docs/speed.md is what its tool makes of the measured rows, and every row says commit, machine and weights."""

import json
import runpy
from pathlib import Path
from types import SimpleNamespace

import pytest

ROOT = Path(__file__).resolve().parents[2]
make_speed_page = SimpleNamespace(**runpy.run_path(str(ROOT / "tools" / "make_speed_page.py")))


def test_the_page_is_made_from_the_rows():
    assert (ROOT / "docs" / "speed.md").read_text() == make_speed_page.page(
        make_speed_page.rows_of(make_speed_page.FOLDER)
    )


def test_every_row_says_commit_machine_and_weights():
    paths = sorted(make_speed_page.FOLDER.glob("*.json"))
    assert len(paths) >= 2
    for path in paths:
        row = json.loads(path.read_text())
        assert len(row["commit"]) == 10, path.name
        assert row["machine"], path.name
        assert {"image_fingerprint", "video_fingerprint"} <= row["bench"]["results"][0].keys(), path.name


def test_rows_of_other_weights_are_refused(tmp_path: Path):
    path = sorted(make_speed_page.FOLDER.glob("lite_*.json"))[0]
    row = json.loads(path.read_text())
    row["bench"]["results"][0]["video_fingerprint"] = "0123456789abcdef"
    (tmp_path / path.name).write_text(json.dumps(row))
    with pytest.raises(SystemExit, match="measure again"):
        make_speed_page.rows_of(tmp_path)
