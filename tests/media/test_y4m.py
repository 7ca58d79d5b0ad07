"""y4m: headers, pictures, what is refused and in which words, and the same samples as ffmpeg."""

import io
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from dcvc_cli.errors import InputError, UsageError
from dcvc_cli.format.types import ChromaFormat, ColourDescription, Picture, PictureSize, Rational, VideoFormat
from dcvc_cli.media import open_reader, open_writer
from dcvc_cli.media.y4m import format_header, parse_header
from tests.support.clips import y4m_clip

DATA = Path(os.environ.get("DCVC_DATA", Path(__file__).parents[3] / "shared" / "data")) / "eval"
needs_ffmpeg = [
    pytest.mark.ffmpeg,
    pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="needs the ffmpeg program"),
]


def random_pictures(video_format: VideoFormat, num_pictures: int, seed: int = 1) -> list[Picture]:
    rng = np.random.default_rng(seed)
    return [
        Picture(tuple(rng.integers(0, 256, shape, dtype=np.uint8) for shape in video_format.plane_shapes))  # type: ignore[arg-type]
        for _ in range(num_pictures)
    ]


def write_clip(path: Path, video_format: VideoFormat, num_pictures: int) -> list[Picture]:
    pictures = random_pictures(video_format, num_pictures)
    with open_writer(str(path), video_format, overwrite=False) as writer:
        for picture in pictures:
            writer.write(picture)
    return pictures


@pytest.mark.parametrize("size", [(1, 1), (2, 2), (7, 5), (17, 1), (352, 288)])
def test_what_is_written_is_read(tmp_path, size):
    video_format = VideoFormat(
        PictureSize(*size),
        frame_rate=Rational(30000, 1001),
        sample_aspect_ratio=Rational(12, 11),
        colour=ColourDescription(full_range=True),
        interlacing="t",
        chroma_location="mpeg2",
    )
    pictures = write_clip(tmp_path / "a.y4m", video_format, 3)
    with open_reader(str(tmp_path / "a.y4m")) as reader:
        assert reader.format == video_format
        assert reader.num_frames == 3
        assert [picture.tobytes() for picture in reader] == [picture.tobytes() for picture in pictures]
        assert any("interlaced" in note for note in reader.notes)


def test_header_of_ffmpeg_is_understood():
    line = b"YUV4MPEG2 W176 H144 F30:1 Ip A128:117 C420paldv XYSCSS=420PALDV XCOLORRANGE=LIMITED XCOMMENT=hello\n"
    header = parse_header(line, "a.y4m")
    assert header.video_format == VideoFormat(
        PictureSize(176, 144), frame_rate=Rational(30, 1), sample_aspect_ratio=Rational(128, 117),
        colour=ColourDescription(full_range=False), chroma_location="paldv",
    )  # fmt: skip


def test_shortest_header_means_420_at_an_unknown_rate(tmp_path):
    path = tmp_path / "a.y4m"
    path.write_bytes(b"YUV4MPEG2 W2 H2\nFRAME Ixyz Xparameter\nabcdef")
    with open_reader(str(path)) as reader:
        assert reader.format.frame_rate == Rational(25, 1)
        assert "--fps" in reader.notes[0]
        assert [picture.tobytes() for picture in reader] == [b"abcdef"]
    with open_reader(str(path), frame_rate=Rational(60, 1)) as reader:
        assert reader.format.frame_rate == Rational(60, 1)
        assert reader.notes == ()


@pytest.mark.parametrize(
    ("tags", "words"),
    [
        (b"W4 H4 C420p16", "16-bit 4:2:0 (y4m tag C420p16)"),
        (b"W4 H4 C411", "8-bit 4:1:1"),
        (b"W4 H4 C444p12", "12-bit 4:4:4"),
        (b"W4 H4 C444alpha", "alpha"),
        (b"W4 H4 Cmono", "luma without chroma"),
        (b"W4 H4 Cmono10", "10-bit luma"),
        (b"W4 H4 XYSCSS=420P12", "12-bit 4:2:0"),
        (b"W4 H4 C\x1b[2J", "unknown chroma"),
        (b"W4 H4 Im", "mixes interlaced"),
        (b"W4 H4 Iq", "interlacing"),
        (b"H4", "no width"),
        (b"W4", "no height"),
        (b"W0 H4", "width"),
        (b"W16385 H4", "16384"),
        (b"W-4 H4", "width"),
        (b"W4 H99999999999999999999", "height"),
        (b"W4 H4 F30", "frame rate"),
        (b"W4 H4 F4294967296:1", "frame rate"),
        (b"W4 H4 A1:x", "aspect"),
    ],
)
def test_refusals_say_what_was_found(tmp_path, tags, words):
    path = tmp_path / "a.y4m"
    path.write_bytes(b"YUV4MPEG2 " + tags + b"\nFRAME\n" + bytes(64))
    with pytest.raises(InputError) as caught:
        open_reader(str(path))
    assert words in str(caught.value)
    assert str(caught.value).isprintable()
    if b"C" in tags.split()[-1][:1]:
        assert "-pix_fmt yuv420p" in (caught.value.hint or "")


