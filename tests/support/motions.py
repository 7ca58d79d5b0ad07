"""Random motion of consecutive pictures, with what a coder makes of it."""

from dataclasses import fields

import numpy as np

from dcvc_cli.families.lite.motion.motion import Motion

REACHES = (1, 6, 90, 400, 1023)
MAX_VECTOR = 1023


def random_field(rng: np.random.Generator, rows: int, columns: int) -> np.ndarray:
    """Vectors of one reach; areas of one vector, single ones, 16x16 squares of one vector, and the longest ones here
    and there."""
    reach = int(rng.choice(REACHES))
    field = rng.integers(-reach, reach + 1, (rows, columns, 2)).astype(np.int16)
    kind = rng.integers(4)
    if kind == 0:
        field[rng.random((rows, columns)) < 0.7] = field[0, 0]
    elif kind == 1:
        field = by_squares(field[::2, ::2])[:rows, :columns]
    elif kind == 2:
        field = (field[:1, :1] + rng.integers(-2, 3, field.shape)).clip(-MAX_VECTOR, MAX_VECTOR).astype(np.int16)
    field[rng.random((rows, columns)) < 0.05] = rng.choice([-MAX_VECTOR, MAX_VECTOR], 2)
    return np.ascontiguousarray(field)


def random_blends(rng: np.random.Generator, rows: int, columns: int) -> np.ndarray:
    """Draws 0, 1, 2 for 16x16 blocks of a picture of so many squares: evenly mixed, mostly one of them, or all the
    same."""
    share = rng.choice([0.0, 0.2, 1.0])
    blends = np.full((rows // 2, columns // 2), rng.integers(3), np.uint8)
    return np.where(rng.random(blends.shape) < share, rng.integers(0, 3, blends.shape), blends).astype(np.uint8)


def random_motion(rng: np.random.Generator, rows: int, columns: int) -> Motion:
    """Draws a motion for compensation: every square's vector and track has nothing to do with its neighbours'."""
    return Motion(random_field(rng, rows, columns), random_field(rng, rows, columns), random_blends(rng, rows, columns))


def still(rows: int, columns: int) -> Motion:
    """Returns a motion in which nothing moves, without a long-term reference."""
    return Motion(np.zeros((rows, columns, 2), np.int16))


def by_squares(of_blocks: np.ndarray) -> np.ndarray:
    """Returns what 16x16 blocks have, for each of their squares."""
    return of_blocks.repeat(2, 0).repeat(2, 1)


def followed(field: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """The vectors, and on with the track of the square that each points to."""
    rows, columns, _ = field.shape
    row, column = np.indices((rows, columns))
    x, y = field[..., 0].astype(np.int64), field[..., 1].astype(np.int64)
    further = kept[np.clip(row + (y + 16) // 32, 0, rows - 1), np.clip(column + (x + 16) // 32, 0, columns - 1)]
    return (field + further).clip(-MAX_VECTOR, MAX_VECTOR).astype(np.int16)


class Following:
    """Knows of a sequence of P frames what a coder of vectors knows about tracks: docs/motion.md, "The long-term
    reference", as plainly as can be.

    Attributes:
        number: of the next P frame since the I frame.
    """

    def __init__(self) -> None:
        self.number = 1
        self.before = Motion(np.zeros((0, 0, 2), np.int16))

    def followed(self, field: np.ndarray) -> np.ndarray:
        before = self.before
        if before.vectors.shape != field.shape:
            return field
        points_to_long_term = (self.number - 1) % 8 == 1
        return followed(field, before.vectors if points_to_long_term or before.tracks is None else before.tracks)

    def complete(self, motion: Motion) -> Motion:
        """Returns the motion of the next frame as a decoder has it; the frame after it follows."""
        field, tracks, blends = motion.vectors, None, None
        if self.number > 1:
            blends = (
                np.zeros((field.shape[0] // 2, field.shape[1] // 2), np.uint8)
                if motion.blends is None
                else motion.blends
            )
            tracks = self.followed(field)
            if motion.tracks is not None:
                tracks = np.where(by_squares(blends)[..., None] > 0, by_squares(motion.tracks[::2, ::2]), tracks)
        self.number += 1
        self.before = Motion(field, tracks, blends)
        return self.before

    def random(self, rng: np.random.Generator, rows: int, columns: int) -> Motion:
        """Draws the next frame's motion, complete: tracks are followed vectors, their neighbours' and others."""
        field = random_field(rng, rows, columns)
        likely, tracks = self.followed(field), random_field(rng, rows, columns)
        kinds = by_squares(rng.choice(5, (rows // 2, columns // 2), p=rng.dirichlet(np.ones(5))))[..., None]
        tracks = np.where(kinds == 1, likely, tracks)
        for kind, (row, column) in ((2, (0, 1)), (3, (1, 1))):
            tracks = np.where(kinds == kind, by_squares(likely[row::2, column::2]), tracks)
        tracks = np.where(kinds == 4, tracks[:1, :1], tracks).astype(np.int16)
        return self.complete(Motion(field, tracks, random_blends(rng, rows, columns)))


def differences(expected: Motion, found: Motion) -> list[str]:
    """Lists in which parts two motions differ."""
    told = []
    for name in (field.name for field in fields(Motion)):
        one, other = getattr(expected, name), getattr(found, name)
        if (one is None) != (other is None):
            told.append(f"{name}: {'there' if other is not None else 'missing'}")
        elif one is not None and (one.shape != other.shape or one.dtype != other.dtype):
            told.append(f"{name}: {one.dtype}{one.shape}, {other.dtype}{other.shape}")
        elif one is not None and not np.array_equal(one, other):
            told.append(f"{name}: first at {np.argwhere(one != other)[0].tolist()}")
    return told
