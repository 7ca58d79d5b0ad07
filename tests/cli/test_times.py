"""Times of pictures that are not evenly spaced: from a video file through a stream to what decode gives out."""

import io
import json
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from dcvc_cli.bitstream.stream_reader import StreamReader
from dcvc_cli.bitstream.units import FrameUnit
from dcvc_cli.codec.choices import CodingChoices
from dcvc_cli.coding.encode import StreamEncoder
from dcvc_cli.coding.opened_models import open_model
from dcvc_cli.errors import InputError
from dcvc_cli.format.types import Picture, PictureSize, Rational, VideoFormat

Call = Callable[..., int]
STAMPS = [0, 33, 66, 100, 300, 500, 517, 900]


def write_film(path: Path, stamps: list[int]) -> None:
    """Writes an mkv of small pictures at these milliseconds."""
    with av.open(str(path), "w") as file:
        stream = file.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 32, 16, "yuv420p"
        stream.codec_context.time_base = stream.time_base = Fraction(1, 1000)
        for number, stamp in enumerate(stamps):
            frame = av.VideoFrame.from_ndarray(np.full((24, 32), 20 * number, np.uint8), "yuv420p")
            frame.pts, frame.time_base = stamp, Fraction(1, 1000)
            file.mux(stream.encode(frame))
        file.mux(stream.encode(None))


@pytest.mark.parametrize("more", [[], ["--keyint", "3"]])
def test_times_come_through(call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, more: list[str]) -> None:
    monkeypatch.chdir(tmp_path)
    write_film(tmp_path / "f.mkv", STAMPS)
    assert call("encode", "f.mkv", "-o", "f.dcvc", "-q", *more) == 0
    with open("f.dcvc", "rb") as file:
        units = [unit for unit in StreamReader(file) if isinstance(unit, FrameUnit)]
    assert [unit.times for unit in units] == [(stamp,) for stamp in STAMPS]
    assert float(units[0].sps.time_base.num / units[0].sps.time_base.den) == 1000
    assert call("decode", "f.dcvc", "--json", "d.json", "--seek", "2", "-q") == 0
    assert [row["time"] for row in json.loads(Path("d.json").read_text())["frames"]] == STAMPS[2:]