def test_file_cut_short_is_told_before_the_first_picture(tmp_path):
    path = tmp_path / "a.y4m"
    write_clip(path, VideoFormat(PictureSize(8, 8)), 3)
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(InputError, match=r"picture 2: expected 96 bytes of it, found 86.*--frames 2"):
        open_reader(str(path))
    with open_reader(str(path), max_frames=2) as reader:
        assert reader.num_frames == 2
        assert len(list(reader)) == 2


def test_damage_between_pictures_names_the_place(tmp_path):
    path = tmp_path / "a.y4m"
    write_clip(path, VideoFormat(PictureSize(8, 8)), 3)
    data = path.read_bytes().split(b"FRAME")
    path.write_bytes(b"FRAME".join(data[:2]) + b"FRANE" + data[2])
    offset = len(b"FRAME".join(data[:2]))
    with pytest.raises(InputError, match=rf"picture 1 \(byte {offset}\)"):
        open_reader(str(path))


def test_endless_header_is_bounded(tmp_path):
    path = tmp_path / "a.y4m"
    path.write_bytes(b"YUV4MPEG2 W4 H4 X" + b"a" * 100_000)
    with pytest.raises(InputError, match="4096 bytes"):
        open_reader(str(path))


def test_header_without_pictures(tmp_path):
    path = tmp_path / "a.y4m"
    path.write_bytes(b"YUV4MPEG2 W4 H4\n")
    with pytest.raises(InputError, match="holds no picture"):
        open_reader(str(path))


def test_skip_and_limit(tmp_path):
    path = tmp_path / "a.y4m"
    pictures = write_clip(path, VideoFormat(PictureSize(6, 4)), 5)
    with open_reader(str(path), skip_frames=2, max_frames=2) as reader:
        assert reader.num_frames == 2
        assert [picture.tobytes() for picture in reader] == [picture.tobytes() for picture in pictures[2:4]]
    with open_reader(str(path), skip_frames=4, max_frames=9) as reader:
        assert reader.num_frames == len(list(reader)) == 1
    with pytest.raises(InputError, match="holds 5 pictures"):
        open_reader(str(path), skip_frames=5)
    with pytest.raises(UsageError):
        open_reader(str(path), max_frames=0)


def test_fifo_gives_the_same_pictures(tmp_path):
    pictures = write_clip(tmp_path / "a.y4m", VideoFormat(PictureSize(33, 21)), 4)
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    feeder = threading.Thread(target=lambda: fifo.write_bytes((tmp_path / "a.y4m").read_bytes()))
    feeder.start()
    with open_reader(str(fifo), skip_frames=1) as reader:
        assert reader.num_frames is None
        assert [picture.tobytes() for picture in reader] == [picture.tobytes() for picture in pictures[1:]]
    feeder.join()


def test_pipe_that_ends_early_is_told_at_its_end(tmp_path, monkeypatch):
    header = format_header(VideoFormat(PictureSize(4, 4)))
    monkeypatch.setattr(
        sys, "stdin", io.TextIOWrapper(io.BytesIO(header + b"FRAME\n" + bytes(24) + b"FRAME\n" + bytes(23)))
    )
    reader = iter(open_reader("-"))
    assert next(reader).tobytes() == bytes(24)
    with pytest.raises(InputError, match="standard input ends inside picture 1: expected 24 bytes of it, found 23"):
        next(reader)


def test_wrong_plane_shape_is_the_callers_mistake(tmp_path):
    with (
        open_writer(str(tmp_path / "a.y4m"), VideoFormat(PictureSize(4, 4)), overwrite=False) as writer,
        pytest.raises(ValueError, match="promised"),
    ):
        writer.write(random_pictures(VideoFormat(PictureSize(4, 6)), 1)[0])


def test_size_option_has_to_agree(tmp_path):
    write_clip(tmp_path / "a.y4m", VideoFormat(PictureSize(4, 4)), 1)
    open_reader(str(tmp_path / "a.y4m"), size=PictureSize(4, 4)).close()
    with pytest.raises(UsageError, match="4x4, expected 8x4"):
        open_reader(str(tmp_path / "a.y4m"), size=PictureSize(8, 4))


