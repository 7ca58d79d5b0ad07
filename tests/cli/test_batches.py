"""Many inputs in one command: names, failures, what is skipped, several at once."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.clips import y4m_clip

Call = Callable[..., int]
NAMES = [f"clip{number}" for number in range(10)]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Makes ten small clips in the working directory; clip3.y4m is cut."""
    monkeypatch.chdir(tmp_path)
    for number, name in enumerate(NAMES):
        data = y4m_clip(16, 16, 1 + number % 2)
        Path(f"{name}.y4m").write_bytes(data[:-9] if name == "clip3" else data)
    return tmp_path


def written(folder: str) -> list[str]:
    return sorted(path.name for path in Path(folder).iterdir())


def test_one_input_is_counted_as_one(call: Call, folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert call("encode", "clip3.y4m", "-o", "out/") == 6
    told = capfd.readouterr().err
    assert "1 input: 0 done, 1 failed" in told
    assert "1 of 1 input failed: clip3.y4m" in told


def test_one_broken_of_ten(call: Call, folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert call("encode", *(f"{name}.y4m" for name in NAMES), "-o", "out/", "-q") == 6
    told = capfd.readouterr().err
    assert told.count("\n") == 2
    assert "[4/10] error: clip3.y4m" in told
    assert "[exit code 3]" in told
    assert "1 of 10 inputs failed: clip3.y4m" in told
    whole = [f"{name}.dcvc" for name in NAMES if name != "clip3"]
    assert written("out") == whole
    assert call("decode", *(f"out/{name}" for name in whole), "-o", "back", "-q") == 2
    assert call("decode", *(f"out/{name}" for name in whole), "-o", "back/", "-q") == 0
    assert written("back") == [name.replace("dcvc", "y4m") for name in whole]
    capfd.readouterr()
    assert call("info", *(f"out/{name}" for name in whole[:2]), "--json", "--no-frame-table") == 0
    first, second = capfd.readouterr().out.split("\n}\n{\n")
    assert json.loads(first + "}")["name"] == "out/clip0.dcvc"
    assert "frames" not in json.loads("{" + second)
    assert call("info", "out/clip0.dcvc", "clip0.y4m", "out/clip1.dcvc", "--validate") == 6
    told = capfd.readouterr()
    assert told.out.count(": valid") == 2
    assert "1 of 3 streams have faults" in told.err


def test_only_whole_outputs_are_skipped(call: Call, folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    names = [f"{name}.y4m" for name in NAMES[:3]]
    streams = [f"out/{name}.dcvc" for name in NAMES[:3]]
    assert call("encode", *names, "-o", "out/", "-q") == 0
    assert call("encode", *names, "-o", "out/", "-q") == 6, "outputs are kept without -y"
    cut, whole = Path(streams[0]), Path(streams[1]).stat().st_mtime_ns
    expected = cut.read_bytes()
    cut.write_bytes(expected[:-5])
    capfd.readouterr()
    assert call("encode", *names, "-o", "out/", "--skip-existing") == 0
    assert "3 inputs: 1 done, 2 skipped" in capfd.readouterr().err
    assert (cut.read_bytes(), Path(streams[1]).stat().st_mtime_ns) == (expected, whole)

    assert call("decode", *streams, "-o", "back/", "-q") == 0
    changed = Path("back/clip0.y4m")
    pictures = changed.read_bytes()
    changed.write_bytes(pictures[:-1] + bytes([pictures[-1] ^ 1]))
    Path("back/clip1.y4m").write_bytes(Path("back/clip0.y4m").read_bytes()[:60])
    capfd.readouterr()
    assert call("decode", *streams, "-o", "back/", "--skip-existing") == 0
    assert "3 inputs: 2 done, 1 skipped" in capfd.readouterr().err
    assert changed.read_bytes() == pictures


def test_png_folders_and_null(call: Call, folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert call("encode", "clip0.y4m", "clip1.y4m", "-o", "out/", "-q") == 0
    assert call("decode", "out/clip0.dcvc", "out/clip1.dcvc", "-o", "p/", "--output-format", "png", "-q") == 0
    assert (written("p"), written("p/clip1")) == (["clip0", "clip1"], ["im00001.png", "im00002.png"])
    capfd.readouterr()
    more = ("--output-format", "png", "--skip-existing")
    assert call("decode", "out/clip0.dcvc", "out/clip1.dcvc", "-o", "p/", *more) == 0
    assert "2 skipped" in capfd.readouterr().err
    Path("out/cut.dcvc").write_bytes(Path("out/clip1.dcvc").read_bytes()[:-5])
    assert call("decode", "out/clip0.dcvc", "out/cut.dcvc", "-o", "null") == 6
    assert "1 of 2 inputs failed: out/cut.dcvc" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["a.y4m", "b.y4m", "-o", "x.dcvc"], "several inputs go to a folder"),
        (["a.y4m", "sub/a.y4m", "-o", "out/"], "would both be written to out/a.dcvc"),
        (["a.y4m", "-", "-o", "out/"], "standard input has no name"),
        (["a.y4m", "b.y4m", "-o", "out/", "--csv", "r.csv"], "are for one input"),
    ],
)
def test_what_a_batch_cannot_be(
    call: Call, folder: Path, capfd: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    assert call("encode", *arguments) == 2
    assert words in capfd.readouterr().err
    assert not Path("out").exists()


def test_several_at_once_in_processes(dcvc, folder: Path) -> None:
    names = [f"{name}.y4m" for name in NAMES[2:5]]
    result = dcvc("encode", *names, "-o", "out/", "--jobs", "2", "--model", "tiny", cwd=folder)
    assert result.returncode == 6
    words = result.stderr.decode()
    assert "3 inputs: 2 done, 1 failed" in words
    assert written("out") == ["clip2.dcvc", "clip4.dcvc"]
    assert call_alone(dcvc, folder) == (folder / "out" / "clip2.dcvc").read_bytes()


def call_alone(dcvc, folder: Path) -> bytes:
    result = dcvc("encode", "clip2.y4m", "-o", "alone.dcvc", "--model", "tiny", cwd=folder)
    assert result.returncode == 0
    return (folder / "alone.dcvc").read_bytes()
