"""Block motion: the encoder's search, the coding of vectors, and the compensation of a reference picture. Source:
docs/motion.md.

A field of vectors is int16 (rows, columns, 2): x and y of every 8x8 square, in quarter samples. Most P frames have a
long-term reference beside the reference: an earlier picture of good quality. A block is predicted from one of the two
or from the mean of both. Compensation and vector coding are integer arithmetic, bit-exact everywhere. The payload holds
the motion that the search finds, so no decoder depends on the search.
"""

from copy import copy
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dcvc_cli.families.lite.motion.motion import SQUARE, Field, Motion
from dcvc_cli.families.lite.motion.twin import compensate_twin
from dcvc_cli.families.lite.samples import MAX_SAMPLE, SAMPLE_BITS
from dcvc_cli.format.constants import MAX_BASE_QP
from dcvc_cli.format.native import NativeModule, intact, wants_twin
from dcvc_cli.format.range_coder import DecoderState, EncoderState

if TYPE_CHECKING:
    from dcvc_cli import _motion as native
else:
    native = NativeModule("_motion")

FIRST_SEARCH_LAMBDA, LAST_SEARCH_LAMBDA = 48.0, 3.9
PRICE_STEPS = 1 << 20
"""The price of a bit at QP 0 and at QP 63, in sums of absolute differences of 8-bit samples. Its square is the price in
squared differences, which the networks' training decides."""

DAMAGED = "the motion vectors of a frame are damaged"
"""Message of the StreamError for a payload with impossible vectors."""
TWIN_VARIABLE = "DCVC_MOTION"
"""If this environment variable is "twin", the slow twin compensates pictures."""

KEPT_INTERVAL = 8
"""Every so many frames, one is kept as long-term reference, from the I frame on."""


def is_kept(number: int) -> bool:
    """Returns whether a frame is kept as long-term reference.

    Args:
        number: frames since the I frame; 0 is the I frame itself.
    """
    return number % KEPT_INTERVAL == 0


class CoderState(NamedTuple):
    """The state of a FieldCoder.

    Attributes:
        learned: what the contexts have learned, in an opaque form.
        vectors: vectors of the last P frame; (0, 0, 2) before the first one.
        tracks: tracks of the last P frame, which the next one follows; (0, 0, 2) before the first one.
        number: P frames since the last reset.
    """

    learned: NDArray[np.uint8]
    vectors: Field
    tracks: Field
    number: int


def search_lambda(qp: int) -> float:
    """Returns the price of a bit, in sums of absolute differences. It is rounded to steps, so that all libraries give
    the same price.

    Args:
        qp: QP row 0..71; higher is better quality.
    """
    price = FIRST_SEARCH_LAMBDA * (LAST_SEARCH_LAMBDA / FIRST_SEARCH_LAMBDA) ** (qp / MAX_BASE_QP)
    return float(round(price * PRICE_STEPS) / PRICE_STEPS)


def luma_samples(luma: NDArray[np.int16]) -> NDArray[np.uint8]:
    """Turns luma in 0..8192 into 8-bit samples for the search."""
    wide = luma.astype(np.int32)
    wide *= 255
    wide += 1 << (SAMPLE_BITS - 1)
    wide >>= SAMPLE_BITS
    return wide.astype(np.uint8)