@pytest.mark.parametrize("clip", ["carphone_qcif.y4m", "foreman_qcif.y4m"])
def test_real_clip_copies_to_equal_pictures(tmp_path, clip):
    if not (DATA / clip).exists():
        pytest.skip("needs the evaluation clips")
    with (
        open_reader(str(DATA / clip)) as reader,
        open_writer(str(tmp_path / "b.y4m"), reader.format, overwrite=False) as writer,
    ):
        for picture in reader:
            writer.write(picture)
    original, copy = (DATA / clip).read_bytes(), (tmp_path / "b.y4m").read_bytes()
    assert original.partition(b"\n")[2] == copy.partition(b"\n")[2]


class TestWithFfmpeg:
    pytestmark = needs_ffmpeg

    @pytest.mark.parametrize("size", ["176x144", "35x27"])
    def test_reads_what_ffmpeg_writes(self, tmp_path, size):
        source = [
            "-f",
            "lavfi",
            "-i",
            f"testsrc=size={size}:rate=30000/1001",
            "-frames:v",
            "3",
            "-pix_fmt",
            "yuv420p",
            "-color_range",
            "pc",
        ]
        subprocess.run(["ffmpeg", "-v", "error", *source, str(tmp_path / "a.y4m")], check=True)
        subprocess.run(["ffmpeg", "-v", "error", "-i", str(tmp_path / "a.y4m"), str(tmp_path / "a.yuv")], check=True)
        with open_reader(str(tmp_path / "a.y4m")) as reader:
            assert str(reader.format.size) == size
            assert reader.format.frame_rate == Rational(30000, 1001)
            assert reader.format.colour.full_range is True
            assert b"".join(picture.tobytes() for picture in reader) == (tmp_path / "a.yuv").read_bytes()

    def test_ffmpeg_reads_what_we_write(self, tmp_path):
        video_format = VideoFormat(
            PictureSize(35, 27), frame_rate=Rational(24, 1), sample_aspect_ratio=Rational(4, 3), chroma_location="jpeg"
        )
        pictures = write_clip(tmp_path / "a.y4m", video_format, 3)
        raw = subprocess.run(
            ["ffmpeg", "-v", "error", "-i", str(tmp_path / "a.y4m"), "-f", "rawvideo", "-"],
            check=True,
            capture_output=True,
        ).stdout
        assert raw == b"".join(picture.tobytes() for picture in pictures)
        entries = "stream=r_frame_rate,sample_aspect_ratio"
        asked = ["ffprobe", "-v", "error", "-show_entries", entries, "-of", "csv=p=0", str(tmp_path / "a.y4m")]
        assert subprocess.run(asked, check=True, capture_output=True, text=True).stdout.strip() == "4:3,24/1"

    def test_ten_bit_file_of_ffmpeg_has_the_same_samples(self, tmp_path):
        out = str(tmp_path / "a.y4m")
        command = [
            "ffmpeg",
            "-v",
            "error",
            "-f",
            "lavfi",
            "-i",
            "testsrc2=size=32x32",
            "-frames:v",
            "1",
            "-pix_fmt",
            "yuv420p10",
            "-strict",
            "-1",
            out,
        ]
        subprocess.run(command, check=True)
        raw = subprocess.run(
            ["ffmpeg", "-v", "error", "-i", out, "-f", "rawvideo", "-"], check=True, capture_output=True
        )
        with open_reader(out) as reader:
            assert (reader.format.bit_depth, reader.format.chroma) == (10, ChromaFormat.YUV420)
            assert b"".join(picture.tobytes() for picture in reader) == raw.stdout


def test_tags_without_a_field_are_told(tmp_path):
    clip = y4m_clip(4, 4, 1, tags="F25:1 C420jpeg XYSCSS=420JPEG XCOLORRANGE=FULL XMASTER=9 Z1")
    (tmp_path / "a.y4m").write_bytes(clip)
    with open_reader(str(tmp_path / "a.y4m")) as reader:
        assert reader.notes == (
            f"{tmp_path / 'a.y4m'} has tags that streams have no field for: XMASTER=9, Z1; not kept",
        )
        assert reader.format.colour.full_range is True


def test_colour_tags_that_y4m_cannot_hold_are_told(tmp_path):
    for colour, note in (
        (ColourDescription(9, 16, 9, False), "colour tags (primaries 9, transfer 16, matrix 9): not in"),
        (ColourDescription(2, 2, 6, None), "colour tags (matrix 6): not in"),
        (ColourDescription(full_range=True), ""),
    ):
        with open_writer(
            str(tmp_path / "a.y4m"), VideoFormat(PictureSize(4, 4), colour=colour), overwrite=True
        ) as writer:
            assert note in "".join(writer.notes)
            assert bool(writer.notes) == bool(note)
