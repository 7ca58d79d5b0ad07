"""The floor replaces or corrects blocks of the networks' picture. Source: docs/floor.md.

Planes are (luma, Cb, Cr), int16 0..8192. The sides of luma are multiples of 16. Chroma is as large as luma, or half as
large in both directions. Coding and reconstruction are integer arithmetic, bit-exact everywhere. The payload holds the
encoder's choice, so no decoder depends on how the encoder chooses.
"""

from copy import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from dcvc_cli.families.lite.floor.parts import DAMAGED, EXACT_STEP, FloorParts, Planes
from dcvc_cli.families.lite.motion.field import search_lambda
from dcvc_cli.families.lite.samples import MAX_SAMPLE
from dcvc_cli.format.constants import MAX_BASE_QP
from dcvc_cli.format.native import NativeModule, intact, wants_twin
from dcvc_cli.format.range_coder import DecoderState, EncoderState, decoder_start, encoder_start

if TYPE_CHECKING:
    from dcvc_cli import _floor as native
else:
    native = NativeModule("_floor")

TWIN_VARIABLE = "DCVC_FLOOR"
"""If this environment variable is "twin", the slow twin applies floors."""

FIRST_FINE_QP, FIRST_FINE_STEP = 46, 33
LAST_FINE_STEP = {8: 16, 10: 2}
"""From QP 46 on, quality rises faster than the networks' own quality: the floor needs fewer bits than the networks for
the same gain. The step number falls evenly from 33 to the step number of QP 63, by bit depth. In 8 bits quality rises
by 1 dB a QP. In 10 bits it rises by nearly 2 dB: QP 63 shows what 8 bits cannot show."""
PRICE_OF_STEP = 0.115
"""The price of a bit for a uniform quantiser at high rates, in squared steps: (2 ln 2) / 12."""
CHROMA_WEIGHT = 2
"""Weight of a squared error of chroma; luma has 1."""
GREY_LEVEL = MAX_SAMPLE / 255


def step_size(step_index: int) -> int:
    """Returns the step of a step number 0..62, in 1/8192."""
    return (16, 18, 20, 23, 25, 29)[step_index % 6] << step_index // 6


def step_of_qp(target_qp: int, bit_depth: int = 8) -> int | None:
    """Returns the step number of a QP; None below QP 46."""
    if target_qp < FIRST_FINE_QP:
        return None
    span, steps = MAX_BASE_QP - FIRST_FINE_QP, FIRST_FINE_STEP - LAST_FINE_STEP[bit_depth]
    return FIRST_FINE_STEP - (2 * steps * (target_qp - FIRST_FINE_QP) + span) // (2 * span)


def bit_price(row: int, target_qp: int, bit_depth: int = 8) -> float:
    """Returns the price of a bit for a floor, in squared grey levels.

    Args:
        row: QP row of the frame, 0..71.
        target_qp: the QP that the user chose, 0..63.
        bit_depth: of the pictures, 8 or 10.
    """
    price = search_lambda(row) ** 2
    step = step_of_qp(target_qp, bit_depth)
    if step is not None:
        price = min(price, price_of_step(step))
    return price


def step_for(price: float) -> int:
    """Returns the step number at which a uniform quantiser pays this price for a bit.

    Args:
        price: the price of a bit in squared grey levels.
    """
    wanted = (price / PRICE_OF_STEP) ** 0.5 * GREY_LEVEL
    return min(range(EXACT_STEP), key=lambda step_index: abs(np.log(step_size(step_index) / wanted)))


def price_of_step(step_index: int) -> float:
    """Returns what a bit is worth where a frame has this step 0..62, in squared grey levels: the inverse of
    step_for."""
    return PRICE_OF_STEP * (step_size(step_index) / GREY_LEVEL) ** 2


