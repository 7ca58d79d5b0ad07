"""Training material on disk: photos, PNG clips, septuplets, videos; what is wrong with them is told with the file's
name."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dcvc_cli.errors import InputError
from dcvc_cli.training.data import CropSampler, build_cache
from dcvc_cli.training.sources import find_sources
from tests.support.clips import y4m_clip


def write_png(path: Path, colour: tuple[int, int, int] = (90, 120, 30), size: tuple[int, int] = (64, 48)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path)
    return path


def write_septuplet(root: Path, name: str, num_frames: int = 7) -> None:
    for frame in range(1, num_frames + 1):
        write_png(root / "sequences" / name / f"im{frame}.png", (20 * frame, 100, 200))


def test_numbered_png_files_are_one_clip_and_others_photos(tmp_path: Path) -> None:
    for number in (8, 9, 10, 11):
        write_png(tmp_path / "walk" / f"frame_{number}.png", (number, 0, 0))
    for number in (1, 2):
        write_png(tmp_path / "two" / f"{number:05}.png")
        write_png(tmp_path / "two" / f"im{number}.png")
        write_png(tmp_path / "kodak" / f"kodim{number:02}.png", size=(64, 48) if number == 1 else (48, 64))
    write_png(tmp_path / "walk" / "cover.png")
    write_png(tmp_path / "im1.png")
    sources = find_sources([tmp_path])
    found = {str(source.path.relative_to(tmp_path)): [file.name for file in source.files] for source in sources}
    assert found == {
        "walk": ["frame_8.png", "frame_9.png", "frame_10.png", "frame_11.png"],
        "walk/cover.png": ["cover.png"],
        "two/*.png": ["00001.png", "00002.png"],
        "two/im*.png": ["im1.png", "im2.png"],
        "kodak/kodim01.png": ["kodim01.png"],
        "kodak/kodim02.png": ["kodim02.png"],
        "im1.png": ["im1.png"],
    }
    assert len({source.key for source in sources}) == len(sources)


def test_only_listed_septuplets_are_taken(tmp_path: Path) -> None:
    for name in ("00001/0001", "00001/0002", "00002/0001"):
        write_septuplet(tmp_path / "vimeo", name)
    (tmp_path / "vimeo" / "sep_trainlist.txt").write_text("00002/0001\n00001/0001\n\n")
    (tmp_path / "vimeo" / "sep_testlist.txt").write_text("00001/0002\n")
    write_png(tmp_path / "photo.png")
    cache = tmp_path / "cache"
    shots = build_cache([tmp_path / "vimeo"], cache)
    assert [(shot.num_frames, shot.height, shot.width, shot.full_chroma) for shot in shots] == [(7, 48, 64, True)] * 2
    assert len(build_cache([tmp_path / "vimeo" / "sequences"], cache)) == 3
    assert [source.path.name for source in find_sources([tmp_path])] == ["photo.png", "0001", "0001"]
    crops = CropSampler(shots, cache, patch=32, num_frames=7, seed=1).batch(0, 2)
    assert crops.shape == (2, 7, 3, 32, 32)


def test_png_clip_is_full_chroma_bt709(tmp_path: Path) -> None:
    """Samples as in docs/bitstream.md, in the order of the frames; two files of a clip replaced, it is decoded anew."""
    colours = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)]
    for number, colour in enumerate(colours, 1):
        write_png(tmp_path / "clip" / f"im{number}.png", colour)
    shot = build_cache([tmp_path / "clip"], tmp_path / "cache")[0]
    luma, cb, cr = (plane[:, 5, 7].tolist() for plane in shot.planes(tmp_path / "cache"))
    assert luma == [54, 182, 18, 255]
    assert cb[2] == 255
    assert cr[0] == 255
    assert cb[3] == cr[3] == 128
    assert cb[0] == round((0 - 0.2126) / 1.8556 * 255 + 127.5)
    write_png(tmp_path / "clip" / "im5.png")
    assert build_cache([tmp_path / "clip"], tmp_path / "cache")[0].num_frames == 5


@pytest.mark.parametrize(("lost", "named"), [("im3.png", "im2.png and im4.png"), ("im7.png", "im7.png is missing")])
def test_missing_frame_is_named(lost: str, named: str, tmp_path: Path) -> None:
    write_septuplet(tmp_path, "00001/0001")
    (tmp_path / "sequences" / "00001" / "0001" / lost).unlink()
    if lost == "im7.png":  # seven are expected where the list names the clip
        (tmp_path / "sep_trainlist.txt").write_text("00001/0001\n")
    with pytest.raises(InputError, match=named):
        find_sources([tmp_path])


def test_frames_of_two_sizes_are_refused(tmp_path: Path) -> None:
    write_septuplet(tmp_path, "00001/0001", 3)
    write_png(tmp_path / "sequences/00001/0001/im4.png", size=(64, 32))
    with pytest.raises(InputError, match=r"im4\.png is 64x32, expected 64x48.*photos") as caught:
        build_cache([tmp_path], tmp_path / "cache")
    assert "im1.png" in str(caught.value)


@pytest.mark.parametrize("line", ["../../etc/0001", "00001", "/00001/0001", "00001/0001/../../.."])
def test_strange_list_lines_are_refused(line: str, tmp_path: Path) -> None:
    write_septuplet(tmp_path, "00001/0001")
    (tmp_path / "sep_trainlist.txt").write_text(f"00001/0001\n{line}\n")
    with pytest.raises(InputError, match=r"sep_trainlist\.txt, line 2"):
        find_sources([tmp_path])


def test_damaged_files_are_named_and_leave_no_cache(tmp_path: Path) -> None:
    write_septuplet(tmp_path / "clips", "00001/0001", 3)
    frame = tmp_path / "clips/sequences/00001/0001/im2.png"
    frame.write_bytes(frame.read_bytes()[:60])
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "p.jpg").write_bytes(b"no picture")
    (tmp_path / "videos").mkdir()
    (tmp_path / "videos" / "v.mkv").write_bytes(b"no video")
    cache = tmp_path / "cache"
    for folder, name in (("clips", "im2.png"), ("photos", "p.jpg"), ("videos", "v.mkv")):
        with pytest.raises(InputError, match=name):
            build_cache([tmp_path / folder], cache)
    assert list(cache.iterdir()) == []


def test_video_files_are_cropped_to_even_sides(tmp_path: Path) -> None:
    pytest.importorskip("av")
    (tmp_path / "clip.y4m").write_bytes(y4m_clip(34, 38, 3))
    shot = build_cache([tmp_path], tmp_path / "cache")[0]
    assert (shot.num_frames, shot.height, shot.width, shot.full_chroma) == (3, 38, 34, False)
    frame = np.frombuffer(y4m_clip(34, 38, 3).split(b"FRAME\n", 2)[1], np.uint8)
    assert np.array_equal(shot.planes(tmp_path / "cache")[0][0].ravel(), frame[: 34 * 38])
    assert json.loads((tmp_path / "cache" / shot.path).with_suffix(".json").read_text())["num_frames"] == 3


def test_crop_depends_on_its_number_and_not_on_its_neighbours(tmp_path: Path) -> None:
    for number in range(1, 5):
        random = np.random.default_rng(number)
        path = tmp_path / f"photo{number}.png"
        Image.fromarray(random.integers(0, 256, (80, 80, 3), dtype=np.uint8)).save(path)
    sampler = CropSampler(
        build_cache([tmp_path], tmp_path / "cache"), tmp_path / "cache", patch=32, num_frames=1, seed=2
    )
    whole = sampler.batch(11, 5)
    assert np.array_equal(np.concatenate([sampler.batch(11, 2), sampler.batch(11, 3, first=2)]), whole)
    assert len({crop.tobytes() for crop in whole}) == 5
