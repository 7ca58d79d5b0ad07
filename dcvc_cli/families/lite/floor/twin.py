"""The slow twin of the floor and its coder, bit-exact. It follows docs/floor.md and shares nothing with the C++
code."""

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from dcvc_cli.errors import StreamError
from dcvc_cli.families.lite.floor.parts import (
    BLOCK,
    COMPENSATED,
    DAMAGED,
    EXACT_STEP,
    FLAT,
    PART,
    PICTURE,
    UNTOUCHED,
    FloorParts,
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
)

MAX_TRANSFORM_COEFFICIENT = (1 << 17) - 1
MAX_LEVEL_BITS = 14
STEP_BITS = 6
STEPS = (16, 18, 20, 23, 25, 29)
TRANSFORM = np.array(
    [
        [64, 64, 64, 64, 64, 64, 64, 64],
        [89, 75, 50, 18, -18, -50, -75, -89],
        [83, 36, -36, -83, -83, -36, 36, 83],
        [75, -18, -89, -50, 50, 89, 18, -75],
        [64, -64, -64, 64, 64, -64, -64, 64],
        [50, -89, 18, 75, -75, -18, 89, -50],
        [36, -83, 83, -36, -36, 83, -83, 36],
        [18, -50, 75, -89, 89, -75, 50, -18],
    ],
    np.int64,
)
PLACES = sorted(
    ((row, column) for row in range(PART) for column in range(PART)),
    key=lambda at: (sum(at), at[1] if sum(at) % 2 == 0 else at[0]),
)
"""(row, column) of the coefficients of a part in coding order, from the lowest frequency."""
ACTIVITY_LIMITS = (0, 1, 2, 4, 7, 12, 20, 40, 80)

Samples: TypeAlias = NDArray[np.int64]


def reconstruct_twin(floor: FloorParts, picture: Planes, compensated: Planes | None) -> Planes:
    """Replaces or corrects the touched blocks of a picture; docs/floor.md, "Samples of a touched block"."""
    planes = [plane.astype(np.int64) for plane in picture]
    for row, column in zip(*np.nonzero(floor.bases), strict=True):
        for part, (plane, top, left) in enumerate(part_places(int(row), int(column), floor.is_halved)):
            place = (slice(top, top + PART), slice(left, left + PART))
            base = planes[plane][place]
            if floor.bases[row, column] == COMPENSATED:
                assert compensated is not None
                base = compensated[plane][place].astype(np.int64)
            elif floor.bases[row, column] == FLAT:
                level = np.int64(floor.flat[row, column, plane])
                base = np.full((PART, PART), sample_of_level(level, floor.max_level))
            levels = floor.levels[row, column, part].astype(np.int64).reshape(PART, PART)
            planes[plane][place] = _corrected(base, levels, floor) if levels.any() else base
    luma, cb, cr = (plane.astype(np.int16) for plane in planes)
    return luma, cb, cr


def part_places(row: int, column: int, is_halved: bool) -> list[tuple[int, int, int]]:
    """Returns (plane, row, column of the first sample) of every part of a block."""
    places = []
    for plane in range(3):
        parts_per_side = 1 if plane and is_halved else BLOCK // PART
        side = parts_per_side * PART
        places += [
            (plane, row * side + PART * i, column * side + PART * j)
            for i in range(parts_per_side)
            for j in range(parts_per_side)
        ]
    return places


