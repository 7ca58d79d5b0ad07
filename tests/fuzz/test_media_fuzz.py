"""Hostile inputs: damaged and random y4m, PNG and raw files end in pictures or in an InputError, in bounded memory."""

import io
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from dcvc_cli.errors import DcvcError, InputError
from dcvc_cli.format.types import PictureSize, VideoFormat
from dcvc_cli.media import open_reader
from dcvc_cli.media.y4m import format_header

FUZZ = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
Y4M = format_header(VideoFormat(PictureSize(6, 4))) + 2 * (b"FRAME\n" + bytes(range(36)))


def png_bytes(mode: str) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(np.arange(240, dtype=np.uint8).reshape(8, 10, 3)).convert(mode).save(stream, "PNG")
    return stream.getvalue()


def read_all(path: Path, **options: object) -> list[bytes] | None:
    """Returns the pictures, or None after an error of the kinds that users are told about; anything else is a test
    failure."""
    try:
        with open_reader(str(path), **options) as reader:  # type: ignore[arg-type]
            return [picture.tobytes() for picture in reader]
    except DcvcError as error:
        return check_message(error)


def check_message(error: DcvcError) -> None:
    assert str(error).isprintable(), str(error)


def damaged(data: bytes) -> st.SearchStrategy[bytes]:
    positions = st.integers(0, len(data) - 1)
    flipped = st.builds(
        lambda at, value: data[:at] + bytes([data[at] ^ value]) + data[at + 1 :], positions, st.integers(1, 255)
    )
    cut = positions.map(lambda at: data[:at])
    removed = st.builds(lambda at, count: data[:at] + data[at + count :], positions, st.integers(1, 20))
    added = st.builds(lambda at, extra: data[:at] + extra + data[at:], positions, st.binary(min_size=1, max_size=20))
    return st.one_of(flipped, cut, removed, added)


@FUZZ
@given(damaged(Y4M))
def test_damaged_y4m(tmp_path, data):
    path = tmp_path / "a.y4m"
    path.write_bytes(data)
    pictures = read_all(path)
    assert pictures is None or sum(map(len, pictures)) <= len(data)


@FUZZ
@given(st.binary(max_size=300))
def test_random_bytes_after_the_magic(tmp_path, data):
    path = tmp_path / "a.y4m"
    path.write_bytes(b"YUV4MPEG2" + data)
    read_all(path)


@FUZZ
@given(st.sampled_from(["RGB", "P", "L", "RGBA"]).map(png_bytes).flatmap(damaged))
def test_damaged_png(tmp_path, data):
    path = tmp_path / "a.png"
    path.write_bytes(data)
    pictures = read_all(path)
    assert pictures is None or len(pictures) == 1


@FUZZ
@given(st.binary(max_size=200), st.integers(1, 9), st.integers(1, 9))
def test_random_raw(tmp_path, data, width, height):
    path = tmp_path / "a.yuv"
    path.write_bytes(data)
    size = PictureSize(width, height)
    pictures = read_all(path, size=size)
    frame_bytes = VideoFormat(size).frame_bytes
    assert (pictures is not None) == (len(data) > 0 and len(data) % frame_bytes == 0)
    assert pictures is None or b"".join(pictures) == data


@FUZZ
@given(st.binary(max_size=200), st.sampled_from(["a", "a.mp4", "a.mkv", "a.png", "a.y4m", "a_4x4.yuv"]))
def test_random_bytes_of_any_name(tmp_path, data, name):
    (tmp_path / name).write_bytes(data)
    read_all(tmp_path / name)


@pytest.mark.parametrize(
    "data",
    [
        b"YUV4MPEG2 W16384 H16384\nFRAME\n" + bytes(100),
        b"YUV4MPEG2 W16384 H16384\nFRAME" + b"x" * 1_000_000,
        b"YUV4MPEG2 " + b"W" * 1_000_000,
        b"YUV4MPEG2 W4 H4 F" + b"9" * 1_000_000 + b":1\n",
    ],
)
def test_announced_sizes_cost_no_memory(tmp_path, data):
    path = tmp_path / "a.y4m"
    path.write_bytes(data)
    tracemalloc.start()
    try:
        with pytest.raises(InputError):
            open_reader(str(path))
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()
