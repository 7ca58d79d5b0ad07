"""4:2:0 pictures as RGB and RGB pictures as 4:4:4, against the triplets that the standards give."""

import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dcvc_cli.errors import UsageError
from dcvc_cli.format.colour_conversion import (
    Matrix,
    matrix_of,
    rgb_format,
    rgb_picture,
    yuv420_planes,
    yuv444_format,
    yuv444_picture,
)
from dcvc_cli.format.colour_names import ffmpeg_flags
from dcvc_cli.format.types import ChromaFormat, ColourDescription, Picture, PictureSize, VideoFormat
from tests.support.programs import tool

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)
TRIPLETS = [
    (1, False, (63, 102, 240), RED),
    (1, False, (173, 42, 26), GREEN),
    (1, False, (32, 240, 118), BLUE),
    (6, False, (81, 90, 240), RED),
    (6, False, (145, 54, 34), GREEN),
    (6, False, (41, 240, 110), BLUE),
    (5, True, (76, 85, 255), RED),
    (9, False, (74, 97, 240), RED),
    (9, False, (164, 47, 25), GREEN),
    (9, False, (29, 240, 119), BLUE),
    (8, True, (128, 255, 128), GREEN),
    (1, False, (235, 128, 128), WHITE),
    (1, True, (255, 128, 128), WHITE),
]


def yuv_format(matrix: int = 2, full_range: bool | None = None, height: int = 4, location: str = "") -> VideoFormat:
    return VideoFormat(
        PictureSize(6, height), colour=ColourDescription(2, 2, matrix, full_range), chroma_location=location
    )


def flat(video_format: VideoFormat, samples: tuple[int, int, int]) -> Picture:
    planes = [np.full(shape, v, np.uint8) for shape, v in zip(video_format.plane_shapes, samples, strict=True)]
    return Picture((planes[0], planes[1], planes[2]))


@pytest.mark.parametrize(("matrix", "full_range", "yuv", "rgb"), TRIPLETS)
def test_colours_of_the_standards(matrix, full_range, yuv, rgb):
    video_format = yuv_format(matrix, full_range)
    chosen = matrix_of(video_format)
    assert chosen.note is None
    picture = rgb_picture(flat(video_format, yuv), video_format, chosen)
    found = np.array([plane[0, 0] for plane in picture.planes], int)
    assert np.abs(found - rgb).max() <= 2
    assert picture.planes[0].shape == (4, 6)


def test_what_the_stream_leaves_open_is_assumed_and_told():
    small, large = matrix_of(yuv_format(height=576)), matrix_of(yuv_format(height=720))
    assert (small.code, small.full_range, large.code, large.full_range) == (6, False, 1, False)
    assert "BT.601 and limited range assumed" in small.note
    assert "BT.709" in large.note
    only_range = matrix_of(yuv_format(1))
    assert (only_range.code, only_range.full_range) == (1, False)
    assert "limited range assumed" in only_range.note
    with pytest.raises(UsageError, match=r"matrix 14 of ITU-T H\.273"):
        matrix_of(yuv_format(14))


def test_chroma_is_interpolated_from_where_it_lies():
    """A step in chroma: co-sited samples are kept, centred ones lie a quarter of a step away."""
    left = yuv_format(1, True, location="mpeg2")
    centre = replace(left, chroma_location="jpeg")
    cr = np.array([[128, 128, 178], [128, 128, 178]], np.uint8)
    picture = Picture((np.full((4, 6), 100, np.uint8), np.full((2, 3), 128, np.uint8), cr))
    steps = [0, 0, 0, 25, 50, 50], [0, 0, 0, 12.5, 37.5, 50]
    for video_format, expected in zip((left, centre), steps, strict=True):
        red = rgb_picture(picture, video_format, matrix_of(video_format)).planes[0]
        assert np.abs(red[0] - 100 - 2 * (1 - 0.2126) * np.array(expected)).max() <= 1, video_format.chroma_location
        assert (red == red[0]).all()


