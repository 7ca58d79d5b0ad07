"""The encoder's choice of a floor: single colours, what stands still, quality by QP, good pictures left alone."""

from itertools import pairwise

import numpy as np
import pytest

from dcvc_cli.families.lite.filter.filters import bytes_of_plane
from dcvc_cli.families.lite.floor.frame_floor import (
    FloorChooser,
    FloorCoder,
    apply_floor,
    bit_price,
    step_for,
    step_of_qp,
    step_size,
)
from dcvc_cli.families.lite.floor.parts import COMPENSATED, FLAT, UNTOUCHED, Planes
from dcvc_cli.families.lite.samples import levels_of_samples, samples_of_levels

pytest.importorskip("dcvc_cli._floor")
pytestmark = pytest.mark.native
Source = tuple[np.ndarray, ...]
SIZES = ((48, 64), (24, 32), (24, 32))


def samples(source: Source, bit_depth: int = 8) -> Planes:
    luma, cb, cr = (samples_of_levels(plane, bit_depth) for plane in source)
    return luma, cb, cr


def near(source: Source, spread: float, seed: int = 0) -> Planes:
    """Returns the source's samples, each wrong by so many grey levels on average."""
    rng = np.random.default_rng(seed)
    luma, cb, cr = (
        (plane + rng.normal(0, spread * 32.125, plane.shape)).clip(0, 8192).astype(np.int16)
        for plane in samples(source)
    )
    return luma, cb, cr


def noise(seed: int = 1) -> Source:
    rng = np.random.default_rng(seed)
    return tuple(rng.integers(0, 256, size).astype(np.uint8) for size in SIZES)


def quality(source: Source, planes: Planes) -> float:
    """Returns the least PSNR of the planes, as they are put out."""
    errors = [
        ((plane.astype(float) - bytes_of_plane(found, *plane.shape)) ** 2).mean()
        for plane, found in zip(source, planes, strict=True)
    ]
    return float(10 * np.log10(255**2 / max(*errors, 1e-9)))


def chosen(source: Source, picture: Planes, qp: int, compensated: Planes | None = None) -> tuple[float, float, int]:
    """Chooses the floor of a picture. Returns (quality, share of touched blocks, bytes)."""
    choice = FloorChooser().choose(picture, compensated, samples(source), FloorCoder(), bit_price(qp, qp))
    return (
        quality(source, apply_floor(choice.floor, picture, compensated)),
        choice.touched_share,
        len(FloorCoder().encode(choice.floor)),
    )


def test_quality_of_white_noise_rises_with_every_qp_and_passes_45_db_before_the_last():
    grey = samples(tuple(np.full(size, 128, np.uint8) for size in SIZES))
    found = [chosen(noise(), grey, qp)[0] for qp in range(64)]
    assert all(after > before - 0.05 for before, after in pairwise(found))
    assert found[62] > 45
    assert found[63] > found[62] + 1


@pytest.mark.parametrize("qp", [0, 32, 63])
def test_a_picture_of_one_colour_is_put_out_exactly_for_a_few_bytes(qp: int):
    source = tuple(np.full(size, level, np.uint8) for size, level in zip(SIZES, (29, 255, 107), strict=True))
    reached, _, num_bytes = chosen(source, near(source, 1.5), qp)
    assert reached > 90
    assert num_bytes < 12


def test_a_picture_that_is_put_out_right_is_left_alone():
    source = tuple(np.full(size, 128, np.uint8) for size in SIZES)
    picture = tuple(plane + np.int16(9) for plane in samples(source))
    assert chosen(source, picture, 63)[1] == 0


@pytest.mark.parametrize("qp", [10, 40])
def test_a_good_picture_is_left_alone(qp: int):
    assert chosen(noise(), near(noise(), 1), qp)[1] == 0


