"""PNG sequences: numbering, order, what counts as 8-bit opaque RGB, and outputs that appear whole."""

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dcvc_cli.errors import InputError, UsageError
from dcvc_cli.format.types import ChromaFormat, Picture, PictureSize, Rational, VideoFormat
from dcvc_cli.media import open_reader, open_writer

RGB = VideoFormat(PictureSize(7, 5), ChromaFormat.RGB)


def rgb_picture(seed: int, shape: tuple[int, int] = (5, 7)) -> Picture:
    rng = np.random.default_rng(seed)
    return Picture(tuple(rng.integers(0, 256, shape, dtype=np.uint8) for _ in range(3)))  # type: ignore[arg-type]


def save(path: Path, seed: int = 0, shape: tuple[int, int] = (5, 7)) -> Picture:
    picture = rgb_picture(seed, shape)
    Image.fromarray(np.stack(picture.planes, axis=2)).save(path)
    return picture


def write(target: Path | str, num_pictures: int, *, overwrite: bool = False) -> list[Picture]:
    pictures = [rgb_picture(seed) for seed in range(num_pictures)]
    with open_writer(str(target), RGB, overwrite=overwrite) as writer:
        for picture in pictures:
            writer.write(picture)
    return pictures


def read(source: Path | str, **options: object) -> list[bytes]:
    with open_reader(str(source), **options) as reader:  # type: ignore[arg-type]
        pictures = [picture.tobytes() for picture in reader]
        assert reader.num_frames == len(pictures)
    return pictures


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_folder_round_trip(tmp_path):
    pictures = write(tmp_path / "out", 3)
    assert names(tmp_path) == ["out"]
    assert names(tmp_path / "out") == ["im00001.png", "im00002.png", "im00003.png"]
    assert read(tmp_path / "out") == [picture.tobytes() for picture in pictures]
    with open_reader(str(tmp_path / "out" / "im%05d.png"), frame_rate=Rational(24, 1), skip_frames=1) as reader:
        assert reader.format.size == PictureSize(7, 5)
        assert reader.format.chroma is ChromaFormat.RGB
        assert reader.format.frame_rate == Rational(24, 1)
        assert [picture.tobytes() for picture in reader] == [picture.tobytes() for picture in pictures[1:]]


def test_natural_order(tmp_path):
    pictures = [save(tmp_path / name, seed) for seed, name in enumerate(["im2.png", "im10.png", "im010.PNG", "x1.png"])]
    save(tmp_path / ".hidden.png")
    (tmp_path / "readme.txt").write_text("not a picture")
    assert read(tmp_path) == [picture.tobytes() for picture in (pictures[0], pictures[2], pictures[1], pictures[3])]


@pytest.mark.parametrize("first", [0, 1])
def test_pattern_starts_at_0_or_1(tmp_path, first):
    pictures = [save(tmp_path / f"f{number:03d}.png", number) for number in range(first, first + 3)]
    save(tmp_path / "f4.png")
    assert read(tmp_path / "f%03d.png") == [picture.tobytes() for picture in pictures]


def test_pattern_faults(tmp_path):
    for number in (1, 2, 4):
        save(tmp_path / f"f{number}.png")
    with pytest.raises(InputError, match=r"gap: f3\.png is missing, f4\.png is there"):
        open_reader(str(tmp_path / "f%d.png"))
    with pytest.raises(InputError, match=r"expected g0\.png or g1\.png first"):
        open_reader(str(tmp_path / "g%d.png"))
    (tmp_path / "f1.png").unlink()
    with pytest.raises(InputError, match=r"begins at f2\.png"):
        open_reader(str(tmp_path / "f%d.png"))
    with pytest.raises(UsageError, match="one number field"):
        open_reader(str(tmp_path / "f%d_%d.png"))
    with pytest.raises(InputError, match="cannot read folder"):
        open_reader(str(tmp_path / "nowhere" / "f%d.png"))


def test_empty_folder(tmp_path):
    with pytest.raises(InputError, match="holds no PNG file"):
        open_reader(str(tmp_path))


def test_single_file(tmp_path):
    picture = save(tmp_path / "a.png")
    assert read(tmp_path / "a.png") == [picture.tobytes()]


def test_other_size_is_told_before_the_first_picture(tmp_path):
    save(tmp_path / "a1.png")
    save(tmp_path / "a2.png", shape=(5, 8))
    with pytest.raises(InputError, match=r"a2\.png is 8x5, expected 7x5"):
        open_reader(str(tmp_path))
    assert len(read(tmp_path, max_frames=1)) == 1


@pytest.mark.parametrize("mode", ["L", "1", "P"])
def test_grey_and_palette_are_expanded(tmp_path, mode):
    image = Image.fromarray(np.stack(rgb_picture(3).planes, axis=2)).convert(mode)
    image.save(tmp_path / "a.png")
    expected = np.asarray(image.convert("RGB")).transpose(2, 0, 1).tobytes()
    assert read(tmp_path / "a.png") == [expected]


