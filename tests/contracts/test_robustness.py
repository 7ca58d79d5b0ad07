"""The table of docs/robustness.md: each row's command is run on the inputs that it speaks of, and the exit code and the
counts are right.

DCVC_ROBUSTNESS_CASES=1000 runs the long counts; without it the small ones.
"""

import os
import random
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.clips import y4m_clip
from tests.support.processes import ROOT
from tests.support.tiny_weights import write_tiny_weights

Call = Callable[..., int]
DOCUMENT = ROOT / "docs" / "robustness.md"
LARGEST_LONG_COUNT = 1000
LONG = int(os.environ.get("DCVC_ROBUSTNESS_CASES", "0"))


@dataclass(frozen=True)
class Row:
    """One row of the table."""

    tried: str
    command: tuple[str, ...]
    exit_code: int
    num_cases: int
    long_cases: int


def rows() -> list[Row]:
    found = []
    for line in DOCUMENT.read_text(encoding="utf-8").split("## Table")[1].splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) == 6 and cells[2].startswith("`dcvc "):
            counts = re.fullmatch(r"(\d+)(?: \((\d+)\))?", cells[4])
            assert counts, line
            command = tuple(cells[2].strip("`").split()[1:])
            found.append(Row(cells[0], command, int(cells[3]), int(counts[1]), int(counts[2] or counts[1])))
    return found


ROWS = rows()


@pytest.fixture(scope="module")
def originals(tiny_home: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Contents of the clip, its stream, and weights."""
    from dcvc_cli.app import run

    folder = tmp_path_factory.mktemp("originals")
    (folder / "clip.y4m").write_bytes(y4m_clip(24, 20, 3))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DCVC_HOME", str(tiny_home))
        words = ["encode", str(folder / "clip.y4m"), "-o", str(folder / "a.dcvc"), "--model", "tiny", "--threads", "1"]
        assert run(words) == 0
    weights = write_tiny_weights(folder, seed=3)
    return {
        "clip.y4m": (folder / "clip.y4m").read_bytes(),
        "a.dcvc": (folder / "a.dcvc").read_bytes(),
        "tiny.safetensors": weights.read_bytes(),
    }


def cut(content: bytes, start: int = 0) -> Callable[[random.Random], bytes]:
    return lambda chance: content[: chance.randrange(start, len(content))]


def changed(content: bytes) -> Callable[[random.Random], bytes]:
    def change(chance: random.Random) -> bytes:
        at = chance.randrange(len(content))
        return content[:at] + bytes([content[at] ^ chance.randrange(1, 256)]) + content[at + 1 :]

    return change


def yaml_noise(chance: random.Random) -> bytes:
    """Makes text that settings are not made of, of the kinds that parsers stumble over."""
    texts = "{}: 1", "[{}", "- {}", "qp: [{}]", "qp: {}x", "&a [*a, {}]", "? {}", "{}\x00", "'{}", "qp: .nan # {}"
    kinds = (*texts, "qp: !!python/object:os.system {}")
    return chance.choice(kinds).format("k" + str(chance.random())).encode()


def inputs_of(row: Row, originals: dict[str, bytes]) -> Iterator[tuple[str, bytes] | None]:
    """Returns (name, content) of the file that is wrong, case after case; None where only the command matters."""
    header = originals["clip.y4m"].index(b"\n") + 1
    makers: dict[str, tuple[str, Callable[[random.Random], bytes]]] = {
        "stream cut at any byte": ("cut.dcvc", cut(originals["a.dcvc"])),
        "stream with one byte changed": ("changed.dcvc", changed(originals["a.dcvc"])),
        "bytes that are no stream": ("noise.dcvc", lambda chance: chance.randbytes(chance.randrange(1, 4000))),
        "y4m cut at any byte of its pictures": ("cut.y4m", cut(originals["clip.y4m"], header + 1)),
        "weights with one byte changed": ("changed.safetensors", changed(originals["tiny.safetensors"])),
        "weights cut at any byte": ("cut.safetensors", cut(originals["tiny.safetensors"])),
        "settings that are no YAML of ours": ("noise.yaml", yaml_noise),
    }
    chance = random.Random(row.tried)
    num_cases = round(row.long_cases * LONG / LARGEST_LONG_COUNT) if LONG else row.num_cases
    for _ in range(max(num_cases, 1)):
        if row.tried in makers:
            name, make = makers[row.tried]
            yield name, make(chance)
        else:
            yield None


def test_the_table_has_rows() -> None:
    assert len(ROWS) >= 9
    assert len({row.tried for row in ROWS}) == len(ROWS)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.tried)
def test_row(
    row: Row,
    originals: dict[str, bytes],
    call: Call,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("clip.y4m", "a.dcvc"):
        Path(name).write_bytes(originals[name])
    boundaries = frame_boundaries(originals["clip.y4m"])
    for case in inputs_of(row, originals):
        if case is not None:
            name, content = case
            if name == "cut.y4m" and len(content) in boundaries:
                continue  # a shorter clip, and whole
            Path(name).write_bytes(content)
        before = sorted(path.name for path in tmp_path.iterdir())
        capfd.readouterr()
        code = call(*row.command)
        words = capfd.readouterr().err
        assert code == row.exit_code, (case, words)
        assert "Traceback" not in words
        assert "internal error" not in words
        assert words.splitlines()[-1].startswith("dcvc: error: ")
        assert sorted(path.name for path in tmp_path.iterdir()) == before


def frame_boundaries(clip: bytes) -> set[int]:
    """Lengths at which a y4m file of whole pictures may end."""
    header = clip.index(b"\n") + 1
    frame = 6 + 24 * 20 * 3 // 2
    return {header + frame * number for number in range(1, 4)}
