"""`dcvc eval`: what it measures is what its streams decode to, and every way to say a run."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from PIL import Image
from typer.testing import CliRunner, Result

from dcvc_cli.commands.evaluate import evaluate
from dcvc_cli.errors import BatchError, DcvcError, EnvironmentFault, InputError, UsageError
from dcvc_cli.evaluating.coders import rates_of_model
from dcvc_cli.evaluating.evaluation import Rate
from dcvc_cli.metrics.results import read_results
from dcvc_cli.preparing.random_weights import random_weights
from dcvc_cli.weights.file import write_weights

ROOT = Path(__file__).parents[2]
WIDTH, HEIGHT, NUM_FRAMES = 64, 48, 3
Eval = Callable[..., Result]


def frame(index: int, shape: tuple[int, int], phase: float) -> bytes:
    row, column = np.mgrid[: shape[0], : shape[1]]
    return (128 + 70 * np.sin((column + 2 * index) / 7 + phase) * np.cos(row / 5)).astype(np.uint8).tobytes()


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Makes a test set: one clip as raw file and as y4m, another as PNG pictures."""
    root = tmp_path_factory.mktemp("data")
    chroma = (HEIGHT // 2, WIDTH // 2)
    frames = [
        frame(index, (HEIGHT, WIDTH), 0) + frame(index, chroma, 1) + frame(index, chroma, 2)
        for index in range(NUM_FRAMES)
    ]
    (root / "raw").mkdir()
    (root / "raw" / f"a_{WIDTH}x{HEIGHT}_30.yuv").write_bytes(b"".join(frames))
    head = f"YUV4MPEG2 W{WIDTH} H{HEIGHT} F30:1 Ip C420jpeg\n".encode()
    (root / "a.y4m").write_bytes(head + b"".join(b"FRAME\n" + samples for samples in frames))
    (root / "png" / "b").mkdir(parents=True)
    for index in range(NUM_FRAMES):
        planes = [
            np.frombuffer(frame(index, (HEIGHT, WIDTH), phase), np.uint8).reshape(HEIGHT, WIDTH) for phase in (0, 1, 2)
        ]
        Image.fromarray(np.stack(planes, axis=2)).save(root / "png" / "b" / f"im{index + 1:05d}.png")
    return root


def write_config(data: Path, target: Path, **classes: dict[str, Any]) -> Path:
    """Makes a configuration; without classes, the raw clip."""
    size = {"width": WIDTH, "height": HEIGHT, "frames": NUM_FRAMES, "intra_period": -1}
    known = {
        "raw": {"base_path": "raw", "src_type": "yuv420", "sequences": {f"a_{WIDTH}x{HEIGHT}_30.yuv": size}},
        "video": {"src_type": "video", "sequences": {"a.y4m": {"frames": NUM_FRAMES}}},
        "png": {"base_path": "png", "src_type": "png", "sequences": {"b": size}},
    }
    chosen = {name: {**known.get(name, {}), **members} for name, members in classes.items()} or {"raw": known["raw"]}
    path = target / "config.json"
    path.write_text(json.dumps({"root_path": str(data), "test_classes": chosen}))
    return path


@pytest.fixture
def run(tiny_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Eval:
    """Runs `dcvc eval` on two rates in this process; exceptions come in the result."""
    monkeypatch.setenv("DCVC_HOME", str(tiny_home))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    app = typer.Typer()
    app.command()(evaluate)

    def run(config: Path, *arguments: str | Path) -> Result:
        words = [str(argument) for argument in (config, "-o", tmp_path / "result.json", *arguments)]
        if "--codec" not in words:
            words += ["--threads", "1"] + ([] if "--model" in words else ["--model", "tiny"])
        if not {"--rate-num", "--qp-i"} & set(words):
            words += ["--rate-num", "2"]
        return CliRunner().invoke(app, words)

    return run


def result(tmp_path: Path) -> dict[str, Any]:
    read_results(tmp_path / "result.json")
    document: dict[str, Any] = json.loads((tmp_path / "result.json").read_text())
    return document


def without_times(document: Any) -> Any:
    if not isinstance(document, dict):
        return document
    return {name: without_times(value) for name, value in document.items() if "time" not in name}


def test_raw_video_and_png(run: Eval, data: Path, tmp_path: Path) -> None:
    done = run(write_config(data, tmp_path, raw={}, video={}, png={}), "--stream-dir", tmp_path / "streams")
    assert done.exit_code == 0, (done.output, done.exception)
    classes = result(tmp_path)
    assert list(classes) == ["raw", "video", "png"]
    raw = classes["raw"][f"a_{WIDTH}x{HEIGHT}_30.yuv"]
    assert list(raw) == ["000", "001"]
    assert [(raw[label]["qp_i"], raw[label]["qp_p"], raw[label]["rate_idx"]) for label in raw] == [
        (0, 0, 0),
        (63, 63, 1),
    ]
    best, video, png = raw["001"], classes["video"]["a.y4m"]["001"], classes["png"]["b"]["001"]
    assert (best["i_frame_num"], best["p_frame_num"], best["frame_pixel_num"]) == (1, NUM_FRAMES - 1, WIDTH * HEIGHT)
    planes = [best[f"ave_all_frame_psnr_{plane}"] for plane in "yuv"]
    assert best["ave_all_frame_psnr"] == pytest.approx((6 * planes[0] + planes[1] + planes[2]) / 8, abs=1e-5)
    assert best["ave_all_frame_psnr"] > raw["000"]["ave_all_frame_psnr"]
    assert best["ave_all_frame_bpp"] > raw["000"]["ave_all_frame_bpp"]
    assert best["ave_all_frame_msssim"] == 0
    assert best["codec"].startswith("dcvc model=tiny fingerprints=")
    # The same pictures from another container are the same figures.
    for name in ("ave_all_frame_psnr", "ave_all_frame_bpp", "ave_p_frame_psnr_u"):
        assert video[name] == best[name]
    assert "ave_all_frame_psnr_y" not in png
    assert png["ave_all_frame_psnr"] > 15
    assert sorted(path.name for path in (tmp_path / "streams" / "png").iterdir()) == [
        f"b_qi{qp}_qp{qp}.{suffix}" for qp in ("00", "63") for suffix in ("dcvc", "json")
    ]


def test_figures_are_those_of_the_stream(run: Eval, call: Callable[..., int], data: Path, tmp_path: Path) -> None:
    """The kept stream, decoded by `dcvc decode`, has the PSNR, the frames and the bytes of the result file."""
    from dcvc_cli.bitstream.stream_reader import StreamReader
    from dcvc_cli.bitstream.units import FrameUnit, SpsUnit
    from dcvc_cli.metrics.psnr import psnr_plane

    done = run(
        write_config(data, tmp_path),
        "--stream-dir",
        tmp_path / "streams",
        "--force-intra-period",
        "2",
        "--qp-i",
        "40",
        "--qp-p",
        "30",
    )
    assert done.exit_code == 0, (done.output, done.exception)
    figures = result(tmp_path)["raw"][f"a_{WIDTH}x{HEIGHT}_30.yuv"]["000"]
    (stream,) = (tmp_path / "streams" / "raw").glob("*_qi40_qp30.dcvc")
    assert figures["stream_bytes"] == stream.stat().st_size
    with stream.open("rb") as source:
        units = list(StreamReader(source))
    frames = [unit for unit in units if isinstance(unit, FrameUnit)]
    assert [(unit.frame_type.name, unit.qp) for unit in frames] == [("I", 40), ("P", 38), ("I", 40)]
    num_bytes = sum(unit.size_bytes for unit in units if isinstance(unit, FrameUnit | SpsUnit))
    assert figures["ave_all_frame_bpp"] == pytest.approx(8 * num_bytes / (NUM_FRAMES * WIDTH * HEIGHT), abs=1e-6)
    assert call("decode", stream, "-o", tmp_path / "decoded.yuv") == 0
    size = WIDTH * HEIGHT
    pictures = [
        np.frombuffer(path.read_bytes(), np.uint8).reshape(NUM_FRAMES, -1)[:, :size].reshape(NUM_FRAMES, HEIGHT, WIDTH)
        for path in (data / "raw" / f"a_{WIDTH}x{HEIGHT}_30.yuv", tmp_path / "decoded.yuv")
    ]
    luma = np.mean([psnr_plane(*pair) for pair in zip(*pictures, strict=True)])
    assert figures["ave_all_frame_psnr_y"] == pytest.approx(luma, abs=1e-5)


def test_a_stream_that_does_not_decode_to_its_hash_fails(
    run: Eval, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dcvc_cli.coding.encode.hash_picture", lambda kind, planes: bytes(4))
    done = run(write_config(data, tmp_path), "--stream-dir", tmp_path / "streams")
    assert isinstance(done.exception, BatchError)
    assert "is not the encoder's picture" in done.stderr
    assert not list((tmp_path / "streams").rglob("*.json"))


def test_resume_and_two_workers_give_the_same_figures(run: Eval, data: Path, tmp_path: Path) -> None:
    config, streams = write_config(data, tmp_path, raw={}, png={}), tmp_path / "streams"
    assert run(config, "--rate-num", "3", "--workers", "2", "--stream-dir", streams).exit_code == 0
    whole = result(tmp_path)
    alone = run(config, "--rate-num", "3", "-y")
    assert alone.exit_code == 0, (alone.output, alone.exception)
    assert without_times(result(tmp_path)) == without_times(whole)
    lost = next((streams / "png").glob("*_qi63_qp63.json"))
    lost.unlink()
    again = run(config, "--rate-num", "3", "-y", "--stream-dir", streams, "--check-existing")
    assert again.exit_code == 0, (again.output, again.exception)
    assert again.stderr.count("from an earlier run") == 5
    assert without_times(result(tmp_path)) == without_times(whole)
    assert lost.exists()
    # Settings that change pictures or bits are not taken for the same run.
    changed = run(
        config,
        "--rate-num",
        "3",
        "-y",
        "--stream-dir",
        streams,
        "--check-existing",
        "--force-zero-thres",
        "0",
        "--force-frame-num",
        "2",
    )
    assert changed.exit_code == 0
    assert "from an earlier run" not in changed.stderr


def test_one_bad_clip_does_not_stop_the_others(run: Eval, data: Path, tmp_path: Path) -> None:
    good = {"frames": 2}
    sequences = {"a.y4m": good, "gone.y4m": good, "raw": good, "a.y4m ": good}
    sizes = {"a.y4m": {"frames": 2, "width": 32, "height": 32}}
    config = write_config(
        data, tmp_path, video={"sequences": sequences}, other={"src_type": "video", "sequences": sizes}
    )
    done = run(config)
    assert isinstance(done.exception, BatchError)
    assert done.exception.exit_code == 6
    assert "8 of 10 points failed, of video gone.y4m, video raw, video a.y4m , other a.y4m" in str(done.exception)
    assert "gone.y4m is not there" in done.stderr
    assert f"is {WIDTH}x{HEIGHT}, expected 32x32" in done.stderr
    assert list(result(tmp_path)) == ["video"]
    assert list(result(tmp_path)["video"]) == ["a.y4m"]
    nothing = run(
        write_config(data, tmp_path, video={"sequences": {"a.y4m": {"frames": NUM_FRAMES + 1}}}),
        "-o",
        tmp_path / "none.json",
    )
    assert f"has {NUM_FRAMES} frames, expected {NUM_FRAMES + 1}" in nothing.stderr
    assert "there is no result file" in str(nothing.exception)
    assert not (tmp_path / "none.json").exists()


def test_intra_only_limits_and_verbosity(run: Eval, data: Path, tmp_path: Path) -> None:
    done = run(
        write_config(data, tmp_path),
        "--force-intra",
        "--force-frame-num",
        "2",
        "--reset-interval",
        "0",
        "--verbose",
        "2",
    )
    assert done.exit_code == 0, (done.output, done.exception)
    figures = result(tmp_path)["raw"][f"a_{WIDTH}x{HEIGHT}_30.yuv"]["000"]
    assert (figures["i_frame_num"], figures["p_frame_num"]) == (2, 0)
    assert "avg_frame_encoding_time" not in figures  # only warm-up frames
    assert len([line for line in done.stderr.splitlines() if " bytes " in line]) == 4
    silent = run(write_config(data, tmp_path), "-y", "--verbose", "0")
    assert (silent.exit_code, silent.output) == (0, "")


def test_a_model_of_one_rate_is_measured_at_one_rate(
    run: Eval, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_weights(tmp_path / "home" / "weights" / "tiny-tcm.safetensors", random_weights("tiny-tcm", exact=False))
    monkeypatch.setenv("DCVC_HOME", str(tmp_path / "home"))
    config = write_config(data, tmp_path, png={})
    several = run(config, "--model", "tiny-tcm", "--qp-i", "0,63")
    assert isinstance(several.exception, UsageError)
    assert "has one rate" in str(several.exception)
    assert run(config, "--model", "tiny-tcm", "--force-intra-period", "2", "--qp-i", "0").exception is None
    (point,) = read_results(tmp_path / "result.json").classes["png"]["b"]
    assert point.num_frames == NUM_FRAMES
    assert rates_of_model("tiny-tcm", [Rate(0, 0, 0), Rate(1, 63, 63)], is_default=True) == [Rate(0, 0, 0)]


def test_msssim_of_pictures_that_are_large_enough(run: Eval, data: Path, tmp_path: Path) -> None:
    chroma = frame(0, (96, 96), 1)
    (tmp_path / "large.yuv").write_bytes(frame(0, (192, 192), 0) + chroma + chroma)
    sequences = {str(tmp_path / "large.yuv"): {"width": 192, "height": 192, "frames": 1}}
    done = run(write_config(data, tmp_path, raw={"sequences": sequences}), "--msssim")
    assert done.exit_code == 0, (done.output, done.exception)
    (rates,) = result(tmp_path)["raw"].values()
    assert 0 < rates["000"]["ave_all_frame_msssim_u"] < 1
    assert rates["000"]["ave_all_frame_msssim"] < rates["001"]["ave_all_frame_msssim"] <= 1


@pytest.mark.ffmpeg
def test_ffmpeg_scores_dcvc_and_a_conventional_codec(run: Eval, data: Path, tmp_path: Path) -> None:
    from dcvc_cli.evaluating.encoders import ConventionalCodec, require_encoder
    from dcvc_cli.metrics.ffmpeg_scores import require_program

    try:
        require_program("xpsnr")
        require_encoder(ConventionalCodec.X264)
    except EnvironmentFault as missing:
        pytest.skip(str(missing))
    config = write_config(data, tmp_path, raw={})
    for arguments in ((), ("--codec", "x264", "--qp-i", "20,40")):
        done = run(config, "--scores", "xpsnr", "-y", *arguments)
        assert done.exit_code == 0, (done.output, done.exception)
        (rates,) = result(tmp_path)["raw"].values()
        scores = [rates[label]["ave_all_frame_xpsnr"] for label in ("000", "001")]
        assert all(10 < score < 60 for score in scores)
        assert rates["000"]["ave_p_frame_xpsnr"] > 0
        # Rates rise for dcvc, QPs of x264 do.
        assert (scores[0] > scores[1]) == bool(arguments)


@pytest.mark.ffmpeg
def test_conventional_codec(run: Eval, data: Path, tmp_path: Path) -> None:
    from dcvc_cli.evaluating.encoders import ConventionalCodec, require_encoder

    try:
        require_encoder(ConventionalCodec.X264)
    except EnvironmentFault as missing:
        pytest.skip(str(missing))
    arguments = [
        "--codec",
        "x264",
        "--codec-args",
        "-preset ultrafast -tune zerolatency",
        "--stream-dir",
        tmp_path / "streams",
    ]
    done = run(write_config(data, tmp_path, raw={}, video={}), *arguments, "--qp-i", "20,40")
    assert done.exit_code == 0, (done.output, done.exception)
    classes = result(tmp_path)
    (raw,), (video,) = classes["raw"].values(), classes["video"].values()
    assert [raw[label]["qp"] for label in raw] == [20, 40]
    assert raw["000"]["codec"].startswith("x264 options=-preset,ultrafast,-tune,zerolatency ")
    assert re.search(r" libx264=\d+\S* ffmpeg=\S+$", raw["000"]["codec"])
    assert (raw["000"]["i_frame_num"], raw["000"]["p_frame_num"]) == (1, NUM_FRAMES - 1)
    assert raw["000"]["ave_all_frame_psnr"] > raw["001"]["ave_all_frame_psnr"] > 20
    assert without_times(video)["000"]["ave_all_frame_bpp"] == raw["000"]["ave_all_frame_bpp"]
    (stream,) = (tmp_path / "streams" / "video").glob("*_qp20.h264")
    assert 8 * stream.stat().st_size == round(video["000"]["ave_all_frame_bpp"] * WIDTH * HEIGHT * NUM_FRAMES)
    again = run(
        write_config(data, tmp_path, raw={}, video={}),
        *arguments,
        "--rate-num",
        "6",
        "--check-existing",
        "-y",
        "--force-intra-period",
        "1",
    )
    assert again.exit_code == 0, (again.output, again.exception)
    (rates,) = result(tmp_path)["raw"].values()
    assert [rates[label]["qp"] for label in rates] == [17, 22, 27, 32, 37, 42]
    assert rates["000"]["p_frame_num"] == 0
    refused = run(write_config(data, tmp_path, png={}), *arguments, "-y")
    assert isinstance(refused.exception, BatchError)
    assert "holds 8-bit RGB pictures" in refused.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--rate-num", "1"], "expected 2..64"),
        (["--rate-num", "65"], "expected 2..64"),
        (["--qp-i", "0,64"], "expected QPs 0..63"),
        (["--qp-i", ""], "expected QPs 0..63"),
        (["--qp-i", "1,1"], "two rates have the same QPs"),
        (["--qp-p", "1,2"], "--qp-p needs --qp-i"),
        (["--qp-i", "1,2", "--qp-p", "1"], "--qp-i has 2 QPs and --qp-p 1"),
        (["--qp-i", "1,2", "--rate-num", "3"], "does not fit the 2 QPs"),
        (["--check-existing"], "--check-existing needs --stream-dir"),
        (["--force-intra", "--force-intra-period", "8"], "exclude each other"),
        (["--force-intra-period", "0"], "expected 1 or more, or -1"),
        (["--precision", "fp8"], "--precision fp8 is not known"),
        (["--codec-args=-preset slow"], "--codec-args cannot be used without --codec"),
        (["--codec", "x264", "--model", "tiny"], "--model cannot be used with --codec x264"),
        (["--codec", "x264", "--qp-p", "1,2"], "--qp-p has no meaning with --codec x264"),
        (["--codec", "x264", "--qp-i", "20,52"], "--qp-i 20,52: x264 has QPs 0..51"),
        (["--codec", "x265", "--codec-args", "'"], "No closing quotation"),
    ],
)
def test_options_that_cannot_be_obeyed(
    run: Eval, data: Path, tmp_path: Path, arguments: list[str], message: str
) -> None:
    done = run(write_config(data, tmp_path), *arguments)
    assert isinstance(done.exception, UsageError), done.output
    assert message in str(done.exception)
    assert not (tmp_path / "result.json").exists()


def test_what_stops_a_run_before_it_starts(run: Eval, data: Path, tmp_path: Path) -> None:
    def fault(*arguments: str | Path) -> DcvcError:
        exception = run(*arguments).exception  # type: ignore[arg-type]
        assert isinstance(exception, DcvcError)
        return exception

    config = write_config(data, tmp_path)
    assert isinstance(fault(tmp_path / "none.json"), InputError)
    missing = fault(config, "--model", "none")
    assert isinstance(missing, EnvironmentFault)
    assert "no weights called 'none'" in str(missing)
    (tmp_path / "result.json").write_text("mine")
    assert isinstance(fault(config), UsageError)
    assert (tmp_path / "result.json").read_text() == "mine"
    assert isinstance(fault(config, "-o", config), UsageError)
    assert isinstance(fault(config, "-o", tmp_path / "no folder" / "result.json"), InputError)
    assert isinstance(fault(config, "-o", tmp_path, "-y"), InputError)


def test_weights_are_known_by_their_fingerprints(
    run: Eval, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """New weights under an old name are not taken for the old ones when a run is resumed."""
    from dcvc_cli.weights.file import read_weights, write_weights

    arguments = [write_config(data, tmp_path), "--stream-dir", tmp_path / "streams", "--check-existing", "-y"]
    assert run(*arguments).exit_code == 0
    weights = read_weights(Path(os.environ["DCVC_HOME"]) / "weights" / "tiny.safetensors")
    video = weights.networks["video"]
    key = next(name for name, value in video.arrays.items() if value.dtype == np.float32)
    changed = replace(video, arrays={**video.arrays, key: video.arrays[key] + np.float32(1e-3)})
    write_weights(
        tmp_path / "home" / "weights" / "tiny.safetensors",
        replace(weights, networks={**weights.networks, "video": changed}),
    )
    assert "from an earlier run" in run(*arguments).stderr
    monkeypatch.setenv("DCVC_HOME", str(tmp_path / "home"))
    again = run(*arguments)
    assert again.exit_code == 0, (again.output, again.exception)
    assert "from an earlier run" not in again.stderr


def test_gpus_are_dealt_out(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    from dcvc_cli.evaluating.coders import device_of_worker

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert [device_of_worker("auto", worker) for worker in range(3)] == ["cuda:0", "cuda:1", "cuda:0"]
    assert device_of_worker("cpu", 1) == "cpu"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert device_of_worker("auto", 1) == "cpu"


def test_importing_the_command_loads_nothing_heavy() -> None:
    code = (
        "import sys, dcvc_cli.commands.evaluate; print({'torch', 'scipy', 'matplotlib', 'av', 'PIL'} & "
        "set(sys.modules) or 'light')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.stdout.strip() == "light"