@pytest.mark.parametrize("size", [(1, 1), (3, 5), (2, 1), (7, 2)])
@pytest.mark.parametrize("location", ["", "jpeg", "mpeg2", "paldv"])
def test_odd_sizes(size, location):
    video_format = replace(yuv_format(location=location), size=PictureSize(*size))
    picture = rgb_picture(flat(video_format, (126, 128, 128)), video_format, matrix_of(video_format))
    assert [plane.shape for plane in picture.planes] == [size[::-1]] * 3
    assert all((plane == 128).all() for plane in picture.planes)


def test_rgb_becomes_444_of_bt709_and_comes_back():
    rgb = VideoFormat(PictureSize(8, 8), chroma=ChromaFormat.RGB)
    planes = np.random.default_rng(3).integers(0, 256, (3, 8, 8), np.uint8)
    full = yuv444_picture(Picture((planes[0], planes[1], planes[2])), rgb)
    y, cb, cr = (plane.astype(float) for plane in full.planes)
    assert yuv444_format(rgb).chroma is ChromaFormat.YUV444
    assert yuv444_format(rgb).colour == ColourDescription(2, 2, 1, True)
    assert np.abs(y + 1.5748 * (cr - 128) - planes[0]).max() <= 2
    assert np.abs(y + 1.8556 * (cb - 128) - planes[2]).max() <= 2


def test_the_format_of_rgb_keeps_primaries_and_transfer():
    stream = replace(yuv_format(), colour=ColourDescription(9, 16, 9, False), chroma_location="mpeg2")
    rgb = rgb_format(stream)
    assert (rgb.chroma, rgb.colour) == (ChromaFormat.RGB, ColourDescription(9, 16, 0, True))
    flags = "-color_primaries bt2020 -color_trc smpte2084 -colorspace bt2020nc -color_range tv"
    assert " ".join(ffmpeg_flags(stream.colour)) == flags
    assert ffmpeg_flags(ColourDescription()) == ()


@pytest.mark.ffmpeg
def test_ffmpeg_shows_the_same_colours(tmp_path: Path):
    video_format = VideoFormat(PictureSize(64, 48), colour=ColourDescription(1, 1, 1, False), chroma_location="mpeg2")
    ramp = np.linspace(16, 235, 64 * 48).reshape(48, 64).astype(np.uint8)
    cb, cr = (np.linspace(*ends, 32 * 24).reshape(24, 32).astype(np.uint8) for ends in ((90, 150), (150, 100)))
    scale = "scale=in_color_matrix=bt709:in_range=tv:flags=bilinear+accurate_rnd+full_chroma_int"
    command = [
        tool("ffmpeg"),
        *["-v", "error", "-f", "rawvideo", "-s", "64x48", "-pix_fmt", "yuv420p", "-i", "-", "-vf"],
        scale,
    ]
    command += ["-f", "rawvideo", "-pix_fmt", "gbrp", "-"]
    result = subprocess.run(command, input=Picture((ramp, cb, cr)).tobytes(), capture_output=True, check=True)
    green, blue, red = np.frombuffer(result.stdout, np.uint8).reshape(3, 48, 64).astype(int)
    found = rgb_picture(Picture((ramp, cb, cr)), video_format, matrix_of(video_format))
    differences = np.abs(np.stack(found.planes).astype(int) - np.stack([red, green, blue]))
    assert differences.mean() < 1
    assert differences.max() <= 6


@pytest.mark.parametrize("location", ["", "jpeg", "mpeg2", "paldv"])
@pytest.mark.parametrize(("code", "full_range"), [(1, True), (6, False), (8, False), (9, False)])
def test_planes_of_grey_and_of_one_colour_come_back(location: str, code: int, full_range: bool):
    """R G B without detail loses nothing on the way to 4:2:0 and back, within the rounding of samples."""
    video_format = replace(VideoFormat(PictureSize(5, 7)), chroma_location=location)
    matrix = Matrix(code, full_range)
    for colour in ((0.5, 0.5, 0.5), (0.7, 0.3, 0.45)):
        rgb = np.broadcast_to(np.array(colour)[:, None, None], (3, 7, 5))
        planes = yuv420_planes(rgb, video_format, matrix)
        assert [plane.shape for plane in planes] == list(video_format.plane_shapes)
        back = np.stack(rgb_picture(Picture(planes), video_format, matrix).planes).astype(float)
        assert np.abs(back - 255 * rgb).max() <= 3