def test_even_pictures_carry_no_times(call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_film(tmp_path / "f.mkv", [0, 40, 80, 120])
    assert call("encode", "f.mkv", "-o", "f.dcvc", "-q") == 0
    assert call("decode", "f.dcvc", "--json", "d.json", "-q") == 0
    report = json.loads(Path("d.json").read_text())
    assert report["sps"]["time_base"] is None
    assert "time" not in report["frames"][0]


def test_times_that_a_stream_cannot_tell(tiny_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DCVC_HOME", str(tiny_home))
    video_format = VideoFormat(PictureSize(16, 16), time_base=Rational(1, 1))
    planes = [np.zeros(shape, np.uint8) for shape in video_format.plane_shapes]
    picture = Picture((planes[0], planes[1], planes[2]))
    encoder = StreamEncoder(open_model("tiny", None, "cpu", 1), video_format, CodingChoices(), io.BytesIO())
    with pytest.raises(InputError, match="without a time"):
        encoder.encode(picture)
    encoder = StreamEncoder(open_model("tiny", None, "cpu", 1), video_format, CodingChoices(), io.BytesIO())
    encoder.encode(Picture(picture.planes, 5))
    with pytest.raises(InputError, match=r"ticks after its I frame.*--keyint"):
        encoder.encode(Picture(picture.planes, 5 + 2**30))


def timestamps(path: Path) -> list[str]:
    head, *lines = path.read_text().splitlines()
    assert head == "# timestamp format v2"
    return lines


def stamps_of_film(path: Path) -> list[Fraction]:
    """Seconds of the pictures of a video file."""
    with av.open(str(path)) as file:
        return [frame.pts * frame.time_base for frame in file.decode(video=0)]


def test_times_come_out_again(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_film(tmp_path / "f.mkv", STAMPS)
    assert call("encode", "f.mkv", "-o", "f.dcvc", "-q", "--keyint", "3") == 0
    assert call("decode", "f.dcvc", "-o", "o.y4m", "--timestamps", "t.txt") == 0
    assert timestamps(Path("t.txt")) == [str(stamp) for stamp in STAMPS]
    assert "no place for them" not in capfd.readouterr().err
    assert call("decode", "f.dcvc", "-o", "o.y4m", "-y") == 0
    assert "--timestamps FILE keeps them" in capfd.readouterr().err
    # After skipped pictures, times count from the first one that is left.
    assert call("decode", "f.dcvc", "-o", "o.mkv", "--seek", "4", "--frames", "3", "--timestamps", "s.txt", "-q") == 0
    assert timestamps(Path("s.txt")) == ["0", "200", "217"]
    assert stamps_of_film(Path("o.mkv")) == [0, Fraction(200, 1000), Fraction(217, 1000)]
    assert call("decode", "f.dcvc", "-o", "w.mkv", "-q") == 0
    assert stamps_of_film(Path("w.mkv")) == [Fraction(stamp, 1000) for stamp in STAMPS]
    assert call("info", "f.dcvc", "--json") == 0
    frames = json.loads(capfd.readouterr().out)["frames"]
    assert [frame["times"] for frame in frames] == [[stamp] for stamp in STAMPS]
    assert call("info", "f.dcvc") == 0
    assert "0.517000" in capfd.readouterr().out


def test_a_constant_rate_gives_timestamps_too(call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_film(tmp_path / "f.mkv", [0, 40, 80])
    assert call("encode", "f.mkv", "-o", "f.dcvc", "-q", "--fps", "30000/1001") == 0
    assert call("decode", "f.dcvc", "--timestamps", "t.txt", "-q") == 0
    assert timestamps(Path("t.txt")) == ["0", "33.366667", "66.733333"]
    assert call("decode", "f.dcvc", "--timestamps", "t.csv", "-q") == 2


@pytest.mark.parametrize("join", ["concat", "cat"])
def test_joined_streams_go_on_where_the_first_one_ends(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, join: str
) -> None:
    monkeypatch.chdir(tmp_path)
    write_film(tmp_path / "a.mkv", [0, 100, 400])
    write_film(tmp_path / "b.mkv", [0, 20, 500])
    for name in "ab":
        assert call("encode", f"{name}.mkv", "-o", f"{name}.dcvc", "-q") == 0
    if join == "cat":
        Path("j.dcvc").write_bytes(Path("a.dcvc").read_bytes() + Path("b.dcvc").read_bytes())
    else:
        assert call("concat", "a.dcvc", "b.dcvc", "-o", "j.dcvc", "-q") == 0
    assert call("decode", "j.dcvc", "-o", "j.mkv", "--timestamps", "t.txt", "-q") == 0
    assert timestamps(Path("t.txt")) == ["0", "100", "400", "700", "720", "1200"]
    assert stamps_of_film(Path("j.mkv")) == [Fraction(ms, 1000) for ms in (0, 100, 400, 700, 720, 1200)]
    # Past damage, the times are the same.
    assert call("decode", "j.dcvc", "--timestamps", "c.txt", "--on-error", "conceal", "-q") == 0
    assert Path("c.txt").read_text() == Path("t.txt").read_text()


def test_chunks_of_a_plan_keep_the_times_of_the_clip(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_film(tmp_path / "f.mkv", STAMPS)
    assert call("plan", "f.mkv", "-o", "p.json", "--chunk-frames", "1:2", "-q") == 0
    num_chunks = len(json.loads(Path("p.json").read_text())["chunks"])
    assert num_chunks > 2
    for number in range(num_chunks):
        assert call("encode", "f.mkv", "--chunk", f"p.json:{number}", "-o", f"{number}.dcvc", "-q") == 0
    assert call("concat", "--plan", "p.json", ".", "-o", "j.dcvc", "-q") == 0
    assert call("decode", "j.dcvc", "--timestamps", "t.txt", "-q") == 0
    assert timestamps(Path("t.txt")) == [str(stamp) for stamp in STAMPS]
