"""The frame encoder of `lite` chooses symbols, filters and floor of a frame (docs/floor.md, "The encoder's choice")."""

from collections.abc import Callable
from copy import copy
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from dcvc_cli.backend.operations import Tensor
from dcvc_cli.bitstream.varint import write_uv
from dcvc_cli.codec.latents import EncodingSide
from dcvc_cli.codec.networks import CodecNetworks
from dcvc_cli.families.lite.filter.filters import FilterCoder, FilterFit
from dcvc_cli.families.lite.filter.parameters import Filters, Planes
from dcvc_cli.families.lite.floor.alone import AloneChoice, AloneSteps, AloneTerms, FramePrices, alone_cost
from dcvc_cli.families.lite.floor.frame_floor import (
    FloorChoice,
    FloorChooser,
    FloorCoder,
    apply_floor,
)
from dcvc_cli.families.lite.frames import Reference
from dcvc_cli.families.lite.image import ImageModel
from dcvc_cli.families.lite.motion.brightness import BrightnessCoder
from dcvc_cli.families.lite.motion.field import FieldCoder, in_lines
from dcvc_cli.families.lite.motion.motion import SAMPLE_UNIT
from dcvc_cli.families.lite.motion_encoder import MotionEncoder
from dcvc_cli.families.lite.samples import samples_of_levels
from dcvc_cli.families.lite.video import VideoModel
from dcvc_cli.format.entropy_format import EntropyFormat
from dcvc_cli.format.range_coder import EncoderState
from dcvc_cli.stages import FILTER, timed


@dataclass(frozen=True)
class FrameSource:
    """The picture to code.

    Attributes:
        values: network input, float32 (3, Hp, Wp) in 0..1.
        planes: samples 0..8192, of the sizes that floor and filter work on.
    """

    values: NDArray[np.float32]
    planes: Planes


@dataclass(frozen=True)
class Attempt:
    """A frame coded in one way.

    Attributes:
        side: holds the symbols.
        reference: the reference that the frame leaves, before the floor.
        choice: the floor that suits the frame.
        price: price of a bit in squared grey levels.
        is_alone: whether the floor coded it without the networks.
    """

    side: EncodingSide
    reference: Reference
    choice: FloorChoice
    price: float
    is_alone: bool = False

    @property
    def cost(self) -> float:
        """Computes squared error plus the price of floor and symbols, in squared grey levels."""
        return self.cost_at(self.price)

    def cost_at(self, price: float) -> float:
        """Computes the same at another price of a bit."""
        return self.choice.error + price * (self.choice.num_bits + 8 * len(self.side.encoder.finish()))


@dataclass(frozen=True)
class FrameTask:
    """A frame to code.

    Attributes:
        compensated: the planes of the compensated picture, in P frames.
        code: runs the networks on an input with the dead zones of a quantiser; the coder's reference is what comes of
            it.
        silent: the network input for symbols that say nothing.
    """

    source: FrameSource
    compensated: Planes | None
    prices: FramePrices
    code: Callable[[NDArray[np.float32], NDArray[np.float32] | None], EncodingSide]
    silent: NDArray[np.float32]


@dataclass(frozen=True)
class SavedState:
    """What the next frame depends on, beside the networks."""

    reference: Reference
    replaced_share: float
    is_strange: bool
    field_coder: FieldCoder
    filter_coder: FilterCoder
    floor_coder: FloorCoder
    brightness_coder: BrightnessCoder
    filter_fit: FilterFit
    floor_chooser: FloorChooser


