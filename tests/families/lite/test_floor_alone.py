"""Frames that the floor codes alone: nothing of the networks' picture, and a step by which no plane loses."""

from itertools import pairwise

import numpy as np
import pytest

from dcvc_cli.families.lite.filter.filters import FilterCoder
from dcvc_cli.families.lite.floor.alone import (
    LEAST_MEAN_ERROR,
    LOSS,
    P_LOSS,
    AloneChoice,
    AloneSteps,
    alone_cost,
)
from dcvc_cli.families.lite.floor.frame_floor import (
    FloorChooser,
    FloorCoder,
    apply_floor,
    price_of_step,
    step_for,
)
from dcvc_cli.families.lite.floor.parts import COMPENSATED, FLAT, Planes

pytest.importorskip("dcvc_cli._floor")
pytestmark = pytest.mark.native
ROW, COLUMN = np.indices((48, 64))


def samples(luma: np.ndarray, cb: np.ndarray, cr: np.ndarray) -> Planes:
    """Returns the samples of grey levels 0..255."""
    luma, cb, cr = (((plane.clip(0, 255).astype(int) * 8192 + 127) // 255).astype(np.int16) for plane in (luma, cb, cr))
    return luma, cb, cr


def grey(luma: np.ndarray) -> Planes:
    half = np.full((luma.shape[0] // 2, luma.shape[1] // 2), 128)
    return samples(luma, half, half)


def noise(height: int = 48, width: int = 64) -> Planes:
    rng = np.random.default_rng(1)
    sizes = (height, width), (height // 2, width // 2), (height // 2, width // 2)
    luma, cb, cr = (rng.integers(0, 256, size) for size in sizes)
    return samples(luma, cb, cr)


CONTENTS = {
    "checkerboard": grey((ROW + COLUMN) % 2 * 255),
    "two of three lines": grey(np.where(ROW % 3 == 0, 255, 0)),
    "soft checkerboard": grey(128 + 20 * ((ROW + COLUMN) % 2 * 2 - 1)),
    "slope": grey(2 * (ROW + COLUMN)),
    "noise": noise(),
}


def as_i(step_index: int) -> AloneChoice:
    return AloneChoice(step_index, is_i=True)


def moved(source: Planes, spread: float, seed: int = 2) -> Planes:
    """Its planes with an error."""
    rng = np.random.default_rng(seed)
    luma, cb, cr = ((plane + rng.normal(0, spread, plane.shape)).clip(0, 8192).astype(np.int16) for plane in source)
    return luma, cb, cr


def any_planes(source: Planes, seed: int) -> Planes:
    rng = np.random.default_rng(seed)
    luma, cb, cr = (rng.integers(0, 8193, plane.shape).astype(np.int16) for plane in source)
    return luma, cb, cr


def test_nothing_of_the_picture_is_left_or_matters():
    source, price = noise(), price_of_step(30)
    floors = []
    for seed in (1, 2):
        picture = any_planes(source, seed)
        choice = FloorChooser().choose(picture, None, source, FloorCoder(), price, is_alone=True)
        parts = choice.floor.parts()
        assert parts is not None
        assert (parts.bases == FLAT).all()
        floors.append(FloorCoder().encode(choice.floor))
    assert floors[0] == floors[1]


def test_p_frames_may_take_the_compensated_picture():
    source = noise()
    picture, compensated = any_planes(source, 1), source
    choice = FloorChooser().choose(picture, compensated, source, FloorCoder(), price_of_step(30), is_alone=True)
    parts = choice.floor.parts()
    assert parts is not None
    assert (parts.bases == COMPENSATED).all()
    for one, other in zip(apply_floor(choice.floor, picture, compensated), compensated, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("name", CONTENTS)
def test_no_plane_is_worse_at_a_finer_step(name: str):
    """Prices of falling steps; errors are compared as the search measures them, filtered."""
    steps = AloneSteps(None, CONTENTS[name], FloorCoder(), FilterCoder())
    found = [steps.find(price_of_step(step_index)) for step_index in range(44, 18, -1)]
    errors = [steps._errors(choice) for choice in found]
    least = np.minimum.accumulate(errors)
    assert (errors <= LOSS * LOSS * least).all(), found
    assert errors[-1].max() < errors[0].max()


def test_a_lucky_step_is_kept_and_an_unlucky_one_never_taken():
    steps = AloneSteps(None, CONTENTS["soft checkerboard"], FloorCoder(), FilterCoder())
    found = {steps.find(price_of_step(step_index)) for step_index in range(44, 18, -1)}
    unlucky = [
        finer
        for finer, coarser in pairwise(as_i(step_index) for step_index in range(18, 45))
        if (steps._errors(finer) > steps._errors(coarser)).any()
    ]
    assert unlucky
    assert len(found) < 27


def test_the_step_is_that_of_the_price_where_each_step_is_better():
    steps = AloneSteps(None, noise(), FloorCoder(), FilterCoder())
    for step_index in (20, 30, 40):
        assert steps.find(price_of_step(step_index)) == as_i(step_index)


def test_of_large_pictures_only_the_middle_is_looked_at():
    small, large = noise(256, 256), noise(512, 768)
    for whole, middle in zip(large, small, strict=True):
        top, left = (whole.shape[0] - middle.shape[0]) // 2, (whole.shape[1] - middle.shape[1]) // 2
        whole[top : top + middle.shape[0], left : left + middle.shape[1]] = middle
    found = [AloneSteps(None, source, FloorCoder(), FilterCoder())._errors(as_i(30)) for source in (small, large)]
    np.testing.assert_array_equal(*found)


def test_on_the_way_to_the_floor_the_networks_quality_is_kept():
    source = noise()
    steps, price = AloneSteps(None, source, FloorCoder(), FilterCoder()), price_of_step(20)
    rng = np.random.default_rng(3)
    luma, cb, cr = ((plane + rng.normal(0, 300, plane.shape)).clip(0, 8192).astype(np.int16) for plane in source)
    told = luma, cb, cr
    wanted = steps._errors_of(told, price, FilterCoder())
    first, last = (steps.find_between(price, told, price, trust) for trust in (0, 1))
    assert first is not None
    assert last == as_i(step_for(price))
    assert first.step_index > step_for(price)
    assert (steps._errors(first) <= LOSS * wanted).all()
    assert (steps._errors(as_i(first.step_index + 1)) > LOSS * wanted).any()
    assert steps.find_between(price_of_step(40), source, price, 1) is None


def test_the_cost_alone_is_about_that_of_the_whole_picture():
    for source in (noise(), noise(512, 512)):
        price = price_of_step(36)
        choice = FloorChooser().choose(any_planes(source, 1), None, source, FloorCoder(), price, is_alone=True)
        whole = (choice.error + price * choice.num_bits) / source[0].size
        assert alone_cost(None, source, FloorCoder(), price) == pytest.approx(whole, rel=0.05)


def test_errors_below_a_grey_level_are_none():
    steps = AloneSteps(None, grey(np.full((48, 64), 77)), FloorCoder(), FilterCoder())
    assert (steps._errors(as_i(30)) == LEAST_MEAN_ERROR).all()
    assert steps.find(price_of_step(30)) == as_i(30)


@pytest.mark.parametrize("name", CONTENTS)
@pytest.mark.parametrize("spread", [0, 60, 300, 2000])
def test_a_p_frame_keeps_the_promise_of_an_i_frame(name: str, spread: float):
    """Whatever reference it has: so its quality does not follow the luck of the frames before it."""
    source = CONTENTS[name]
    steps = AloneSteps(moved(source, spread), source, FloorCoder(), FilterCoder())
    alike = AloneSteps(None, source, FloorCoder(), FilterCoder())
    for price in map(price_of_step, (40, 30, 20)):
        promised = alike._errors(alike.find(price))
        found = steps.find(price)
        assert (steps._errors(found) <= P_LOSS * promised).all()


def test_networks_that_break_the_promise_are_told():
    source = noise()
    steps, price = AloneSteps(source, source, FloorCoder(), FilterCoder()), price_of_step(30)
    assert steps.keeps_promise(source, price, price)
    assert not steps.keeps_promise(moved(source, 2000), price, price)
