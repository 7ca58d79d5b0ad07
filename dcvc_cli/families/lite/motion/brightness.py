"""Changes of brightness: where the picture fades, references become brighter or darker before compensation. Source:
docs/motion.md, "Brightness".

All of it is integer arithmetic, bit-exact everywhere; what the encoder chooses is coded, so no decoder depends on it. A
frame has a few of these numbers at most, so their coder is Python.
"""

import math
from copy import deepcopy
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from dcvc_cli.backend.operations import Operations, Tensor
from dcvc_cli.errors import StreamError
from dcvc_cli.families.lite.samples import MAX_SAMPLE
from dcvc_cli.format.range_coder import (
    BitCoding,
    Context,
    DecoderState,
    EncoderState,
    TwinBitReader,
    TwinBitWriter,
    code_number,
)

ONE = 256
"""The scale that changes nothing."""
MAX_SCALE, MAX_OFFSET = 511, 255
OFFSET_UNIT = 32
"""An offset of 1 in samples 0..8192: about a grey level."""
PIVOTS = (0, 4096, 4096)
"""Samples of Y, Cb and Cr that a scale leaves as they are: black, and no colour."""
Plane: TypeAlias = NDArray[np.int16]


@dataclass(frozen=True)
class Brightness:
    """A change of brightness of one reference.

    Attributes:
        scale: 0..511, in 1/256, of all planes.
        offsets: of Y, Cb and Cr, -255..255 each, in units of OFFSET_UNIT.
    """

    scale: int = ONE
    offsets: tuple[int, int, int] = (0, 0, 0)


@dataclass(frozen=True)
class FrameBrightness:
    """The changes of brightness of a P frame; None leaves a reference as it is.

    Attributes:
        reference: the change of the reference.
        long_term: the change of the long-term reference.
    """

    reference: Brightness | None = None
    long_term: Brightness | None = None

    @property
    def is_used(self) -> bool:
        """Returns whether a reference changes."""
        return self.reference is not None or self.long_term is not None


SAME_BRIGHTNESS = FrameBrightness()


