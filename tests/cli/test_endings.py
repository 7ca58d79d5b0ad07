"""A name that promises another format than what would be written is refused, before anything is read or written."""

from collections.abc import Callable
from pathlib import Path

import pytest

from dcvc_cli.media.video_writer import FORMATS
from tests.support.clips import y4m_clip

Call = Callable[..., int]
PICTURES, RAW, VIDEO = ("o.y4m", "o.png"), ("o.yuv", "o.raw"), ("o.mp4", "o.MKV", "o.webm", "o.gif", "o.264", "o.266")
OTHERS = ("o.csv", "o.json", "o.zip", "o.wav", "o.txt", "o.jpg", "o.safetensors", "o.html")


@pytest.fixture
def stream(call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Makes good.dcvc of in.y4m, both in the working directory."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in.y4m").write_bytes(y4m_clip(16, 16, 1))
    assert call("encode", "in.y4m", "-o", "good.dcvc", "-q") == 0
    return tmp_path


@pytest.mark.parametrize("name", [*PICTURES, *RAW, *VIDEO, *OTHERS, "o.bin"])
def test_streams(call: Call, stream: Path, name: str, capfd: pytest.CaptureFixture[str]) -> None:
    before = sorted(path.name for path in stream.iterdir())
    for command in (("encode", "in.y4m"), ("concat", "good.dcvc", "good.dcvc")):
        assert call(*command, "-o", name) == 2
        words = capfd.readouterr().err
        assert f"-o {name} is the name of " in words
        assert "a .dcvc stream would be written there" in words
        assert "-o o.dcvc" in words
    assert sorted(path.name for path in stream.iterdir()) == before


def test_the_way_out_of_a_video_file_is_named(call: Call, stream: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert call("encode", "in.y4m", "-o", "film.mp4") == 2
    assert "-o film.dcvc, then dcvc decode film.dcvc -o - | ffmpeg -i - film.mp4 makes one" in capfd.readouterr().err


@pytest.mark.parametrize("name", [*VIDEO, *OTHERS, "o.dcvc", "o.bin"])
def test_pictures(call: Call, stream: Path, name: str, capfd: pytest.CaptureFixture[str]) -> None:
    if Path(name).suffix.lower() not in FORMATS:
        assert call("decode", "good.dcvc", "-o", name) == 2
        assert f"-o {name} is the name of " in capfd.readouterr().err
    assert call("encode", "in.y4m", "-o", "new.dcvc", "--recon", name) == 2
    assert f"--recon {name} is the name of " in capfd.readouterr().err
    assert not (stream / name).exists()
    assert not (stream / "new.dcvc").exists()


@pytest.mark.parametrize(
    ("name", "chosen"), [("o.y4m", "yuv"), ("o.yuv", "y4m"), ("o.mp4", "y4m"), ("o.png", "y4m"), ("o.dcvc", "yuv")]
)
def test_an_output_format_does_not_overrule_the_name(call: Call, stream: Path, name: str, chosen: str) -> None:
    assert call("decode", "good.dcvc", "-o", name, "--output-format", chosen) == 2
    assert not (stream / name).exists()


def test_names_that_promise_nothing_are_taken(call: Call, stream: Path) -> None:
    assert call("encode", "in.y4m", "-o", "stream", "-q") == 0
    assert call("encode", "in.y4m", "-o", "stream.of.today", "-q") == 0
    assert call("decode", "stream", "-o", "pictures.of.today", "--output-format", "y4m", "-q") == 0
    assert (stream / "pictures.of.today").read_bytes().startswith(b"YUV4MPEG2")


def test_reports(call: Call, stream: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for option, name in (("--csv", "r.json"), ("--json", "r.csv"), ("--json", "r.dcvc"), ("--csv", "r.y4m")):
        assert call("encode", "in.y4m", "-o", "new.dcvc", option, name) == 2
        assert f"{option} {name} is the name of " in capfd.readouterr().err
        assert not (stream / "new.dcvc").exists()


def test_remux(call: Call, stream: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert call("remux", "good.dcvc", "-o", "other.dcvc") == 2
    assert "is a .dcvc stream already" in capfd.readouterr().err


def test_weights(call: Call, stream: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert call("models", "quantize", "tiny", "in.y4m", "-o", "w.json") == 2
    assert "a weights file would be written there" in capfd.readouterr().err