def luma_of_values(values: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Returns the 8-bit luma (h, w) of a network input, float32 (3, h, w) in 0..1."""
    return np.rint(values[0] * np.float32(255)).astype(np.uint8)


def in_squares(frame: NDArray[np.int16]) -> NDArray[np.int16]:
    """Views (planes, h, w) by 8x8 squares, as (planes, h / 8, 8, w / 8, 8)."""
    planes, height, width = frame.shape
    return frame.reshape(planes, height // SQUARE, SQUARE, width // SQUARE, SQUARE)


def in_lines(squares: NDArray[np.int16]) -> NDArray[np.int16]:
    """Inverts in_squares. It copies samples that do not lie line by line."""
    planes, rows, _, columns, _ = squares.shape
    return squares.reshape(planes, rows * SQUARE, columns * SQUARE)


def compensate(
    frame: NDArray[np.int16], motion: Motion, long_term: NDArray[np.int16] | None = None
) -> NDArray[np.int16]:
    """Predicts a picture. Bit-exact everywhere.

    Args:
        frame: the reference, (planes, h, w) in 0..8192.
        motion: vectors, and blends and tracks if there is a long-term reference.
        long_term: the long-term reference, of the same shape. Motion with blends needs it.

    Returns:
        The compensated frame, of the same shape.

    Raises:
        ValueError: sizes differ, or the motion has blends and there is no long-term reference.
        EnvironmentFault: DCVC_MOTION is neither "native", the default, nor "twin".
    """
    return in_lines(compensate_squares(in_squares(frame), motion, None if long_term is None else in_squares(long_term)))


def compensate_squares(
    squares: NDArray[np.int16], motion: Motion, long_term: NDArray[np.int16] | None = None
) -> NDArray[np.int16]:
    """Predicts a picture as `compensate` does, from samples (planes, h / 8, 8, w / 8, 8) of any layout.

    Returns:
        The compensated frame, of the same shape, in the layout of the reference.

    Raises:
        EnvironmentFault: DCVC_MOTION is neither "native", the default, nor "twin".
    """
    if wants_twin(TWIN_VARIABLE):
        lines = None if long_term is None else in_lines(long_term)
        return in_squares(compensate_twin(in_lines(squares), motion, MAX_SAMPLE, lines))
    parts = motion.vectors, motion.tracks, motion.blends
    return native.compensate(squares, long_term, *parts, MAX_SAMPLE)


class FieldCoder:
    """Finds and codes the motion of consecutive P frames. It keeps the last frame's motion and what it has learned
    until `reset`."""

    def __init__(self) -> None:
        self._native = native.VectorCoder()

    def __copy__(self) -> "FieldCoder":
        """Returns a coder that goes on from here by itself."""
        other = FieldCoder()
        other._native = copy(self._native)
        return other

    def reset(self) -> None:
        """Forgets what was learned. Every I frame begins with it."""
        self._native.reset()

    @property
    def number(self) -> int:
        """Counts the P frames coded since the last reset."""
        return self._native.number

    @property
    def has_long_term(self) -> bool:
        """Returns whether the next frame has a long-term reference: all but the first after a reset."""
        return self.number > 0

    @property
    def keeps_reference(self) -> bool:
        """Returns whether the reference of the next P frame is kept: it becomes the long-term reference of the frames
        after that one."""
        return is_kept(self.number)

    def state(self) -> CoderState:
        """Returns the state for a checkpoint of training. Other versions of dcvc may not be able to restore it."""
        return CoderState(*self._native.state())

    def restore(self, state: CoderState) -> None:
        """Goes on from a state.

        Raises:
            ValueError: the state is none of this version.
        """
        self._native.restore(*state)

    def search(
        self,
        luma: NDArray[np.uint8],
        frame: NDArray[np.int16],
        qp: int,
        long_term: NDArray[np.int16] | None = None,
        threads: int = 1,
    ) -> Motion:
        """Finds motion that predicts a picture. The coder's state gives the bits of a vector. The search does not
        change the coder; `encode` does.

        Args:
            luma: the picture's 8-bit luma (h, w); both sides are multiples of 16.
            frame: the reference, (planes, h, w) in 0..8192. The search looks at its first plane, luma.
            qp: QP row 0..71, which sets the price of a bit.
            long_term: the long-term reference, likewise. Without one, motion has no blends.
            threads: 1..256. The result does not depend on it.

        Raises:
            ValueError: there is a long-term reference, but the frame has none (has_long_term).
        """
        before = None if long_term is None else luma_samples(long_term[0])
        return Motion(*self._native.search(luma, luma_samples(frame[0]), before, search_lambda(qp), threads))

    def encode(self, motion: Motion) -> bytes:
        """Codes a frame's motion. The bytes are the same on every machine; without motion there may be none. Only the
        tracks of blended blocks are coded."""
        return self._native.encode(motion.vectors, motion.tracks, motion.blends)

    def encode_open(self, motion: Motion) -> EncoderState:
        """Codes a frame's motion. Symbols may follow in the same bytes. The state is the same on every machine."""
        return EncoderState(*self._native.encode_open(motion.vectors, motion.tracks, motion.blends))

    def decode(self, data: bytes, rows: int, columns: int) -> Motion:
        """Reads the motion of rows x columns squares, with which the bytes end. Both numbers are even.

        Raises:
            StreamError: the bytes hold no such motion, or something else as well.
        """
        return Motion(*intact(self._native.decode(data, rows, columns), DAMAGED))

    def decode_open(self, data: bytes, rows: int, columns: int) -> tuple[Motion, DecoderState]:
        """Reads the motion of rows x columns squares. Both numbers are even.

        Returns:
            (the motion, the state of the range coder behind it, from which the rest of the payload goes on).

        Raises:
            StreamError: the bytes hold no such motion.
        """
        motion, state = intact(self._native.decode_open(data, rows, columns), DAMAGED)
        return Motion(*motion), DecoderState(*state)