@dataclass(frozen=True, eq=False)
class FrameFloor:
    """The floor of one frame. It may touch no block."""

    native: "native.FrameFloor"

    @staticmethod
    def from_parts(parts: FloorParts) -> "FrameFloor":
        """Makes a floor of arrays.

        Raises:
            ValueError: the arrays hold no floor.
        """
        arrays = parts.bases, parts.flat, parts.levels
        return FrameFloor(native.floor_of_parts(parts.step_index, *arrays, parts.bit_depth))

    @staticmethod
    def unused(rows: int, columns: int, is_halved: bool, bit_depth: int = 8) -> "FrameFloor":
        """Makes a floor that touches no block.

        Args:
            rows, columns: blocks of the frame.
            is_halved: whether chroma is half as large as luma in both directions.
            bit_depth: of the output pictures, 8 or 10.

        Raises:
            ValueError: no picture has so many blocks.
        """
        return FrameFloor(native.unused_floor(rows, columns, is_halved, bit_depth))

    @property
    def is_used(self) -> bool:
        """Returns whether the floor may touch blocks."""
        return self.native.is_used

    def words(self) -> tuple[NDArray[np.uint32], NDArray[np.int16], int, int]:
        """Returns (words of the blocks, levels, size of a step, largest output sample) for Operations.floored."""
        words, levels = self.native.words()
        step_index = self.native.step_index
        step = 0 if step_index == EXACT_STEP else step_size(step_index)
        return words, levels, step, (1 << self.native.depth) - 1

    def parts(self) -> FloorParts | None:
        """Returns the floor's content as arrays; None if the floor is not used."""
        return FloorParts(self.native.step_index, *self.native.parts(), self.native.depth) if self.is_used else None


def wants_floor_twin() -> bool:
    """Returns whether the slow twin has to apply floors.

    Raises:
        EnvironmentFault: DCVC_FLOOR is neither "native", the default, nor "twin".
    """
    return wants_twin(TWIN_VARIABLE)


def apply_floor(floor: FrameFloor, planes: Planes, compensated: Planes | None) -> Planes:
    """Replaces or corrects the touched blocks of a picture. Bit-exact everywhere.

    Args:
        planes: the networks' picture.
        compensated: the planes of the compensated frame, of the same sizes; None in I frames.

    Returns:
        The planes with the touched blocks' new samples.

    Raises:
        ValueError: sizes differ.
        EnvironmentFault: DCVC_FLOOR is neither "native", the default, nor "twin".
    """
    if wants_floor_twin():
        from dcvc_cli.families.lite.floor.twin import reconstruct_twin

        parts = floor.parts()
        return planes if parts is None else reconstruct_twin(parts, planes, compensated)
    return native.reconstruct(floor.native, planes, compensated)


def put_back(floor: FrameFloor, planes: Planes, squares: NDArray[np.int16]) -> NDArray[np.int16]:
    """Puts the touched blocks of planes into samples (3, h / 8, 8, w / 8, 8) of any layout. It repeats halved chroma.

    Returns:
        The changed samples, in the layout of `squares`.
    """
    changed = np.copy(squares, order="K")
    native.put_back(floor.native, planes, changed)
    return changed


