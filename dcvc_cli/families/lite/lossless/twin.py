"""The slow twin of the lossless layer, bit-exact. It follows docs/lossless.md and shares nothing with the C++ code."""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Sequence
from copy import deepcopy

import numpy as np
from numpy.typing import NDArray

from dcvc_cli.errors import StreamError
from dcvc_cli.families.lite.lossless.planes import Levels, Planes, Sizes
from dcvc_cli.format.range_coder import BitCoding, Context, TwinBitReader, TwinBitWriter

UNIT = 8
MAX_ERROR = 1023
ACTIVITY_LIMITS = (
    6, 12, 18, 26, 36, 48, 64, 84, 108, 140, 180, 230, 300, 400, 520, 700, 950, 1300, 1800, 2600, 4000, 6000, 9000,
)  # fmt: skip
WEST, NORTH, NORTH_WEST, NORTH_EAST = (0, -1), (-1, 0), (-1, -1), (-1, 1)

Grid = dict[tuple[int, int], int]


class PlaneState:
    """What was learned about one plane of I or of P frames."""

    def __init__(self) -> None:
        self.contexts: defaultdict[tuple[str | int, ...], Context] = defaultdict(Context)
        self.bias: defaultdict[tuple[object, ...], int] = defaultdict(int)


class TwinLayerCoder:
    """Codes the layers of consecutive frames."""

    def __init__(self) -> None:
        self._states: defaultdict[tuple[bool, int], PlaneState] = defaultdict(PlaneState)

    def __copy__(self) -> "TwinLayerCoder":
        made = TwinLayerCoder()
        made._states = deepcopy(self._states)
        return made

    def reset(self) -> None:
        """Forgets what was learned."""
        self._states.clear()

    def encode(self, levels: Levels, picture: Planes, compensated: Planes | None, depth: int) -> bytes:
        """Codes a frame."""
        writer = TwinBitWriter()
        wanted: list[Grid] = [{(int(r), int(c)): int(v) for (r, c), v in np.ndenumerate(plane)} for plane in levels]
        sizes = tuple(plane.shape for plane in levels)
        self._code(writer.bit, wanted, sizes, picture, compensated, depth)
        return writer.coder.finish()

    def decode(
        self, data: bytes, sizes: Sizes, picture: Planes, compensated: Planes | None, depth: int
    ) -> Levels | None:
        """Decodes a frame; None where the bytes hold none."""
        reader = TwinBitReader(data)
        try:
            grids = self._code(reader.bit, None, sizes, picture, compensated, depth)
            reader.coder.finish()
        except StreamError:
            return None
        planes = []
        for grid, size in zip(grids, sizes, strict=True):
            plane = np.zeros(size, np.uint16)
            for at, level in grid.items():
                plane[at] = level
            planes.append(plane)
        luma, cb, cr = planes
        return luma, cb, cr

    def _code(
        self,
        bit: BitCoding,
        wanted: list[Grid] | None,
        sizes: Sequence[tuple[int, int]],
        picture: Planes,
        compensated: Planes | None,
        depth: int,
    ) -> list[Grid]:
        coded: list[Grid] = []
        before: list[NDArray[np.int64]] = []
        for number, size in enumerate(sizes):
            here = parts_of(picture[number], size, depth)
            past = None if compensated is None else parts_of(compensated[number], size, depth)
            state = self._states[compensated is not None, number]
            walk = PlaneWalk(bit, state, size, here, past, depth)
            if number:
                walk.hint = hint_of(coded[-1], sizes[number - 1], before[-1], size)
            for row in range(size[0]):
                for column in range(size[1]):
                    walk.code(row, column, None if wanted is None else wanted[number][row, column])
            coded.append(walk.levels)
            before.append(here)
        return coded


def parts_of(plane: NDArray[np.int16], size: tuple[int, int], depth: int) -> NDArray[np.int64]:
    """Returns a plane of a picture in eighths of a level."""
    samples = plane[: size[0], : size[1]].astype(np.int64)
    return (samples * ((1 << depth) - 1) * UNIT + 4096) // 8192


def hint_of(levels: Grid, size: tuple[int, int], picture: NDArray[np.int64], wanted: tuple[int, int]) -> Grid:
    """Returns by how much the plane before is brighter than its picture, at the places of a plane of size `wanted`."""

    def difference(row: int, column: int) -> int:
        at = min(row, size[0] - 1), min(column, size[1] - 1)
        return UNIT * levels[at] - int(picture[at])

    hint: Grid = {}
    for r in range(wanted[0]):
        for c in range(wanted[1]):
            if size == wanted:
                hint[r, c] = difference(r, c)
            else:
                hint[r, c] = sum(difference(2 * r + i, 2 * c + j) for i in (0, 1) for j in (0, 1)) >> 2
    return hint


