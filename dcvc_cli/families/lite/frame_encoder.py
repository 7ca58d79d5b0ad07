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
from dcvc_cli.families.lite.floor.frame_floor import FloorChoice, FloorChooser, FloorCoder, bit_price
from dcvc_cli.families.lite.frames import FrameCoder, Reference
from dcvc_cli.families.lite.image import ImageModel
from dcvc_cli.families.lite.motion.field import (
    FieldCoder,
    compensate_squares,
    in_lines,
    luma_of_values,
    search_lambda,
)
from dcvc_cli.families.lite.motion.motion import SAMPLE_UNIT
from dcvc_cli.families.lite.samples import samples_of_levels
from dcvc_cli.families.lite.video import VideoModel
from dcvc_cli.format.entropy_format import EntropyFormat
from dcvc_cli.format.range_coder import EncoderState
from dcvc_cli.stages import FILTER, MOTION, timed


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
    """

    side: EncodingSide
    reference: Reference
    choice: FloorChoice
    price: float

    @property
    def cost(self) -> float:
        """Squared error plus the price of floor and symbols, in squared grey levels."""
        return self.choice.error + self.price * (self.choice.num_bits + 8 * len(self.side.encoder.finish()))


@dataclass(frozen=True)
class SavedState:
    """What the next frame depends on, beside the networks."""

    reference: Reference
    replaced_share: float
    field_coder: FieldCoder
    filter_coder: FilterCoder
    floor_coder: FloorCoder
    filter_fit: FilterFit
    floor_chooser: FloorChooser


def mean_of_planes(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Returns the mean of each plane, (3, 1, 1). The sum is one of integers, so its order changes nothing."""
    samples = np.rint(values / SAMPLE_UNIT).astype(np.int64)
    return (samples.mean((1, 2), dtype=np.float64, keepdims=True) * SAMPLE_UNIT).astype(np.float32)


ERROR_SIDE = 32
"""Side of the squares whose mean error an I frame corrects."""
SILENT_SHARE = 7 / 8
"""If so large a share of blocks keeps nothing of the networks' picture, the encoder also tries symbols that are all
0."""
UNKNOWN_ERROR = 1 / 2
"""A share of the squared price that the search for vectors has for a bit. If the networks' picture has a larger squared
error a sample, the networks do not know such content, and the encoder also tries symbols that are all 0."""
UNKNOWN_PRICE = 1 / 4
"""A share of the price of a bit: the price for the floor of such content. At the full price the floor, without help
from the networks, would leave more error than with them. Quality would fall with rising QP where the encoder drops the
networks' symbols."""
NOTHING_ABOVE = np.full(128, np.inf, np.float32)
"""A dead zone by table row with which every symbol becomes 0."""


