"""Raw yuv420p: size from option or name, wholeness, pipes; and how kinds of input are told apart."""

import io
import sys

import numpy as np
import pytest

from dcvc_cli.errors import InputError, UsageError
from dcvc_cli.format.types import Picture, PictureSize, Rational, VideoFormat
from dcvc_cli.media import open_reader, open_writer
from dcvc_cli.media.probe import InputKind, parse_input_format, probe_content
from dcvc_cli.media.raw import parse_raw_name


@pytest.mark.parametrize(
    ("name", "size", "rate"),
    [
        ("clip_1920x1080_30.yuv", (1920, 1080), (30, 1)),
        ("/a/9x9/BasketballDrive_1920x1080_50.yuv", (1920, 1080), (50, 1)),
        ("Beauty_1920x1080_120fps_420_8bit_YUV.yuv", (1920, 1080), (120, 1)),
        ("foreman_352x288.yuv", (352, 288), None),
        ("RaceHorses_416x240_8bit.yuv", (416, 240), None),
        ("a_176x144_29.97.yuv", (176, 144), (30000, 1001)),
        ("a_176x144_23.976fps.yuv", (176, 144), (24000, 1001)),
        ("a_176x144_12.5.yuv", (176, 144), (25, 2)),
        ("crop_64x64_of_1280x720_60.yuv", (1280, 720), (60, 1)),
        ("a_0x144_30.yuv", None, None),
        ("a_99999x144.yuv", None, None),
        ("clip.yuv", None, None),
        ("0x1x2.yuv", None, None),
    ],
)
def test_file_names(name, size, rate):
    parsed = parse_raw_name(name)
    assert parsed.size == (PictureSize(*size) if size else None)
    assert parsed.frame_rate == (Rational(*rate) if rate else None)


def test_name_is_used_and_announced(tmp_path):
    path = tmp_path / "clip_6x4_50.yuv"
    path.write_bytes(bytes(range(72)))
    with open_reader(str(path)) as reader:
        assert reader.format == VideoFormat(PictureSize(6, 4), frame_rate=Rational(50, 1))
        assert reader.num_frames == 2
        assert "picture size 6x4 taken from the name" in reader.notes[0]
        assert "50 frames per second taken from the name" in reader.notes[1]
        assert b"".join(picture.tobytes() for picture in reader) == bytes(range(72))


def test_options_win_over_the_name(tmp_path):
    path = tmp_path / "clip_6x4_50.yuv"
    path.write_bytes(bytes(72))
    with open_reader(str(path), size=PictureSize(4, 2), frame_rate=Rational(10, 1)) as reader:
        assert reader.num_frames == 6
        assert reader.format.frame_rate == Rational(10, 1)
        assert reader.notes == ()


def test_no_size_names_the_option(tmp_path):
    (tmp_path / "clip.yuv").write_bytes(bytes(72))
    with pytest.raises(UsageError, match="--input-res"):
        open_reader(str(tmp_path / "clip.yuv"))


def test_no_multiple_of_a_frame_names_both_numbers(tmp_path):
    path = tmp_path / "clip_16x16.yuv"
    path.write_bytes(bytes(1000))
    with pytest.raises(InputError, match="is 1000 bytes, no multiple of the 384 bytes"):
        open_reader(str(path), max_frames=1)


def test_odd_size_rounds_chroma_up(tmp_path):
    video_format = VideoFormat(PictureSize(5, 3), frame_rate=Rational(25, 1))
    planes = tuple(np.full(shape, index, np.uint8) for index, shape in enumerate(video_format.plane_shapes))
    with open_writer(str(tmp_path / "a_5x3_25.yuv"), video_format, overwrite=False) as writer:
        writer.write(Picture(planes))
        writer.write(Picture(planes))
    assert (tmp_path / "a_5x3_25.yuv").read_bytes() == 2 * (bytes(15) + b"\1" * 6 + b"\2" * 6)
    with open_reader(str(tmp_path / "a_5x3_25.yuv"), skip_frames=1) as reader:
        (picture,) = reader
        assert [plane.shape for plane in picture.planes] == [(3, 5), (2, 3), (2, 3)]


def test_pipe_is_raw_when_a_size_is_given(monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(bytes(range(50)))))
    pictures = iter(open_reader("-", size=PictureSize(4, 4)))
    assert next(pictures).tobytes() == bytes(range(24))
    assert next(pictures).tobytes() == bytes(range(24, 48))
    with pytest.raises(InputError, match="is 50 bytes, no multiple of the 24 bytes"):
        next(pictures)


def test_pipe_without_size_or_magic_is_refused(monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(bytes(50))))
    with pytest.raises(InputError, match=r"standard input is of no known kind.*--input-res"):
        open_reader("-")


def test_closed_standard_input(monkeypatch):
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(InputError, match="closed"):
        open_reader("-")


def test_odd_options_are_refused(tmp_path):
    path = tmp_path / "a_4x4.yuv"
    path.write_bytes(bytes(24))
    with pytest.raises(UsageError, match="12-bit input is not supported"):
        open_reader(str(path), bit_depth=12)
    with pytest.raises(UsageError, match="frame rate 0/1"):
        open_reader(str(path), frame_rate=Rational(0, 1))
    with pytest.raises(UsageError, match="nv12 is not known"):
        open_reader(str(path), input_format="nv12")


@pytest.mark.parametrize(
    "name", ["missing.y4m", "missing.yuv", "missing.mp4", "missing.png", "missing", "no\0name.y4m"]
)
def test_missing_files(tmp_path, name):
    with pytest.raises(InputError, match="cannot read"):
        open_reader(str(tmp_path / name))


def test_empty_file(tmp_path):
    for name in ("a.y4m", "a_4x4.yuv", "a.mp4", "a.png", "a"):
        (tmp_path / name).touch()
        with pytest.raises(InputError, match="is empty"):
            open_reader(str(tmp_path / name))


@pytest.mark.parametrize(
    ("name", "prefix", "kind"),
    [
        ("x.mkv", b"YUV4MPEG2 W1", InputKind.Y4M),
        ("x.yuv", b"\x89PNG\r\n\x1a\n....", InputKind.RAW),
        ("x", b"\x89PNG\r\n\x1a\n....", InputKind.PNG),
        ("x", b"\x1a\x45\xdf\xa3........", InputKind.CONTAINER),
        ("x", b"\0\0\0\x20ftypisom", InputKind.CONTAINER),
        ("x.avi", b"RIFF....AVI ", InputKind.CONTAINER),
        ("x.265", b"\0\0\0\x01......", InputKind.CONTAINER),
    ],
)
def test_kinds(name, prefix, kind):
    assert probe_content(name, prefix, has_size=False) is kind


@pytest.mark.parametrize(
    ("name", "words"),
    [("x.y4m", "not a y4m file"), ("x.png", "not a PNG file"), ("x.dcvc", "dcvc decode"), ("x.bin", "no known kind")],
)
def test_unknown_kinds(name, words):
    with pytest.raises(InputError, match=words):
        probe_content(name, bytes(12), has_size=False)


def test_input_format_names():
    assert parse_input_format("yuv420p") is parse_input_format("YUV") is InputKind.RAW


def test_forced_format_wins(tmp_path):
    path = tmp_path / "a.mp4"
    path.write_bytes(bytes(24))
    with open_reader(str(path), size=PictureSize(4, 4), input_format="yuv") as reader:
        assert reader.num_frames == 1
