"""`--stats`: a first pass is kept, taken again for any bitrate, and refused where it does not fit."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.clips import clip_with_cuts, y4m_clip

pytestmark = pytest.mark.native
Call = Callable[..., int]
FIRST_PASS = "the first pass finds out"


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clip") / "clip.y4m"
    path.write_bytes(clip_with_cuts((9, 6)))
    return path


@pytest.fixture
def stats(call: Call, clip: Path, tmp_path: Path) -> Path:
    """Returns the file of a first pass."""
    path = tmp_path / "clip.stats"
    assert encode(call, clip, tmp_path / "first.dcvc", 300, "--stats", path) == 0
    return path


def encode(call: Call, clip: Path, output: Path, kbps: int, *more: str | Path) -> int:
    return call("encode", clip, "-o", output, "-y", "--bitrate", kbps, "--passes", 2, *more)


def test_a_first_pass_serves_every_bitrate(
    call: Call, clip: Path, stats: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    values = json.loads(stats.read_text())
    assert [row[0] for row in values["frames"]] == [1, *[0] * 8, 1, *[0] * 5]
    assert sum(row[2] for row in values["frames"]) > 0
    kept = stats.read_bytes()
    for kbps in (300, 200):
        assert encode(call, clip, tmp_path / f"{kbps}.dcvc", kbps, "--stats", stats) == 0
        assert FIRST_PASS not in capsys.readouterr().err
    assert encode(call, clip, tmp_path / "anew.dcvc", 300) == 0
    assert FIRST_PASS in capsys.readouterr().err
    assert (tmp_path / "300.dcvc").read_bytes() == (tmp_path / "anew.dcvc").read_bytes()
    assert (tmp_path / "200.dcvc").stat().st_size < (tmp_path / "300.dcvc").stat().st_size
    assert stats.read_bytes() == kept


@pytest.mark.parametrize(
    ("more", "what"),
    [
        (("--keyint", "5"), "another settings"),
        (("--no-scenecut",), "another settings"),
        (("--frames", "12"), "another input"),
        (("--fps", "50"), "another video"),
        (("--model", "tiny-exact"), "another model"),
    ],
)
def test_a_first_pass_of_something_else_is_refused(
    call: Call, clip: Path, stats: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], more: tuple[str], what: str
):
    assert encode(call, clip, tmp_path / "out.dcvc", 300, "--stats", stats, *more) == 3
    assert what in capsys.readouterr().err
    assert not (tmp_path / "out.dcvc").exists()


def test_another_clip_of_the_same_form_is_refused(
    call: Call, stats: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    other = tmp_path / "other.y4m"
    other.write_bytes(y4m_clip(96, 72, 15))
    assert encode(call, other, tmp_path / "out.dcvc", 300, "--stats", stats) == 3
    assert "another input" in capsys.readouterr().err


def test_a_first_pass_without_a_buffer_serves_none_with_one(
    call: Call, clip: Path, stats: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    """Frames are coded in other ways under a buffer, so what they take differs."""
    assert encode(call, clip, tmp_path / "b.dcvc", 700, "--maxrate", 900, "--stats", stats) == 3
    assert "is the first pass of another settings" in capsys.readouterr().err


def changed(values: dict[str, Any], **changes: Any) -> bytes:
    return json.dumps(values | changes).encode()


def test_files_that_hold_something_else_are_refused(
    call: Call, clip: Path, stats: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    values = json.loads(stats.read_text())
    wrong = [
        (b"", "not valid JSON"),
        (b"[" * 100_000, "not valid JSON"),
        (b"[]", "no file of --stats"),
        (changed(values, format="dcvc plan"), "no file of --stats"),
        (changed(values, stats_version=1), "another version"),
        (changed(values, dcvc_version="0.0.1"), "another dcvc_version"),
        (changed(values, frames=[]), "does not hold together"),
        (changed(values, frames=[[1, 64, 5]]), "does not hold together"),
        (changed(values, frames=[[1, 32, 1 << 40]]), "does not hold together"),
        (changed(values, frames=[[1, 32, True]]), "does not hold together"),
        (changed(values, frames={"1": 2}), "does not hold together"),
    ]
    for content, message in wrong:
        stats.write_bytes(content)
        assert encode(call, clip, tmp_path / "out.dcvc", 300, "--stats", stats) == 3, message
        error = capsys.readouterr().err
        assert message in error
        assert str(stats) in error
    stats.unlink()
    stats.mkdir()
    assert encode(call, clip, tmp_path / "out.dcvc", 300, "--stats", stats) == 3


@pytest.mark.parametrize("words", [("--bitrate", "300"), ("--qp", "30"), ()])
def test_stats_belong_to_two_passes(
    call: Call, clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], words: tuple[str]
):
    assert call("encode", clip, "-o", tmp_path / "out.dcvc", "--stats", tmp_path / "s", *words) == 2
    assert "--passes 2" in capsys.readouterr().err