def sample_of_level(level: Samples | np.int64, max_level: int) -> Samples | np.int64:
    """Turns output samples 0..max_level into samples 0..8192."""
    return (MAX_SAMPLE * level + max_level // 2) // max_level


def _corrected(base: Samples, levels: Samples, floor: FloorParts) -> Samples:
    step_index, most = floor.step_index, floor.max_level
    if step_index == EXACT_STEP:
        exact: Samples = sample_of_level((((most * base + 4096) >> 13) + levels).clip(0, most), most)  # type: ignore[assignment]
        return exact
    scaled = levels * (STEPS[step_index % 6] << (step_index // 6))
    coefficients = scaled.clip(-MAX_TRANSFORM_COEFFICIENT, MAX_TRANSFORM_COEFFICIENT)
    lines = (TRANSFORM.T @ coefficients + 64) >> 7
    return (base + ((lines @ TRANSFORM + 128) >> 8)).clip(0, MAX_SAMPLE)


LONGER = (
    (54000, 63500, 40000, 32768, 32768),
    (47000, 63000, 42000, 32768, 32768),
    (41500, 62000, 42000, 32768, 32768),
    (39500, 60000, 42000, 32768, 32768),
    (32768, 46000, 42000, 36000, 32768),
    (20000, 32768, 42000, 36000, 32768),
    (13000, 20000, 34000, 40000, 32768),
    (8000, 10000, 20000, 34000, 40000),
    (5000, 6000, 10000, 22000, 36000),
    (3000, 3000, 5000, 10000, 24000),
)
"""Start values by activity: probabilities of a 0 bit in 1/65536."""
MAX_FLAT_PREFIX = 9


def _contexts(*starts: int) -> list[Context]:
    return [Context(start) for start in starts]


class TwinFloorCoder:
    """Codes the floors of consecutive frames as FloorCoder does, to the same bytes."""

    def __init__(self, bit_depth: int = 8) -> None:
        self._bit_depth = bit_depth
        self.reset()

    def reset(self) -> None:
        self._is_p, self._last_step = 0, 0
        self._used, self._same_step = _contexts(60000, 60000), _contexts(57344, 16384)
        self._touched = [_contexts(57344, 32768, 12288), _contexts(57344, 24576, 8192)]
        self._compensated = _contexts(57344, 32768, 12288)
        self._flat = [_contexts(57344, 32768, 12288) for _ in range(2)]
        self._residual, self._same_flat = _contexts(32768, 49152), Context(24576)
        self._flat_zero, self._flat_sign = _contexts(32768, 32768), _contexts(32768, 32768)
        self._flat_prefix = [[Context() for _ in range(MAX_FLAT_PREFIX)] for _ in range(2)]
        self._coded = [_contexts(57344, 40000, 20000), _contexts(63000, 43000, 30000), _contexts(63000, 43000, 30000)]
        self._last = [[Context() for _ in range(64)] for _ in range(2)]
        tail = (32768,) * (MAX_LEVEL_BITS - 5)
        self._longer = [[[_contexts(*starts, *tail) for starts in LONGER] for _ in range(4)] for _ in range(2)]
        self._second_bit = [_contexts(32768, 45000, *(32768,) * 12) for _ in range(2)]

    def encode_open(self, floor: FloorParts | None, start: EncoderState | None = None) -> EncoderState:
        return self._write(floor, start).state

    def encode(self, floor: FloorParts | None, start: EncoderState | None = None) -> bytes:
        return self._write(floor, start).finish()

    def decode_open(
        self, data: bytes, rows: int, columns: int, is_halved: bool, start: DecoderState | None = None
    ) -> tuple[FloorParts | None, DecoderState]:
        """Reads a floor.

        Raises:
            StreamError: the bytes hold no floor. The coder has to be reset then.
        """
        floor, coder = self._read(data, FloorParts.empty(rows, columns, is_halved, self._bit_depth), start)
        return floor, coder.state

    def decode(
        self, data: bytes, rows: int, columns: int, is_halved: bool, start: DecoderState | None = None
    ) -> FloorParts | None:
        floor, coder = self._read(data, FloorParts.empty(rows, columns, is_halved, self._bit_depth), start)
        try:
            coder.finish()
        except StreamError as error:
            raise StreamError(DAMAGED) from error
        return floor

    def _write(self, floor: FloorParts | None, start: EncoderState | None) -> TwinRangeEncoder:
        writer = TwinBitWriter(start)
        self._code(writer.bit, floor, floor is not None)
        return writer.coder

    def _read(
        self, data: bytes, floor: FloorParts, start: DecoderState | None
    ) -> tuple[FloorParts | None, TwinRangeDecoder]:
        """Reads into an empty floor."""
        reader = TwinBitReader(data, start)
        return floor if self._code(reader.bit, floor, False) else None, reader.coder

    def _code(self, bit: BitCoding, floor: FloorParts | None, is_used: bool) -> bool:
        """Writes a floor, or reads one into an empty floor. Returns whether the frame has a floor."""
        is_p, self._is_p = self._is_p, 1
        if not bit(self._used[is_p], is_used):
            return False
        assert floor is not None
        if bit(self._same_step[is_p], floor.step_index == self._last_step):
            floor.step_index = self._last_step
        else:
            floor.step_index = _number(bit, floor.step_index, STEP_BITS)
        self._last_step = floor.step_index
        last_flat: tuple[int, ...] = (1 << (floor.bit_depth - 1),) * 3
        for row in range(floor.bases.shape[0]):
            for column in range(floor.bases.shape[1]):
                self._code_base(bit, floor, row, column, is_p)
                if floor.bases[row, column] == FLAT:
                    last_flat = self._code_flat(bit, floor, row, column, last_flat)
                if floor.bases[row, column] != UNTOUCHED:
                    self._code_parts(bit, floor, row, column)
        return True

    def _code_base(self, bit: BitCoding, floor: FloorParts, row: int, column: int, is_p: int) -> None:
        wanted = int(floor.bases[row, column])
        beside = [int(floor.bases[at]) for at in ((row, column - 1), (row - 1, column)) if min(at) >= 0]
        base = UNTOUCHED
        if bit(self._touched[is_p][sum(one != UNTOUCHED for one in beside)], wanted != UNTOUCHED):
            if is_p and bit(self._compensated[beside.count(COMPENSATED)], wanted == COMPENSATED):
                base = COMPENSATED
            else:
                base = FLAT if bit(self._flat[is_p][beside.count(FLAT)], wanted == FLAT) else PICTURE
        floor.bases[row, column] = base

    def _code_flat(
        self, bit: BitCoding, floor: FloorParts, row: int, column: int, last: tuple[int, ...]
    ) -> tuple[int, ...]:
        predicted = last
        for at in ((row - 1, column), (row, column - 1)):
            if min(at) >= 0 and floor.bases[at] == FLAT:
                predicted = tuple(floor.flat[at].tolist())
        wanted = tuple(floor.flat[row, column].tolist())
        levels = predicted
        if not bit(self._same_flat, wanted == predicted):
            levels = tuple(
                before + self._code_difference(bit, one - before, int(plane > 0), floor.bit_depth - 1)
                for plane, (one, before) in enumerate(zip(wanted, predicted, strict=True))
            )
        if min(levels) < 0 or max(levels) > floor.max_level:
            raise StreamError(DAMAGED)
        floor.flat[row, column] = levels
        return levels

    def _code_difference(self, bit: BitCoding, wanted: int, i: int, max_prefix: int) -> int:
        if not bit(self._flat_zero[i], wanted != 0):
            return 0
        is_negative = bit(self._flat_sign[i], wanted < 0)
        length = 0
        while length < max_prefix and bit(self._flat_prefix[i][length], abs(wanted) >> (length + 1) != 0):
            length += 1
        magnitude = (1 << length) + _number(bit, abs(wanted), length)
        return -magnitude if is_negative else magnitude

    def _code_parts(self, bit: BitCoding, floor: FloorParts, row: int, column: int) -> None:
        base, wanted = int(floor.bases[row, column]), floor.levels[row, column].copy()
        floor.levels[row, column] = 0
        if base != PICTURE and not bit(self._residual[int(base == FLAT)], bool(wanted.any())):
            return
        for part, (plane, top, left) in enumerate(part_places(row, column, floor.is_halved)):
            num_coded = sum(floor.has_levels(plane, at) for at in ((top, left - PART), (top - PART, left)))
            if bit(self._coded[plane][num_coded], bool(wanted[part].any())):
                floor.levels[row, column, part] = self._code_levels(
                    bit, wanted[part].reshape(PART, PART).tolist(), int(plane > 0)
                )

    def _code_levels(self, bit: BitCoding, wanted: list[list[int]], i: int) -> list[int]:
        wanted_last = max((k for k, (row, column) in enumerate(PLACES) if wanted[row][column]), default=0)
        node = 1
        for shift in reversed(range(6)):
            node = 2 * node + bit(self._last[i][node], wanted_last >> shift & 1)
        last = node - 64
        levels = [[0] * (PART + 2) for _ in range(PART + 2)]
        for k in reversed(range(last + 1)):
            row, column = PLACES[k]
            beside = ((row, column + 1), (row, column + 2), (row + 1, column), (row + 2, column), (row + 1, column + 1))
            activity = sum(limit < sum(abs(levels[r][c]) for r, c in beside) for limit in ACTIVITY_LIMITS)
            place = (0, 1, 1, 2, 2, 2)[row + column] if row + column < 6 else 3
            levels[row][column] = self._code_level(
                bit, self._longer[i][place][activity], wanted[row][column], i, int(k == last)
            )
        return [level for line in levels[:PART] for level in line[:PART]]

    def _code_level(self, bit: BitCoding, longer: list[Context], wanted: int, i: int, num_bits: int) -> int:
        while num_bits < MAX_LEVEL_BITS and bit(longer[num_bits], abs(wanted) >> num_bits != 0):
            num_bits += 1
        if num_bits == 0:
            return 0
        magnitude = 1
        for shift in reversed(range(num_bits - 1)):
            context = self._second_bit[i][num_bits - 1] if shift == num_bits - 2 else None
            magnitude = 2 * magnitude + bit(context, abs(wanted) >> shift & 1)
        return -magnitude if bit(None, wanted < 0) else magnitude


def _number(bit: BitCoding, wanted: int, num_bits: int) -> int:
    number = 0
    for shift in reversed(range(num_bits)):
        number = 2 * number + bit(None, wanted >> shift & 1)
    return number
