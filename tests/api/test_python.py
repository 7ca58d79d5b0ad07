"""`import dcvc`: the page that shows it runs, arrays come through, and what goes wrong is told as by the command."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import dcvc

ROOT = Path(__file__).resolve().parents[2]
SIZE = dcvc.PictureSize(18, 10)
YUV = dcvc.VideoFormat(SIZE, frame_rate=dcvc.Rational(30, 1))
SETTINGS = {"model": "tiny", "threads": 1}


@pytest.fixture(autouse=True)
def home(tiny_home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DCVC_HOME", str(tiny_home))
    monkeypatch.chdir(tmp_path)


def planes(step: int = 0) -> list[np.ndarray]:
    return [np.full(shape, 40 + 30 * step, np.uint8) for shape in YUV.plane_shapes]


def write_stream(name: str = "s.dcvc", count: int = 3) -> None:
    with dcvc.Encoder(name, YUV, **SETTINGS) as encoder:
        encoder.encode_all(planes(step) for step in range(count))


def test_importing_loads_neither_torch_nor_av():
    code = "import dcvc, sys; print([m for m in ('torch', 'av', 'matplotlib', 'safetensors') if m in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert result.stdout == "[]\n"


@pytest.mark.slow
@pytest.mark.native
def test_the_code_of_the_page_runs(tmp_path: Path):
    shutil.copy(ROOT / "tests" / "data" / "carphone_qcif.y4m", tmp_path)
    page = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")
    program = "\n".join(re.findall(r"```python\n(.*?)```", page, re.S))
    environment = os.environ | {"PYTHONPATH": str(ROOT), "DCVC_HOME": str(tmp_path / "home"), "OMP_NUM_THREADS": "1"}
    result = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert (result.returncode, result.stderr) == (0, "")
    lines = result.stdout.splitlines()
    assert re.fullmatch(r"0 I \d+ \d\d\.\d\d dB", lines[0])
    assert lines[5] == "carphone_qcif.y4m: the first pass finds out what frames take"
    assert lines[6].startswith("176x144 ")
    assert "not a .dcvc stream" in lines[-1] or "carphone_qcif.y4m" in lines[-1]
    assert len(list((tmp_path / "pictures").glob("*.png"))) == 4


def test_planes_come_through_and_the_command_agrees(call):
    write_stream()
    with dcvc.Decoder("s.dcvc", threads=1) as decoder:
        assert (decoder.format, decoder.num_frames) == (YUV, 3)
        frames = list(decoder)
    assert [(frame.index, frame.frame_type) for frame in frames] == [(0, "I"), (1, "P"), (2, "P")]
    assert [round(30 * frame.seconds) for frame in frames] == [0, 1, 2]
    assert [plane.shape for plane in frames[0].planes] == list(YUV.plane_shapes)
    assert call("decode", "s.dcvc", "-o", "s.yuv", "-q") == 0
    assert Path("s.yuv").read_bytes() == b"".join(frame.tobytes() for frame in frames)


def test_frames_can_be_encoded_again():
    write_stream()
    with dcvc.Decoder("s.dcvc") as decoder, dcvc.Encoder("again.dcvc", decoder.format, **SETTINGS) as encoder:
        encoder.encode_all(decoder)
    assert encoder.close() is encoder.summary
    assert encoder.summary.num_frames == 3
    assert encoder.summary.size_bytes == Path("again.dcvc").stat().st_size


def test_times_come_through():
    video_format = dcvc.VideoFormat(SIZE, time_base=dcvc.Rational(1000, 1))
    with dcvc.Encoder("t.dcvc", video_format, **SETTINGS) as encoder:
        for step, time in enumerate((0, 40, 500)):
            encoder.encode(planes(step), time=time)
    with dcvc.Decoder("t.dcvc") as decoder:
        assert [frame.seconds for frame in decoder] == [0.0, 0.04, 0.5]


def test_an_exception_leaves_nothing():
    def stops() -> None:
        with dcvc.Encoder("s.dcvc", YUV, **SETTINGS) as encoder:
            encoder.encode(planes())
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        stops()
    with pytest.raises(dcvc.InputError, match="no picture was coded"), dcvc.Encoder("s.dcvc", YUV, **SETTINGS):
        pass
    assert os.listdir() == []


@pytest.mark.parametrize(
    ("picture", "words"),
    [
        (planes()[:2], "2 planes, expected 3"),
        ([plane[1:] for plane in planes()], r"uint8 \(9, 18\), the format has uint8 \(10, 18\)"),
        ([plane.astype(np.float32) for plane in planes()], "float32"),
        (np.zeros((10, 18, 3), np.uint8), "give three planes"),
    ],
)
def test_pictures_that_do_not_fit(picture: object, words: str):
    encoder = dcvc.Encoder("s.dcvc", YUV, **SETTINGS)
    with pytest.raises(dcvc.InputError, match=words):
        encoder.encode(picture)
    encoder.abort()
    assert os.listdir() == []


def test_a_bitrate_and_a_quality_choose_the_qps():
    means = {}
    for name, settings in (("low", {"bitrate": 1}), ("high", {"bitrate": 2000}), ("crf", {"crf": 33})):
        with dcvc.Encoder(f"{name}.dcvc", YUV, **SETTINGS, **settings) as encoder:
            encoder.encode_all(planes(index % 7) for index in range(20))
        assert encoder.summary is not None
        means[name] = encoder.summary.qp_mean
    assert means["low"] < means["crf"] < means["high"]


def write_clip(name: str = "in.y4m", count: int = 6) -> None:
    with dcvc.create_pictures(name, YUV) as writer:
        for step in range(count):
            writer.write(dcvc.Picture(tuple(planes(step % 3))))


@pytest.mark.parametrize(
    ("options", "settings"),
    [
        ([], {}),
        (["--qp", "45", "--keyint", "2"], {"qp": 45, "keyint": 2}),
        (["--bitrate", "20", "--passes", "2"], {"bitrate": 20, "passes": 2}),
        (["--target-size", "2000"], {"target_size": 2000}),
        (["--target", "psnr=35"], {"target": "psnr=35"}),
    ],
)
def test_an_opened_input_gives_the_command_s_bytes(call, options: list[str], settings: dict[str, object]):
    write_clip()
    assert call("encode", "in.y4m", "-o", "c.dcvc", "--model", "tiny", "--threads", "1", "-q", *options) == 0
    with dcvc.open_pictures("in.y4m") as reader, dcvc.Encoder("p.dcvc", reader, **SETTINGS, **settings) as encoder:
        encoder.encode_all()
    assert Path("p.dcvc").read_bytes() == Path("c.dcvc").read_bytes()
    assert (encoder.reached is not None) == ("target" in settings)


def test_every_frame_is_told_and_shown():
    """The reports of the last frames come when the encoder is closed."""
    write_clip()
    told: list[dcvc.FrameReport] = []
    model = dcvc.open_model("tiny", None, "cpu", 1)
    with (
        dcvc.open_pictures("in.y4m") as reader,
        dcvc.create_pictures("recon.yuv", reader.format) as recon,
        dcvc.Encoder("s.dcvc", reader, model=model, recon=recon, on_frame=told.append) as encoder,
    ):
        encoder.encode_all()
    assert [report.index for report in told] == list(range(6))
    assert encoder.model is model
    with dcvc.Decoder("s.dcvc") as decoder:
        assert Path("recon.yuv").read_bytes() == b"".join(frame.tobytes() for frame in decoder)


def test_a_first_pass_is_kept_and_told():
    write_clip()
    lines: list[str] = []
    for name in ("a", "b"):
        with (
            dcvc.open_pictures("in.y4m") as reader,
            dcvc.Encoder(
                f"{name}.dcvc", reader, bitrate=20, passes=2, stats="s.stats", tell=lines.append, **SETTINGS
            ) as encoder,
        ):
            assert lines == [] or name == "b"
            encoder.encode_all()
    assert lines == ["in.y4m: the first pass finds out what frames take"]
    assert Path("a.dcvc").read_bytes() == Path("b.dcvc").read_bytes()


def test_outputs_that_appear_together():
    write_clip()
    with dcvc.open_pictures("in.y4m") as reader, dcvc.Encoder("s.dcvc", reader, **SETTINGS) as encoder:
        encoder.encode_all()
        assert encoder.complete().num_frames == 6
        assert not Path("s.dcvc").exists()
    assert encoder.summary.size_bytes == Path("s.dcvc").stat().st_size


def test_the_environment_limits_memory(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("DCVC_MAX_MEMORY", "1M")
    with pytest.raises(dcvc.InputError, match="memory"):
        dcvc.Encoder("n.dcvc", YUV, **SETTINGS)
    assert os.listdir() == []


def test_what_cannot_be_obeyed():
    write_stream()
    with pytest.raises(dcvc.UsageError, match="exists and is kept"):
        dcvc.Encoder("s.dcvc", YUV, **SETTINGS)
    with pytest.raises(dcvc.UsageError, match="--qp 64"):
        dcvc.Encoder("n.dcvc", YUV, qp=64)
    with pytest.raises(dcvc.UsageError, match="quality"):
        dcvc.Encoder("n.dcvc", YUV, quality=20)
    for settings in ({"bitrate": 50, "passes": 2}, {"target_size": 1000}, {"target": "psnr=40"}):
        with pytest.raises(dcvc.UsageError, match="need the whole clip"):
            dcvc.Encoder("n.dcvc", YUV, **settings)
    with pytest.raises(dcvc.UsageError, match="--stats keeps the first of two passes"):
        dcvc.Encoder("n.dcvc", YUV, bitrate=50, stats="n.stats")
    with pytest.raises(dcvc.UsageError, match="in place of preset and options"):
        dcvc.Encoder("n.dcvc", YUV, settings=dcvc.EncodeSettings(), qp=40)
    with (
        pytest.raises(dcvc.UsageError, match="no opened input"),
        dcvc.Encoder("n.dcvc", YUV, **SETTINGS) as encoder,
    ):
        encoder.encode_all()
    with pytest.raises(dcvc.UsageError, match="name of y4m"):
        dcvc.Encoder("n.y4m", YUV)
    with pytest.raises(dcvc.UsageError, match="on_error"):
        dcvc.Decoder("s.dcvc", on_error="ignore")
    with pytest.raises(dcvc.UsageError, match="seek -1"):
        dcvc.Decoder("s.dcvc", seek=-1)
    with pytest.raises(dcvc.InputError, match=r"nowhere\.dcvc"):
        dcvc.Decoder("nowhere.dcvc")


def test_a_buffer_is_in_the_stream():
    with dcvc.Encoder("s.dcvc", YUV, bitrate=20, maxrate=30, **SETTINGS) as encoder:
        encoder.encode(planes())
    assert dcvc.info("s.dcvc")["sps"][0]["vbv"] is not None


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"bitrate": 100, "qp": 20}, "--bitrate chooses the QPs"),
        ({"lossless": True, "qp": 40}, "--lossless has one quality"),
        ({"lossless": True, "bitrate": 100}, "--bitrate does not go with it"),
    ],
)
def test_settings_that_exclude_each_other(settings: dict[str, object], words: str):
    with pytest.raises(dcvc.UsageError, match=words):
        dcvc.Encoder("n.dcvc", YUV, **settings)
    assert os.listdir() == []


def test_a_bitrate_needs_a_frame_rate():
    with pytest.raises(dcvc.InputError, match="frame_rate=dcvc"):
        dcvc.Encoder("n.dcvc", dcvc.VideoFormat(SIZE, frame_rate=dcvc.Rational(0, 1)), bitrate=100, **SETTINGS)


def test_damage_is_told_with_the_name(tmp_path: Path):
    write_stream()
    Path("cut.dcvc").write_bytes(Path("s.dcvc").read_bytes()[:-40])
    with dcvc.Decoder("cut.dcvc") as decoder, pytest.raises(dcvc.StreamError, match=r"^cut\.dcvc"):
        list(decoder)
    with dcvc.Decoder("cut.dcvc", on_error="skip") as decoder:
        list(decoder)
        assert decoder.losses.num_faults > 0


def test_facts():
    write_stream()
    facts = dcvc.info("s.dcvc")
    assert (facts["num_frames"], len(facts["frames"]), facts["is_intact"]) == (3, 3, True)
    assert "frames" not in dcvc.info("s.dcvc", frames=False)
