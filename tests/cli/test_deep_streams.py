"""Streams of 10 bits and of 4:2:2 and 4:4:4 through the command: coded, checked by hash, decoded alike everywhere."""

import json
import shutil
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from dcvc_cli.format.types import ChromaFormat, Picture, PictureSize, VideoFormat
from dcvc_cli.media import open_reader, open_writer
from tests.support.processes import ROOT

pytestmark = pytest.mark.native
Call = Callable[..., int]
SIZE = PictureSize(35, 21)
MODELS = pytest.mark.parametrize("model", ["witness-tiny-lite", "witness-tiny"])


@pytest.fixture
def run(call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Call:
    """Runs `dcvc` with the weights of the witness streams, in a folder of its own."""
    home = tmp_path / "home" / "weights"
    home.mkdir(parents=True)
    for path in (ROOT / "tests" / "data" / "witnesses" / "weights").glob("*.gz"):
        shutil.copy(path, home)
    monkeypatch.setenv("DCVC_HOME", str(home.parent))
    monkeypatch.chdir(tmp_path)
    return call


def write_clip(name: str, video_format: VideoFormat, num_pictures: int = 3, seed: int = 3) -> None:
    """Writes smooth waves that move; every level of the bit depth comes up somewhere."""
    rng = np.random.default_rng(seed)
    phases = rng.random(3) * 6
    with open_writer(name, video_format, overwrite=True) as writer:
        for k in range(num_pictures):
            planes = []
            for (height, width), phase in zip(video_format.plane_shapes, phases, strict=True):
                y, x = np.mgrid[:height, :width]
                wave = 0.5 + 0.4 * np.sin((x + 2 * k) / 6 + phase) * np.cos(y / 7)
                planes.append(np.rint(wave * video_format.max_level).astype(video_format.dtype))
            writer.write(Picture((planes[0], planes[1], planes[2])))


def samples_of(name: str, **options: object) -> tuple[str, list[bytes]]:
    with open_reader(name, **options) as reader:  # type: ignore[arg-type]
        return reader.format.sampling, [picture.tobytes() for picture in reader]


@MODELS
@pytest.mark.parametrize("depth", [8, 10])
@pytest.mark.parametrize("chroma", [ChromaFormat.YUV420, ChromaFormat.YUV422, ChromaFormat.YUV444])
def test_a_decoder_puts_out_what_the_encoder_saw(run: Call, model: str, chroma: ChromaFormat, depth: int) -> None:
    video_format = VideoFormat(SIZE, chroma, depth)
    write_clip("in.y4m", video_format)
    assert run("encode", "in.y4m", "-o", "a.dcvc", "--model", model, "--recon", "recon.y4m", "--hash", "md5", "-q") == 0
    assert run("decode", "a.dcvc", "-o", "a.y4m", "-q") == 0
    sampling, samples = samples_of("a.y4m")
    assert (sampling, len(samples)) == (video_format.sampling, 3)
    assert Path("a.y4m").read_bytes() == Path("recon.y4m").read_bytes()


@pytest.mark.parametrize("chroma", [ChromaFormat.YUV420, ChromaFormat.YUV422])
def test_the_twins_put_out_the_same(run: Call, monkeypatch: pytest.MonkeyPatch, chroma: ChromaFormat) -> None:
    write_clip("in.y4m", VideoFormat(SIZE, chroma, 10))
    assert run("encode", "in.y4m", "-o", "a.dcvc", "--model", "witness-tiny-lite", "--qp", "60", "-q") == 0
    assert run("decode", "a.dcvc", "-o", "a.y4m", "-q") == 0
    for name in ("DCVC_MOTION", "DCVC_OUTPUT_FILTER", "DCVC_FLOOR"):
        monkeypatch.setenv(name, "twin")
    assert run("decode", "a.dcvc", "-o", "twins.y4m", "-q") == 0
    assert Path("a.y4m").read_bytes() == Path("twins.y4m").read_bytes()


def test_info_and_every_output_know_the_depth(run: Call, capfd: pytest.CaptureFixture[str]) -> None:
    write_clip("in.y4m", VideoFormat(SIZE, bit_depth=10))
    assert (
        run("encode", "in.y4m", "-o", "a.dcvc", "--model", "witness-tiny-lite", "--psnr", "--json", "r.json", "-q") == 0
    )
    assert json.loads(Path("r.json").read_text())["summary"]["psnr_y"] > 30
    capfd.readouterr()
    assert run("info", "a.dcvc", "--json") == 0
    (sps,) = json.loads(capfd.readouterr().out)["sps"]
    assert (sps["bit_depth"], sps["chroma_format"]) == (10, "yuv420")
    assert run("info", "a.dcvc", "--validate") == 0
    assert run("decode", "a.dcvc", "-o", "a.y4m", "-q") == 0
    expected = samples_of("a.y4m")
    for name, options in (("a_35x21.yuv", {"bit_depth": 10}), ("a.mkv", {})):
        assert run("decode", "a.dcvc", "-o", name, "-q") == 0
        assert samples_of(name, **options) == expected
    assert run("decode", "a.dcvc", "-o", "pictures/", "-q") == 0
    sampling, samples = samples_of("pictures", bit_depth=10)
    assert (sampling, len(samples)) == ("10-bit RGB", 3)


def test_rgb_of_10_bits_comes_from_deep_png_and_goes_there(run: Call) -> None:
    write_clip("pictures", VideoFormat(SIZE, ChromaFormat.RGB, 10))
    words = ("--input-depth", "10", "--model", "witness-tiny-lite", "--recon", "recon", "-q")
    assert run("encode", "pictures", "-o", "a.dcvc", *words) == 0
    assert run("decode", "a.dcvc", "-o", "out", "-q") == 0
    assert samples_of("out", bit_depth=10) == samples_of("recon", bit_depth=10)
    # Video files hold RGB of 10 bits as 4:4:4, because no pixel format of their codecs takes it.
    assert run("decode", "a.dcvc", "-o", "a.mkv", "-q") == 0
    assert samples_of("a.mkv")[0] == "10-bit 4:4:4"


def test_streams_of_two_depths_are_decoded_apart(run: Call, capfd: pytest.CaptureFixture[str]) -> None:
    for depth in (8, 10):
        write_clip("in.y4m", VideoFormat(SIZE, bit_depth=depth), 2)
        assert run("encode", "in.y4m", "-o", f"{depth}.dcvc", "--model", "witness-tiny", "-q") == 0
    assert run("concat", "8.dcvc", "10.dcvc", "-o", "j.dcvc") == 0
    assert "bit depth changes from 8 to 10" in capfd.readouterr().err
    assert run("decode", "j.dcvc", "-o", "a.y4m") == 4
    assert "change from 35x21 8-bit 4:2:0 to 35x21 10-bit 4:2:0 at frame 2" in capfd.readouterr().err


def test_a_chunk_of_a_plan_has_the_depth_of_raw_input(run: Call) -> None:
    write_clip("in.y4m", VideoFormat(SIZE, bit_depth=10), 4)
    Path("in.yuv").write_bytes(b"".join(samples_of("in.y4m")[1]))
    raw = ("--input-res", "35x21", "--input-depth", "10", "--model", "witness-tiny-lite", "--chunk-frames", "1:2")
    assert run("plan", "in.yuv", "-o", "p.json", *raw, "--allow-float", "-q") == 0
    assert run("encode", "in.yuv", "--plan", "p.json", "-o", "a.dcvc", "-q") == 0
    assert run("decode", "a.dcvc", "-o", "a.y4m", "-q") == 0
    assert samples_of("a.y4m")[0] == "10-bit 4:2:0"


def test_every_tag_goes_from_mp4_into_the_stream_and_back(run: Call, capfd: pytest.CaptureFixture[str]) -> None:
    """Colour, chroma position, HDR10 metadata, 10 bits."""
    av = pytest.importorskip("av")
    if "libx265" not in av.codecs_available:
        pytest.skip("this FFmpeg has no libx265")
    display = "G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,50)"
    with av.open("film.mp4", "w") as file:
        # With B frames the muxer refuses two pictures now and then.
        parameters = f"log-level=none:bframes=0:master-display={display}:max-cll=1000,400"
        options = {"x265-params": parameters, "chroma_sample_location": "topleft"}
        stream = file.add_stream("libx265", rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p10le"
        context = stream.codec_context
        context.color_primaries, context.color_trc, context.colorspace, context.color_range = 9, 16, 9, 1
        grey = np.full((72, 64), 512, np.uint16)
        for number in range(2):
            # A new frame's samples are whatever the memory holds, and without a time the muxer may refuse its packet.
            frame = av.VideoFrame.from_ndarray(grey, "yuv420p10le")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    told = []
    assert run("encode", "film.mp4", "-o", "a.dcvc", "--model", "witness-tiny-lite", "-q") == 0
    assert run("decode", "a.dcvc", "-o", "back.mkv", "-q") == 0
    assert run("encode", "back.mkv", "-o", "b.dcvc", "--model", "witness-tiny-lite", "-q") == 0
    for name in ("a.dcvc", "b.dcvc"):
        capfd.readouterr()
        assert run("info", name, "--json") == 0
        (sps,) = json.loads(capfd.readouterr().out)["sps"]
        told.append({key: value for key, value in sps.items() if key not in ("fingerprints", "memory_bytes")})
    tags = told[0]
    assert (tags["bit_depth"], tags["chroma_location"], tags["full_range"]) == (10, "paldv", False)
    assert (tags["colour_primaries"], tags["transfer"], tags["matrix"]) == (9, 16, 9)
    assert tags["content_light"] == {"max_content": 1000, "max_frame_average": 400}
    assert tags["mastering_display"] == {
        "primaries": [13250, 34500, 7500, 3000, 34000, 16000],
        "white_point": [15635, 16450],
        "max_luminance": 10_000_000,
        "min_luminance": 50,
    }
    assert told[0] == told[1]
