"""Colour tags of the command line: into the stream, out of `info`, over what the input says."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from dcvc_cli.errors import UsageError
from dcvc_cli.format.colour_names import MATRICES, PRIMARIES, TRANSFERS, code_point, colour_range
from tests.support.clips import y4m_clip

Call = Callable[..., int]


def test_tags_and_what_info_prints(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("in.y4m").write_bytes(y4m_clip(16, 16, 1))
    tags = ("--colorprim", "bt2020", "--transfer", "smpte2084", "--colormatrix", "9", "--range", "limited")
    assert call("encode", "in.y4m", "-o", "s.dcvc", *tags) == 0
    assert "warning" not in capfd.readouterr().err
    assert call("info", "s.dcvc", "--json") == 0
    sps = json.loads(capfd.readouterr().out)["sps"][0]
    assert [sps[key] for key in ("colour_primaries", "transfer", "matrix", "full_range")] == [9, 16, 9, False]
    assert sps["colour_names"] == {
        "primaries": "bt2020",
        "transfer": "smpte2084",
        "matrix": "bt2020nc",
        "range": "limited",
    }
    flags = "-color_primaries bt2020 -color_trc smpte2084 -colorspace bt2020nc -color_range tv"
    assert sps["ffmpeg_flags"] == flags
    assert call("info", "s.dcvc") == 0
    assert flags in capfd.readouterr().out


def test_what_the_input_says_otherwise_is_told(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    header, _, rest = y4m_clip(16, 16, 1).partition(b"\n")
    Path("in.y4m").write_bytes(header + b" XCOLORRANGE=FULL\n" + rest)
    assert call("encode", "in.y4m", "-o", "s.dcvc", "--range", "limited") == 0
    assert "warning: in.y4m says full range True, the command line False" in capfd.readouterr().err
    assert call("decode", "s.dcvc", "-o", "o.y4m", "-q") == 0
    assert b"XCOLORRANGE=LIMITED" in Path("o.y4m").read_bytes().partition(b"\n")[0]


@pytest.mark.parametrize(
    ("names", "text", "code"),
    [
        (PRIMARIES, "bt709", 1),
        (PRIMARIES, "undef", 2),
        (PRIMARIES, "BT470M", 4),
        (TRANSFERS, "bt470bg", 5),
        (TRANSFERS, "hlg", 18),
        (MATRICES, "gbr", 0),
        (MATRICES, "bt2020nc", 9),
        (MATRICES, "255", 255),
    ],
)
def test_names(names: dict[int, str], text: str, code: int) -> None:
    assert code_point("--x", names, text) == code


@pytest.mark.parametrize("text", ["", "256", "-1", "bt2021", "srgb", "\u0661"])
def test_names_of_nothing(text: str) -> None:
    with pytest.raises(UsageError, match="--colorprim"):
        code_point("--colorprim", PRIMARIES, text)
    with pytest.raises(UsageError, match="full or limited"):
        colour_range("--range", text)
