"""Video files through PyAV: the same samples as ffmpeg, tags carried, samples that are not coded refused."""

import os
import shutil
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from dcvc_cli.errors import EnvironmentFault, InputError
from dcvc_cli.format.limits import Limits
from dcvc_cli.format.types import ColourDescription, PictureSize, Rational
from dcvc_cli.media import open_reader

av = pytest.importorskip("av")
DATA = Path(os.environ.get("DCVC_DATA", Path(__file__).parents[3] / "shared" / "data")) / "eval"


def make_video(
    path: Path,
    *,
    pixel_format: str = "yuv420p",
    size: tuple[int, int] = (34, 18),
    num_pictures: int = 5,
    codec: str = "ffv1",
    title: str = "",
) -> list[bytes]:
    rng = np.random.default_rng(5)
    width, height = size
    pictures = []
    with av.open(str(path), "w") as container:
        container.metadata["title"] = title
        stream = container.add_stream(codec, rate=Fraction(30000, 1001))
        stream.width, stream.height, stream.pix_fmt = width, height, pixel_format
        for _ in range(num_pictures):
            if pixel_format == "yuv420p":
                samples = rng.integers(0, 256, (height * 3 // 2, width), dtype=np.uint8)
                frame = av.VideoFrame.from_ndarray(samples, format="yuv420p")
                pictures.append(samples.tobytes())
            else:
                frame = av.VideoFrame(width, height, pixel_format)
            for packet in stream.encode(frame):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
    return pictures


def test_lossless_file_gives_its_samples(tmp_path):
    pictures = make_video(tmp_path / "a.mkv")
    with open_reader(str(tmp_path / "a.mkv")) as reader:
        assert reader.format.size == PictureSize(34, 18)
        assert float(reader.format.frame_rate) == pytest.approx(30000 / 1001, rel=1e-3)
        read = list(reader)
    assert [picture.tobytes() for picture in read] == pictures
    assert all(
        plane.flags.c_contiguous and plane.shape == shape
        for plane, shape in zip(read[0].planes, reader.format.plane_shapes, strict=True)
    )
    with open_reader(str(tmp_path / "a.mkv"), skip_frames=1, max_frames=2, frame_rate=Rational(5, 1)) as reader:
        assert reader.format.frame_rate == Rational(5, 1)
        assert [picture.tobytes() for picture in reader] == pictures[1:3]


def test_content_counts_not_the_name(tmp_path):
    pictures = make_video(tmp_path / "a.mkv")
    (tmp_path / "a.mkv").rename(tmp_path / "a:b|c")
    with open_reader(str(tmp_path / "a:b|c")) as reader:
        assert len(list(reader)) == len(pictures)


@pytest.mark.parametrize("pixel_format", ["yuv420p12le", "yuv411p", "gray", "bgr0"])
def test_other_pixel_formats_are_refused(tmp_path, pixel_format):
    make_video(tmp_path / "a.mkv", pixel_format=pixel_format, num_pictures=1)
    with pytest.raises(InputError, match=f"pixel format {pixel_format}, dcvc codes 4:2:0.*-pix_fmt yuv420p"):
        open_reader(str(tmp_path / "a.mkv"))


def test_title_in_another_character_set_is_no_obstacle(tmp_path):
    pictures = make_video(tmp_path / "a.mkv", title="TITLE-HERE")
    data = (tmp_path / "a.mkv").read_bytes()
    assert b"TITLE-HERE" in data
    (tmp_path / "a.mkv").write_bytes(data.replace(b"TITLE-HERE", b"T\xe9T\xe9E-HERE"))
    with open_reader(str(tmp_path / "a.mkv")) as reader:
        assert len(list(reader)) == len(pictures)


def test_skip_past_the_end(tmp_path):
    make_video(tmp_path / "a.mkv", num_pictures=3)
    with (
        pytest.raises(InputError, match="holds 3 pictures"),
        open_reader(str(tmp_path / "a.mkv"), skip_frames=3) as reader,
    ):
        list(reader)


def test_damaged_files(tmp_path):
    make_video(tmp_path / "a.mkv")
    data = (tmp_path / "a.mkv").read_bytes()
    (tmp_path / "b.mkv").write_bytes(data[:60])
    (tmp_path / "c.mp4").write_bytes(b"\0\0\0\x20ftypisom" + bytes(100))
    (tmp_path / "d.mkv").write_bytes(bytes(1000))
    for name in ("b.mkv", "c.mp4", "d.mkv"):
        with pytest.raises(InputError, match=name):
            open_reader(str(tmp_path / name))


def test_pictures_beyond_the_limit_are_refused_before_one_is_decoded(tmp_path, monkeypatch):
    make_video(tmp_path / "a.mkv", size=(64, 48), num_pictures=2)
    with open_reader(str(tmp_path / "a.mkv"), limits=Limits(64 * 48)) as reader:
        assert sum(1 for _ in reader) == 2
    monkeypatch.setattr(
        "dcvc_cli.media.container.ContainerReader._decode", lambda *_: pytest.fail("a picture was decoded")
    )
    with pytest.raises(
        InputError, match=r"a\.mkv has pictures of 64x48, 3072 pixels; the limit is 3071 .*--max-pixels"
    ):
        open_reader(str(tmp_path / "a.mkv"), limits=Limits(64 * 48 - 1))


def test_missing_pyav_says_what_to_install(tmp_path, monkeypatch):
    make_video(tmp_path / "a.mkv", num_pictures=1)
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(EnvironmentFault, match=r"pip install 'dcvc\[video\]'"):
        open_reader(str(tmp_path / "a.mkv"))


@pytest.mark.parametrize("suffix", ["mkv", "mp4", "avi", "mov"])
def test_damage_gives_pictures_or_an_error_people_can_read(tmp_path, suffix):
    make_video(tmp_path / f"a.{suffix}", codec="mpeg4", size=(64, 48))
    whole = (tmp_path / f"a.{suffix}").read_bytes()
    rng = np.random.default_rng(9)
    for trial in range(int(os.environ.get("DCVC_ROBUSTNESS_CASES", "40"))):
        data = bytearray(whole[: rng.integers(20, len(whole))] if trial % 3 == 0 else whole)
        for position in rng.integers(0, len(data), 4):
            data[position] ^= int(rng.integers(1, 256))
        (tmp_path / "b").write_bytes(data)
        try:
            with open_reader(str(tmp_path / "b"), input_format="video") as reader:
                assert sum(1 for _ in reader) > 0
        except InputError:
            continue


@pytest.mark.ffmpeg
@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="needs the ffmpeg program")
class TestWithFfmpeg:
    @pytest.mark.parametrize("clip", ["foreman_cif.mkv", "bedroom_270p.mkv"])
    def test_same_samples_as_ffmpeg(self, clip):
        if not (DATA / clip).exists():
            pytest.skip("needs the evaluation clips")
        command = [
            "ffmpeg",
            "-v",
            "error",
            "-i",
            str(DATA / clip),
            "-frames:v",
            "20",
            "-fps_mode",
            "passthrough",
            "-f",
            "rawvideo",
            "-",
        ]
        raw = subprocess.run(command, check=True, capture_output=True).stdout
        with open_reader(str(DATA / clip), max_frames=20) as reader:
            assert b"".join(picture.tobytes() for picture in reader) == raw

    @pytest.mark.parametrize(("name", "size", "coding"), [("a.mp4", "36:26", "libx264"), ("a.mkv", "35:27", "ffv1")])
    def test_tags_and_sizes(self, tmp_path, name, size, coding):
        if (
            coding
            not in subprocess.run(
                ["ffmpeg", "-v", "error", "-encoders"], check=True, capture_output=True, text=True
            ).stdout
        ):
            pytest.skip(f"this ffmpeg has no {coding}")
        out = str(tmp_path / name)
        tags = ["-color_primaries", "bt709", "-color_trc", "bt709", "-colorspace", "bt709", "-color_range", "tv"]
        source = [
            "-f",
            "lavfi",
            "-i",
            "testsrc=size=40x30:rate=24",
            "-frames:v",
            "3",
            "-vf",
            f"crop={size},setsar=4/3",
            "-pix_fmt",
            "yuv420p",
        ]
        subprocess.run(["ffmpeg", "-v", "error", *source, "-c:v", coding, *tags, out], check=True)
        raw = subprocess.run(
            ["ffmpeg", "-v", "error", "-i", out, "-f", "rawvideo", "-"], check=True, capture_output=True
        ).stdout
        with open_reader(out) as reader:
            assert str(reader.format.size) == size.replace(":", "x")
            assert reader.format.colour == ColourDescription(1, 1, 1, False)
            assert reader.format.sample_aspect_ratio == Rational(4, 3)
            assert reader.format.frame_rate == Rational(24, 1)
            assert reader.num_frames == 3
            assert b"".join(picture.tobytes() for picture in reader) == raw

    def test_sound_only(self, tmp_path):
        out = str(tmp_path / "a.mkv")
        subprocess.run(["ffmpeg", "-v", "error", "-f", "lavfi", "-i", "sine=duration=0.1", out], check=True)
        with pytest.raises(InputError, match="holds no video stream"):
            open_reader(out)