class FloorCoder:
    """Codes the floors of consecutive frames. It keeps what it has learned until `reset`."""

    def __init__(self, bit_depth: int = 8) -> None:
        self.native, self.bit_depth = native.FloorCoder(), bit_depth

    def __copy__(self) -> "FloorCoder":
        """Returns a coder that goes on from here by itself."""
        other = FloorCoder(self.bit_depth)
        other.native = copy(self.native)
        return other

    def reset(self) -> None:
        """Forgets what was learned. Every I frame begins with it."""
        self.native.reset()

    def encode_open(self, floor: FrameFloor, start: EncoderState | None = None) -> EncoderState:
        """Codes a frame's floor; symbols may follow in the same bytes. The state is the same on every machine.

        Args:
            start: where the filters that share the bytes left the range coder.
        """
        return EncoderState(*self.native.encode_open(floor.native, encoder_start(start)))

    def encode(self, floor: FrameFloor, start: EncoderState | None = None) -> bytes:
        """Codes a frame's floor, with which the bytes end. Arguments as for `encode_open`."""
        return self.native.encode(floor.native, encoder_start(start))

    def decode_open(
        self, data: bytes, rows: int, columns: int, is_halved: bool, start: DecoderState | None = None
    ) -> tuple[FrameFloor, DecoderState]:
        """Reads the floor of a frame of rows x columns blocks.

        Returns:
            (the floor, the state of the range coder behind it, from which symbols go on).

        Raises:
            StreamError: the bytes hold no floor.
        """
        size = rows, columns, is_halved
        floor, state = intact(self.native.decode_open(data, *size, decoder_start(start), self.bit_depth), DAMAGED)
        return FrameFloor(floor), DecoderState(*state)

    def decode(
        self, data: bytes, rows: int, columns: int, is_halved: bool, start: DecoderState | None = None
    ) -> FrameFloor:
        """Reads the floor of a frame, with which the bytes end.

        Raises:
            StreamError: the bytes hold no floor, or something else as well.
        """
        size = rows, columns, is_halved
        return FrameFloor(intact(self.native.decode(data, *size, decoder_start(start), self.bit_depth), DAMAGED))


@dataclass(frozen=True, eq=False)
class FloorChoice:
    """A chosen floor.

    Attributes:
        error: squared error of the frame with the floor, chroma weighted, in squared grey levels.
        cost_without: cost of the frame without a floor, in squared grey levels: hardly more than its squared error.
        num_bits: estimated bits of the floor.
        replaced_share: share of blocks that keep nothing of the networks' picture.
        touched_share: share of blocks that the floor touches.
    """

    floor: FrameFloor
    error: float
    cost_without: float
    num_bits: float
    replaced_share: float
    touched_share: float


class FloorChooser:
    """Chooses the floors of consecutive frames for an encoder. It compares each source with the remembered one to find
    what stands still."""

    def __init__(self) -> None:
        self._native = native.FloorChooser()

    def __copy__(self) -> "FloorChooser":
        """Returns a coder that goes on from here by itself."""
        other = FloorChooser()
        other._native = copy(self._native)
        return other

    def choose(
        self,
        planes: Planes,
        compensated: Planes | None,
        source: Planes,
        coder: FloorCoder,
        price: float,
        is_alone: bool = False,
        step_index: int | None = None,
    ) -> FloorChoice:
        """Chooses the floor that brings a picture closer to its source. It changes neither chooser nor coder.

        Args:
            planes: the networks' picture.
            compensated: the planes of the compensated frame; None in I frames.
            source: the three planes of the source, samples 0..8192 of the same sizes.
            coder: the coder that will code the floor; its state gives the bits of a choice.
            price: the price of a bit in squared grey levels, as from bit_price.
            is_alone: whether no block has anything of the networks' picture.
            step_index: the step number 0..62; None takes that of the price.

        Raises:
            ValueError: sizes differ, or the price is out of range.
        """
        scale = GREY_LEVEL**2
        rule = (
            step_for(price) if step_index is None else step_index,
            round(price * scale / 16),
            CHROMA_WEIGHT,
            coder.bit_depth,
            is_alone,
        )
        choice = self._native.choose(coder.native, planes, compensated, source, *rule)
        num_blocks = planes[0].size // 256
        return FloorChoice(
            FrameFloor(choice.floor),
            choice.error / scale,
            choice.cost_without / (16 * scale),
            choice.bits / 256,
            choice.num_replaced / num_blocks,
            choice.num_touched / num_blocks,
        )

    def remember(self, source: Planes) -> None:
        """Remembers the three planes of the source of the last coded frame.

        Raises:
            ValueError: no picture has these sizes.
        """
        self._native.remember(source)
