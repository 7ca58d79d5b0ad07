"""Block motion: the encoder's search, vectors to bytes and back, compensation of a reference picture. Source:
docs/motion.md.

A field of vectors is int16 (rows, columns, 2): x and y in quarter samples of every 8x8 square. Beside the reference
picture most P frames have a long-term reference, an earlier picture of good quality, and blocks are predicted from
either or from the mean of both. Compensation and vector coding are integer arithmetic, bit-exact everywhere; what the
search finds is coded, so no decoder depends on it.
"""

from typing import TYPE_CHECKING, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from dcvc_cli.errors import StreamError
from dcvc_cli.families.lite.motion.motion import SQUARE, Field, Motion
from dcvc_cli.families.lite.motion.twin import compensate_twin
from dcvc_cli.families.lite.samples import MAX_SAMPLE, SAMPLE_BITS
from dcvc_cli.format.native import NativeModule, wants_twin
from dcvc_cli.format.range_coder import DecoderState, EncoderState

if TYPE_CHECKING:
    from dcvc_cli import _motion as native
else:
    native = NativeModule("_motion")

FIRST_SEARCH_LAMBDA, LAST_SEARCH_LAMBDA = 48.0, 3.9
PRICE_STEPS = 1 << 20
"""What a bit costs at QP 0 and QP 63 in sums of absolute differences of 8-bit samples: the square root of what it costs
in squared differences, which the networks' training decides."""

TWIN_VARIABLE = "DCVC_MOTION"
"""The environment variable that, set to "twin", has pictures compensated by the slow twin."""

KEPT_INTERVAL = 8
"""Of the frames since an I frame, itself number 0, those with number 0, 8, 16, .. are kept to be long-term
references."""

T = TypeVar("T")


def is_kept(number: int) -> bool:
    """Whether the P frame with this number since its I frame, 0 the I frame itself, serves as a long-term reference
    later on."""
    return number % KEPT_INTERVAL == 0


class CoderState(NamedTuple):
    """What a FieldCoder has learned, opaque, the last frame's vectors and its tracks as the next frame follows them,
    both (0, 0, 2) without one, and the number of P frames since the last reset."""

    learned: NDArray[np.uint8]
    vectors: Field
    tracks: Field
    number: int


def search_lambda(qp: int) -> float:
    """The price of a bit at a QP row (0..71, higher is better quality), in steps that no library changes."""
    price = FIRST_SEARCH_LAMBDA * (LAST_SEARCH_LAMBDA / FIRST_SEARCH_LAMBDA) ** (qp / 63)
    return float(round(price * PRICE_STEPS) / PRICE_STEPS)


def luma_samples(luma: NDArray[np.int16]) -> NDArray[np.uint8]:
    """Luma in 0..8192 -> 8-bit samples for the search."""
    wide = luma.astype(np.int32)
    wide *= 255
    wide += 1 << (SAMPLE_BITS - 1)
    wide >>= SAMPLE_BITS
    return wide.astype(np.uint8)


def luma_of_values(values: NDArray[np.float32]) -> NDArray[np.uint8]:
    """8-bit luma (h, w) of a network input, float32 (3, h, w) in 0..1."""
    return np.rint(values[0] * np.float32(255)).astype(np.uint8)