class PlaneWalk:
    """Codes the samples of a plane in raster order."""

    def __init__(
        self,
        bit: BitCoding,
        state: PlaneState,
        size: tuple[int, int],
        picture: NDArray[np.int64],
        compensated: NDArray[np.int64] | None,
        depth: int,
    ) -> None:
        self.bit, self.state, self.size, self.depth = bit, state, size, depth
        self.picture, self.compensated = picture, compensated
        self.hint: Grid | None = None
        self.levels: Grid = {}
        self.errors: dict[tuple[int, int], list[int]] = {}
        self.missed: Grid = {}

    def shown(self, plane: NDArray[np.int64], row: int, column: int) -> int:
        return int(plane[min(max(row, 0), self.size[0] - 1), min(max(column, 0), self.size[1] - 1)])

    def source(self, row: int, column: int) -> int:
        if (row, column) in self.levels:
            return UNIT * self.levels[row, column]
        return self.shown(self.picture, row, column)

    def corrected(self, plane: NDArray[np.int64], row: int, column: int) -> int:
        weights = {WEST: 3, NORTH: 3, NORTH_WEST: 1, NORTH_EAST: 1}
        total = sum(
            weight * (self.source(row + down, column + right) - self.shown(plane, row + down, column + right))
            for (down, right), weight in weights.items()
        )
        return self.shown(plane, row, column) + ((total + 4) >> 3)

    def predictors(self, row: int, column: int) -> list[int]:
        west, north, north_west, north_east = (
            self.source(row + down, column + right) for down, right in (WEST, NORTH, NORTH_WEST, NORTH_EAST)
        )
        here = self.shown(self.picture, row, column)
        base = self.corrected(self.picture, row, column)
        found = [
            west + north - north_west,
            west,
            north,
            west + north_east - north,
            north + north_east - self.source(row - 2, column + 1),
            (2 * (west + north_east) + north - north_west + 2) >> 2,
            base,
            west + here - self.shown(self.picture, row, column - 1),
            north + here - self.shown(self.picture, row - 1, column),
            here,
        ]
        if self.compensated is not None:
            past = self.compensated
            before = self.shown(past, row, column)
            of_west, of_north = west - self.shown(past, row, column - 1), north - self.shown(past, row - 1, column)
            found += [
                self.corrected(past, row, column),
                before,
                before + of_west + of_north - (north_west - self.shown(past, row - 1, column - 1)),
            ]
        if self.hint is not None:
            found += [base + (self.hint[row, column] >> 1), base - (self.hint[row, column] >> 1)]
        return found

    def code(self, row: int, column: int, wanted: int | None) -> None:
        """Codes a sample; reads it where `wanted` is None. StreamError for a level that there is not."""
        predicted = self.predictors(row, column)
        nothing = [0] * len(predicted)
        beside = (((0, -1), 2), ((0, -2), 1), ((-1, 0), 2), ((-1, -1), 1), ((-1, 1), 1))
        errors = [
            sum(weight * self.errors.get((row + d, column + r), nothing)[i] for (d, r), weight in beside)
            for i in range(len(predicted))
        ]
        weights = [(1 << 34) // ((error >> 2) + 1) ** 3 + 1 for error in errors]
        weighted, total = sum(w * p for w, p in zip(weights, predicted, strict=True)), sum(weights)
        largest = (1 << self.depth) - 1
        mean = min(max((2 * weighted + total) // (2 * total), 0), UNIT * largest) if weighted > 0 else 0
        activity = min(errors) + sum(
            weight * abs(self.missed.get((row + d, column + r), 0)) for (d, r), weight in beside
        )
        q = bisect_left(ACTIVITY_LIMITS, activity)
        here = self.shown(self.picture, row, column)
        before = here if self.compensated is None else self.shown(self.compensated, row, column)
        above = [
            value > mean
            for value in (
                *(self.source(row + d, column + r) for d, r in (WEST, NORTH, NORTH_EAST)),
                here,
                before,
            )
        ]
        of_bias = (*above, q // 4)
        prediction = min(max(mean + ((self.state.bias[of_bias] + 8) >> 4), 0), UNIT * largest)
        rounded, rest = divmod(prediction + UNIT // 2, UNIT)
        tendency = self.missed.get((row, column - 1), 0) + self.missed.get((row - 1, column), 0)
        sign_class = rest, (tendency > 0) - (tendency < 0)
        level = rounded + self.code_difference(None if wanted is None else wanted - rounded, q, sign_class)
        if not 0 <= level <= largest:
            raise StreamError("a level is out of range")
        self.levels[row, column] = level
        value, shift = UNIT * level, self.depth - 8
        bias = self.state.bias[of_bias]
        self.state.bias[of_bias] = bias + ((16 * min(max(value - mean, -MAX_ERROR), MAX_ERROR) - bias) >> 5)
        miss = value - prediction
        self.missed[row, column] = (abs(miss) >> shift) * (1 if miss > 0 else -1)
        self.errors[row, column] = [min(abs(value - one) >> shift, MAX_ERROR) for one in predicted]

    def code_difference(self, wanted: int | None, q: int, sign_class: tuple[int, int]) -> int:
        contexts, magnitude = self.state.contexts, abs(wanted or 0)
        bits = 0
        while bits < self.depth and self.bit(contexts["longer", q, bits], int(magnitude >> bits != 0)):
            bits += 1
        if bits == 0:
            return 0
        is_negative = self.bit(contexts[("sign", *sign_class)], int((wanted or 0) < 0))
        value = 1
        for place in range(1, bits):
            context = None
            if place == 1:
                context = contexts["second", q, bits]
            elif place == 2:
                context = contexts["third", q, bits, value & 1]
            value = 2 * value + self.bit(context, magnitude >> (bits - 1 - place) & 1)
        return -value if is_negative else value
