"""Content that the networks never saw, coded with the default weights, keeps the promises of docs/floor.md."""

from dataclasses import dataclass

import numpy as np
import pytest

from dcvc_cli.bitstream.nal import NalType
from dcvc_cli.bitstream.units import FrameUnit
from dcvc_cli.codec.choices import CodingChoices
from dcvc_cli.coding.opened_models import OpenedModel, open_model
from dcvc_cli.coding.stream_format import sps_for
from dcvc_cli.format.entropy_format import EntropyFormat
from dcvc_cli.format.types import ChromaFormat, Picture, PictureSize, VideoFormat
from tests.support.strange_clips import STRANGE_CLIPS

pytestmark = pytest.mark.native
HEIGHT, WIDTH = 48, 64
ROW, COLUMN = np.indices((HEIGHT, WIDTH))
BEST = 100.0
"""Decibels of an exact picture."""


@pytest.fixture(scope="module")
def model() -> OpenedModel:
    pytest.importorskip("torch")
    return open_model("lite", None, "cpu", 1)


@dataclass(frozen=True)
class Coded:
    """A clip coded: frame types, bytes, and the PSNR of Y, Cb and Cr of each frame, at most BEST."""

    types: str
    sizes: list[int]
    quality: np.ndarray


def coded(
    model: OpenedModel, pictures: list[Picture], qp: int, chroma: ChromaFormat = ChromaFormat.YUV420, **choices
) -> Coded:
    """Codes pictures, and checks that a decoder has the encoder's."""
    settings = CodingChoices(qp_i=qp, qp_p=qp, keyint=-1, **choices)
    height, width = pictures[0].planes[0].shape
    sps = sps_for(VideoFormat(PictureSize(width, height), chroma), model.weights, model.precision, settings)
    encoder = model.weights.model.encoder(model.networks, sps, settings)
    decoder = model.weights.model.decoder(model.networks, sps)
    types, sizes, quality = "", [], []
    for index, picture in enumerate(pictures):
        (unit,) = encoder.push(picture)
        (ours,) = encoder.reconstruction()
        frame = FrameUnit(
            0, len(unit.payload), unit.frame_type, 0, sps, unit.qp, unit.reset, unit.payload, index, index % 256
        )
        (theirs,) = decoder.push(frame)
        for one, other in zip(ours.planes, theirs.planes, strict=True):
            np.testing.assert_array_equal(one, other)
        types += "I" if unit.frame_type is NalType.I else "P"
        sizes.append(len(unit.payload))
        quality.append([psnr(one, other) for one, other in zip(picture.planes, ours.planes, strict=True)])
    return Coded(types, sizes, np.array(quality))


def psnr(one: np.ndarray, other: np.ndarray) -> float:
    error = ((one.astype(float) - other) ** 2).mean()
    return BEST if error == 0 else float(10 * np.log10(255**2 / error))


