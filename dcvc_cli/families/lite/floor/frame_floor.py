"""The floor: blocks of the networks' picture replaced or corrected, as docs/floor.md says.

Planes are (luma, Cb, Cr), int16 0..8192, luma with sides that are multiples of 16; chroma is as large as luma, or half
as large in both directions. Coding and reconstruction are integer arithmetic, bit-exact everywhere; what an encoder
chooses is coded, so no decoder depends on it.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import NDArray

from dcvc_cli.errors import StreamError
from dcvc_cli.families.lite.floor.parts import DAMAGED, EXACT_STEP, FloorParts, Planes
from dcvc_cli.families.lite.motion.field import search_lambda
from dcvc_cli.families.lite.samples import MAX_SAMPLE
from dcvc_cli.format.native import NativeModule, wants_twin
from dcvc_cli.format.range_coder import DecoderState, EncoderState, decoder_start, encoder_start

if TYPE_CHECKING:
    from dcvc_cli import _floor as native
else:
    native = NativeModule("_floor")

TWIN_VARIABLE = "DCVC_FLOOR"
"""The environment variable that, set to "twin", has floors applied by the slow twin."""

STEP_OF_LAST_QPS = {qp: 79 - qp for qp in range(46, 64)}
"""Step numbers of the QPs at which quality rises faster than the networks' own, by a dB a QP: from here on the floor
needs fewer bits than the networks for the same gain."""
PRICE_OF_STEP = 0.115
"""What a bit is worth to a uniform quantiser at high rates, in squared steps: (2 ln 2) / 12."""
CHROMA_WEIGHT = 2
"""What a squared error of chroma counts beside one of luma."""
GREY_LEVEL = MAX_SAMPLE / 255

T = TypeVar("T")


def step_size(step_index: int) -> int:
    """The step of a step number 0..62, in 1/8192."""
    return (16, 18, 20, 23, 25, 29)[step_index % 6] << step_index // 6


def bit_price(row: int, target_qp: int) -> float:
    """What a bit is worth to a floor, in squared grey levels.

    Args:
        row: of the frame, 0..71.
        target_qp: what was asked for, 0..63.
    """
    price = search_lambda(row) ** 2
    if target_qp in STEP_OF_LAST_QPS:
        price = min(price, PRICE_OF_STEP * (step_size(STEP_OF_LAST_QPS[target_qp]) / GREY_LEVEL) ** 2)
    return price


def step_for(price: float) -> int:
    """The step number at which a uniform quantiser pays this price for a bit, in squared grey levels."""
    wanted = (price / PRICE_OF_STEP) ** 0.5 * GREY_LEVEL
    return min(range(63), key=lambda step_index: abs(np.log(step_size(step_index) / wanted)))


@dataclass(frozen=True, eq=False)
class FrameFloor:
    """The floor of one frame, which may be that no block is touched."""

    native: "native.FrameFloor"

    @staticmethod
    def from_parts(parts: FloorParts) -> "FrameFloor":
        """ValueError if the arrays hold none."""
        return FrameFloor(native.floor_of_parts(parts.step_index, parts.bases, parts.flat, parts.levels))

    @staticmethod
    def unused(rows: int, columns: int, is_halved: bool) -> "FrameFloor":
        """The floor of a frame of so many blocks that touches none; ValueError if no picture has so many."""
        return FrameFloor(native.unused_floor(rows, columns, is_halved))

    @property
    def is_used(self) -> bool:
        """Whether it may touch blocks."""
        return self.native.is_used

    def words(self) -> tuple[NDArray[np.uint32], NDArray[np.int16], int]:
        """(words of the blocks, levels, size of a step), as Operations.floored takes them."""
        words, levels = self.native.words()
        step_index = self.native.step_index
        return words, levels, 0 if step_index == EXACT_STEP else step_size(step_index)

    def parts(self) -> FloorParts | None:
        """What it says, as arrays; None if it is not used."""
        return FloorParts(self.native.step_index, *self.native.parts()) if self.is_used else None


def wants_floor_twin() -> bool:
    """Whether the slow twin is to apply floors.

    Raises:
        EnvironmentFault: DCVC_FLOOR is neither "native", the default, nor "twin".
    """
    return wants_twin(TWIN_VARIABLE)


def apply_floor(floor: FrameFloor, planes: Planes, compensated: Planes | None) -> Planes:
    """The planes with the samples of touched blocks. Bit-exact everywhere.

    Args:
        compensated: in P frames.

    Raises:
        ValueError: sizes differ.
        EnvironmentFault: as wants_floor_twin.
    """
    if wants_floor_twin():
        from dcvc_cli.families.lite.floor.twin import reconstruct_twin

        parts = floor.parts()
        return planes if parts is None else reconstruct_twin(parts, planes, compensated)
    return native.reconstruct(floor.native, planes, compensated)


def put_back(floor: FrameFloor, planes: Planes, squares: NDArray[np.int16]) -> NDArray[np.int16]:
    """Samples (3, h / 8, 8, w / 8, 8) of any layout with the touched blocks of the planes; halved chroma is
    repeated."""
    changed = np.copy(squares, order="K")
    native.put_back(floor.native, planes, changed)
    return changed


class FloorCoder:
    """Codes the floors of consecutive frames; what it learned stays until `reset`."""

    def __init__(self) -> None:
        self.native = native.FloorCoder()

    def reset(self) -> None:
        """At every I frame: nothing learned."""
        self.native.reset()

    def encode_open(self, floor: FrameFloor, start: EncoderState | None = None) -> EncoderState:
        """Codes a frame's floor; symbols may follow in the same bytes. The state is the same on every machine.

        Args:
            start: where the filters that share the bytes left the range coder.
        """
        return EncoderState(*self.native.encode_open(floor.native, encoder_start(start)))

    def encode(self, floor: FrameFloor, start: EncoderState | None = None) -> bytes:
        """As `encode_open`, and ends the bytes."""
        return self.native.encode(floor.native, encoder_start(start))

    def decode_open(
        self, data: bytes, rows: int, columns: int, is_halved: bool, start: DecoderState | None = None
    ) -> tuple[FrameFloor, DecoderState]:
        """The floor of a frame of rows x columns blocks, and where symbols go on in the same bytes.

        Raises:
            StreamError: the bytes hold no floor.
        """
        floor, state = _intact(self.native.decode_open(data, rows, columns, is_halved, decoder_start(start)))
        return FrameFloor(floor), DecoderState(*state)

    def decode(
        self, data: bytes, rows: int, columns: int, is_halved: bool, start: DecoderState | None = None
    ) -> FrameFloor:
        """The floor of a frame, with which the bytes end.

        Raises:
            StreamError: the bytes hold no floor, or something else besides.
        """
        return FrameFloor(_intact(self.native.decode(data, rows, columns, is_halved, decoder_start(start))))


@dataclass(frozen=True, eq=False)
class FloorChoice:
    """A chosen floor.

    Attributes:
        error: squared error of the frame, chroma weighted, in squared grey levels.
        cost_without: what the frame would cost without a floor; hardly more than its squared error.
        num_bits: of the floor, estimated.
        replaced_share: of the blocks, those of which nothing is the networks' picture.
        touched_share: of the blocks.
    """

    floor: FrameFloor
    error: float
    cost_without: float
    num_bits: float
    replaced_share: float
    touched_share: float


class FloorChooser:
    """Chooses the floors of consecutive frames for an encoder; knows what stands still by the source remembered."""

    def __init__(self) -> None:
        self._native = native.FloorChooser()

    def choose(
        self,
        planes: Planes,
        compensated: Planes | None,
        source: tuple[NDArray[np.uint8], ...],
        coder: FloorCoder,
        price: float,
    ) -> FloorChoice:
        """The floor that brings a picture closer to its source, at the prices of a coder. Changes nothing.

        Args:
            planes: the networks' picture.
            compensated: in P frames.
            source: its three planes, uint8 of the same sizes.
            price: what a bit is worth in squared grey levels, as bit_price says.

        Raises:
            ValueError: sizes differ, or the price is out of range.
        """
        scale = GREY_LEVEL**2
        choice = self._native.choose(
            coder.native, planes, compensated, source, step_for(price), round(price * scale / 16), CHROMA_WEIGHT
        )
        num_blocks = planes[0].size // 256
        return FloorChoice(
            FrameFloor(choice.floor),
            choice.error / scale,
            choice.cost_without / (16 * scale),
            choice.bits / 256,
            choice.num_replaced / num_blocks,
            choice.num_touched / num_blocks,
        )

    def remember(self, source: tuple[NDArray[np.uint8], ...]) -> None:
        """The source of the frame that was coded last, in three planes; ValueError for sizes that no picture has."""
        self._native.remember(source)


def _intact(decoded: T | None) -> T:
    if decoded is None:
        raise StreamError(DAMAGED)
    return decoded
