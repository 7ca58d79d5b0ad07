"""The slow twin of motion compensation and vector coding, bit-exact. It follows docs/motion.md and shares nothing with
the C++ code.

A vector is (x, y) in quarter samples. A place is (row, column) of an 8x8 square.
"""

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from dcvc_cli.errors import StreamError
from dcvc_cli.families.lite.motion.motion import SQUARE, Field, Motion
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
    code_nonzero,
)

Vector: TypeAlias = tuple[int, int]
Place: TypeAlias = tuple[int, int]

MAX_VECTOR = 1023
"""Largest magnitude of a vector's component."""

FILTERS = np.array(
    [
        [0, 0, 0, 64, 0, 0, 0, 0],
        [-1, 4, -10, 58, 17, -5, 1, 0],
        [-1, 4, -11, 40, 40, -11, 4, -1],
        [0, 1, -5, 17, 58, -10, 4, -1],
    ]
)
"""Taps by the fraction of a position, in quarters. The fourth tap stands on the sample at the position's whole part."""


def _mirrored(quarter: list[list[int]]) -> NDArray[np.int64]:
    """Makes an 8x8 table of its upper left quarter."""
    upper = np.hstack([np.array(quarter), np.array(quarter)[:, ::-1]])
    return np.vstack([upper, upper[::-1]])


OWN_WEIGHT = _mirrored([[4, 5, 5, 5], [5, 5, 5, 5], [5, 5, 6, 6], [5, 5, 6, 6]])
VERTICAL_WEIGHT = _mirrored([[2, 2, 2, 2], [1, 1, 2, 2], [1, 1, 1, 1], [1, 1, 1, 1]])
"""In eighths, by the place of a sample in its square; the third prediction has what is left."""


