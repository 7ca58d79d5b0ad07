"""The display size in Matroska files, which ffprobe reads back as the sample aspect ratio of the stream."""

import shutil
import subprocess
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from dcvc_cli.format.types import Picture, PictureSize, Rational, VideoFormat
from dcvc_cli.media.matroska_display import ROOM, DisplaySize, display_size, with_display_size
from dcvc_cli.media.writer import open_writer

CIF = PictureSize(352, 288)


def write_file(target: str, aspect: Rational, codec: str = "ffv1", output_format: str | None = None) -> None:
    video_format = VideoFormat(PictureSize(48, 36), frame_rate=Rational(25, 1), sample_aspect_ratio=aspect)
    with open_writer(target, video_format, output_format=output_format, codec=codec) as writer:
        assert writer.notes == ()
        for level in (20, 90, 160):
            writer.write(Picture(tuple(np.full(shape, level, np.uint8) for shape in video_format.plane_shapes)))


def aspect_of(path: Path) -> Fraction | None:
    with av.open(str(path), options={"err_detect": "crccheck+explode"}) as file:
        assert len(list(file.decode(video=0))) == 3
        (stream,) = file.streams
        assert "title" not in stream.metadata
        return stream.sample_aspect_ratio


@pytest.mark.parametrize(
    ("aspect", "shown"),
    [
        (Fraction(12, 11), DisplaySize(384, 288)),
        (Fraction(1, 2), DisplaySize(176, 288)),
        (Fraction(128, 117), DisplaySize(1408, 1053, is_ratio=True)),
    ],
)
def test_whole_pixels_where_they_are_exact_and_a_ratio_elsewhere(aspect: Fraction, shown: DisplaySize) -> None:
    assert display_size(CIF, aspect) == shown


def test_webm_rounds_to_pixels() -> None:
    assert display_size(CIF, Fraction(128, 117), may_be_ratio=False) == DisplaySize(385, 288)


@pytest.mark.parametrize("codec", ["ffv1", "libx264 crf=20", "mpeg4"])
@pytest.mark.parametrize("aspect", [Rational(4, 3), Rational(128, 117), Rational(1, 2), Rational(255, 254)])
def test_players_read_the_ratio(tmp_path: Path, aspect: Rational, codec: str) -> None:
    write_file(str(tmp_path / "o.mkv"), aspect, codec)
    assert aspect_of(tmp_path / "o.mkv") == Fraction(aspect.num, aspect.den)


def test_square_samples_leave_the_file_as_the_muxer_writes_it(tmp_path: Path) -> None:
    write_file(str(tmp_path / "o.mkv"), Rational(1, 1))
    assert ROOM.encode() not in (tmp_path / "o.mkv").read_bytes()


def test_checksums_hold_whatever_the_muxer_draws(tmp_path: Path) -> None:
    """The muxer draws track numbers at random, so that the checksum differs each time."""
    for number in range(12):
        path = tmp_path / f"{number}.mkv"
        write_file(str(path), Rational(64, 45))
        assert aspect_of(path) == Fraction(64, 45)


@pytest.mark.skipif(shutil.which("mkvinfo") is None, reason="mkvtoolnix is not installed")
def test_mkvtoolnix_finds_no_fault(tmp_path: Path) -> None:
    write_file(str(tmp_path / "o.mkv"), Rational(128, 117))
    text = subprocess.run(
        ["mkvinfo", "--continue", "--all", str(tmp_path / "o.mkv")], capture_output=True, text=True, check=True
    ).stdout
    assert "Display unit: 3 (aspect ratio)" in text
    assert "Name: -" not in text


def test_a_pipe_carries_it_too(tmp_path: Path) -> None:
    fifo = tmp_path / "pipe"
    subprocess.run(["mkfifo", str(fifo)], check=True)
    with (tmp_path / "o.mkv").open("wb") as file:
        reader = subprocess.Popen(["cat", str(fifo)], stdout=file)
        write_file(str(fifo), Rational(128, 117), output_format="mkv")
        assert reader.wait() == 0
    assert aspect_of(tmp_path / "o.mkv") == Fraction(128, 117)


def test_mp4_takes_it_from_the_codec(tmp_path: Path) -> None:
    write_file(str(tmp_path / "o.mp4"), Rational(4, 3))
    assert aspect_of(tmp_path / "o.mp4") == Fraction(4, 3)


def test_a_header_of_other_make_stays() -> None:
    assert with_display_size(b"", DisplaySize(4, 3)) == (None, True)
    assert with_display_size(bytes(40), DisplaySize(4, 3))[0] is None
    assert with_display_size(b"\x1a\x45\xdf\xa3\x80" + b"\x18\x53\x80\x67\x81\xec", DisplaySize(4, 3))[0] is None
