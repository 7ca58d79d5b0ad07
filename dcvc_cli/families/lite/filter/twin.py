"""The slow twin of the output filter and its coder, bit-exact. It follows docs/output-filter.md and shares nothing with
the C++ code."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from dcvc_cli.errors import StreamError
from dcvc_cli.families.lite.filter.parameters import (
    DAMAGED,
    MAX_COEFFICIENT,
    NUM_CHROMA_TERMS,
    NUM_CLASSES,
    NUM_LUMA_TERMS,
    Filters,
    Plane,
    Planes,
)
from dcvc_cli.families.lite.samples import MAX_SAMPLE
from dcvc_cli.format.range_coder import (
    BitCoding,
    Context,
    DecoderState,
    EncoderState,
    TwinBitReader,
    TwinBitWriter,
    TwinRangeDecoder,
    TwinRangeEncoder,
    code_number,
)

CLASS_BLOCK = 4
"""Side of the squares of luma; each has a class."""
THRESHOLDS = (2697, 6967, 13740, 24430, 41400, 68000, 110560)
"""Limits between the classes by activity."""
DOWN, RIGHT = (1, 0), (0, 1)
OFFSETS = (RIGHT, DOWN, (1, 1), (1, -1), (0, 2), (2, 0))
"""(rows, columns). Each also stands for the opposite offset."""
COMPANION_OFFSETS = OFFSETS[:2]
REACH = 2
MAX_LIMITED_STEP = 128


def filter_planes_twin(planes: Planes, filters: Filters) -> Planes:
    """Filters planes (luma, Cb, Cr), samples 0..8192. Chroma is as large as luma or half as large in both
    directions."""
    luma, *chroma = planes
    coefficients = filters.luma[block_classes(luma).repeat(CLASS_BLOCK, axis=0).repeat(CLASS_BLOCK, axis=1)]
    filtered_luma = _filtered(luma, _terms(luma, OFFSETS), np.moveaxis(coefficients, -1, 0))
    of_companion = _terms(luma if chroma[0].shape == luma.shape else halved(luma), COMPANION_OFFSETS)
    cb, cr = (
        _filtered(
            plane, [*_terms(plane, OFFSETS), *of_companion], [np.array(coefficient) for coefficient in chroma_filter]
        )
        for plane, chroma_filter in zip(chroma, filters.chroma, strict=True)
    )
    return filtered_luma, cb, cr


def block_classes(luma: Plane) -> NDArray[np.uint8]:
    """Returns the class 0..23 of every 4x4 block of luma (h, w), as (h / 4, w / 4)."""
    plane = luma.astype(np.int64)
    vertical, horizontal = (_around(abs(_steps(plane, offset).sum(axis=0))) for offset in (DOWN, RIGHT))
    activity = np.searchsorted(THRESHOLDS, vertical + horizontal, side="right")
    direction = np.where(2 * vertical < horizontal, 0, np.where(vertical > 2 * horizontal, 2, 1))
    return (3 * activity + direction).astype(np.uint8)


def halved(plane: Plane) -> Plane:
    """Halves a plane in both directions, to rounded means of 2x2 samples."""
    height, width = plane.shape
    sums: NDArray[np.int64] = plane.astype(np.int64).reshape(height // 2, 2, width // 2, 2).sum(axis=(1, 3))
    return ((sums + 2) >> 2).astype(np.int16)


def _around(values: NDArray[np.int64]) -> NDArray[np.int64]:
    """Sums values over each 4x4 block, then over the 3x3 blocks around each block."""
    rows, columns = values.shape[0] // CLASS_BLOCK, values.shape[1] // CLASS_BLOCK
    blocks: NDArray[np.int64] = values.reshape(rows, CLASS_BLOCK, columns, CLASS_BLOCK).sum(axis=(1, 3))
    total = np.zeros_like(blocks)
    for row in (-1, 0, 1):
        for column in (-1, 0, 1):
            total += _moved(blocks, (row, column))
    return total


def _moved(values: NDArray[np.int64], offset: tuple[int, int]) -> NDArray[np.int64]:
    """Returns the value at an offset from every place. Places outside have the value of the nearest edge."""
    height, width = values.shape
    row, column = REACH + offset[0], REACH + offset[1]
    return np.pad(values, REACH, mode="edge")[row : row + height, column : column + width]


def _steps(plane: NDArray[np.int64], offset: tuple[int, int]) -> NDArray[np.int64]:
    """Returns the steps from every sample to the sample at the offset and to the opposite one, (2, h, w)."""
    return np.stack([_moved(plane, offset) - plane, _moved(plane, (-offset[0], -offset[1])) - plane])


def _terms(plane: Plane, offsets: Sequence[tuple[int, int]]) -> list[NDArray[np.int64]]:
    """Returns what the coefficients multiply: both steps of each offset, then both limited steps of each."""
    steps = [_steps(plane.astype(np.int64), offset) for offset in offsets]
    return [both.sum(axis=0) for both in (*steps, *(both.clip(-MAX_LIMITED_STEP, MAX_LIMITED_STEP) for both in steps))]


def _filtered(
    plane: Plane, terms: Sequence[NDArray[np.int64]], coefficients: Sequence[NDArray[np.int8]] | NDArray[np.int8]
) -> Plane:
    """Filters a plane.

    Args:
        coefficients: for each term one coefficient, or one for every sample.
    """
    total = np.zeros(plane.shape, np.int64)
    for term, coefficient in zip(terms, coefficients, strict=True):
        total += term * coefficient
    return (plane + ((total + 32) >> 6)).clip(0, MAX_SAMPLE).astype(np.int16)


START_CHANGED, START_OTHER = (8192, 57344), (49152, 16384)
"""Start values of contexts that do not start at 1/2: probabilities of a 0 bit in 1/65536."""
KINDS = (0,) * 6 + (1,) * 6 + (2,) * 4
"""The kind of each term. Coefficients of one kind share their contexts."""
MAX_COEFFICIENT_PREFIX = 7


class TwinFilterCoder:
    """Codes the filters of consecutive frames to the same bytes as families.lite.filter.filters.FilterCoder."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self._in_force = [[0] * NUM_LUMA_TERMS] * NUM_CLASSES + [[0] * NUM_CHROMA_TERMS] * 2
        self._is_p_frame = False
        self._changed, self._other = ([Context(start) for start in starts] for starts in (START_CHANGED, START_OTHER))
        self._copied, self._exact = Context(), Context()
        self._zero, self._sign = ([Context() for _ in range(3)] for _ in range(2))
        self._prefix = [[Context() for _ in range(MAX_COEFFICIENT_PREFIX)] for _ in range(3)]

    @property
    def filters(self) -> Filters:
        """Returns the filters in force."""
        return Filters(np.array(self._in_force[:NUM_CLASSES], np.int8), np.array(self._in_force[NUM_CLASSES:], np.int8))

    def encode_open(self, filters: Filters, start: EncoderState | None = None) -> EncoderState:
        return self._write(filters, start).state

    def encode(self, filters: Filters, start: EncoderState | None = None) -> bytes:
        return self._write(filters, start).finish()

    def decode_open(self, data: bytes, start: DecoderState | None = None) -> tuple[Filters, DecoderState]:
        """Reads a frame's filters.

        Raises:
            StreamError: the bytes hold no filters. The coder has to be reset then.
        """
        coder = self._read(data, start)
        return self.filters, coder.state

    def decode(self, data: bytes, start: DecoderState | None = None) -> Filters:
        coder = self._read(data, start)
        try:
            coder.finish()
        except StreamError as error:
            raise StreamError(DAMAGED) from error
        return self.filters

    def _write(self, filters: Filters, start: EncoderState | None) -> TwinRangeEncoder:
        writer = TwinBitWriter(start)
        self._code(writer.bit, [*filters.luma.tolist(), *filters.chroma.tolist()])
        return writer.coder

    def _read(self, data: bytes, start: DecoderState | None) -> TwinRangeDecoder:
        reader = TwinBitReader(data, start)
        self._code(reader.bit, self._in_force)
        return reader.coder

    def _code(self, bit: BitCoding, wanted: list[list[int]]) -> None:
        """Writes or reads a frame's filters and puts them in force. A reader does not look at `wanted`."""
        changed = bit(self._changed[self._is_p_frame], wanted != self._in_force)
        self._is_p_frame = True
        if not changed:
            return
        filters: list[list[int]] = []
        is_other = 0
        for stands, wanted_one in zip(self._in_force, wanted, strict=True):
            is_other = bit(self._other[is_other], wanted_one != stands)
            is_first = len(filters) in (0, NUM_CLASSES)
            filters.append(
                self._code_filter(bit, stands, None if is_first else filters[-1], wanted_one) if is_other else stands
            )
        self._in_force = filters

    def _code_filter(self, bit: BitCoding, stands: list[int], before: list[int] | None, wanted: list[int]) -> list[int]:
        """Codes a filter that changes.

        Args:
            stands: the filter in force.
            before: the filter before it, if this one may start from that; else None.
        """
        begins = stands
        if before is not None and bit(self._copied, _distance(wanted, before) < _distance(wanted, stands)):
            if bit(self._exact, wanted == before):
                return before
            begins = before
        coefficients = [
            begin + self._code_difference(bit, kind, one - begin)
            for begin, one, kind in zip(begins, wanted, KINDS, strict=False)
        ]
        if max(map(abs, coefficients)) > MAX_COEFFICIENT:
            raise StreamError(DAMAGED)
        return coefficients

    def _code_difference(self, bit: BitCoding, kind: int, wanted: int) -> int:
        return code_number(bit, self._zero[kind], self._sign[kind], self._prefix[kind], wanted)


def _distance(one: list[int], other: list[int]) -> int:
    return sum(abs(a - b) for a, b in zip(one, other, strict=True))
