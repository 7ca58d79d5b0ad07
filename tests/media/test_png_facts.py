"""What PNG files say beside their samples: colour, aspect ratio, and the order of a folder."""

import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dcvc_cli.errors import InputError
from dcvc_cli.format.hdr import ContentLight, MasteringDisplay
from dcvc_cli.format.types import ChromaFormat, ColourDescription, PictureSize, Rational, VideoFormat
from dcvc_cli.media import open_reader
from dcvc_cli.media.png import faults_of_numbering
from dcvc_cli.media.png_chunks import SRGB, read_png_facts, with_format_chunks

Call = Callable[..., int]
PQ = ColourDescription(9, 16, 0, True)


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def write_png(path: Path, *chunks: tuple[bytes, bytes]) -> Path:
    """Writes a picture with chunks behind its header."""
    Image.fromarray(np.arange(7 * 9 * 3, dtype=np.uint8).reshape(7, 9, 3)).save(path)
    data = path.read_bytes()
    path.write_bytes(data[:33] + b"".join(chunk(*item) for item in chunks) + data[33:])
    return path


def notes_of(path: Path) -> str:
    with open_reader(str(path)) as reader:
        return "\n".join(reader.notes)


@pytest.mark.parametrize(
    ("chunks", "colour"),
    [
        ([(b"cICP", bytes([9, 16, 0, 1]))], PQ),
        ([(b"cICP", bytes([1, 1, 0, 0]))], ColourDescription(1, 1, 0, False)),
        ([(b"sRGB", b"\0")], SRGB),
        ([(b"cICP", bytes([9, 16, 0, 1])), (b"sRGB", b"\0")], PQ),
        ([(b"cICP", bytes([9, 16, 9, 1]))], ColourDescription(full_range=True)),
        ([(b"cICP", b"\1")], ColourDescription(full_range=True)),
        ([], ColourDescription(full_range=True)),
    ],
)
def test_colour(tmp_path: Path, chunks: list[tuple[bytes, bytes]], colour: ColourDescription) -> None:
    with open_reader(str(write_png(tmp_path / "a.png", *chunks))) as reader:
        assert reader.format.colour == colour


def test_sample_aspect_ratio(tmp_path: Path) -> None:
    for density, aspect in (((3, 4), Rational(4, 3)), ((5, 5), Rational(0, 0)), ((0, 4), Rational(0, 0))):
        path = write_png(tmp_path / "a.png", (b"pHYs", struct.pack(">IIB", *density, 0)))
        assert read_png_facts(path).sample_aspect_ratio == aspect


def test_what_has_no_field_is_told(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x112] = 6
    path = write_png(
        tmp_path / "a.png",
        (b"iCCP", b"name\0\0" + zlib.compress(bytes(128))),
        (b"gAMA", struct.pack(">I", 45455)),
        (b"eXIf", exif.tobytes().removeprefix(b"Exif\0\0")),
        (b"tEXt", b"Title\0x"),
    )
    expected = "ICC profile, gamma, Exif data that asks for a rotation on display and text"
    assert read_png_facts(path).dropped == tuple(expected.replace(" and text", ", text").split(", "))
    Image.fromarray(np.zeros((7, 9, 3), np.uint8)).save(tmp_path / "b.png", exif=exif)
    assert "b.png carries Exif data that asks for a rotation on display, which streams" in notes_of(tmp_path / "b.png")


@pytest.mark.parametrize(
    ("kind", "content", "fault"),
    [
        (b"cICP", bytes([9, 16, 0]), "its cICP chunk has 3 bytes, expected 4"),
        (b"cICP", bytes([9, 16, 0, 1, 0]), "its cICP chunk has 5 bytes, expected 4"),
        (b"cICP", bytes([9, 16, 9, 1]), "its cICP chunk says matrix 9, and samples of RGB have matrix 0"),
        (b"cICP", bytes([9, 16, 0, 2]), "its cICP chunk says full range 2, expected 0 or 1"),
        (b"sRGB", b"", "its sRGB chunk has 0 bytes, expected 1"),
        (b"pHYs", bytes(8), "its pHYs chunk has 8 bytes, expected 9"),
        (b"mDCV", bytes(23), "its mDCV chunk has 23 bytes, expected 24"),
        (b"cLLI", bytes(9), "its cLLI chunk has 9 bytes, expected 8"),
    ],
)
def test_a_chunk_that_breaks_the_rules_is_told(tmp_path: Path, kind: bytes, content: bytes, fault: str) -> None:
    path = write_png(tmp_path / "a.png", (kind, content))
    assert read_png_facts(path).faults == (fault,)
    assert f"{path}: {fault}; it counts as missing" in notes_of(path)
    with open_reader(str(path)) as reader:
        assert reader.format.colour == ColourDescription(full_range=True)


