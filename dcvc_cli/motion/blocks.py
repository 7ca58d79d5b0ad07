"""Block motion: the encoder's search, vectors to bytes and back, compensation of a reference picture. Source: docs/motion.md.

A field of vectors is int16 (rows, columns, 2): x and y in quarter samples of every 8x8 square. Compensation and vector coding are integer
arithmetic, bit-exact everywhere; what the search finds is coded, so no decoder depends on it.
"""

import importlib
import os
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from dcvc_cli.errors import EnvironmentFault, StreamError
from dcvc_cli.range_coder import DecoderState, EncoderState

BLOCK = 8
"""Side of the squares that have a vector each."""
SAMPLE_BITS = 13
"""Pictures are compensated as integers: samples in 0..1 are 0..8192."""
SAMPLE_UNIT = np.float32(2.0**-SAMPLE_BITS)
FIRST_SEARCH_LAMBDA, LAST_SEARCH_LAMBDA = 46.0, 4.0
"""What a bit costs at QP 0 and QP 63 in sums of absolute differences of 8-bit samples: the square root of what it costs in squared
differences, which the networks' training decides."""

TWIN_VARIABLE = "DCVC_MOTION"
"""The environment variable that, set to "reference", has pictures compensated by the slow twin."""

Field: TypeAlias = NDArray[np.int16]


def native_module() -> Any:
    """The compiled motion code.

    Raises:
        EnvironmentFault: it was not built for this Python.
    """
    try:
        return importlib.import_module("dcvc_cli._motion")
    except ImportError as error:
        raise EnvironmentFault("the compiled module dcvc_cli._motion is missing", "reinstall dcvc with a C++ compiler at hand") from error


def search_lambda(qp: int) -> float:
    """The price of a bit at a QP row (0..71, higher is better quality)."""
    return float(FIRST_SEARCH_LAMBDA * (LAST_SEARCH_LAMBDA / FIRST_SEARCH_LAMBDA) ** (qp / 63))


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
    return frame.reshape(planes, height // BLOCK, BLOCK, width // BLOCK, BLOCK)


def in_lines(squares: NDArray[np.int16]) -> NDArray[np.int16]:
    """The inverse of in_squares; copies what does not lie line by line."""
    planes, rows, _, columns, _ = squares.shape
    return squares.reshape(planes, rows * BLOCK, columns * BLOCK)


def compensate(frame: NDArray[np.int16], field: Field) -> NDArray[np.int16]:
    """Predicts (planes, h, w) in 0..8192 from a reference of that shape. Bit-exact everywhere."""
    return in_lines(compensate_squares(in_squares(frame), field))


def compensate_squares(squares: NDArray[np.int16], field: Field) -> NDArray[np.int16]:
    """Predicts (planes, h / 8, 8, w / 8, 8) in 0..8192 from a reference of that shape, of whatever layout; the prediction has the same.

    Raises:
        EnvironmentFault: DCVC_MOTION is neither "native", the default, nor "reference".
    """
    implementation = os.environ.get(TWIN_VARIABLE) or "native"
    if implementation == "reference":
        from dcvc_cli.motion.reference import compensate_reference

        return in_squares(compensate_reference(in_lines(squares), field, 1 << SAMPLE_BITS))
    if implementation != "native":
        raise EnvironmentFault(f"{TWIN_VARIABLE} must be native or reference, found {implementation!r}", f"unset {TWIN_VARIABLE}")
    predicted: NDArray[np.int16] = native_module().compensate(squares, field, 1 << SAMPLE_BITS)
    return predicted


class FieldCoder:
    """Finds and codes the fields of consecutive pictures; the last field, and what it learned about vectors, stay until `reset`."""

    def __init__(self) -> None:
        self._native = native_module().VectorCoder()

    def reset(self) -> None:
        """Forgets what was learned: at every I frame."""
        self._native.reset()

    def state(self) -> tuple[NDArray[np.uint8], Field]:
        """What was learned, opaque, and the last field, (0, 0, 2) without one. For checkpoints of training: another version may not know it."""
        learned, field = self._native.state()
        return learned, field

    def restore(self, learned: NDArray[np.uint8], field: Field) -> None:
        """Goes on from a state; ValueError if it is none of this version."""
        self._native.restore(learned, field)

    def search(self, luma: NDArray[np.uint8], frame: NDArray[np.int16], qp: int) -> Field:
        """Vectors that predict a picture from a reference, at prices of this coder. Changes nothing: `encode` what is to be kept.

        Args:
            luma: the picture's 8-bit luma (h, w), sides multiples of 16.
            frame: the reference (planes, h, w) in 0..8192; only the first plane, luma, is looked at.
            qp: row 0..71, what a bit is worth.
        """
        found: Field = self._native.search(luma, luma_samples(frame[0]), search_lambda(qp))
        return found

    def encode(self, field: Field) -> bytes:
        """A field's bytes, the same on every machine; empty for some fields without motion."""
        return bytes(self._native.encode(field))

    def encode_open(self, field: Field) -> EncoderState:
        """As `encode`, but symbols may follow in the same bytes; the state is the same on every machine."""
        return EncoderState(*self._native.encode_open(field))

    def decode(self, data: bytes, rows: int, columns: int) -> Field:
        """The field (rows, columns, 2); both even.

        Raises:
            StreamError: the bytes hold no such field, or something else besides.
        """
        field: Field = _intact(self._native.decode(data, rows, columns))
        return field

    def decode_open(self, data: bytes, rows: int, columns: int) -> tuple[Field, DecoderState]:
        """As `decode`, but what follows in the same bytes is left to who goes on from the state.

        Raises:
            StreamError: the bytes hold no such field.
        """
        field, state = _intact(self._native.decode_open(data, rows, columns))
        return field, DecoderState(*state)


def _intact(decoded: Any) -> Any:
    if decoded is None:
        raise StreamError("the motion vectors of a frame are damaged")
    return decoded
