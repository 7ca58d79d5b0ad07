"""Scenes begin at cuts, never at flashes, fades, shaking, noise or a strobe; nothing waits where nothing is
suspected."""

import numpy as np
import pytest

from dcvc_cli.codec.choices import CodingChoices
from dcvc_cli.control.frame_control import FrameControl, Lookahead
from dcvc_cli.control.scene_cuts import LOOKAHEAD, SceneCuts, SeenPicture
from dcvc_cli.control.thumbnails import SHORT_SIDE, THUMBNAIL_BLOCK, detail, difference, thumbnail
from dcvc_cli.format.types import ChromaFormat, Picture, PictureSize, VideoFormat

HEIGHT, WIDTH = 72, 96
FORMAT = VideoFormat(PictureSize(WIDTH, HEIGHT))


def scene(seed: int, num_frames: int, motion: int = 2) -> list[np.ndarray]:
    """Returns random detail of three sizes that moves right by `motion` samples a frame."""
    random = np.random.default_rng(seed)
    width = WIDTH + 256
    large = 120 + sum(
        strength
        * random.normal(0, 1, (HEIGHT // cell + 1, width // cell + 1)).repeat(cell, 0).repeat(cell, 1)[:HEIGHT, :width]
        for cell, strength in ((8, 12), (4, 24), (2, 24))
    )
    return [large[:, k * motion : k * motion + WIDTH].clip(16, 235) for k in range(num_frames)]


def faded(frames: list[np.ndarray], gains: np.ndarray) -> list[np.ndarray]:
    return [16 + (frame - 16) * gain for frame, gain in zip(frames, gains, strict=True)]


def pictures(frames: list[np.ndarray]) -> list[Picture]:
    grey = np.full((HEIGHT // 2, WIDTH // 2), 128, np.uint8)
    return [Picture((np.rint(frame).astype(np.uint8), grey, grey)) for frame in frames]


def cuts_in(frames: list[np.ndarray]) -> list[int]:
    seen = list(Lookahead(FORMAT, needed=True).over(pictures(frames)))
    assert len(seen) == len(frames)
    return [index for index, one in enumerate(seen) if one.begins_scene]


def test_cuts_are_found_where_they_are():
    lengths = (12, 7, 20, 9, 15)
    frames = [frame for seed, length in enumerate(lengths) for frame in scene(seed, length, motion=2 * seed)]
    assert cuts_in(frames) == [12, 19, 39, 48]


@pytest.mark.parametrize("length", [1, 2, 3])
def test_a_flash_begins_no_scene(length: int):
    frames = scene(0, 16)
    for index in range(8, 8 + length):
        frames[index] = frames[index] * 0.2 + 188
    assert cuts_in(frames) == []
    for index in range(8, 8 + length):
        frames[index] = np.full((HEIGHT, WIDTH), 235.0)
    assert cuts_in(frames) == []


def test_fades_begin_no_scene():
    steps = np.linspace(1, 0, 10)
    out, back = faded(scene(0, 10), steps), faded(scene(1, 10), steps[::-1])
    dissolve = [
        a * (1 - k) + b * k for a, b, k in zip(scene(2, 10, 0), scene(3, 10, 0), np.linspace(0, 1, 10), strict=True)
    ]
    assert cuts_in(scene(0, 1) * 5 + out + [np.full((HEIGHT, WIDTH), 16.0)] * 3 + back) == []
    assert cuts_in(scene(2, 1) * 5 + dissolve + scene(3, 1) * 5) == []


def test_shaking_noise_and_a_strobe_begin_no_scene():
    random = np.random.default_rng(0)
    still = scene(0, 1)[0]
    assert cuts_in([np.roll(still, 2 * random.integers(-2, 3, 2), (0, 1)) for _ in range(20)]) == []
    assert cuts_in([random.integers(0, 256, (HEIGHT, WIDTH)).astype(float) for _ in range(12)]) == []
    assert cuts_in([np.full((HEIGHT, WIDTH), 235.0 * (k % 2)) for k in range(12)]) == []
    assert cuts_in([scene(k % 2, 1)[0] for k in range(12)]) == []


def test_pictures_wait_only_while_a_cut_is_suspected():
    cuts = SceneCuts(FORMAT)
    given = [len(list(cuts.push(picture))) for picture in pictures(scene(0, 6) + scene(1, 6))]
    assert given == [1] * 6 + [0] * LOOKAHEAD + [1 + LOOKAHEAD] + [1] * (5 - LOOKAHEAD)
    assert list(cuts.flush()) == []
    for picture in pictures(scene(2, 2)):
        assert list(cuts.push(picture)) == []
    assert [one.begins_scene for one in cuts.flush()] == [True, False], "the clip ends: what is there decides"


def test_a_minimum_distance_holds_for_cuts():
    """From any I frame: the first, one ordered, one due after `keyint` frames, one forced."""
    picture = pictures(scene(0, 1))[0]
    control = FrameControl(CodingChoices(min_keyint=3, keyint=5, forced_keys=frozenset({10})))
    cut = SeenPicture(picture, True, 0, 0)
    plain = SeenPicture(picture, False, 0, 0)
    found = [control.order(plain).is_key, *(control.order(cut).is_key for _ in range(4))]
    assert found == [False, False, False, True, False]
    assert [control.order(plain).is_key for _ in range(3)] == [False] * 3
    assert [control.order(one).is_key for one in (cut, cut, cut, cut, cut, cut)] == [True] + [False] * 4 + [True]
    assert not FrameControl(CodingChoices(scene_cuts=False)).order(cut).is_key


@pytest.mark.parametrize("size", [(1, 1), (7, 3), (9, 8), (33, 300), (720, 1280)])
def test_thumbnails_of_any_size(size: tuple[int, int]):
    height, width = size
    planes = tuple(np.full(size, level, np.uint8) for level in (10, 200, 30))
    for chroma, level in ((ChromaFormat.RGB, 200), (ChromaFormat.YUV420, 10)):
        small = thumbnail(Picture(planes), VideoFormat(PictureSize(width, height), chroma))
        assert (small == level).all()
        assert not any(side % THUMBNAIL_BLOCK for side in small.shape)
        assert min(small.shape) < 2 * SHORT_SIDE
        assert detail(small) == 0
        assert difference(small, 0 * small) == 0


def test_difference_sees_motion_and_not_brightness():
    first, second = (frame.astype(np.int16) for frame in scene(0, 2, motion=4))
    assert difference(first, first) == 0
    assert difference(first + 9, first) == 0
    assert difference(second, first) * 5 < detail(second)
    other = scene(1, 1)[0].astype(np.int16)
    assert detail(other) // 2 < difference(other, first) <= detail(other)
