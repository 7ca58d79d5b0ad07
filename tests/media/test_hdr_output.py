"""Tags of a video file that is written come back when it is read: colour, chroma position, HDR10 metadata, 10 bits."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dcvc_cli.format.hdr import ContentLight, MasteringDisplay
from dcvc_cli.format.types import ChromaFormat, ColourDescription, Picture, PictureSize, VideoFormat
from dcvc_cli.media import open_reader, open_writer

av = pytest.importorskip("av")
DISPLAY = MasteringDisplay((13250, 34500, 7500, 3000, 34000, 16000), (15635, 16450), 10_000_000, 50)
HDR = VideoFormat(
    PictureSize(64, 48),
    bit_depth=10,
    colour=ColourDescription(9, 16, 9, False),
    chroma_location="paldv",
    mastering_display=DISPLAY,
    content_light=ContentLight(1000, 400),
)
TAGS = ("bit_depth", "chroma", "colour", "chroma_location", "mastering_display", "content_light")


def read_back(path: Path, video_format: VideoFormat, codec: str) -> tuple[VideoFormat, tuple[str, ...]]:
    """Returns (format of a written file, notes of its writer)."""
    if codec.split()[0] not in av.codecs_available:
        pytest.skip(f"this FFmpeg has no {codec}")
    planes = [np.full(shape, 300, np.uint16) for shape in video_format.plane_shapes]
    with open_writer(str(path), video_format, overwrite=False, codec=codec) as writer:
        for _ in range(3):
            writer.write(Picture((planes[0], planes[1], planes[2])))
    with open_reader(str(path)) as reader:
        assert len(list(reader)) == 3
        return reader.format, writer.notes


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        ("a.mkv", "ffv1"),
        ("a.mkv", "libx264"),
        ("a.mp4", "libx264 x264-params=keyint=2"),
        ("a.mkv", "libx265 x265-params=log-level=none"),
        ("a.mp4", "libx265 x265-params=log-level=none"),
    ],
)
def test_every_tag_comes_back(tmp_path: Path, name: str, codec: str) -> None:
    found, notes = read_back(tmp_path / name, HDR, codec)
    assert [getattr(found, tag) for tag in TAGS] == [getattr(HDR, tag) for tag in TAGS]
    assert (found.size, found.frame_rate, notes) == (HDR.size, HDR.frame_rate, ())


@pytest.mark.parametrize("missing", ["mastering_display", "content_light"])
def test_one_of_both_comes_back_alone(tmp_path: Path, missing: str) -> None:
    video_format = replace(HDR, **{missing: None})
    found, _ = read_back(tmp_path / "a.mkv", video_format, "ffv1")
    assert (found.mastering_display, found.content_light) == (
        video_format.mastering_display,
        video_format.content_light,
    )


def test_av1_keeps_them(tmp_path: Path) -> None:
    found, _ = read_back(tmp_path / "a.mkv", replace(HDR, chroma_location="mpeg2"), "libsvtav1")
    assert found.content_light == HDR.content_light
    assert found.mastering_display is not None
    differences = np.subtract(found.mastering_display.primaries, DISPLAY.primaries)
    assert np.abs(differences).max() <= 1


@pytest.mark.parametrize(("name", "codec"), [("a.nut", "ffv1"), ("a.mkv", "prores_ks"), ("a.mov", "prores_ks")])
def test_a_codec_without_a_place_says_so(tmp_path: Path, name: str, codec: str) -> None:
    pictures = replace(HDR, chroma=ChromaFormat.YUV422) if codec == "prores_ks" else HDR
    found, notes = read_back(tmp_path / name, pictures, codec)
    assert (found.mastering_display, found.content_light, found.bit_depth) == (None, None, 10)
    assert f"{codec} has no place for HDR10 metadata here: not in" in notes[0]
    if name == "a.nut":
        assert "nut has no field for the colour tags of ffv1: not in" in notes[1]
    else:
        assert found.colour == HDR.colour