def picture(luma: np.ndarray, cb: np.ndarray | None = None, cr: np.ndarray | None = None) -> Picture:
    """Makes a picture with chroma at half the size of luma; grey where there is none."""
    grey = np.full((luma.shape[0] // 2, luma.shape[1] // 2), 128)
    planes = (luma, grey if cb is None else cb, grey if cr is None else cr)
    return Picture(tuple(np.ascontiguousarray(plane.clip(0, 255)).astype(np.uint8) for plane in planes))  # type: ignore[arg-type]


def flat(luma: int, cb: int = 128, cr: int = 128) -> Picture:
    half = (HEIGHT // 2, WIDTH // 2)
    return picture(np.full((HEIGHT, WIDTH), luma), np.full(half, cb), np.full(half, cr))


def noise(seed: int, spread: float = 80) -> Picture:
    rng = np.random.default_rng(seed)
    half = (HEIGHT // 2, WIDTH // 2)
    return picture(
        rng.normal(128, spread, (HEIGHT, WIDTH)), rng.normal(128, spread / 3, half), rng.normal(128, spread / 3, half)
    )


def text() -> Picture:
    glyphs = np.random.default_rng(5).integers(0, 2, (HEIGHT // 8, WIDTH // 6 + 1, 7, 5))
    luma = np.full((HEIGHT, WIDTH + 6), 235)
    for row, line in enumerate(glyphs):
        for column, glyph in enumerate(line):
            luma[8 * row : 8 * row + 7, 6 * column : 6 * column + 5] = np.where(glyph, 16, 235)
    return picture(luma[:, :WIDTH])


def mosaic() -> Picture:
    """Squares of strong colours."""
    planes = np.random.default_rng(7).integers(0, 2, (3, HEIGHT // 8, WIDTH // 8)) * 200 + 25
    luma, cb, cr = (plane.repeat(side, 0).repeat(side, 1) for plane, side in zip(planes, (8, 4, 4), strict=True))
    return picture(luma, cb, cr)


def slope() -> Picture:
    rows, columns = np.indices((HEIGHT // 2, WIDTH // 2))
    return picture(2 * (ROW + COLUMN), 5 * rows + 60, 5 * columns + 60)


STRANGE = {
    "checkerboard": picture((ROW + COLUMN) % 2 * 255),
    "lines": picture(np.where(ROW % 3 == 0, 255, 0)),
    "lines of one pixel": picture(COLUMN % 2 * 255),
    "white noise": noise(1),
    "text": text(),
    "mosaic": mosaic(),
    "slope": slope(),
}
LADDER = (0, 21, 40, 50, 57, 62)


def require_rising(quality: list[np.ndarray], best: float = 45, tolerance: float = 0.3) -> None:
    """Requires that quality rises in every plane, up to so many decibels."""
    seen = np.minimum(quality, best)
    assert (seen >= np.maximum.accumulate(seen) - tolerance).all(), seen


@pytest.mark.parametrize("name", STRANGE)
def test_quality_never_falls_as_qp_rises_and_passes_45_db_before_the_last(model: OpenedModel, name: str):
    found = [coded(model, [STRANGE[name]], qp).quality[0] for qp in LADDER]
    require_rising(found)
    assert found[-1].min() > 45


@pytest.mark.parametrize("name", [name for name in STRANGE if name != "slope"])
def test_no_plane_loses_a_twentieth_of_a_decibel_at_any_qp(model: OpenedModel, name: str):
    """Up to 48 dB, a mean error of a grey level. The networks code a slope, and their quality moves by more."""
    require_rising([coded(model, [STRANGE[name]], qp).quality[0] for qp in range(0, 64, 3)], 48, 0.05)


def test_a_still_picture_after_it_is_as_good_at_every_qp(model: OpenedModel):
    clips = [coded(model, [STRANGE["text"]] * 3, qp).quality for qp in range(1, 64, 6)]
    for number in range(3):
        require_rising([quality[number] for quality in clips], 48, 0.05)


@pytest.mark.parametrize("name", ["lines of one pixel", "white noise", "text"])
def test_quality_never_falls_after_a_cut_either(model: OpenedModel, name: str):
    require_rising([coded(model, [flat(16), STRANGE[name]], qp).quality[1] for qp in LADDER[1:5]])


@pytest.mark.parametrize("name", ["text, scrolling", "fade to cartoon"])
def test_p_frames_lose_no_more_than_what_they_may_miss_of_their_promise(model: OpenedModel, name: str):
    """A quarter of a decibel, and a twentieth by which the promise itself moves."""
    clips = [coded(model, [STRANGE_CLIPS[name](k) for k in range(3)], qp).quality for qp in range(0, 64, 4)]
    for number in range(3):
        require_rising([quality[number] for quality in clips], 48, 0.3)


@pytest.mark.parametrize("name", ["white noise", "text"])
def test_the_last_qps_are_steps_of_one_size(model: OpenedModel, name: str):
    found = [coded(model, [STRANGE[name]], qp) for qp in range(45, 64)]
    require_rising([clip.quality[0] for clip in found])
    sizes = np.array([clip.sizes[0] for clip in found])
    assert (sizes[1:] < 1.12 * sizes[:-1]).all(), sizes
    assert (sizes[1:] > 0.98 * sizes[:-1]).all(), sizes


@pytest.mark.parametrize(
    ("name", "largest"), [("checkerboard", 1000), ("lines of one pixel", 350), ("text", 2700), ("mosaic", 600)]
)
def test_what_the_networks_do_not_know_takes_no_bits_for_them(model: OpenedModel, name: str, largest: int):
    """With the networks' symbols, the content took two to eight times as many bits at QP 50."""
    assert coded(model, [STRANGE[name]], 50).sizes[0] < largest


@pytest.mark.parametrize("colour", [(41, 240, 110), (29, 255, 107), (81, 90, 240), (235, 128, 128), (0, 128, 128)])
def test_a_picture_of_one_colour_is_exact_at_every_qp(model: OpenedModel, colour: tuple[int, int, int]):
    for qp in (0, 63):
        assert coded(model, [flat(*colour)], qp).quality.min() == BEST


@pytest.mark.parametrize("qp", [21, 63])
def test_black_to_white(model: OpenedModel, qp: int):
    clip = coded(model, [flat(16), *[flat(235)] * 2], qp)
    assert clip.quality.min() == BEST
    assert sum(clip.sizes[1:]) < 100


@pytest.mark.parametrize("cut", [(16, 128), (128, 235), (235, 16)])
def test_saturated_layers_do_no_harm_behind_a_cut(model: OpenedModel, cut: tuple[int, int]):
    """Cuts of luma with strong chroma drive the networks' integers to their ends; the picture is exact all the same."""
    first, second = flat(cut[0], 128, 128), flat(cut[1], 60, 200)
    for qp in (0, 21, 63):
        assert coded(model, [first, second, second], qp).quality.min() == BEST


def test_a_strobe(model: OpenedModel):
    clip = coded(model, [flat(255 * (k % 2)) for k in range(3)], 40)
    assert clip.quality.min() == BEST
    assert sum(clip.sizes) < 200


@pytest.mark.parametrize("qp", [21, 63])
def test_what_stands_still_does_not_wear_out(model: OpenedModel, qp: int):
    """Still content also costs next to nothing. Its PSNR moves by 0.01 dB where samples between two grey levels are
    rounded."""
    clip = coded(model, [noise(3, 8)] * 6, qp)
    assert (clip.quality[-1] >= clip.quality[0] - 0.05).all()
    assert max(clip.sizes[-4:]) < 24


def test_rgb_and_the_partitioned_format(model: OpenedModel):
    rng = np.random.default_rng(0)
    pictures = [Picture(tuple(rng.integers(0, 256, (32, 48)).astype(np.uint8) for _ in range(3))) for _ in range(2)]  # type: ignore[arg-type]
    low, high = (coded(model, pictures, qp, ChromaFormat.RGB).quality.mean() for qp in (20, 63))
    assert high > low + 10
    for entropy_format in (EntropyFormat.COMPACT, EntropyFormat.PARTITIONED):
        assert coded(model, [noise(4), noise(5)], 60, entropy_format=entropy_format).quality.min() > 38
