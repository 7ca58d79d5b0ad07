"""--seek and --frames take numbers of frames and time codes."""

import json
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import pytest

from dcvc_cli.commands.positions import FrameAt, position_of, span_of
from dcvc_cli.errors import UsageError
from tests.cli.test_times import STAMPS, write_film
from tests.support.clips import y4m_clip

Call = Callable[..., int]


@pytest.mark.parametrize(
    ("text", "position"),
    [
        ("0", 0),
        ("120", 120),
        ("83s", Fraction(83)),
        ("83.5", Fraction(167, 2)),
        ("1:23", Fraction(83)),
        ("01:02:03.5", Fraction(7447, 2)),
        ("90:00", Fraction(5400)),
        ("0:00", Fraction(0)),
    ],
)
def test_numbers_and_times(text: str, position: object) -> None:
    found = position_of(text, "--seek", 0)
    assert (found, type(found)) == (position, type(position))


@pytest.mark.parametrize("text", ["", "-1", "1:60", "1:99:00", "::", "1:2:3:4", "1e3", "s", "\u0663", "1:-2", "9" * 30])
def test_what_is_neither(text: str) -> None:
    with pytest.raises(UsageError, match="a time such as"):
        position_of(text, "--seek", 0)


@pytest.mark.parametrize("text", ["0", "0s", "0:00"])
def test_nothing_to_take(text: str) -> None:
    with pytest.raises(UsageError, match="from 1"):
        position_of(text, "--frames", 1)


def test_spans() -> None:
    even = FrameAt(Fraction(30), None, "x")
    assert span_of(5, 7, None, "x") == (5, 7)
    assert span_of(Fraction(1, 2), None, even, "x") == (15, None)
    assert span_of(Fraction(51, 100), Fraction(1), even, "x") == (16, 30)
    assert span_of(30, Fraction(1, 2), even, "x") == (30, 15)
    uneven = FrameAt(Fraction(0), [Fraction(stamp, 1000) for stamp in STAMPS], "x")
    assert span_of(Fraction(1, 4), Fraction(1, 4), uneven, "x") == (4, 1)
    assert span_of(4, Fraction(1, 4), uneven, "x") == (4, 3)
    with pytest.raises(UsageError, match="holds no picture"):
        span_of(Fraction(6, 10), Fraction(1, 10), uneven, "x")
    with pytest.raises(UsageError, match="pipe"):
        span_of(Fraction(1), None, None, "x")
    with pytest.raises(UsageError, match="frame rate"):
        span_of(Fraction(1), None, FrameAt(Fraction(0), None, "x"), "x")


def indices(call: Call, *arguments: str) -> list[int]:
    assert call("decode", *arguments, "--json", "d.json", "-q", "-y") == 0
    return [row["index"] for row in json.loads(Path("d.json").read_text())["frames"]]


def test_times_of_inputs_and_streams(call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("in.y4m").write_bytes(y4m_clip(16, 16, 12))
    assert call("encode", "in.y4m", "-o", "all.dcvc", "-q") == 0
    assert indices(call, "all.dcvc", "--seek", "0:00.2", "--frames", "0.1s") == [6, 7, 8]
    assert call("encode", "in.y4m", "-o", "part.dcvc", "-q", "--seek", "0.2", "--frames", "0.1") == 0
    assert indices(call, "part.dcvc") == [0, 1, 2]
    write_film(tmp_path / "f.mkv", STAMPS)
    assert call("encode", "f.mkv", "-o", "f.dcvc", "-q") == 0
    assert indices(call, "f.dcvc", "--seek", "0.25s", "--frames", "0.3s") == [4, 5, 6]
    assert call("encode", "f.mkv", "-o", "g.dcvc", "-q", "--seek", "0.25s", "--frames", "0.3s") == 0
    assert indices(call, "g.dcvc") == [0, 1, 2]


def test_times_of_pipes_are_refused(call: Call, capfd: pytest.CaptureFixture[str]) -> None:
    assert call("encode", "-", "-o", "-", "--seek", "1:00") == 2
    assert "standard input is a pipe, and times" in capfd.readouterr().err