class FramePayloadEncoder(FrameCoder):
    """Codes network inputs (float32 values as from codec.pictures.values_from_picture) one after the other.

    Args:
        target_qps: the QPs 0..63 that the user chose for I and for P frames. The floor holds their quality.

    Attributes:
        replaced_share: share of blocks of the last coded frame that keep nothing of the networks' picture.
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
    ) -> None:
        super().__init__(image, video, networks, entropy_format, skip_threshold, halve_chroma, bit_depth)
        self.target_qp_i, self.target_qp_p = target_qps
        self.filter_fit, self.floor_chooser = FilterFit(), FloorChooser()
        self.replaced_share = 0.0

    def saved(self) -> SavedState:
        """A copy of what the next frame depends on."""
        coders = copy(self.field_coder), copy(self.filter_coder), copy(self.floor_coder)
        choosers = copy(self.filter_fit), copy(self.floor_chooser)
        return SavedState(replace(self.reference), self.replaced_share, *coders, *choosers)

    def restore(self, saved: SavedState) -> None:
        """Goes back to where `saved` was called; the saved state stays as it is."""
        self.reference, self.replaced_share = replace(saved.reference), saved.replaced_share
        self.field_coder, self.filter_coder = copy(saved.field_coder), copy(saved.filter_coder)
        self.floor_coder = copy(saved.floor_coder)
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
        """The same up to the symbols; returns what makes the payload of them, in any thread."""
        source, price = self._source(values), bit_price(qp, self.target_qp_i, self.bit_depth)
        self.filter_coder.reset()
        self.filter_fit.reset()
        self.floor_coder.reset()
        flat = np.broadcast_to(mean_of_planes(values), values.shape).copy()

        def attempt(picture: NDArray[np.float32], below: NDArray[np.float32] | None, share: float) -> Attempt:
            side = EncodingSide(self.networks["image"], picture, self.entropy_format, self.skip_threshold, below)
            self._code_i(side, qp)
            return self._judged(side, source, None, price, share)

        first = attempt(values, zero_below, 1)
        # The networks miss the mean of a region by up to half a grey level. If their input has that error subtracted,
        # they mostly hit the mean.
        told = values - self._local_error(first, values)
        best = self._best(attempt, told, flat, zero_below, search_lambda(qp) ** 2)
        return self._payload(first if first.cost < best.cost else best, None, source, None, price)

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
        """The same up to the symbols; returns what makes the payload of them, in any thread."""
        source, price = self._source(values), bit_price(qp, self.target_qp_p, self.bit_depth)
        keeps_reference = self.field_coder.keeps_reference
        predicted, left, vectors = self.find_motion(values, qp)
        before, compensated = self.reference, self._planes_of(predicted)

        def attempt(difference: NDArray[np.float32], below: NDArray[np.float32] | None, share: float) -> Attempt:
            self.reference = before
            side = EncodingSide(self.networks["video"], difference, self.entropy_format, self.skip_threshold, below)
            self._code_p(side, qp, reset, predicted, keeps_reference)
            return self._judged(side, source, compensated, price, share)

        best = self._best(attempt, left, np.zeros_like(left), zero_below, search_lambda(qp) ** 2)
        return self._payload(best, vectors, source, predicted, price)

    @timed(MOTION)
    def find_motion(self, values: NDArray[np.float32], qp: int) -> tuple[Tensor, NDArray[np.float32], EncoderState]:
        """Finds and codes the motion of a P frame.

        Returns:
            (the compensated frame, the difference between the network input and it, the state of the range coder
            behind the vectors).
        """
        ops, long_term = self.networks["video"].synthesis, self.reference.long_term
        samples, kept = self._samples(), long_term
        if kept is not None and ops.has_picture_kernels:
            kept = ops.samples_from_frame(kept)
        before = None if kept is None else in_lines(kept[:1])
        motion = self.field_coder.search(
            luma_of_values(values), in_lines(samples[:1]), qp, before, self.networks.threads
        )
        if ops.has_picture_kernels:
            predicted = ops.compensate(self.output(), motion, long_term)
            compensated = ops.samples_from_frame(predicted)
        else:
            compensated = compensate_squares(samples, motion, kept)
            predicted = ops.frame_from_samples(compensated)
        left = values - in_lines(compensated) * SAMPLE_UNIT
        return predicted, left, self.field_coder.encode_open(motion)

    def _source(self, values: NDArray[np.float32]) -> FrameSource:
        step = 2 if self.halve_chroma else 1
        planes = values[0], values[1, ::step, ::step], values[2, ::step, ::step]
        max_level = np.float32((1 << self.bit_depth) - 1)
        levels = (np.rint(plane * max_level).astype(np.uint16) for plane in planes)
        luma, cb, cr = (samples_of_levels(plane, self.bit_depth) for plane in levels)
        return FrameSource(values, (luma, cb, cr))

    @timed(FILTER)
    def _judged(
        self, side: EncodingSide, source: FrameSource, compensated: Planes | None, price: float, share: float
    ) -> Attempt:
        """Chooses a floor for the last coded frame. The floor pays a share of a bit's price for a bit."""
        choice = self.floor_chooser.choose(self._planes(), compensated, source.planes, self.floor_coder, share * price)
        return Attempt(side, self.reference, choice, price)

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

    @staticmethod
    def _best(
        attempt: Callable[[NDArray[np.float32], NDArray[np.float32] | None, float], Attempt],
        values: NDArray[np.float32],
        silent: NDArray[np.float32],
        zero_below: NDArray[np.float32] | None,
        networks_price: float,
    ) -> Attempt:
        """Codes the frame with the networks' symbols. If the floor replaces nearly everything, or the networks do not
        know the content, it also tries symbols that are all 0. Returns the cheaper attempt.

        Args:
            attempt: codes a network input with dead zones by table row and a share of the price for `_judged`.
            values: the network input.
            silent: the network input for symbols that are all 0.
            networks_price: price of a bit for the search for vectors, in squared grey levels.
        """
        told = attempt(values, zero_below, 1)
        is_unknown = told.choice.cost_without > UNKNOWN_ERROR * networks_price * values[0].size
        if told.choice.replaced_share < SILENT_SHARE and not is_unknown:
            return told
        untold = attempt(silent, NOTHING_ABOVE, UNKNOWN_PRICE if is_unknown else 1)
        return untold if untold.cost < told.cost else told

    def _payload(
        self,
        attempt: Attempt,
        vectors: EncoderState | None,
        source: FrameSource,
        predicted: Tensor | None,
        price: float,
    ) -> Callable[[], bytes]:
        """Keeps an attempt as the coded frame. Returns a function that makes the payload: vectors, filters, floor,
        symbols."""
        self.reference, choice, encoder = attempt.reference, attempt.choice, attempt.side.encoder
        self._apply_floor(choice.floor, predicted)
        self.floor_chooser.remember(source.planes)
        self.replaced_share = choice.replaced_share
        state = self.filter_coder.encode_open(self.fit_filters(source, price), vectors)
        if self.entropy_format is EntropyFormat.COMPACT:
            return partial(encoder.finish, self.floor_coder.encode_open(choice.floor, state))
        data = self.floor_coder.encode(choice.floor, state)
        return lambda: write_uv(len(data)) + data + encoder.finish()

    @timed(FILTER)
    def fit_filters(self, source: FrameSource, price: float) -> Filters:
        """Chooses the output filters of the last coded frame.

        Args:
            price: price of a bit in squared grey levels.
        """
        return self.filter_fit.fit(self._planes(), source.planes, self.filter_coder, price)
