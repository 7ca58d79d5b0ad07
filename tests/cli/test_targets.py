"""`--target`, `--crf` and `--target-size` on real clips: what is asked for is what the stream that was written has."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from dcvc_cli.coding.quality_target import QualityTarget
from dcvc_cli.media import open_reader
from dcvc_cli.metrics.ffmpeg_scores import program_for
from dcvc_cli.metrics.psnr import psnr_yuv
from tests.support.clips import clip_with_cuts
from tests.support.processes import Run

pytestmark = pytest.mark.native
Call = Callable[..., int]


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clip") / "clip.y4m"
    path.write_bytes(clip_with_cuts((9, 11)))
    return path


def encode(call: Call, clip: Path, tmp_path: Path, *words: str | Path | float) -> dict:
    assert call("encode", clip, "-o", tmp_path / "out.dcvc", "-y", "--json", tmp_path / "out.json", *words) == 0
    return json.loads((tmp_path / "out.json").read_text())


def test_the_psnr_asked_for_is_that_of_the_decoded_file(call: Call, clip: Path, tmp_path: Path):
    for words in (("psnr=38",), ("psnr=38,scene",)):
        document = encode(call, clip, tmp_path, "--target", *words, "--model", "lite", "--psnr")
        told = document["summary"]["target"]
        assert (told["asked"], told["metric"]) == (*words, "psnr")
        assert told["is_met"] == all(abs(score - 38) <= 0.15 for score in told["scores"])
        assert told["num_probes"] <= 4
        frames = [frame["psnr"] for frame in document["frames"]]
        spans = ((0, 9), (9, 20)) if "scene" in words[0] else ((0, 20),)
        for score, (start, end) in zip(told["scores"], spans, strict=True):
            assert abs(score - 38) <= 0.25, "scenes of ten frames have few QPs to choose from"
            assert score == pytest.approx(sum(frames[start:end]) / (end - start), abs=1e-5)


@pytest.mark.parametrize("text", ["vmaf=60", "xpsnr=33@p5"])
def test_scores_of_ffmpeg(call: Call, clip: Path, tmp_path: Path, text: str):
    target = QualityTarget.parse(text)
    if program_for(target.metric) is None:
        pytest.skip("no ffmpeg here has this metric: pip install 'dcvc[metrics]'")
    told = encode(call, clip, tmp_path, "--target", text, "--model", "lite")["summary"]["target"]
    assert told["metric"] == target.metric
    assert told["is_met"] == (abs(told["scores"][0] - target.value) <= target.tolerance)
    assert told["num_probes"] <= 4


def test_a_machine_without_the_metric_says_what_brings_it(
    call: Call, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr("dcvc_cli.metrics.ffmpeg_scores.ffmpeg_programs", lambda: iter(()))
    assert call("encode", clip, "-o", tmp_path / "out.dcvc", "--target", "vmaf=90") == 5
    assert "dcvc[metrics]" in capsys.readouterr().err
    assert not (tmp_path / "out.dcvc").exists()


def test_a_score_that_no_qp_gives_is_said(call: Call, clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    told = encode(call, clip, tmp_path, "--target", "psnr=90")["summary"]["target"]
    assert (told["is_met"], told["qps"]) == (False, [63])
    assert "further than 0.15 from psnr=90" in capsys.readouterr().err


def test_a_size_is_not_exceeded(call: Call, clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    encode(call, clip, tmp_path, "--target-size", "10k", "--passes", 2, "--model", "lite")
    assert 8000 < (tmp_path / "out.dcvc").stat().st_size <= 10_000
    assert "more than" not in capsys.readouterr().err
    encode(call, clip, tmp_path, "--target-size", 300)
    assert "more than --target-size 300: QPs are about as low as they go" in capsys.readouterr().err


def test_a_bitrate_below_what_the_codec_takes_is_said(
    call: Call, clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    encode(call, clip, tmp_path, "--bitrate", 0.01)
    assert "more than --bitrate 0.01: QPs are about as low as they go" in capsys.readouterr().err
    encode(call, clip, tmp_path, "--bitrate", 4_000_000)
    assert "warning" not in capsys.readouterr().err


def test_a_pipe_with_a_number_of_frames_has_a_size(dcvc: Run, clip: Path, tmp_path: Path):
    options = ("--target-size", "10k", "--frames", 2, "--threads", 1)
    done = dcvc("encode", "-", "-o", tmp_path / "out.dcvc", *options, input=clip.read_bytes())
    assert done.returncode == 0, done.stderr
    assert b"2 frames" in done.stderr
    assert (tmp_path / "out.dcvc").stat().st_size <= 10_000


def test_what_stands_still_has_a_higher_qp_under_crf(call: Call, clip: Path, tmp_path: Path):
    content = clip.read_bytes()
    header, frame = content.split(b"FRAME\n", 2)[:2]
    still = tmp_path / "still.y4m"
    still.write_bytes(header + (b"FRAME\n" + frame) * 40)
    moving = encode(call, clip, tmp_path, "--crf", 30)["summary"]["qp_mean"]
    assert encode(call, still, tmp_path, "--crf", 30)["summary"]["qp_mean"] > moving


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--crf", 64), "--crf 64"),
        (("--crf", 30, "--qp", 20), "leave one out"),
        (("--crf", 30, "--bitrate", 500), "leave one out"),
        (("--crf", 30, "--passes", 2), "--passes needs --bitrate or --target-size"),
        (("--target-size", "many"), "700k, 4.5M or 2G"),
        (("--target-size", "0"), "700k, 4.5M or 2G"),
        (("--target", "ssim=1"), "psnr, xpsnr or vmaf"),
        (("--target", "psnr=40", "--maxrate", 500), "--maxrate needs"),
    ],
)
def test_what_does_not_go_together_is_refused(
    call: Call, clip: Path, tmp_path: Path, words: tuple, message: str, capsys: pytest.CaptureFixture[str]
):
    assert call("encode", clip, "-o", tmp_path / "out.dcvc", *words) == 2
    assert message in capsys.readouterr().err


def test_chunks_know_no_whole_clip(call: Call, clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "c.yaml").write_text("target-size: 1M")
    words = ("--model", "tiny-exact", "--config", tmp_path / "c.yaml")
    assert call("plan", clip, "-o", tmp_path / "p.json", *words) == 2
    assert "chunks do not know each other" in capsys.readouterr().err
    assert call("plan", clip, "-o", tmp_path / "p.json", "--model", "tiny-exact", "--crf", 30) == 0


@pytest.mark.parametrize("text", ["psnr=38", "psnr=38,scene"])
def test_a_plan_carries_the_qps_that_its_quality_needs(call: Call, clip: Path, tmp_path: Path, text: str):
    """Scenes of 9 and 11 frames; the second one is two chunks."""
    plan = tmp_path / "plan.json"
    words = ("--chunk-frames", "4:9", "--target", text, "--model", "lite")
    assert call("plan", clip, "-o", plan, *words) == 0
    chunks = json.loads(plan.read_text())["chunks"]
    assert [len(chunk["qps"]) for chunk in chunks] == [1, 1, 1]
    if "scene" not in text:
        assert len({chunk["qps"][0] for chunk in chunks}) == 1
    parts = tmp_path / "parts"
    parts.mkdir()
    for chunk in chunks:
        name = parts / f"{chunk['number']}.dcvc"
        assert call("encode", clip, "--chunk", f"{plan}:{chunk['number']}", "-o", name) == 0
    assert call("concat", "--plan", plan, parts, "-o", tmp_path / "joined.dcvc") == 0
    assert call("encode", clip, "--plan", plan, "-o", tmp_path / "whole.dcvc") == 0
    assert (tmp_path / "joined.dcvc").read_bytes() == (tmp_path / "whole.dcvc").read_bytes()
    assert call("decode", tmp_path / "joined.dcvc", "-o", tmp_path / "out.y4m") == 0
    with open_reader(str(clip)) as source, open_reader(str(tmp_path / "out.y4m")) as decoded:
        frames = [psnr_yuv(a.planes, b.planes).yuv for a, b in zip(source, decoded, strict=True)]
    spans = [(chunk["start"], chunk["start"] + chunk["num_frames"]) for chunk in chunks]
    for start, end in spans if "scene" in text else [(0, 20)]:
        assert abs(sum(frames[start:end]) / (end - start) - 38) <= 0.3, "a chunk of five frames has few QPs to choose"


def test_each_of_several_inputs_has_the_quality_asked_for(
    call: Call, clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    content = clip.read_bytes()
    frames = content.split(b"FRAME\n")
    (tmp_path / "a.y4m").write_bytes(content)
    (tmp_path / "b.y4m").write_bytes(b"FRAME\n".join([frames[0], *frames[12:]]))
    words = ("--target", "psnr=38", "--model", "lite", "--jobs", 1)
    assert call("encode", tmp_path / "a.y4m", tmp_path / "b.y4m", "-o", f"{tmp_path}/out/", *words) == 0
    told = capsys.readouterr().err
    for name in ("a", "b"):
        score = re.search(rf"{name}\.dcvc: psnr (\S+), psnr=38 asked for", told)
        assert score is not None
        assert abs(float(score[1]) - 38) <= 0.15
