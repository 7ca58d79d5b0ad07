"""What `dcvc decode` writes besides y4m of 4:2:0: PNG, 4:4:4, nothing, hashes and reports."""

import csv
import hashlib
import io
import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dcvc_cli.media import open_reader
from tests.support.clips import y4m_clip
from tests.support.programs import tool

Call = Callable[..., int]


@pytest.fixture
def stream(call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Makes s.dcvc, three 24x16 pictures, and its pictures out.y4m; both in the working directory."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in.y4m").write_bytes(y4m_clip(24, 16, 3))
    assert call("encode", "in.y4m", "-o", "s.dcvc", "-q") == 0
    assert call("decode", "s.dcvc", "-o", "out.y4m", "-q") == 0
    return tmp_path


def samples(path: str) -> bytes:
    with open_reader(path) as reader:
        return b"".join(picture.tobytes() for picture in reader)


def test_a_png_folder_from_420(call: Call, stream: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert call("decode", "s.dcvc", "-o", "pictures/") == 0
    assert "BT.601 and limited range assumed for RGB" in capfd.readouterr().err
    assert sorted(path.name for path in Path("pictures").iterdir()) == [f"im{n:05d}.png" for n in (1, 2, 3)]
    with Image.open("pictures/im00001.png") as image:
        assert (image.size, image.mode) == ((24, 16), "RGB")


def test_full_chroma_to_y4m_and_a_pipe(call: Call, stream: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    grey = np.full((16, 24, 3), 90, np.uint8)
    Image.fromarray(grey).save("a.png")
    assert call("encode", "a.png", "-o", "rgb.dcvc", "-q") == 0
    capfdbinary.readouterr()
    assert call("decode", "rgb.dcvc", "-o", "full.y4m") == 0
    assert b"4:4:4 of BT.709 in full range" in capfdbinary.readouterr().err
    data = Path("full.y4m").read_bytes()
    header, _, rest = data.partition(b"\n")
    assert b" C444 XCOLORRANGE=FULL" in header
    assert len(rest) == len(b"FRAME\n") + 3 * 24 * 16
    assert call("decode", "rgb.dcvc", "-o", "-", "-q") == 0
    assert capfdbinary.readouterr().out == data
    assert call("decode", "rgb.dcvc", "-o", "full.yuv", "-q") == 0
    assert Path("full.yuv").read_bytes() == rest[len(b"FRAME\n") :]


def test_null_writes_nothing_and_checks_everything(call: Call, stream: Path, capfd: pytest.CaptureFixture[str]) -> None:
    before = sorted(stream.iterdir())
    assert call("decode", "s.dcvc", "-o", "null") == 0
    assert "null: 3 frames of 24x16" in capfd.readouterr().err
    assert sorted(stream.iterdir()) == before


def test_md5_is_that_of_all_samples(call: Call, stream: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert call("decode", "s.dcvc", "--md5", "-q") == 0
    out = capfd.readouterr().out
    assert out == f"MD5={hashlib.md5(samples('out.y4m')).hexdigest()}\n"
    assert call("decode", "s.dcvc", "--md5", "-o", "-", "-q") == 2


@pytest.mark.ffmpeg
def test_md5_is_what_ffmpeg_prints(call: Call, stream: Path, capfd: pytest.CaptureFixture[str]) -> None:
    command = [tool("ffmpeg"), *["-v", "error", "-i", "out.y4m", "-f", "md5", "-"]]
    theirs = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert call("decode", "s.dcvc", "--md5", "-q") == 0
    assert capfd.readouterr().out == theirs


def test_reports_of_frames(call: Call, stream: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert call("decode", "s.dcvc", "--frame-times", "t.csv", "--json", "d.json", "-q") == 0
    rows = list(csv.DictReader(io.StringIO(Path("t.csv").read_text())))
    assert [row["index"] for row in rows] == ["0", "1", "2"]
    assert all(float(row["seconds"]) > 0 for row in rows)
    report = json.loads(Path("d.json").read_text())
    assert (report["schema_version"], report["video"]["width"], report["sps"]["height"]) == (1, 24, 16)
    assert [row["type"] for row in report["frames"]] == ["I", "P", "P"]
    sums = report["summary"]
    assert sums["num_frames"] == 3
    assert sums["size_bytes"] == sum(row["size_bytes"] for row in report["frames"])
    assert sums["md5"] == hashlib.md5(samples("out.y4m")).hexdigest()
    assert sums["faults"] == []
    capfd.readouterr()
    assert call("decode", "s.dcvc", "--json", "-", "-q") == 0
    assert json.loads(capfd.readouterr().out)["summary"]["num_frames"] == 3


def test_no_output_at_all_is_refused(call: Call, stream: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert call("decode", "s.dcvc") == 2
    assert "the output is missing" in capfd.readouterr().err
    assert call("decode", "s.dcvc", "--json", "t.csv") == 2
    assert call("decode", "s.dcvc", "--json", "-", "--frame-times", "-") == 2


def test_a_cut_stream_leaves_no_report(call: Call, stream: Path) -> None:
    Path("cut.dcvc").write_bytes(Path("s.dcvc").read_bytes()[:-60])
    assert call("decode", "cut.dcvc", "-o", "null", "--json", "d.json", "-q") == 4
    assert not Path("d.json").exists()
    assert call("decode", "cut.dcvc", "-o", "null", "--json", "d.json", "--keep-partial", "-q") == 4
    sums = json.loads(Path("d.json").read_text())["summary"]
    assert sums["num_frames"] < 3
    assert len(sums["faults"]) == 1
