"""`dcvc bench`: what it counts adds up, it leaves the codec as it was, and its reports say what was measured. No test
looks at a speed."""

import json
from pathlib import Path

import numpy as np
import pytest
import typer
from typer.testing import CliRunner, Result

from dcvc_cli.commands.bench import bench
from dcvc_cli.errors import DcvcError, UsageError
from dcvc_cli.measuring.stage_clock import StageClock
from dcvc_cli.media.synthetic_clip import synthetic_format, synthetic_pictures
from dcvc_cli.stages import OTHER, timed
from tests.support.clips import y4m_clip

pytestmark = pytest.mark.native


def run(*arguments: object) -> Result:
    app = typer.Typer()
    app.command()(bench)
    return CliRunner().invoke(app, ["--threads", "1", *(str(argument) for argument in arguments)])


@pytest.fixture(autouse=True)
def home(tiny_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DCVC_HOME", str(tiny_home))


def test_json_report(tmp_path: Path):
    plot = tmp_path / "stages.svg"
    result = run(
        "--model",
        "tiny",
        "--precision",
        "fp32",
        "--vs",
        "fp64",
        "--frames",
        4,
        "--size",
        "50x38",
        "--json",
        "--plot",
        plot,
    )
    assert result.exit_code == 0, result.exception
    document = json.loads(result.stdout)
    assert (document["width"], document["height"], document["num_frames"], document["num_warmup_frames"]) == (
        50,
        38,
        4,
        2,
    )
    assert document["counts_entropy_coding"] is True
    assert document["counts_file_access"] is False
    assert [entry["label"] for entry in document["results"]] == ["tiny fp32", "tiny fp64"]
    for entry in document["results"]:
        assert entry["weights_are_random"] is False
        assert [entry[direction][kind]["num_frames"] for direction in ("encode", "decode") for kind in "IP"] == [
            1,
            3,
            1,
            3,
        ]
        assert set(entry["encode"]["P"]["stage_ms"]) >= {
            "analysis",
            "hyper-analysis",
            "temporal context",
            "priors",
            "entropy coding",
            "synthesis",
        }
        assert set(entry["decode"]["P"]["stage_ms"]) >= {
            "priors",
            "entropy coding",
            "synthesis",
            "reconstruction",
            "colour and export",
        }
        assert "analysis" not in entry["decode"]["P"]["stage_ms"]
        whole = entry["decode"]["I"]
        assert sum(whole["stage_ms"].values()) == pytest.approx(whole["median_ms"])
        assert whole["min_ms"] <= whole["median_ms"] <= whole["max_ms"]
    assert {(entry["direction"], entry["frame_type"]) for entry in document["ratios"]} == {
        (d, t) for d in ("encode", "decode") for t in "IP"
    }
    assert b"temporal context" in plot.read_bytes()


def test_text_report_names_what_was_measured(tmp_path: Path):
    clip = tmp_path / "clip.y4m"
    clip.write_bytes(y4m_clip(34, 18, 3))
    result = run("--model", "tiny", "--input", clip, "--frames", 2)
    assert result.exit_code == 0, result.exception
    assert "34x18, 2 frames, QP 32" in result.stdout
    assert "1 threads" in result.stdout
    assert "warm-up frames not counted; entropy coding counted; file access and hashes not counted" in result.stdout
    assert "RANDOM" not in result.stdout


def test_random_parameters_are_announced(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("DCVC_HOME", str(tmp_path))
    result = run("--model", "tiny", "--frames", 1, "--size", "16x16")
    assert "RANDOM parameters: speed only" in result.stdout


def test_random_parameters_in_integers_and_floats_side_by_side(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("DCVC_HOME", str(tmp_path))
    result = run("--model", "tiny", "--precision", "exact", "--vs", "fp32", "--frames", 4, "--size", "98x66", "--json")
    assert result.exit_code == 0, result.exception
    document = json.loads(result.stdout)
    exact, fp32 = document["results"]
    assert [entry["precision"] for entry in document["results"]] == ["exact", "fp32"]
    assert exact["weights_are_random"]
    assert fp32["weights_are_random"]
    assert exact["size_bytes"] == pytest.approx(fp32["size_bytes"], rel=0.03)
    assert {entry["other"] for entry in document["ratios"]} == {"tiny fp32"}
    assert isinstance(run("--model", "tiny", "--precision", "fp8", "--frames", 1).exception, UsageError)


@pytest.mark.parametrize(
    "arguments",
    [
        ("--size", "0x5"),
        ("--plot", "a.pdf"),
        ("--model", "none"),
        ("--precision", "fp8"),
        ("--model", "tiny", "--vs", "fp8"),
    ],
)
def test_wrong_options(arguments: tuple[str, ...]):
    assert isinstance(run(*arguments, "--frames", "1").exception, DcvcError)
    assert isinstance(run("--size", "x").exception, UsageError)


def test_motion_is_a_stage_of_its_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("DCVC_HOME", str(tmp_path))
    result = run("--model", "lite", "--precision", "exact", "--frames", 4, "--size", "96x64", "--json")
    assert result.exit_code == 0, result.exception
    (entry,) = json.loads(result.stdout)["results"]
    for direction in ("encode", "decode"):
        assert entry[direction]["P"]["stage_ms"]["motion"] > 0
        assert "motion" not in entry[direction]["I"]["stage_ms"]


def test_clock_counts_nested_stages_once_and_only_while_it_listens():
    clock = StageClock()

    @timed("outer")
    def outer() -> int:
        return inner()

    @timed("inner")
    def inner() -> int:
        return sum(range(100_000))

    with clock.attached():
        clock.reset()
        assert outer() == inner()
        taken = clock.take()
    assert set(taken) == {OTHER, "outer", "inner"}
    assert taken["inner"] > taken["outer"] >= 0
    clock.reset()
    outer()
    assert set(clock.take()) == {OTHER}


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (50, 38)])
def test_built_in_clip_never_changes_and_moves(size: tuple[int, int]):
    video_format = synthetic_format(*size)
    clips = [[picture.tobytes() for picture in synthetic_pictures(video_format, 3)] for _ in range(2)]
    assert clips[0] == clips[1]
    assert all(len(picture) == video_format.frame_bytes for picture in clips[0])
    if size == (50, 38):
        assert len(set(clips[0])) == 3
        assert np.frombuffer(clips[0][0], np.uint8).std() > 10
