"""Pictures of 10 bits and of 4:2:2 and 4:4:4 in every kind of file: what is written is read, limits hold."""

import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dcvc_cli.errors import InputError, UsageError
from dcvc_cli.format.types import ChromaFormat, Picture, PictureSize, VideoFormat
from dcvc_cli.media import open_reader, open_writer

SIZE = PictureSize(7, 5)
DEEP = VideoFormat(SIZE, bit_depth=10)
FORMATS = [
    VideoFormat(SIZE, chroma, depth)
    for chroma in (ChromaFormat.YUV420, ChromaFormat.YUV422, ChromaFormat.YUV444)
    for depth in (8, 10)
]
EVERY_FORMAT = pytest.mark.parametrize("video_format", FORMATS, ids=lambda video_format: video_format.sampling)


def pictures_of(video_format: VideoFormat, number: int = 2) -> list[Picture]:
    rng = np.random.default_rng(7)
    return [
        Picture(
            tuple(  # type: ignore[arg-type]
                rng.integers(0, video_format.max_level + 1, shape).astype(video_format.dtype)
                for shape in video_format.plane_shapes
            )
        )
        for _ in range(number)
    ]


def round_trip(target: Path, video_format: VideoFormat, **options: object) -> tuple[list[bytes], list[bytes]]:
    """Returns (samples that are written, samples that are read); checks size, sampling and bit depth."""
    pictures = pictures_of(video_format)
    with open_writer(str(target), video_format, overwrite=False, codec="ffv1") as writer:
        for picture in pictures:
            writer.write(picture)
    with open_reader(str(target), **options) as reader:  # type: ignore[arg-type]
        found = [picture.tobytes() for picture in reader]
        assert (reader.format.size, reader.format.sampling) == (video_format.size, video_format.sampling)
    return [picture.tobytes() for picture in pictures], found


@EVERY_FORMAT
def test_y4m_gives_back_what_it_was_given(tmp_path: Path, video_format: VideoFormat) -> None:
    written, found = round_trip(tmp_path / "a.y4m", video_format)
    assert written == found


@EVERY_FORMAT
def test_a_video_file_gives_back_what_it_was_given(tmp_path: Path, video_format: VideoFormat) -> None:
    pytest.importorskip("av")
    written, found = round_trip(tmp_path / "a.mkv", video_format)
    assert written == found


def test_tags_of_y4m() -> None:
    from dcvc_cli.media.y4m import format_header

    tags = [format_header(video_format).split()[-1] for video_format in FORMATS]
    assert tags == [b"C420", b"C420p10", b"C422", b"C422p10", b"C444", b"C444p10"]


def test_samples_of_10_bits_are_low_byte_first(tmp_path: Path) -> None:
    planes = tuple(np.full(shape, 0x0102, np.uint16) for shape in DEEP.plane_shapes)
    with open_writer(str(tmp_path / "a.yuv"), DEEP, overwrite=False) as writer:
        writer.write(Picture(planes))  # type: ignore[arg-type]
    assert (tmp_path / "a.yuv").read_bytes() == b"\x02\x01" * (35 + 12 + 12)


def test_raw_video_of_10_bits_by_option_and_by_name(tmp_path: Path) -> None:
    written, found = round_trip(tmp_path / "a_7x5.yuv", DEEP, bit_depth=10)
    assert written == found
    written, found = round_trip(tmp_path / "a_7x5_30_10bit.yuv", DEEP)
    assert written == found
    with pytest.raises(InputError, match=r"no multiple of the .* 6x5 10-bit 4:2:0 picture \(check .*--input-depth"):
        open_reader(str(tmp_path / "a_7x5.yuv"), bit_depth=10, size=PictureSize(6, 5)).close()