def test_colour_that_is_carried_stands_for_the_profile(tmp_path: Path) -> None:
    path = write_png(tmp_path / "a.png", (b"cICP", bytes([9, 16, 0, 1])), (b"gAMA", struct.pack(">I", 45455)))
    assert read_png_facts(path).dropped == ()


def test_pictures_of_different_colour_are_refused(tmp_path: Path) -> None:
    write_png(tmp_path / "1.png", (b"sRGB", b"\0"))
    write_png(tmp_path / "2.png", (b"cICP", bytes([9, 16, 0, 1])))
    with pytest.raises(InputError, match=r"2\.png has other colour tags or another aspect ratio than 1\.png"):
        open_reader(str(tmp_path))


def test_written_files_say_what_was_read(tmp_path: Path) -> None:
    plain = write_png(tmp_path / "a.png").read_bytes()
    for colour, aspect in (
        (PQ, Rational(4, 3)),
        (SRGB, Rational(0, 0)),
        (ColourDescription(full_range=True), Rational(0, 0)),
    ):
        video_format = VideoFormat(PictureSize(9, 7), ChromaFormat.RGB, sample_aspect_ratio=aspect, colour=colour)
        (tmp_path / "b.png").write_bytes(with_format_chunks(plain, video_format))
        facts = read_png_facts(tmp_path / "b.png")
        assert (facts.colour, facts.sample_aspect_ratio) == (colour, aspect)
        with Image.open(tmp_path / "b.png") as image:
            image.verify()
    assert (tmp_path / "b.png").read_bytes() == plain


def test_colour_goes_through_a_stream(call: Call, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    write_png(tmp_path / "in" / "im1.png", (b"cICP", bytes([9, 16, 0, 1])), (b"pHYs", struct.pack(">IIB", 3, 4, 0)))
    assert call("encode", tmp_path / "in", "-o", tmp_path / "a.dcvc", "-q") == 0
    assert call("decode", tmp_path / "a.dcvc", "-o", tmp_path / "out", "-q") == 0
    facts = read_png_facts(tmp_path / "out" / "im00001.png")
    assert (facts.colour, facts.sample_aspect_ratio) == (PQ, Rational(4, 3))


def test_hdr_metadata_goes_through_a_stream(call: Call, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    mastering = struct.pack(">8H2I", 34000, 16000, 13250, 34500, 7500, 3000, 15635, 16450, 10_000_000, 1)
    light = struct.pack(">II", 1000 * 10000, 400 * 10000)
    path = write_png(
        tmp_path / "in" / "im1.png", (b"cICP", bytes([9, 16, 0, 1])), (b"mDCV", mastering), (b"cLLI", light)
    )
    facts = read_png_facts(path)
    assert facts.mastering_display == MasteringDisplay(
        (13250, 34500, 7500, 3000, 34000, 16000), (15635, 16450), 10_000_000, 1
    )
    assert facts.content_light == ContentLight(1000, 400)
    assert call("encode", tmp_path / "in", "-o", tmp_path / "a.dcvc", "-q") == 0
    assert call("decode", tmp_path / "a.dcvc", "-o", tmp_path / "out", "-q") == 0
    assert read_png_facts(tmp_path / "out" / "im00001.png") == facts


def test_damaged_chunks_end_the_walk(tmp_path: Path) -> None:
    data = write_png(tmp_path / "a.png", (b"cICP", bytes([9, 16, 0, 1]))).read_bytes()
    for length in range(8, len(data), 3):
        (tmp_path / "b.png").write_bytes(data[:length])
        assert read_png_facts(tmp_path / "b.png").colour in (PQ, ColourDescription(full_range=True))
    (tmp_path / "b.png").write_bytes(data[:33] + struct.pack(">I4s", 0xFFFFFFFF, b"cICP") + data[33:])
    assert read_png_facts(tmp_path / "b.png").colour == ColourDescription(full_range=True)


class TestNumbering:
    def test_a_missing_number_is_told(self, tmp_path: Path) -> None:
        for number in (1, 2, 4):
            write_png(tmp_path / f"im{number:05d}.png")
        assert "its numbers have a gap between im00002.png and im00004.png, and it is closed" in notes_of(tmp_path)
        with open_reader(str(tmp_path), max_frames=2) as reader:
            assert not any("gap" in note for note in reader.notes)
        with pytest.raises(InputError, match="gap"):
            open_reader(str(tmp_path / "im%05d.png"))

    @pytest.mark.parametrize(
        "names",
        [
            ["im1.png", "im2.png", "im3.png"],
            ["im10.png", "im20.png", "im30.png"],
            ["a.png", "b.png"],
            ["s01_1.png", "s01_2.png", "s02_1.png", "s02_2.png"],
            ["7.png"],
            [],
        ],
    )
    def test_even_numbers_are_fine(self, names: list[str]) -> None:
        assert faults_of_numbering(names) is None

    def test_two_names_of_one_number(self) -> None:
        assert "have one number" in str(faults_of_numbering(["im01.png", "im1.png", "im2.png"]))
