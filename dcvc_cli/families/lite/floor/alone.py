"""Frames that the floor codes alone, without the networks: which step gives a quality that never falls with rising QP.

A uniform quantiser is lucky where a picture has few values: a coarse step may hit them better than a fine one does. So
steps are tried from coarse to fine, and one takes the place of the one before only if no plane loses by it.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dcvc_cli.families.lite.filter.filters import FilterCoder, FilterFit, filter_planes
from dcvc_cli.families.lite.floor.frame_floor import (
    FloorChooser,
    FloorCoder,
    apply_floor,
    bit_price,
    price_of_step,
    step_for,
)
from dcvc_cli.families.lite.floor.parts import BLOCK, Planes
from dcvc_cli.families.lite.motion.field import search_lambda
from dcvc_cli.families.lite.samples import MAX_SAMPLE

COARSEST_STEP = 62
TRIED_STEPS = 18
"""Steps coarser than the finest: three octaves."""
LOSS, GAIN = 1.0116, 0.5
"""Of squared errors: 0.05 dB that a plane may lose, and 3 dB of the picture that are worth more than any plane."""
WEIGHTS = np.array([1, 0.5, 0.5])
"""Of mean errors of Y, Cb and Cr in the picture's."""
WINDOW_BLOCKS = 256
"""Of a picture with more blocks, steps are tried on the middle."""
LEAST_MEAN_ERROR = 1
"""In squared grey levels, 48 dB: below it no plane counts as worse than another."""
LEAST_SAMPLED, SAMPLED_SHARE = 64, 1 / 16
"""Blocks that `alone_cost` looks at."""


NETWORKS_PRICE = 1 / 8
"""Of the price that a bit has in the search for vectors: what the networks pay for it."""
ALONE_PRICE = 1 / 4
"""Of the price that a bit has in the floor: what it is worth to a floor without networks at the last QPs."""


@dataclass(frozen=True)
class FramePrices:
    """What a bit is worth to a frame, in squared grey levels.

    Attributes:
        floor: to the floor that corrects the networks' picture.
        search: to the search for vectors.
    """

    floor: float
    search: float

    @staticmethod
    def at(row: int, target_qp: int, bit_depth: int) -> "FramePrices":
        """Args: as frame_floor.bit_price."""
        return FramePrices(bit_price(row, target_qp, bit_depth), search_lambda(row) ** 2)

    @property
    def networks(self) -> float:
        """Returns what the networks pay for a bit, nearly."""
        return min(NETWORKS_PRICE * self.search, self.floor)

    @property
    def alone(self) -> float:
        """Returns the price to the floor that codes a frame alone."""
        return min(NETWORKS_PRICE * self.search, ALONE_PRICE * self.floor)


@dataclass(frozen=True)
class AloneTerms:
    """How the floor is to code a frame alone.

    Attributes:
        price: of a bit, in squared grey levels.
        trust: as AloneSteps.find takes it.
    """

    price: float
    trust: float