def in_squares(frame: NDArray[np.int16]) -> NDArray[np.int16]:
    """A view of (planes, h, w) as (planes, h / 8, 8, w / 8, 8): by 8x8 squares."""
    planes, height, width = frame.shape
    return frame.reshape(planes, height // SQUARE, SQUARE, width // SQUARE, SQUARE)


def in_lines(squares: NDArray[np.int16]) -> NDArray[np.int16]:
    """The inverse of in_squares; copies what does not lie line by line."""
    planes, rows, _, columns, _ = squares.shape
    return squares.reshape(planes, rows * SQUARE, columns * SQUARE)


def compensate(
    frame: NDArray[np.int16], motion: Motion, long_term: NDArray[np.int16] | None = None
) -> NDArray[np.int16]:
    """Predicts (planes, h, w) in 0..8192 from a reference, and where the motion has blends a long-term one, of that
    shape. Bit-exact everywhere."""
    return in_lines(compensate_squares(in_squares(frame), motion, None if long_term is None else in_squares(long_term)))


def compensate_squares(
    squares: NDArray[np.int16], motion: Motion, long_term: NDArray[np.int16] | None = None
) -> NDArray[np.int16]:
    """Predicts (planes, h / 8, 8, w / 8, 8) in 0..8192 from a reference and a long-term one of that shape, of whatever
    layout; the prediction has the reference's.

    Raises:
        EnvironmentFault: DCVC_MOTION is neither "native", the default, nor "twin".
    """
    if wants_twin(TWIN_VARIABLE):
        lines = None if long_term is None else in_lines(long_term)
        return in_squares(compensate_twin(in_lines(squares), motion, MAX_SAMPLE, lines))
    parts = motion.vectors, motion.tracks, motion.blends
    return native.compensate(squares, long_term, *parts, MAX_SAMPLE)


class FieldCoder:
    """Finds and codes the motion of consecutive P frames; the last frame's, and what it learned about vectors, stay
    until `reset`."""

    def __init__(self) -> None:
        self._native = native.VectorCoder()

    def reset(self) -> None:
        """Forgets what was learned: at every I frame."""
        self._native.reset()

    @property
    def number(self) -> int:
        """P frames coded since the last reset."""
        return self._native.number

    @property
    def has_long_term(self) -> bool:
        """Whether the next frame has a long-term reference: all but the first after a reset."""
        return self.number > 0

    @property
    def keeps_reference(self) -> bool:
        """Whether the picture that the next vectors are predicted from is the long-term reference of the frames after
        that."""
        return is_kept(self.number)

    def state(self) -> CoderState:
        """For checkpoints of training: another version may not know it."""
        return CoderState(*self._native.state())

    def restore(self, state: CoderState) -> None:
        """Goes on from a state; ValueError if it is none of this version."""
        self._native.restore(*state)

    def search(
        self,
        luma: NDArray[np.uint8],
        frame: NDArray[np.int16],
        qp: int,
        long_term: NDArray[np.int16] | None = None,
        threads: int = 1,
    ) -> Motion:
        """Motion that predicts a picture, at prices of this coder. Changes nothing: `encode` what is to be kept.

        Args:
            luma: the picture's 8-bit luma (h, w), sides multiples of 16.
            frame, long_term: the pictures to predict from (planes, h, w) in 0..8192; only the first plane, luma, is
                looked at. Without the second one there are no blends; ValueError for one where the frame has none.
            qp: row 0..71, what a bit is worth.
            threads: 1..256; what is found does not depend on it.
        """
        before = None if long_term is None else luma_samples(long_term[0])
        return Motion(*self._native.search(luma, luma_samples(frame[0]), before, search_lambda(qp), threads))

    def encode(self, motion: Motion) -> bytes:
        """The frame's motion as bytes, the same on every machine; empty for some without motion. Of the tracks, those
        of blended blocks count."""
        return self._native.encode(motion.vectors, motion.tracks, motion.blends)

    def encode_open(self, motion: Motion) -> EncoderState:
        """As `encode`, but symbols may follow in the same bytes; the state is the same on every machine."""
        return EncoderState(*self._native.encode_open(motion.vectors, motion.tracks, motion.blends))

    def decode(self, data: bytes, rows: int, columns: int) -> Motion:
        """The motion of rows x columns squares; both even.

        Raises:
            StreamError: the bytes hold no such field, or something else besides.
        """
        return Motion(*_intact(self._native.decode(data, rows, columns)))

    def decode_open(self, data: bytes, rows: int, columns: int) -> tuple[Motion, DecoderState]:
        """As `decode`, but what follows in the same bytes is left to who goes on from the state.

        Raises:
            StreamError: the bytes hold no such field.
        """
        motion, state = _intact(self._native.decode_open(data, rows, columns))
        return Motion(*motion), DecoderState(*state)


def _intact(decoded: T | None) -> T:
    if decoded is None:
        raise StreamError("the motion vectors of a frame are damaged")
    return decoded