def test_what_stands_still_never_gets_worse():
    """However small the step for the worse, at a QP that would not pay for it; what gets better may change."""
    source, chooser, coder = noise(), FloorChooser(), FloorCoder()
    before = near(source, 4)
    chooser.remember(samples(source))
    coder.encode(chooser.choose(before, None, samples(source), coder, bit_price(0, 0)).floor)
    choice = chooser.choose(near(source, 4.05), before, samples(source), coder, bit_price(0, 0))
    parts = choice.floor.parts()
    assert parts is not None
    assert (parts.bases == COMPENSATED).all()
    assert chooser.choose(near(source, 3.9), before, samples(source), coder, bit_price(0, 0)).touched_share == 0


def test_a_floor_is_worth_its_bits():
    """The floor mends a broken corner and does not touch the rest."""
    source = noise()
    picture = near(source, 1)
    picture[0][:16, :16] = 0
    choice = FloorChooser().choose(picture, None, samples(source), FloorCoder(), bit_price(40, 40))
    parts = choice.floor.parts()
    assert parts is not None
    assert parts.bases[0, 0] != UNTOUCHED
    assert np.count_nonzero(parts.bases) == 1


def test_a_cut_to_one_colour_takes_it():
    source = tuple(np.full(size, level, np.uint8) for size, level in zip(SIZES, (235, 128, 128), strict=True))
    dark = samples(tuple(np.full(size, 16, np.uint8) for size in SIZES))
    choice = FloorChooser().choose(dark, dark, samples(source), FloorCoder(), bit_price(21, 21))
    parts = choice.floor.parts()
    assert parts is not None
    assert (parts.bases == FLAT).all()
    assert (parts.flat == (235, 128, 128)).all()


def test_steps_follow_prices():
    for step_index in range(63):
        assert step_for(0.115 * (step_size(step_index) * 255 / 8192) ** 2) == step_index
    prices = [bit_price(qp, qp) for qp in range(64)]
    assert prices == sorted(prices, reverse=True)
    assert bit_price(71, 50) < bit_price(63, 50)


def test_noise_of_10_bits_passes_what_8_bits_can_show_at_the_last_qp():
    rng = np.random.default_rng(1)
    source = tuple(rng.integers(384, 640, size).astype(np.uint16) for size in SIZES)
    picture, coder = samples(tuple(np.full(size, 512, np.uint16) for size in SIZES), 10), FloorCoder(10)
    choice = FloorChooser().choose(picture, None, samples(source, 10), coder, bit_price(63, 63, 10))
    planes = apply_floor(choice.floor, picture, None)
    errors = [levels_of_samples(found, 10).astype(float) - plane for found, plane in zip(planes, source, strict=True)]
    rounded = [np.rint(plane / 4).clip(0, 255) * 4 - plane for plane in source]
    of_floor, of_rounding = (max(float((error**2).mean()) for error in those) for those in (errors, rounded))
    assert 10 * np.log10(of_rounding / of_floor) > 2


def test_steps_of_the_last_qps():
    assert [step_of_qp(qp) for qp in range(45, 64)] == [None, *range(33, 15, -1)]
    assert [step_of_qp(qp, 10) for qp in (45, 46, 47, 55, 63)] == [None, 33, 31, 17, 2]


def test_a_flat_colour_of_10_bits_is_put_out_exactly():
    source = tuple(np.full(size, level, np.uint16) for size, level in zip(SIZES, (941, 514, 3), strict=True))
    picture = samples(tuple(np.full(size, 512, np.uint16) for size in SIZES), 10)
    coder = FloorCoder(10)
    choice = FloorChooser().choose(picture, None, samples(source, 10), coder, bit_price(30, 30, 10))
    data = coder.encode(choice.floor)
    floor = FloorCoder(10).decode(data, 3, 4, True)
    for found, plane in zip(apply_floor(floor, picture, None), source, strict=True):
        np.testing.assert_array_equal(levels_of_samples(found, 10), plane)
    assert len(data) < 16
