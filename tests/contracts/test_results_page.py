"""The results page: figures of known curves, and what is said where there is none."""

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

pytest.importorskip("bjontegaard")
pytest.importorskip("matplotlib")

ROOT = Path(__file__).parents[2]
ANCHORS = ROOT / "docs" / "results" / "anchors"


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_results_page", ROOT / "tools" / "make_results_page.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def make(tool: ModuleType, monkeypatch: pytest.MonkeyPatch, folder: Path, *arguments: Path | str) -> str:
    words = [
        "make_results_page.py",
        *map(str, arguments),
        "--output",
        str(folder / "results.md"),
        "--figure",
        str(folder / "figures" / "rd.svg"),
    ]
    monkeypatch.setattr(sys, "argv", words)
    tool.main()
    return (folder / "results.md").read_text()


def as_dcvc(document: dict[str, Any], factor: float) -> dict[str, Any]:
    """Returns the anchor with a factor on every rate, which is the BD-rate, under the names of dcvc's results."""
    for rates in document["eval"].values():
        for figures in rates.values():
            for name in list(figures):
                if name.endswith("_bpp"):
                    figures[name] *= factor
            figures |= {"qp_i": figures.pop("qp"), "codec": "dcvc model=lite", "stream_bytes": 10**6}
    return document


def test_a_known_difference(tool: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, file in (("first", "x264_medium_zerolatency"), ("intra", "x264_medium_intra")):
        (tmp_path / f"{name}.json").write_text(
            json.dumps(as_dcvc(json.loads((ANCHORS / f"{file}.json").read_text()), 0.9))
        )
    page = make(tool, monkeypatch, tmp_path, tmp_path / "first.json", "--intra", tmp_path / "intra.json")
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in page.splitlines() if line.startswith("|")]
    assert [row[1] for row in rows if row[0] == "foreman_cif.mkv"][:2] == ["-10.0 %", "-10.0 %"]
    assert next(row for row in rows if row[0] == "**mean**")[1] == "**-10.0 %**"
    assert next(row for row in rows if row[0] == "**mean of Y alone**")[1] == "**-10.0 %**"
    assert "dcvc model=lite" in page
    assert "--force-intra -o intra.json" in page
    assert "x265 veryslow -19.0 %" in page
    assert "(figures/rd.svg)" in page
    figure = (tmp_path / "figures" / "rd.svg").read_text()
    assert "road_720p.mkv" in figure
    assert len(figure) < 400_000


def test_other_frames_give_no_figure(tool: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    document = json.loads((ANCHORS / "x265_medium_zerolatency.json").read_text())
    for figures in document["eval"]["road_720p.mkv"].values():
        figures["p_frame_num"] = 1
    (tmp_path / "result.json").write_text(json.dumps(document))
    page = make(tool, monkeypatch, tmp_path, tmp_path / "result.json")
    assert "road_720p.mkv: 32 frames in the anchor, 2 here" in page
    assert "**none**" in page
    assert "| foreman_cif.mkv | +3.2 % |" in page