def _brightened_plane(plane: Plane, scale: int, offset: int, pivot: int) -> Plane:
    moved = (scale * (plane.astype(np.int32) - pivot) + ONE // 2) >> 8
    return (moved + (pivot + OFFSET_UNIT * offset)).clip(0, MAX_SAMPLE).astype(np.int16)


def brightened(samples: NDArray[np.int16], brightness: Brightness | None) -> NDArray[np.int16]:
    """Returns samples (3, ...) in 0..8192 after a change of brightness, in the layout that they have; without a change
    the samples themselves."""
    if brightness is None:
        return samples
    changed = np.copy(samples, order="K")
    for plane, pivot, offset in zip(changed, PIVOTS, brightness.offsets, strict=True):
        plane[...] = _brightened_plane(plane, brightness.scale, offset, pivot)
    return changed


def brightened_frame(ops: Operations, frame: Tensor, brightness: Brightness | None) -> Tensor:
    """Returns a frame of a backend after a change of brightness, which the host makes; without a change the frame
    itself."""
    return (
        frame if brightness is None else ops.frame_from_samples(brightened(ops.samples_from_frame(frame), brightness))
    )


class BrightnessCoder:
    """Codes the changes of brightness of consecutive P frames. What it learned stays until `reset`."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forgets what was learned: at every I frame."""
        self._used, self._own = Context(64512), [Context(), Context()]
        self._zero, self._sign = ([Context() for _ in range(3)] for _ in range(2))
        self._prefix = [[Context() for _ in range(9)] for _ in range(3)]

    def __copy__(self) -> "BrightnessCoder":
        """Copies the contexts too: they learn in place."""
        copied = BrightnessCoder()
        copied.__dict__.update(deepcopy(self.__dict__))
        return copied

    def encode_open(self, brightness: FrameBrightness, has_long_term: bool, start: EncoderState) -> EncoderState:
        """Codes a frame's changes behind its vectors; returns the state behind the changes."""
        writer = TwinBitWriter(start)
        self._code(writer.bit, brightness, has_long_term)
        return writer.coder.state

    def decode_open(
        self, data: bytes, has_long_term: bool, start: DecoderState
    ) -> tuple[FrameBrightness, DecoderState]:
        """Reads a frame's changes behind its vectors.

        Raises:
            StreamError: a scale or an offset is out of range.
        """
        reader = TwinBitReader(data, start)
        return self._code(reader.bit, SAME_BRIGHTNESS, has_long_term), reader.coder.state

    def _code(self, bit: BitCoding, wanted: FrameBrightness, has_long_term: bool) -> FrameBrightness:
        """Codes the wanted changes; a reader ignores them. Returns what was coded."""
        if not bit(self._used, wanted.is_used):
            return SAME_BRIGHTNESS
        reference = self._code_reference(bit, 0, wanted.reference)
        return FrameBrightness(reference, self._code_reference(bit, 1, wanted.long_term) if has_long_term else None)

    def _code_reference(self, bit: BitCoding, number: int, wanted: Brightness | None) -> Brightness | None:
        if not bit(self._own[number], wanted is not None):
            return None
        wanted = wanted or Brightness()
        scale = ONE + self._code_number(bit, 0, wanted.scale - ONE)
        luma, cb, cr = (self._code_number(bit, min(plane, 1) + 1, wanted.offsets[plane]) for plane in range(3))
        if not 0 <= scale <= MAX_SCALE or max(abs(luma), abs(cb), abs(cr)) > MAX_OFFSET:
            raise StreamError("the changes of brightness of a frame are damaged")
        return Brightness(scale, (luma, cb, cr))

    def _code_number(self, bit: BitCoding, kind: int, wanted: int) -> int:
        return code_number(bit, self._zero[kind], self._sign[kind], self._prefix[kind], wanted)


LEAST_SHIFT = 1.0
"""Mean difference of two pictures' grey levels, sorted, below which no change is looked for."""
LEAST_GAIN = 2.0
"""A change must bring the sorted grey levels so much closer to each other."""


def find_brightness(picture: NDArray[np.int16], reference: NDArray[np.int16]) -> Brightness | None:
    """Finds the change that gives a reference the brightness and contrast of a picture, both (3, h, w) in 0..8192. None
    where such a change does not explain what differs, as where things move. Sums are of integers, so all machines find
    the same."""
    wanted, given = _histogram(picture[0]), _histogram(reference[0])
    shift = _distance(wanted, given)
    if shift < LEAST_SHIFT:
        return None
    mean, deviation = _moments(picture[0])
    mean_before, deviation_before = _moments(reference[0])
    if min(deviation, deviation_before) < OFFSET_UNIT:
        return None  # one colour: the floor codes it exactly
    scale = min(round(ONE * deviation / deviation_before), MAX_SCALE)
    offsets = [_offset(mean, mean_before, scale, PIVOTS[0])]
    for now, before, pivot in zip(picture[1:], reference[1:], PIVOTS[1:], strict=True):
        offsets.append(_offset(_moments(now)[0], _moments(before)[0], scale, pivot))
    brightness = Brightness(scale, (offsets[0], offsets[1], offsets[2]))
    changed = _histogram(_brightened_plane(reference[0], scale, offsets[0], PIVOTS[0]))
    return brightness if LEAST_GAIN * _distance(wanted, changed) <= shift else None


def _offset(mean: float, mean_before: float, scale: int, pivot: int) -> int:
    moved = pivot + scale * (mean_before - pivot) / ONE
    return max(-MAX_OFFSET, min(MAX_OFFSET, round((mean - moved) / OFFSET_UNIT)))


def _histogram(plane: Plane) -> NDArray[np.int64]:
    """Counts samples by units of OFFSET_UNIT."""
    return np.bincount(plane.ravel() // OFFSET_UNIT, minlength=MAX_SAMPLE // OFFSET_UNIT + 1)


def _distance(first: NDArray[np.int64], second: NDArray[np.int64]) -> float:
    """Returns the mean difference of the sorted samples of two histograms, in units of OFFSET_UNIT."""
    return float(np.abs(np.cumsum(first - second)).sum()) / float(first.sum())


def _moments(plane: Plane) -> tuple[float, float]:
    """Returns (mean, standard deviation)."""
    wide = plane.astype(np.int64)
    total, squares = int(wide.sum()), int((wide * wide).sum())
    return total / plane.size, math.sqrt(max(squares * plane.size - total * total, 0)) / plane.size
