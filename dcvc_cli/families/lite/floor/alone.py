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
COARSER_STEPS, FINER_STEPS = 4, 6
"""Steps beside an I frame's that a P frame tries to keep its promise."""
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
LOG_THRIFT, THRIFT_GRAIN = 4.0, 0.2
"""In octaves: how much more than the step's price a bit may be worth to a P frame that is better than its promise, and
how closely that is searched."""
P_LOSS = 1.06
"""Of squared errors: 0.25 dB that a plane of a P frame may be worse than promised."""
CHEAP_SHARES = (1.12, 0.2), (1.03, 0.6), (0.0, 1.0)
"""By how much the luckiest plane of a P frame may be better than promised, and for which share of the bits of an I
frame. At the next QP it would be no better than promised. Up to 0.13 dB it only has to be cheaper; beyond that, and
beyond 0.5 dB, it has to pay."""


@dataclass(frozen=True)
class FramePrices:
    """What a bit is worth to a frame, in squared grey levels.

    Attributes:
        floor: to the floor that corrects the networks' picture.
        search: to the search for vectors.
        alone: to the floor that codes a frame alone. It is that of the QP that the user chose, without the pattern of
            good frames: where a reference is as good as its picture is to be, nothing is left to code.
    """

    floor: float
    search: float
    alone: float

    @staticmethod
    def at(row: int, target_qp: int, bit_depth: int) -> "FramePrices":
        """Args: as frame_floor.bit_price."""
        alone = NETWORKS_PRICE * search_lambda(target_qp) ** 2, ALONE_PRICE * bit_price(target_qp, target_qp, bit_depth)
        return FramePrices(bit_price(row, target_qp, bit_depth), search_lambda(row) ** 2, min(alone))

    @property
    def networks(self) -> float:
        """Returns what the networks pay for a bit, nearly."""
        return min(NETWORKS_PRICE * self.search, self.floor)


@dataclass(frozen=True)
class AloneTerms:
    """How the floor is to code a frame alone.

    Attributes:
        price: of a bit, in squared grey levels.
        trust: as AloneSteps.find_between takes it.
        is_firm: whether networks that break the promise are not taken, whatever they cost.
    """

    price: float
    trust: float
    is_firm: bool = False


