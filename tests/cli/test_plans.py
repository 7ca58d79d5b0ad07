"""A clip in chunks: planned, coded chunk by chunk on machines of several kinds, joined to the bytes of one machine."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.test_films import contents, write_film
from tests.cli.test_times import STAMPS
from tests.cli.test_times import write_film as write_uneven_film
from tests.support.clips import clip_with_cuts
from tests.support.processes import Run

pytestmark = pytest.mark.native
Call = Callable[..., int]
LENGTHS = (5, 4, 7)
"""Scenes of the clip; the last one is longer than a chunk may be."""
CHUNKS = [(0, 5, "start"), (5, 4, "scene"), (9, 3, "scene"), (12, 4, "length")]
MACHINES = ((1, "scalar"), (2, "avx2"), (3, "avx512"), (2, "scalar"))
"""(threads, instruction set) of the machine of each chunk; a lesser set runs where the CPU lacks one."""


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clip") / "clip.y4m"
    path.write_bytes(clip_with_cuts(LENGTHS))
    return path


@pytest.fixture
def place(call: Call, clip: Path, tmp_path: Path) -> Path:
    """Makes a folder with plan.json, and parts/ with all parts."""
    assert call("plan", clip, "-o", tmp_path / "plan.json", *PLANNED) == 0
    (tmp_path / "parts").mkdir()
    for number in range(len(CHUNKS)):
        assert call(*chunk_words(clip, tmp_path, number), "-o", tmp_path / "parts" / f"{number}.dcvc") == 0
    return tmp_path


PLANNED = ("--chunk-frames", "3:6", "--model", "tiny-exact", "--qp", "20")


def chunk_words(clip: Path, place: Path, number: int) -> tuple[str | Path, ...]:
    return ("encode", clip, "--chunk", f"{place / 'plan.json'}:{number}")


@pytest.mark.parametrize("model", ["tiny-exact", "lite"])
def test_joined_chunks_are_the_stream_of_one_machine(
    dcvc: Run, call: Call, clip: Path, tmp_path: Path, model: str, capsys: pytest.CaptureFixture[str]
):
    plan, parts = tmp_path / "plan.json", tmp_path / "parts"
    parts.mkdir()
    assert call("plan", clip, "-o", plan, "--chunk-frames", "3:6", "--model", model) == 0
    values = json.loads(plan.read_text())
    assert [(chunk["start"], chunk["num_frames"], chunk["begins"]) for chunk in values["chunks"]] == CHUNKS
    for number, (threads, isa) in enumerate(MACHINES):
        words = ("encode", clip, "--chunk", f"{plan}:{number}", "-o", parts / f"{number}.dcvc", "--threads", threads)
        done = dcvc(*words, environment={"DCVC_CPU_ISA": isa})
        assert done.returncode == 0, done.stderr
    assert call("concat", "--plan", plan, parts, "-o", tmp_path / "joined.dcvc") == 0
    assert call("encode", clip, "--plan", plan, "-o", tmp_path / "whole.dcvc") == 0
    assert (tmp_path / "joined.dcvc").read_bytes() == (tmp_path / "whole.dcvc").read_bytes()
    capsys.readouterr()
    assert call("info", "--json", tmp_path / "joined.dcvc") == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["num_frames"] == sum(LENGTHS)
    keys = [frame["index"] for frame in facts["frames"] if frame["type"] == "I"]
    assert keys == [start for start, _, _ in CHUNKS]
    assert call("decode", tmp_path / "joined.dcvc", "-o", "null") == 0


@pytest.mark.parametrize(
    ("lengths", "told"),
    [
        ("3:6", "16 frames in 4 chunks of 3 to 5 frames, 2 of them begin at a cut"),
        ("20:40", "16 frames in one chunk"),
        ("8:16", "16 frames in one chunk"),
        ("1:2", "16 frames in 9 chunks of 1 to 2 frames, 2 of them begin at a cut"),
    ],
)
def test_chunks_are_told_in_words(
    call: Call, clip: Path, tmp_path: Path, lengths: str, told: str, capsys: pytest.CaptureFixture[str]
):
    words = ("--chunk-frames", lengths, "--model", "tiny-exact")
    assert call("plan", clip, "-o", tmp_path / "plan.json", *words) == 0
    assert capsys.readouterr().err.rstrip().endswith(told)


def test_each_step_can_be_repeated(call: Call, clip: Path, place: Path, capsys: pytest.CaptureFixture[str]):
    part = place / "parts" / "1.dcvc"
    whole, before = part.read_bytes(), part.stat().st_mtime_ns
    plan = (place / "plan.json").read_bytes()
    assert call("plan", clip, "-o", place / "plan.json", *PLANNED, "-y") == 0
    assert (place / "plan.json").read_bytes() == plan
    assert call(*chunk_words(clip, place, 1), "-o", part) == 2, "as ever, nothing is replaced without -y"
    assert call(*chunk_words(clip, place, 1), "-o", part, "--skip-existing") == 0
    assert part.stat().st_mtime_ns == before
    part.write_bytes(whole[:-30])
    assert call(*chunk_words(clip, place, 1), "-o", part, "--skip-existing") == 0
    assert part.read_bytes() == whole, "a part that is not whole is coded again"
    words = ("concat", "--plan", place / "plan.json", place / "parts", "-o", place / "joined.dcvc", "-y")
    assert call(*words) == 0
    joined = (place / "joined.dcvc").read_bytes()
    assert call(*words) == 0
    assert (place / "joined.dcvc").read_bytes() == joined


def join(call: Call, place: Path) -> int:
    return call("concat", "--plan", place / "plan.json", place / "parts", "-o", place / "joined.dcvc")


def test_parts_that_do_not_fit(call: Call, clip: Path, place: Path, capsys: pytest.CaptureFixture[str]):
    parts = place / "parts"

    def refused(code: int, words: str) -> None:
        assert join(call, place) == code
        assert words in capsys.readouterr().err
        assert not (place / "joined.dcvc").exists()

    whole = (parts / "1.dcvc").read_bytes()
    (parts / "1.dcvc").unlink()
    refused(3, f"1 of 4 parts are missing: {parts / '1.dcvc'} (code these chunks)")
    shutil.copy(parts / "2.dcvc", parts / "1.dcvc")
    refused(4, "1.dcvc is chunk 2, expected chunk 1 (rename it)")
    assert call("encode", clip, "-o", parts / "1.dcvc", "--model", "tiny-exact", "-y") == 0
    refused(4, "1.dcvc is no chunk of a plan (code the chunk again)")
    (parts / "1.dcvc").write_bytes(whole + whole)
    refused(4, "1.dcvc goes on after its end")
    (parts / "1.dcvc").write_bytes(whole[:-20])
    refused(4, "1.dcvc")
    for option in (("--qp", "21"), ("--no-scenecut",), ("--chunk-frames", "3:8")):
        assert call("plan", clip, "-o", place / "other.json", *PLANNED, *option, "-y") == 0
        other = ("encode", clip, "--chunk", f"{place / 'other.json'}:1", "-o", parts / "1.dcvc", "-y")
        assert call(*other) == 0
        refused(4, "1.dcvc is a chunk of another plan: its settings, weights or input are others")
    (parts / "1.dcvc").write_bytes(whole)
    assert join(call, place) == 0


def test_an_input_that_is_not_the_plans(call: Call, clip: Path, place: Path, capsys: pytest.CaptureFixture[str]):
    other = place / "other.y4m"
    content = bytearray(clip.read_bytes())
    content[-1] ^= 1
    other.write_bytes(content)
    assert call(*chunk_words(other, place, 3), "-o", place / "3.dcvc") == 3
    assert "is not the file that the plan was made from" in capsys.readouterr().err
    moved = place / "moved.y4m"
    shutil.copy(clip, moved)
    assert call(*chunk_words(moved, place, 3), "-o", place / "3.dcvc") == 0
    assert (place / "3.dcvc").read_bytes() == (place / "parts" / "3.dcvc").read_bytes()


def test_pictures_that_are_not_the_plans(call: Call, clip: Path, place: Path, capsys: pytest.CaptureFixture[str]):
    """Such as those of another decoder: the file is the same, and what it decodes to is not."""
    values = json.loads((place / "plan.json").read_text())
    values["chunks"][2]["digest"] = "0" * 32
    (place / "plan.json").write_text(json.dumps(values))
    assert call(*chunk_words(clip, place, 2), "-o", place / "2.dcvc") == 3
    assert "pictures 9 to 11 are not those that the plan was made from" in capsys.readouterr().err
    assert not (place / "2.dcvc").exists()


def test_what_a_plan_cannot_hold(call: Call, clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    plan = tmp_path / "plan.json"

    def refused(code: int, words: str, *arguments: str | Path) -> None:
        assert call(*arguments) == code
        assert words in capsys.readouterr().err

    refused(2, "--allow-float codes so", "plan", clip, "-o", plan, "--model", "tiny", "--precision", "fp32")
    refused(2, "--chunk-frames 3:4: expected", "plan", clip, "-o", plan, "--chunk-frames", "3:4")
    refused(2, "--chunk-frames 5: expected LEAST:MOST", "plan", clip, "-o", plan, "--chunk-frames", "5")
    refused(3, "is a pipe or a device", "plan", "-", "-o", plan)
    assert not plan.exists()
    assert call("plan", clip, "-o", plan, *PLANNED) == 0
    words = ("encode", clip, "-o", tmp_path / "out.dcvc", "--chunk")
    refused(2, "--qp does not go with it", *words, f"{plan}:0", "--qp", "4")
    refused(2, "--seek does not go with it", *words, f"{plan}:0", "--seek", "4")
    refused(2, "the plan has no chunk 4, expected 0..3", *words, f"{plan}:4")
    refused(2, "expected a plan and a number", *words, plan)
    refused(2, "--device cuda:0: a GPU codes other bytes", *words, f"{plan}:0", "--device", "cuda:0")
    values = json.loads(plan.read_text())
    plan.write_text(json.dumps(values | {"dcvc_version": "0.0.1"}))
    refused(5, "the plan was made by dcvc 0.0.1", *words, f"{plan}:0")
    values["model"]["image_fingerprint"] = "0" * 16
    plan.write_text(json.dumps(values))
    refused(5, "put the same weights on all machines", *words, f"{plan}:0")


def test_tracks_stand_once_in_the_joined_stream(call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    write_film(Path("film.mkv"))
    assert call("plan", "film.mkv", "-o", "plan.json", "--chunk-frames", "3:6", "--model", "tiny-exact") == 0
    Path("parts").mkdir()
    for number, _ in enumerate(json.loads(Path("plan.json").read_text())["chunks"]):
        assert call("encode", "film.mkv", "--chunk", f"plan.json:{number}", "-o", f"parts/{number}.dcvc") == 0
    assert number > 0
    Path("film.mkv").rename("elsewhere.mkv")
    assert call("concat", "--plan", "plan.json", "parts", "-o", "joined.dcvc") == 3, "the tracks are in the film"
    assert call("concat", "--plan", "plan.json", "parts", "-o", "joined.dcvc", "--input", "elsewhere.mkv") == 0
    assert call("encode", "elsewhere.mkv", "--plan", "plan.json", "-o", "whole.dcvc") == 0
    assert Path("joined.dcvc").read_bytes() == Path("whole.dcvc").read_bytes()
    assert call("encode", "elsewhere.mkv", "-o", "plain.dcvc", "--model", "tiny-exact") == 0
    for name in ("joined", "plain"):
        assert call("decode", f"{name}.dcvc", "-o", f"{name}.mkv") == 0
    assert contents(Path("joined.mkv")) == contents(Path("plain.mkv"))


@pytest.mark.parametrize("more", [[], ["--seek", "1"]], ids=["whole", "after a seek"])
def test_times_are_those_of_the_clip(call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, more: list[str]):
    monkeypatch.chdir(tmp_path)
    write_uneven_film(Path("film.mkv"), STAMPS)
    words = ("--model", "tiny-exact", *more)
    assert call("encode", "film.mkv", "-o", "plain.dcvc", *words) == 0
    assert call("plan", "film.mkv", "-o", "plan.json", "--chunk-frames", "2:4", *words) == 0
    assert len(json.loads(Path("plan.json").read_text())["chunks"]) > 1
    assert call("encode", "film.mkv", "--plan", "plan.json", "-o", "joined.dcvc") == 0
    for name in ("plain", "joined"):
        assert call("decode", f"{name}.dcvc", "-o", "null", "--json", f"{name}.json") == 0
    plain, joined = (json.loads(Path(f"{name}.json").read_text())["frames"] for name in ("plain", "joined"))
    assert [row["time"] for row in joined] == [row["time"] for row in plain]
    assert len(joined) == len(STAMPS) - (1 if more else 0)