def alone_cost(compensated: Planes | None, source: Planes, coder: FloorCoder, price: float) -> float:
    """Estimates what the floor alone would cost a sample of luma, found on blocks at even distances.

    Args:
        compensated: in P frames.
        price: of a bit, in squared grey levels.
    """
    rows, columns = (side // BLOCK for side in source[0].shape)
    stride = max(1, int(rows * columns // max(LEAST_SAMPLED, rows * columns * SAMPLED_SHARE)))
    chosen = np.arange(stride // 2, rows * columns, stride)

    def some(planes: Planes) -> Planes:
        taken = []
        for plane in planes:
            side = plane.shape[0] // rows
            blocks = plane.reshape(rows, side, columns, side)[chosen // columns, :, chosen % columns]
            taken.append(np.ascontiguousarray(blocks.transpose(1, 0, 2).reshape(side, -1)))
        luma, cb, cr = taken
        return luma, cb, cr

    wanted = some(source)
    before = None if compensated is None else some(compensated)
    choice = FloorChooser().choose(_unseen(wanted), before, wanted, coder, price, is_alone=True)
    return (choice.error + price * choice.num_bits) / wanted[0].size


class AloneSteps:
    """The steps of a frame that the floor codes alone, and how good each is once filtered.

    Args:
        compensated: in P frames.
        filter_coder: has the filters in force.
    """

    def __init__(
        self, compensated: Planes | None, source: Planes, coder: FloorCoder, filter_coder: FilterCoder
    ) -> None:
        self._source = _middle(source)
        self._compensated = None if compensated is None else _middle(compensated)
        self._coder, self._filter_coder, self._chooser = coder, filter_coder, FloorChooser()
        self._unseen = _unseen(self._source)
        self._known: dict[int, NDArray[np.float64]] = {}

    def find(self, price: float) -> int:
        """Finds the step number to code with, not finer than the price of a bit asks for."""
        return self._chain(step_for(price))[-1]

    def find_between(self, price: float, told: Planes, told_price: float, trust: float) -> int | None:
        """Does the same on the way from the networks' quality to that of the price; None if no step is as good as
        networks.

        Args:
            told: the networks' picture with its floor.
            told_price: that of a bit to its filters, in squared grey levels.
            trust: 0..1, how far to go from the coarsest step that is as good as the networks in every plane.
        """
        wanted = self._errors_of(_middle(told), told_price)
        good = [step for step in self._chain(step_for(price)) if (self._errors(step) <= wanted).all()]
        return good[round(trust * (len(good) - 1))] if good else None

    def _chain(self, finest: int) -> list[int]:
        """Finds, for each step from coarse to fine, the last one by which no plane lost, or the picture won a lot."""
        coarsest = min(finest + TRIED_STEPS, COARSEST_STEP)
        chain, least = [coarsest], self._errors(coarsest)
        for step_index in range(coarsest - 1, finest - 1, -1):
            errors, before = self._errors(step_index), self._errors(chain[-1])
            is_taken = (errors <= LOSS * least).all() or errors @ WEIGHTS <= GAIN * (before @ WEIGHTS)
            chain.append(step_index if is_taken else chain[-1])
            least = np.minimum(least, errors) if is_taken else least
        return chain

    def _errors(self, step_index: int) -> NDArray[np.float64]:
        if step_index not in self._known:
            price = price_of_step(step_index)
            before, source = self._compensated, self._source
            choice = self._chooser.choose(self._unseen, before, source, self._coder, price, is_alone=True)
            self._known[step_index] = self._errors_of(apply_floor(choice.floor, self._unseen, before), price)
        return self._known[step_index]

    def _errors_of(self, planes: Planes, price: float) -> NDArray[np.float64]:
        """Measures the mean squared error of each plane as it is put out, in grey levels, at least LEAST_MEAN_ERROR."""
        filtered = filter_planes(planes, FilterFit().fit(planes, self._source, self._filter_coder, price))
        errors = [
            np.square(_grey_levels(plane) - _grey_levels(wanted)).sum(dtype=np.int64) / wanted.size
            for plane, wanted in zip(filtered, self._source, strict=True)
        ]
        return np.maximum(errors, LEAST_MEAN_ERROR)


def _grey_levels(plane: NDArray[np.int16]) -> NDArray[np.int32]:
    return (plane.astype(np.int32) * 255 + MAX_SAMPLE // 2) // MAX_SAMPLE


def _middle(planes: Planes) -> Planes:
    """Returns the planes, or of large ones the WINDOW_BLOCKS in the middle."""
    rows, columns = (side // BLOCK for side in planes[0].shape)
    high = min(rows, max(int(WINDOW_BLOCKS**0.5), WINDOW_BLOCKS // columns))
    wide = min(columns, WINDOW_BLOCKS // high)
    top, left = (rows - high) // 2, (columns - wide) // 2
    taken = []
    for plane in planes:
        side = plane.shape[0] // rows
        part = plane[side * top : side * (top + high), side * left : side * (left + wide)]
        taken.append(np.ascontiguousarray(part))
    luma, cb, cr = taken
    return luma, cb, cr


def _unseen(source: Planes) -> Planes:
    """Makes a picture of which nothing is used."""
    luma, cb, cr = (np.zeros(plane.shape, np.int16) for plane in source)
    return luma, cb, cr