@dataclass(frozen=True)
class AloneChoice:
    """How the floor codes a frame alone.

    Attributes:
        step_index: the step number.
        thrift: what a bit is worth, as a multiple of the price at which a uniform quantiser has this step.
        is_i: whether no block has anything of the compensated picture, as in I frames.
    """

    step_index: int
    thrift: float = 1
    is_i: bool = False

    @property
    def price(self) -> float:
        """Returns the price of a bit, in squared grey levels."""
        return self.thrift * price_of_step(self.step_index)

    def terms(self, compensated: Planes | None, coder: FloorCoder) -> tuple[Planes | None, FloorCoder]:
        """Returns the compensated picture and the coder to choose with.

        What is chosen as in I frames has the prices of the start of a stream, so it is the same whatever came before.
        """
        return (None, FloorCoder(coder.bit_depth)) if self.is_i else (compensated, coder)


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
        self._known: dict[AloneChoice, tuple[NDArray[np.float64], float]] = {}

    def find(self, price: float) -> AloneChoice:
        """Finds how to code the frame: an I frame with a step not finer than the price of a bit asks for, a P frame so
        that it keeps the promise and is hardly better."""
        as_i = AloneChoice(self._chain(step_for(price))[-1], is_i=True)
        if self._compensated is None:
            return as_i
        promised, around = self._errors(as_i), as_i.step_index
        wanted = P_LOSS * promised
        steps = range(min(around + COARSER_STEPS, COARSEST_STEP), max(around - FINER_STEPS, 0) - 1, -1)
        good = [choice for choice in map(AloneChoice, steps) if (self._errors(choice) <= wanted).all()]
        if not good:
            return as_i

        def luck(choice: AloneChoice) -> float:
            return float((promised / self._errors(choice)).max())

        found = self._thrifty(min(good, key=luck), wanted)
        share = next(share for least, share in CHEAP_SHARES if luck(found) > least)
        return found if self._bits(found) < share * self._bits(as_i) else as_i

    def _thrifty(self, found: AloneChoice, wanted: NDArray[np.float64]) -> AloneChoice:
        """Makes bits as dear as the wanted errors allow, with the same step."""
        good, bad = 0.0, LOG_THRIFT
        while bad - good > THRIFT_GRAIN:
            middle = AloneChoice(found.step_index, 2 ** ((good + bad) / 2))
            if (self._errors(middle) <= wanted).all():
                good, found = (good + bad) / 2, middle
            else:
                bad = (good + bad) / 2
        return found

    def keeps_promise(self, told: Planes, told_price: float, price: float) -> bool:
        """Says whether the networks' picture with its floor is as good as the floor alone promises at a price.

        Args:
            told_price: of a bit to the filters of the networks' picture, in squared grey levels.
        """
        promised = self._errors(AloneChoice(self._chain(step_for(price))[-1], is_i=True))
        return bool((self._errors_of(_middle(told), told_price, self._filter_coder) <= P_LOSS * promised).all())

    def find_between(self, price: float, told: Planes, told_price: float, trust: float) -> AloneChoice | None:
        """Does the same for I frames on the way from the networks' quality to that of the price; None if no step is as
        good as the networks.

        Args:
            told: the networks' picture with its floor.
            told_price: that of a bit to its filters, in squared grey levels.
            trust: 0..1, how far to go from the coarsest step that is as good as the networks in every plane.
        """
        wanted = LOSS * self._errors_of(_middle(told), told_price, self._filter_coder)
        finest = step_for(price)
        steps = [*self._chain(finest), *range(finest - 1, max(finest - FINER_STEPS, 0) - 1, -1)]
        good = [one for one in steps if (self._errors(AloneChoice(one, is_i=True)) <= wanted).all()]
        if not good:
            return None
        num_coarse = max(1, sum(one >= finest for one in good))
        return AloneChoice(good[round(trust * (num_coarse - 1))], is_i=True)

    def _chain(self, finest: int) -> list[int]:
        """Finds, for each step from the coarsest to the finest, the last one by which no plane lost, or the picture won
        a lot.

        The chain of a coarser finest step is the beginning of that of a finer one, so quality does not fall as the
        price does.
        """
        chain, least = [COARSEST_STEP], self._errors(AloneChoice(COARSEST_STEP, is_i=True))
        for step_index in range(COARSEST_STEP - 1, finest - 1, -1):
            errors, before = (self._errors(AloneChoice(one, is_i=True)) for one in (step_index, chain[-1]))
            is_taken = (errors <= LOSS * least).all() or errors @ WEIGHTS <= GAIN * (before @ WEIGHTS)
            chain.append(step_index if is_taken else chain[-1])
            least = np.minimum(least, errors) if is_taken else least
        return chain

    def _errors(self, wanted: AloneChoice) -> NDArray[np.float64]:
        return self._result(wanted)[0]

    def _bits(self, wanted: AloneChoice) -> float:
        return self._result(wanted)[1]

    def _result(self, wanted: AloneChoice) -> tuple[NDArray[np.float64], float]:
        """Returns (error of each plane, bits)."""
        if wanted not in self._known:
            before, coder = wanted.terms(self._compensated, self._coder)
            filter_coder = FilterCoder() if wanted.is_i else self._filter_coder
            planes, source, how = self._unseen, self._source, (wanted.price, True, wanted.step_index)
            choice = self._chooser.choose(planes, before, source, coder, *how)
            errors = self._errors_of(apply_floor(choice.floor, planes, before), wanted.price, filter_coder)
            self._known[wanted] = errors, choice.num_bits
        return self._known[wanted]

    def _errors_of(self, planes: Planes, price: float, coder: FilterCoder) -> NDArray[np.float64]:
        """Measures the mean squared error of each plane as it is put out, in grey levels, at least LEAST_MEAN_ERROR."""
        filtered = filter_planes(planes, FilterFit().fit(planes, self._source, coder, price))
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