@pytest.mark.parametrize("name", ["a.y4m", "a_7x5.yuv"])
def test_a_sample_above_10_bits_is_refused_by_file_and_picture(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    with open_writer(str(path), DEEP, overwrite=False) as writer:
        for picture in pictures_of(DEEP):
            writer.write(picture)
    data = bytearray(path.read_bytes())
    data[-1] = 4
    path.write_bytes(data)
    with (
        open_reader(str(path), bit_depth=10) as reader,
        pytest.raises(InputError, match=rf"{name}, picture 1: a sample is 1\d\d\d, more than the 1023"),
    ):
        list(reader)


@pytest.mark.parametrize("chroma", [ChromaFormat.YUV420, ChromaFormat.YUV422])
def test_rows_that_old_ffmpeg_writes_short_are_told(tmp_path: Path, chroma: ChromaFormat) -> None:
    """FFmpeg up to 5.1: of an odd width, rows of chroma lack a byte (findings/ffmpeg-y4m-odd-width-10-bit.sh)."""
    video_format, path = VideoFormat(SIZE, chroma, 10), tmp_path / "a.y4m"
    short = b"".join(
        b"FRAME\n"
        + b"".join(row.tobytes()[: 7 if number else 14] for number, p in enumerate(picture.planes) for row in p)
        for picture in pictures_of(video_format)
    )
    for frames in (short, short[: len(short) // 2]):
        path.write_bytes(f"YUV4MPEG2 W7 H5 F25:1 C{chroma.value[3:]}p10\n".encode() + frames)
        with pytest.raises(InputError, match=r"FFmpeg up to 5\.1 leaves out a byte of each row of chroma"):
            open_reader(str(path))
    path.write_bytes(b"YUV4MPEG2 W6 H5 F25:1 C420p10\nFRAME\n" + bytes(3))
    with pytest.raises(InputError, match="ends inside picture 0") as caught:
        open_reader(str(path))
    assert caught.value.hint is None


class TestPng:
    """PNG files have 8 or 16 bits a sample; those of 16 are read as 10 where that is asked for."""

    RGB = VideoFormat(SIZE, ChromaFormat.RGB, 10)

    def test_10_bits_come_back(self, tmp_path: Path) -> None:
        pytest.importorskip("av")
        written, found = round_trip(tmp_path / "out", self.RGB, bit_depth=10)
        assert written == found

    def test_other_programs_read_them(self, tmp_path: Path) -> None:
        (picture,) = pictures_of(self.RGB, 1)
        with open_writer(str(tmp_path / "a.png"), self.RGB, overwrite=False) as writer:
            writer.write(picture)
        with Image.open(tmp_path / "a.png") as image:
            image.load()
            assert image.size == (7, 5)
            # Pillow keeps the upper eight of the sixteen bits.
            expected = ((np.stack(picture.planes, axis=2).astype(int) * 65535 + 511) // 1023) >> 8
            np.testing.assert_array_equal(np.asarray(image), expected)

    @pytest.mark.parametrize("mode", ["grey", "alpha"])
    def test_grey_is_expanded_and_opaque_alpha_is_dropped(self, tmp_path: Path, mode: str) -> None:
        pytest.importorskip("av")
        import av

        name, channels = {"grey": ("gray16be", 1), "alpha": ("rgba64be", 4)}[mode]
        samples = np.full((5, 7, channels), 0x8000, ">u2")
        samples[..., -1] = 0xFFFF
        frame = av.VideoFrame(7, 5, name)
        rows = np.zeros((5, frame.planes[0].line_size), np.uint8)
        rows[:, : 14 * channels] = samples.reshape(5, -1).view(np.uint8)
        frame.planes[0].update(rows)
        encoder = av.CodecContext.create("png", "w")
        encoder.width, encoder.height, encoder.pix_fmt = 7, 5, name
        (tmp_path / "a.png").write_bytes(b"".join(map(bytes, [*encoder.encode(frame), *encoder.encode(None)])))
        with open_reader(str(tmp_path / "a.png"), bit_depth=10) as reader:
            (picture,) = list(reader)
        values = {"grey": 1023, "alpha": 512}
        assert all((plane == values[mode]).all() for plane in picture.planes)

    def test_the_wrong_depth_is_refused_with_the_way_out(self, tmp_path: Path) -> None:
        (picture,) = pictures_of(self.RGB, 1)
        with open_writer(str(tmp_path / "deep.png"), self.RGB, overwrite=False) as writer:
            writer.write(picture)
        with pytest.raises(InputError, match=r"has 16 bits a sample, dcvc codes 8 or 10 \(--input-depth 10"):
            open_reader(str(tmp_path / "deep.png"))
        Image.new("RGB", (7, 5)).save(tmp_path / "plain.png")
        with pytest.raises(InputError, match=r"has 8 bits a sample, expected 16 .*leave --input-depth out"):
            open_reader(str(tmp_path / "plain.png"), bit_depth=10)

    def test_a_damaged_file_is_refused(self, tmp_path: Path) -> None:
        pytest.importorskip("av")
        (picture,) = pictures_of(self.RGB, 1)
        with open_writer(str(tmp_path / "a.png"), self.RGB, overwrite=False) as writer:
            writer.write(picture)
        data = (tmp_path / "a.png").read_bytes()
        (tmp_path / "a.png").write_bytes(data[:60])
        with open_reader(str(tmp_path / "a.png"), bit_depth=10) as reader, pytest.raises(InputError, match=r"a\.png"):
            list(reader)


def test_a_depth_that_a_file_does_not_have_is_refused(tmp_path: Path) -> None:
    with open_writer(str(tmp_path / "a.y4m"), DEEP, overwrite=False) as writer:
        writer.write(pictures_of(DEEP, 1)[0])
    with pytest.raises(UsageError, match="has 10 bits a sample, expected 8 as --input-depth says"):
        open_reader(str(tmp_path / "a.y4m"), bit_depth=8)
    with open_reader(str(tmp_path / "a.y4m"), bit_depth=10) as reader:
        assert len(list(reader)) == 1


def test_10_bit_colours_become_rgb_as_8_bit_ones_do(tmp_path: Path) -> None:
    """White, black and a middle grey in limited range, four times the levels of 8 bits."""
    for level, value in ((940, 65535), (64, 0), (502, 32768)):
        video_format = VideoFormat(PictureSize(2, 2), bit_depth=10)
        planes = tuple(
            np.full(shape, level if number == 0 else 512, np.uint16)
            for number, shape in enumerate(video_format.plane_shapes)
        )
        folder = tmp_path / str(level)
        with open_writer(str(folder), video_format, overwrite=False) as writer:
            writer.write(Picture(planes))  # type: ignore[arg-type]
        with Image.open(folder / "im00001.png") as image:
            assert np.abs(np.asarray(image).astype(int) - (value >> 8)).max() <= 1


@pytest.mark.ffmpeg
def test_ffmpeg_reads_10_bit_y4m(tmp_path: Path) -> None:
    video_format = VideoFormat(PictureSize(8, 6), ChromaFormat.YUV422, 10)
    pictures = pictures_of(video_format)
    with open_writer(str(tmp_path / "a.y4m"), video_format, overwrite=False) as writer:
        for picture in pictures:
            writer.write(picture)
    command = ["ffmpeg", "-v", "error", "-i", str(tmp_path / "a.y4m"), "-f", "rawvideo", "-pix_fmt", "yuv422p10le", "-"]
    found = subprocess.run(command, check=True, capture_output=True).stdout
    assert found == b"".join(picture.tobytes() for picture in pictures)