def mean_of_planes(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Returns the mean of each plane, (3, 1, 1). The sum is one of integers, so its order changes nothing."""
    samples = np.rint(values / SAMPLE_UNIT).astype(np.int64)
    return (samples.mean((1, 2), dtype=np.float64, keepdims=True) * SAMPLE_UNIT).astype(np.float32)


ERROR_SIDE = 32
"""Side of the squares whose mean error an I frame corrects."""
SILENT_SHARE = 7 / 8
"""Of the blocks: where so many have nothing of the networks' picture, symbols that say nothing are tried too."""
STRANGE_COST, STRANGEST_COST = 0.8, 0.74
"""Of the networks' cost: an I frame that costs the floor less is strange to the networks, and the floor codes it alone.
Down to the second the floor goes over from their quality to its own."""
STILL_STRANGE_COST = 1.1
"""Of the networks' cost: a P frame behind one that the floor coded alone may cost the floor as much."""
KNOWN_SHARE = 1 / 2
"""Of the blocks: where fewer have nothing of the networks' picture, the networks know the content again."""
UNKNOWN_ERROR = 1 / 2
"""Of the price in the search for vectors: where the networks' P frame has a larger squared error a sample, they do not
know such content, and the floor codes the frame alone."""
NOTHING_ABOVE = np.full(128, np.inf, np.float32)
"""A dead zone by table row with which every symbol becomes 0."""


class FramePayloadEncoder(MotionEncoder):
    """Codes network inputs (float32 values as from codec.pictures.values_from_picture) one after the other.

    Args:
        target_qps: the QPs 0..63 that the user chose for I and for P frames. The floor holds their quality.

    Attributes:
        replaced_share: of the blocks of the frame coded last, those of which nothing is the networks' picture.
        is_strange: whether the floor coded the frame before alone, and goes on so where it costs less.
        may_code_alone: whether the floor may code frames alone. It is True at first.
    """

    def __init__(
        self,
        image: ImageModel,
        video: VideoModel,
        networks: CodecNetworks,
        entropy_format: EntropyFormat,
        skip_threshold: float | None,
        halve_chroma: bool = True,
        target_qps: tuple[int, int] = (0, 0),
        bit_depth: int = 8,
        *,
        has_brightness: bool = False,
    ) -> None:
        coding = image, video, networks, entropy_format, skip_threshold
        super().__init__(*coding, halve_chroma, bit_depth, has_brightness=has_brightness)
        self.target_qp_i, self.target_qp_p = target_qps
        self.filter_fit, self.floor_chooser = FilterFit(), FloorChooser()
        self.replaced_share, self.is_strange, self.may_code_alone = 0.0, False, True

    def saved(self) -> SavedState:
        """Copies what the next frame depends on."""
        coders = copy(self.field_coder), copy(self.filter_coder), copy(self.floor_coder), copy(self.brightness_coder)
        choosers = copy(self.filter_fit), copy(self.floor_chooser)
        return SavedState(replace(self.reference), self.replaced_share, self.is_strange, *coders, *choosers)

    def restore(self, saved: SavedState) -> None:
        """Goes back to where `saved` was called; the saved state stays as it is."""
        self.reference = replace(saved.reference)
        self.replaced_share, self.is_strange = saved.replaced_share, saved.is_strange
        self.field_coder, self.filter_coder = copy(saved.field_coder), copy(saved.filter_coder)
        self.floor_coder, self.brightness_coder = copy(saved.floor_coder), copy(saved.brightness_coder)
        self.filter_fit, self.floor_chooser = copy(saved.filter_fit), copy(saved.floor_chooser)

    def encode_i(self, values: NDArray[np.float32], qp: int, zero_below: NDArray[np.float32] | None = None) -> bytes:
        """Codes an I frame at row `qp` (0..63), quantised with a dead zone (families.lite.dead_zone).

        Returns:
            The payload.

        Raises:
            EnvironmentFault: the networks give latents that are not finite.
        """
        return self.code_i(values, qp, zero_below)()

    def code_i(
        self, values: NDArray[np.float32], qp: int, zero_below: NDArray[np.float32] | None = None
    ) -> Callable[[], bytes]:
        """Does the same up to the symbols; returns what makes the payload of them, in any thread."""
        self.filter_coder.reset()
        self.filter_fit.reset()
        self.floor_coder.reset()

        def code(picture: NDArray[np.float32], below: NDArray[np.float32] | None) -> EncodingSide:
            side = EncodingSide(self.networks["image"], picture, self.entropy_format, self.skip_threshold, below)
            self._code_i(side, qp)
            return side

        flat = np.broadcast_to(mean_of_planes(values), values.shape).copy()
        task = FrameTask(self._source(values), None, FramePrices.at(qp, self.target_qp_i, self.bit_depth), code, flat)
        first = self._attempt(task, values, zero_below, task.prices.floor)
        # The networks miss the mean of a region by up to half a grey level. Told so beforehand, they mostly hit it.
        second = self._attempt(task, values - self._local_error(first, values), zero_below, task.prices.floor)
        return self._payload(task, self._best(task, first if first.cost < second.cost else second), None, None)

    def encode_p(
        self, values: NDArray[np.float32], qp: int, reset: bool, zero_below: NDArray[np.float32] | None = None
    ) -> bytes:
        """Codes a P frame at row `qp` (0..71), quantised with a dead zone (families.lite.dead_zone).

        Returns:
            The payload.

        Raises:
            EnvironmentFault: the networks give latents that are not finite.
        """
        return self.code_p(values, qp, reset, zero_below)()

    def code_p(
        self, values: NDArray[np.float32], qp: int, reset: bool, zero_below: NDArray[np.float32] | None = None
    ) -> Callable[[], bytes]:
        """Does the same up to the symbols; returns what makes the payload of them, in any thread."""
        keeps_reference = self.field_coder.keeps_reference
        predicted, left, vectors = self.find_motion(values, qp)
        before = self.reference

        def code(difference: NDArray[np.float32], below: NDArray[np.float32] | None) -> EncodingSide:
            self.reference = before
            side = EncodingSide(self.networks["video"], difference, self.entropy_format, self.skip_threshold, below)
            self._code_p(side, qp, reset, predicted, keeps_reference)
            return side

        prices = FramePrices.at(qp, self.target_qp_p, self.bit_depth)
        task = FrameTask(self._source(values), self._planes_of(predicted), prices, code, np.zeros_like(left))
        best = self._best(task, self._attempt(task, left, zero_below, prices.floor))
        return self._payload(task, best, vectors, predicted)

    def _source(self, values: NDArray[np.float32]) -> FrameSource:
        step = 2 if self.halve_chroma else 1
        planes = values[0], values[1, ::step, ::step], values[2, ::step, ::step]
        max_level = np.float32((1 << self.bit_depth) - 1)
        levels = (np.rint(plane * max_level).astype(np.uint16) for plane in planes)
        luma, cb, cr = (samples_of_levels(plane, self.bit_depth) for plane in levels)
        return FrameSource(values, (luma, cb, cr))

    def _attempt(
        self,
        task: FrameTask,
        picture: NDArray[np.float32],
        below: NDArray[np.float32] | None,
        price: float,
        *,
        alone: AloneChoice | None = None,
    ) -> Attempt:
        """Codes the frame from a network input, quantised with dead zones, with the floor that suits it at a price.

        Args:
            alone: how the floor codes it without the networks.
        """
        return self._judged(task, task.code(picture, below), price, alone)

    @timed(FILTER)
    def _judged(self, task: FrameTask, side: EncodingSide, price: float, alone: AloneChoice | None) -> Attempt:
        source, coder = task.source.planes, self.floor_coder
        how: tuple[bool, int | None] = (False, None)
        before = task.compensated
        if alone is not None:
            how = True, alone.step_index
            before, coder = alone.terms(before, coder)
        choice = self.floor_chooser.choose(self._planes(), before, source, coder, price, *how)
        return Attempt(side, self.reference, choice, price, alone is not None)

    def _local_error(self, attempt: Attempt, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Returns how much too bright the networks' picture is, (3, Hp, Wp), as means of squares of side ERROR_SIDE."""
        samples = in_lines(self.networks["image"].synthesis.samples_from_frame(attempt.reference.frame))
        error = samples.astype(np.int64) - np.rint(values / SAMPLE_UNIT).astype(np.int64)
        _, height, width = error.shape
        margins = ((0, 0), (0, -height % ERROR_SIDE), (0, -width % ERROR_SIDE))
        rows, columns = (-(-side // ERROR_SIDE) for side in (height, width))
        squares = np.pad(error, margins, mode="edge").reshape(3, rows, ERROR_SIDE, columns, ERROR_SIDE)
        # The order of a sum of integers changes nothing.
        means = (squares.sum((2, 4)) / ERROR_SIDE**2 * SAMPLE_UNIT).astype(np.float32)
        return means.repeat(ERROR_SIDE, 1).repeat(ERROR_SIDE, 2)[:, :height, :width]

    def _best(self, task: FrameTask, told: Attempt) -> Attempt:
        """Networks that are told the picture, or that are told nothing where the floor does nearly everything."""
        terms = self._alone_terms(task, told) if self.may_code_alone else None
        alone = None if terms is None else self._alone(task, told, terms)
        if alone is not None:
            self.is_strange = terms is not None and terms.price == task.prices.alone
            return alone
        self.is_strange &= task.compensated is not None and told.choice.replaced_share > KNOWN_SHARE
        if told.choice.replaced_share < SILENT_SHARE:
            return told
        untold = self._attempt(task, task.silent, NOTHING_ABOVE, task.prices.floor)
        return untold if untold.cost < told.cost else told

    @timed(FILTER)
    def _alone_terms(self, task: FrameTask, told: Attempt) -> AloneTerms | None:
        """Returns None where the networks know such content."""
        prices, compensated, size = task.prices, task.compensated, task.source.planes[0].size
        if compensated is not None and not self.is_strange:
            unknown = told.choice.cost_without / (UNKNOWN_ERROR * prices.search * size)
            if unknown < 1:
                return None
            price = max(prices.alone, min(prices.floor, prices.search / (2 * unknown - 1)))
            return AloneTerms(price, 1, price == prices.alone)
        cost = alone_cost(compensated, task.source.planes, self.floor_coder, prices.networks) * size
        share = cost / told.cost_at(prices.networks)
        if compensated is not None:
            return AloneTerms(prices.alone, 1, True) if share < STILL_STRANGE_COST else None
        trust = (STRANGE_COST - share) / (STRANGE_COST - STRANGEST_COST)
        return AloneTerms(prices.alone, min(trust, 1)) if trust > 0 else None

    def _alone(self, task: FrameTask, told: Attempt, terms: AloneTerms) -> Attempt | None:
        """Codes the frame without networks; None if it is worse in some plane or costs more."""
        how, is_broken = self._alone_choice(task, told, terms)
        if how is None:
            return None
        alone = self._attempt(task, task.silent, NOTHING_ABOVE, how.price, alone=how)
        price = max(task.prices.networks, terms.price)
        return alone if is_broken or alone.cost_at(price) < told.cost_at(price) else None

    @timed(FILTER)
    def _alone_choice(self, task: FrameTask, told: Attempt, terms: AloneTerms) -> tuple[AloneChoice | None, bool]:
        """Returns (how to code the frame without networks, whether the networks break the promise of the floor)."""
        steps = AloneSteps(task.compensated, task.source.planes, self.floor_coder, self.filter_coder)
        if terms.trust == 1 and not terms.is_firm:
            return steps.find(terms.price), False
        self.reference = told.reference
        picture = apply_floor(told.choice.floor, self._planes(), task.compensated)
        if terms.is_firm:
            return steps.find(terms.price), not steps.keeps_promise(picture, task.prices.floor, terms.price)
        return steps.find_between(terms.price, picture, task.prices.floor, terms.trust), False

    def _payload(
        self, task: FrameTask, attempt: Attempt, vectors: EncoderState | None, predicted: Tensor | None
    ) -> Callable[[], bytes]:
        """Keeps an attempt as the coded frame. Returns a function that makes the payload: vectors, filters, floor,
        symbols."""
        self.reference, choice, encoder = attempt.reference, attempt.choice, attempt.side.encoder
        self._apply_floor(choice.floor, predicted)
        self.floor_chooser.remember(task.source.planes)
        self.replaced_share = choice.replaced_share
        filters = self.fit_filters(task.source, attempt.price, is_alone=attempt.is_alone)
        state = self.filter_coder.encode_open(filters, vectors)
        if self.entropy_format is EntropyFormat.COMPACT:
            return partial(encoder.finish, self.floor_coder.encode_open(choice.floor, state))
        data = self.floor_coder.encode(choice.floor, state)
        return lambda: write_uv(len(data)) + data + encoder.finish()

    @timed(FILTER)
    def fit_filters(self, source: FrameSource, price: float, *, is_alone: bool = False) -> Filters:
        """Fits the output filters that suit the frame coded last, where a bit is worth so many squared grey levels.

        Args:
            is_alone: without what the fit knows of the frames before, as the step was found.
        """
        fit = FilterFit() if is_alone else self.filter_fit
        return fit.fit(self._planes(), source.planes, self.filter_coder, price)