def compensate_twin(
    frame: NDArray[np.int16], motion: Motion, max_value: int = MAX_SAMPLE, long_term: NDArray[np.int16] | None = None
) -> NDArray[np.int16]:
    """Predicts a picture.

    Args:
        frame: the reference, (planes, h, w) in 0..max_value.
        motion: vectors, and blends and tracks if there is a long-term reference.
        max_value: the value of 1.0.
        long_term: the long-term reference, of the same shape. Motion with blends needs it.

    Returns:
        The compensated frame, of the same shape.

    Raises:
        ValueError: the motion has blends, and there are no tracks or no long-term reference.
    """
    predicted = _overlapped(frame, motion.vectors, max_value)
    if motion.blends is None:
        return predicted
    if long_term is None or motion.tracks is None:
        raise ValueError("blends need a long-term reference and tracks")
    tracked = _overlapped(long_term, motion.tracks, max_value)
    mean = ((predicted.astype(np.int64) + tracked + 1) >> 1).astype(np.int16)
    y, x = np.indices(frame.shape[1:])
    blends = motion.blends[y // (2 * SQUARE), x // (2 * SQUARE)]
    return np.stack([np.choose(blends, planes) for planes in zip(predicted, mean, tracked, strict=True)])


def _overlapped(frame: NDArray[np.int16], field: Field, max_value: int) -> NDArray[np.int16]:
    """Compensates a picture (planes, h, w) by vectors (h / 8, w / 8, 2), limited to 0..max_value."""
    height, width = frame.shape[1:]
    y, x = np.indices((height, width))
    row, column = y // SQUARE, x // SQUARE
    # Every sample blends three predictions: by the vector of its own square, of the nearest square above or below, and
    # of the nearest square to the left or right.
    beside_row = np.clip(np.where(y % SQUARE < SQUARE // 2, row - 1, row + 1), 0, height // SQUARE - 1)
    beside_column = np.clip(np.where(x % SQUARE < SQUARE // 2, column - 1, column + 1), 0, width // SQUARE - 1)
    own, vertical = OWN_WEIGHT[y % SQUARE, x % SQUARE], VERTICAL_WEIGHT[y % SQUARE, x % SQUARE]
    planes = []
    for plane in frame.astype(np.int64):
        blended = own * _moved(plane, field[row, column])
        blended += vertical * _moved(plane, field[beside_row, column])
        blended += (8 - own - vertical) * _moved(plane, field[row, beside_column])
        planes.append(np.clip((blended + 4) >> 3, 0, max_value))
    return np.stack(planes).astype(np.int16)


def _moved(plane: NDArray[np.int64], vectors: Field) -> NDArray[np.int64]:
    """Reads a plane (h, w) at the places that each sample's vector (h, w, 2) points to. It filters along x, rounds,
    filters along y and rounds."""
    y, x = np.indices(plane.shape)
    to_x, to_y = vectors[..., 0].astype(np.int64), vectors[..., 1].astype(np.int64)
    filters_x, filters_y = FILTERS[to_x & 3], FILTERS[to_y & 3]
    total = np.zeros_like(plane)
    for i in range(8):
        rows = np.clip(y + (to_y >> 2) + i - 3, 0, plane.shape[0] - 1)
        line = np.zeros_like(plane)
        for j in range(8):
            columns = np.clip(x + (to_x >> 2) + j - 3, 0, plane.shape[1] - 1)
            line += filters_x[..., j] * plane[rows, columns]
        total += filters_y[..., i] * ((line + 32) >> 6)
    return (total + 32) >> 6


MAX_VECTOR_PREFIX = 11
MAX_CANDIDATES = 4
TRACK = 3
"""Takes the place of a part's side for tracks, which are vectors into the long-term reference."""
START_SPLIT = ((65313, 63511), (43028, 40862), (28667, 25744))
START_PREDICTED = {
    1: ((36004, 36044, 33285, 33013, 33929), (25876, 27009, 24092, 21612, 20928), (22683, 23825, 21430, 18565, 16664)),
    2: ((65118, 60706, 57132, 57535, 61601), (44104, 43898, 36513, 32390, 32128), (33869, 33161, 29730, 27279, 25844)),
    TRACK: ((58659, 35556, 29440, 32768, 32768), (32768, 32938, 28491, 22069, 14150)),
}
START_CANDIDATE = {
    1: (30064, 16870, 12483, 15544),
    2: (38152, 18323, 16059, 21036),
    TRACK: (28551, 27874, 27975, 29976),
}
START_BLENDED, START_ONLY = (62158, 42355, 12533), (58368, 25526, 10000)
START_ZERO, START_TRACK_ZERO = 20825, 17800
"""Start values of the contexts: probabilities of a 0 bit in 1/65536. The keys 1 and 2 are a part's side in squares."""


class _Differences:
    """Codes the difference between a vector and the predicted one, along axis 0 (x) or 1 (y)."""

    def __init__(self, start_zero: int) -> None:
        self.zero = [[Context(start_zero), Context(start_zero)] for _ in "xy"]
        self.sign = [Context() for _ in "xy"]
        self.prefix = [[Context() for _ in range(MAX_VECTOR_PREFIX)] for _ in "xy"]

    def code(self, bit: BitCoding, axis: int, wanted: int, activity: int, may_be_zero: bool) -> int:
        if may_be_zero and not bit(self.zero[axis][activity == 2], wanted != 0):
            return 0
        return code_nonzero(bit, self.sign[axis], self.prefix[axis], wanted)


class TwinFieldCoder:
    """Codes the motion of consecutive P frames to the same bytes as families.lite.motion.field.FieldCoder."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self._split = [[Context(start) for start in starts] for starts in START_SPLIT]
        self._predicted = {
            side: [[Context(start) for start in starts] for starts in table] for side, table in START_PREDICTED.items()
        }
        self._candidate = {side: [Context(start) for start in starts] for side, starts in START_CANDIDATE.items()}
        self._any_blend = Context()
        self._blended = [Context(start) for start in START_BLENDED]
        self._only = [Context(start) for start in START_ONLY]
        self._differences, self._track_differences = _Differences(START_ZERO), _Differences(START_TRACK_ZERO)
        self._before: dict[Place, Vector] = {}
        self._kept: dict[Place, Vector] = {}
        self._size = (0, 0)
        self._number = 0

    def encode(self, motion: Motion) -> bytes:
        return self._write(motion).finish()

    def encode_open(self, motion: Motion) -> EncoderState:
        return self._write(motion).state

    def decode(self, data: bytes, rows: int, columns: int) -> Motion:
        """Reads a frame's motion.

        Raises:
            StreamError: the bytes hold no motion. The coder has to be reset then.
        """
        motion, coder = self._read(data, rows, columns)
        coder.finish()
        return motion

    def decode_open(self, data: bytes, rows: int, columns: int) -> tuple[Motion, DecoderState]:
        motion, coder = self._read(data, rows, columns)
        return motion, coder.state

    def _write(self, motion: Motion) -> TwinRangeEncoder:
        writer = TwinBitWriter()
        self._code(writer.bit, motion)
        return writer.coder

    def _read(self, data: bytes, rows: int, columns: int) -> tuple[Motion, TwinRangeDecoder]:
        reader = TwinBitReader(data)
        return self._code(reader.bit, Motion(np.zeros((rows, columns, 2), np.int16))), reader.coder

    def _code(self, bit: BitCoding, wanted: Motion) -> Motion:
        """Writes or reads a frame's motion. A reader does not look at `wanted`. Returns the motion with all tracks."""
        rows, columns, _ = wanted.vectors.shape
        if (rows, columns) != self._size:
            self._before, self._kept, self._size = {}, {}, (rows, columns)
        self._number += 1
        vectors = self._code_vectors(bit, wanted.vectors)
        if self._number == 1:
            motion, kept = Motion(_field_of(vectors, rows, columns)), vectors
        else:
            long_term = _LongTerm(_followed(vectors, self._kept, rows, columns))
            self._code_long_term(bit, long_term, wanted)
            blends = np.array([long_term.blends[block] for block in _blocks(rows, columns)], np.uint8).reshape(
                rows // 2, columns // 2
            )
            motion = Motion(_field_of(vectors, rows, columns), _field_of(long_term.tracks, rows, columns), blends)
            kept = vectors if self._number & 7 == 1 else long_term.tracks
        self._before, self._kept = vectors, kept
        return motion

    def _code_vectors(self, bit: BitCoding, field: Field) -> dict[Place, Vector]:
        rows, columns, _ = field.shape
        picture = _Picture(rows, columns, self._before)
        for row, column in _blocks(rows, columns):
            quarters = _squares_of((row, column))
            num_split = ((row, column - 1) in picture.split) + ((row - 1, column) in picture.split)
            has_candidates = bool(picture.candidates((row, column), 2))
            if bit(self._split[num_split][has_candidates], len({_vector_at(field, place) for place in quarters}) > 1):
                picture.split.update(quarters)
                for place in quarters:
                    self._code_part(bit, picture, place, 1, _vector_at(field, place))
            else:
                self._code_part(bit, picture, (row, column), 2, _vector_at(field, (row, column)))
        return picture.vectors

    def _code_part(self, bit: BitCoding, picture: "_Picture", place: Place, side: int, wanted: Vector) -> None:
        predicted, activity = picture.predicted(place, side), picture.activity(place)
        vector = self._code_vector(bit, side, (predicted, picture.candidates(place, side)), activity, wanted)
        picture.keep(place, side, vector, abs(vector[0] - predicted[0]) + abs(vector[1] - predicted[1]))

    def _code_long_term(self, bit: BitCoding, long_term: "_LongTerm", wanted: Motion) -> None:
        any_blend = bit(self._any_blend, wanted.blends is not None and bool(wanted.blends.any()))
        for row, column in _blocks(*wanted.vectors.shape[:2]):
            if not any_blend:
                long_term.keep((row, column), 0, None)
                continue
            wanted_blend = int(wanted.blends[row // 2, column // 2]) if wanted.blends is not None else 0
            beside = [long_term.blends.get(place, 0) for place in ((row, column - 2), (row - 2, column))]
            blend, track = 0, None
            if bit(self._blended[sum(other != 0 for other in beside)], wanted_blend != 0):
                blend = 1 + bit(self._only[beside.count(2)], wanted_blend == 2)
                wanted_track = _vector_at(wanted.tracks, (row, column)) if wanted.tracks is not None else (0, 0)
                track = self._code_vector(
                    bit, TRACK, long_term.likely((row, column)), long_term.activity((row, column)), wanted_track
                )
            long_term.keep((row, column), blend, track)

    def _code_vector(
        self, bit: BitCoding, side: int, likely: tuple[Vector, list[Vector]], activity: int, wanted: Vector
    ) -> Vector:
        """Codes one vector.

        Args:
            likely: (the predicted vector, the candidates).
        """
        predicted, candidates = likely
        if not bit(self._predicted[side][activity][len(candidates)], wanted != predicted):
            return predicted
        for context, candidate in zip(self._candidate[side], candidates, strict=False):
            if not bit(context, wanted != candidate):
                return candidate
        differences = self._track_differences if side == TRACK else self._differences
        dx = differences.code(bit, 0, wanted[0] - predicted[0], activity, True)
        dy = differences.code(bit, 1, wanted[1] - predicted[1], activity, dx != 0)
        vector = (predicted[0] + dx, predicted[1] + dy)
        if max(abs(vector[0]), abs(vector[1])) > MAX_VECTOR:
            raise StreamError(f"motion vectors: {vector} is longer than {MAX_VECTOR}")
        return vector


class _Picture:
    """The vectors of a picture so far. The dictionaries have only squares that are coded already."""

    def __init__(self, rows: int, columns: int, before: dict[Place, Vector]) -> None:
        self.rows, self.columns, self.before = rows, columns, before
        self.vectors: dict[Place, Vector] = {}
        self.distances: dict[Place, int] = {}
        self.split: set[Place] = set()

    def predicted(self, place: Place, side: int) -> Vector:
        left, above, corner = self._neighbours(place, side)
        if above is None:
            return left or (0, 0)
        return _median([left or (0, 0), above, corner or (0, 0)])

    def candidates(self, place: Place, side: int) -> list[Vector]:
        beyond = (min(place[0] + side, self.rows - 1), min(place[1] + side, self.columns - 1))
        return _candidates(
            self.predicted(place, side),
            [*self._neighbours(place, side), self.before.get(place), self.before.get(beyond)],
        )

    def activity(self, place: Place) -> int:
        row, column = place
        distance = self.distances.get((row, column - 1), 0) + self.distances.get((row - 1, column), 0)
        return 0 if distance == 0 else 1 if distance < 8 else 2

    def keep(self, place: Place, side: int, vector: Vector, distance: int) -> None:
        for row in range(place[0], place[0] + side):
            for column in range(place[1], place[1] + side):
                self.vectors[row, column], self.distances[row, column] = vector, distance

    def _neighbours(self, place: Place, side: int) -> tuple[Vector | None, Vector | None, Vector | None]:
        """Returns the vectors to the left, above, and above to the right. The last one is above to the left if the
        square above to the right is outside the picture or not coded yet."""
        row, column = place
        right = self.vectors.get((row - 1, column + side))
        corner = right if right is not None else self.vectors.get((row - 1, column - 1))
        return self.vectors.get((row, column - 1)), self.vectors.get((row - 1, column)), corner


class _LongTerm:
    """The blends and tracks of a picture so far: blends by the upper left square of a block, tracks by square."""

    def __init__(self, followed: dict[Place, Vector]) -> None:
        self.followed = followed
        self.tracks: dict[Place, Vector] = {}
        self.blends: dict[Place, int] = {}

    def likely(self, block: Place) -> tuple[Vector, list[Vector]]:
        """Returns (the predicted vector of a block, its candidates)."""
        row, column = block
        predicted, *others = (self.followed[square] for square in _squares_of(block))
        return predicted, _candidates(
            predicted, [*others, self.tracks.get((row, column - 1)), self.tracks.get((row - 1, column))]
        )

    def activity(self, block: Place) -> int:
        return int(len({self.followed[square] for square in _squares_of(block)}) > 1)

    def keep(self, block: Place, blend: int, track: Vector | None) -> None:
        self.blends[block] = blend
        for square in _squares_of(block):
            self.tracks[square] = self.followed[square] if track is None else track


def _followed(vectors: dict[Place, Vector], kept: dict[Place, Vector], rows: int, columns: int) -> dict[Place, Vector]:
    """Follows the tracks of the frame before: each square takes the track of the square that its vector points to, and
    adds its vector."""
    followed = {}
    for (row, column), (x, y) in vectors.items():
        source = (_limited(row + ((y + 16) >> 5), 0, rows - 1), _limited(column + ((x + 16) >> 5), 0, columns - 1))
        further = kept.get(source, (0, 0))
        followed[row, column] = (
            _limited(x + further[0], -MAX_VECTOR, MAX_VECTOR),
            _limited(y + further[1], -MAX_VECTOR, MAX_VECTOR),
        )
    return followed


def _limited(value: int, low: int, high: int) -> int:
    return min(max(value, low), high)


def _candidates(predicted: Vector, likely: Sequence[Vector | None]) -> list[Vector]:
    taken = [predicted]
    for vector in likely:
        if vector is not None and vector not in taken:
            taken.append(vector)
    return taken[1 : 1 + MAX_CANDIDATES]


def _blocks(rows: int, columns: int) -> list[Place]:
    """Returns the upper left square of every block, in raster order."""
    return [(row, column) for row in range(0, rows, 2) for column in range(0, columns, 2)]


def _squares_of(block: Place) -> list[Place]:
    row, column = block
    return [(row, column), (row, column + 1), (row + 1, column), (row + 1, column + 1)]


def _vector_at(field: Field, place: Place) -> Vector:
    return int(field[place][0]), int(field[place][1])


def _field_of(vectors: dict[Place, Vector], rows: int, columns: int) -> Field:
    return np.array([[vectors[row, column] for column in range(columns)] for row in range(rows)], np.int16)


def _median(vectors: Sequence[Vector]) -> Vector:
    return sorted(x for x, _ in vectors)[1], sorted(y for _, y in vectors)[1]