def test_alpha(tmp_path):
    samples = np.dstack([*rgb_picture(1).planes, np.full((5, 7), 255, np.uint8)])
    Image.fromarray(samples).save(tmp_path / "opaque.png")
    assert read(tmp_path / "opaque.png") == [rgb_picture(1).tobytes()]
    samples[2, 3, 3] = 254
    Image.fromarray(samples).save(tmp_path / "clear.png")
    Image.fromarray(samples[:, :, 0]).save(tmp_path / "key.png", transparency=int(samples[0, 0, 0]))
    for name in ("clear.png", "key.png"):
        with pytest.raises(InputError, match="transparent"):
            read(tmp_path / name)


def test_sixteen_bits_and_animations_are_refused(tmp_path):
    Image.fromarray(np.zeros((4, 4), np.uint16)).save(tmp_path / "deep.png")
    with pytest.raises(InputError, match="16 bits a sample"):
        open_reader(str(tmp_path / "deep.png"))
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
    frames[0].save(tmp_path / "moving.png", save_all=True, append_images=frames[1:])
    with pytest.raises(InputError, match="animated"):
        read(tmp_path / "moving.png")


def png_header(width: int, height: int, depth: int = 8, colour: int = 2) -> bytes:
    body = b"IHDR" + struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + body + struct.pack(">I", zlib.crc32(body))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (png_header(16384, 16384) + bytes(1000), "cannot hold the 16384x16384 picture"),
        (png_header(20000, 4), "expected 1x1..16384x16384"),
        (png_header(0, 4), "expected 1x1..16384x16384"),
        (png_header(4, 4, 8, 5), "does not exist"),
        (png_header(4, 4)[:20], "not a PNG file"),
        (png_header(4, 4), "cannot be decoded"),
    ],
)
def test_damaged_headers(tmp_path, data, words):
    (tmp_path / "a.png").write_bytes(data)
    with pytest.raises(InputError, match=words):
        read(tmp_path / "a.png")


def test_existing_pictures_are_kept_without_overwrite(tmp_path):
    write(tmp_path / "out", 2)
    before = {name: (tmp_path / "out" / name).read_bytes() for name in names(tmp_path / "out")}
    with pytest.raises(UsageError, match="-y overwrites"):
        write(tmp_path / "out", 1)
    with pytest.raises(UsageError, match="-y overwrites"):
        write(tmp_path / "out" / "im%05d.png", 1)
    assert {name: (tmp_path / "out" / name).read_bytes() for name in names(tmp_path / "out")} == before


def test_overwrite_leaves_no_old_tail_and_nothing_else_is_touched(tmp_path):
    write(tmp_path / "out", 5)
    (tmp_path / "out" / "notes.txt").write_text("mine")
    save(tmp_path / "out" / "im7.png")
    write(tmp_path / "out", 2, overwrite=True)
    assert names(tmp_path / "out") == ["im00001.png", "im00002.png", "im7.png", "notes.txt"]


def test_failure_leaves_nothing(tmp_path):
    (tmp_path / "there").mkdir()
    for target in ("new", "there", "there/f%02d.png", "one.png"):
        writer = open_writer(str(tmp_path / target), RGB, overwrite=False)
        writer.write(rgb_picture(1))
        with pytest.raises(ValueError, match="promised"), writer:
            writer.write(rgb_picture(1, (9, 9)))
    assert names(tmp_path) == ["there"]
    assert names(tmp_path / "there") == []


def test_nothing_is_visible_before_the_end(tmp_path):
    with open_writer(str(tmp_path / "out"), RGB, overwrite=False) as writer:
        writer.write(rgb_picture(1))
        assert all(name.startswith(".dcvc-") for name in names(tmp_path))
    assert names(tmp_path) == ["out"]


def test_single_name_takes_one_picture(tmp_path):
    write(tmp_path / "a.png", 1)
    assert read(tmp_path / "a.png") == [rgb_picture(0).tobytes()]
    with pytest.raises(UsageError, match="names one picture"):
        write(tmp_path / "b.png", 2)
    assert names(tmp_path) == ["a.png"]


def test_targets_that_cannot_be(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot write"):
        write(tmp_path / "nowhere" / "out", 1)
    for name in ("name" * 100, "nul\0name", "nul\0name.png"):
        with pytest.raises(InputError, match="cannot write"):
            write(tmp_path / name, 1)
    with pytest.raises(InputError, match="is a file, expected a folder"):
        write(tmp_path / "file", 1)


def test_names_that_say_no_format_of_pictures(tmp_path):
    yuv = VideoFormat(PictureSize(4, 4))
    with pytest.raises(UsageError, match="ffmpeg -i -"):
        open_writer(str(tmp_path / "a.gif"), yuv, overwrite=False)
    with pytest.raises(UsageError, match="does not say its format"):
        open_writer(str(tmp_path / "a.xyz"), yuv, overwrite=False)
    assert names(tmp_path) == []
