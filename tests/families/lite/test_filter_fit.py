"""The encoder's fit of output filters: fitted filters bring pictures closer to their source, and are worth their
bits."""

import numpy as np
import pytest
from numpy.typing import NDArray

from dcvc_cli.families.lite.filter.filters import FilterCoder, FilterFit, bytes_of_plane, filter_planes
from dcvc_cli.families.lite.filter.parameters import Filters, Planes
from dcvc_cli.families.lite.samples import samples_of_levels

pytestmark = pytest.mark.native

CHEAP, DEAR = 1.0, 1e9


def noisy_planes(seed: int, halved: bool = True) -> Planes:
    """Makes slow waves with noise of a few grey levels on them, 64x96."""
    rng = np.random.default_rng(seed)

    def plane(height: int, width: int) -> NDArray[np.int16]:
        y, x = np.mgrid[:height, :width]
        return np.clip(4096 + 2000 * np.sin(x / 9 + y / 14) + rng.normal(0, 100, (height, width)), 0, 8192).astype(
            np.int16
        )

    return plane(64, 96), *(plane(32, 48) if halved else plane(64, 96) for _ in range(2))  # type: ignore[return-value]


def source_of(planes: Planes) -> Planes:
    """Makes an 8-bit source that looks like the planes, in samples."""
    luma, cb, cr = (samples_of_levels(bytes_of_plane(plane, *plane.shape), 8) for plane in planes)
    return luma, cb, cr


def errors(planes: Planes, source: Planes) -> list[float]:
    """Measures mean squared errors in grey levels."""
    wide = [plane.astype(np.float64) for plane in source]
    return [float(np.mean(((plane - target) * (255 / 8192)) ** 2)) for plane, target in zip(planes, wide, strict=True)]


def planted() -> Filters:
    filters = Filters.zero()
    filters.luma[:, :4] = 9
    filters.chroma[:, :2] = 12
    return filters


@pytest.mark.parametrize("halved", [True, False])
def test_planted_filters_are_found(halved: bool) -> None:
    planes = noisy_planes(1, halved)
    source = source_of(filter_planes(planes, planted()))
    found = FilterFit().fit(planes, source, FilterCoder(), CHEAP)
    before, after = errors(planes, source), errors(filter_planes(planes, found), source)
    assert all(error < 0.3 * old for old, error in zip(before, after, strict=True)), (before, after)


def test_nothing_is_coded_that_is_not_worth_its_bits() -> None:
    planes = noisy_planes(2)
    source = source_of(filter_planes(planes, planted()))
    assert FilterFit().fit(planes, source, FilterCoder(), DEAR).same_as(Filters.zero())
    coder = FilterCoder()
    coder.encode(planted())
    assert FilterFit().fit(planes, source, coder, DEAR).same_as(planted())


def test_filters_in_force_that_harm_a_picture_are_dropped() -> None:
    """On a pattern all terms of a filter go together, so no change of one coefficient leads from the filters of another
    picture to none at all: 20 dB were lost that way."""
    row, column = np.indices((32, 48))
    pattern = 4096 + 1500 * ((row + column) % 2 * 2 - 1)
    dull = 4096 + 300 * ((row + column) % 2 * 2 - 1)
    flat = np.full((64, 96), 4096, np.int16)
    source = source_of((flat, pattern.astype(np.int16), pattern.astype(np.int16)))
    coder, fit = FilterCoder(), FilterFit()
    coder.encode(fit.fit((flat, dull.astype(np.int16), dull.astype(np.int16)), source, coder, CHEAP))
    assert coder.filters.chroma.any()
    found = FilterFit().fit(source, source, coder, CHEAP)
    assert errors(filter_planes(source, found), source) == [0, 0, 0]


def test_a_fit_remembers_the_frames_before_until_it_is_reset() -> None:
    planes, fit = noisy_planes(3), FilterFit()
    wants_filters, wants_none = source_of(filter_planes(planes, planted())), source_of(planes)
    fit.fit(planes, wants_filters, FilterCoder(), CHEAP)
    assert not fit.fit(planes, wants_none, FilterCoder(), CHEAP).same_as(Filters.zero())
    fit.reset()
    assert fit.fit(planes, wants_none, FilterCoder(), 100.0).same_as(Filters.zero())


def test_wrong_arguments_are_refused() -> None:
    planes = noisy_planes(4)
    with pytest.raises(ValueError, match="one size"):
        FilterFit().fit(planes, source_of((planes[1], planes[1], planes[2])), FilterCoder(), CHEAP)
    with pytest.raises(ValueError, match="negative"):
        FilterFit().fit(planes, source_of(planes), FilterCoder(), -1.0)
