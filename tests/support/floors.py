"""Random floors of consecutive frames, and pictures for them."""

import numpy as np

from dcvc_cli.families.lite.floor.parts import COMPENSATED, FLAT, UNTOUCHED, FloorParts, Planes


def random_floor(
    rng: np.random.Generator, rows: int, columns: int, is_halved: bool, is_p: bool, bit_depth: int = 8
) -> FloorParts:
    """All bases or one of them; levels few or many, small or the largest."""
    floor = FloorParts.empty(rows, columns, is_halved, bit_depth)
    most = floor.max_level
    floor.step_index = int(rng.choice([rng.integers(64), 63, 0]))
    bases = rng.integers(0, 4, (rows, columns)) if rng.integers(2) else np.full((rows, columns), rng.integers(1, 4))
    floor.bases[:] = np.where((bases == COMPENSATED) & (not is_p), FLAT, bases)
    flat = (
        rng.integers(0, most + 1, floor.flat.shape)
        if rng.integers(2)
        else np.broadcast_to(rng.choice([0, most, 90], 3), floor.flat.shape)
    )
    floor.flat[:] = np.where((floor.bases == FLAT)[..., None], flat, 0)
    levels = np.rint(rng.laplace(0, 2.0 ** rng.integers(-3, 13), floor.levels.shape)).clip(-16383, 16383)
    levels *= rng.random(floor.levels.shape[:3])[..., None] < rng.choice([0.1, 0.5, 1.0])
    floor.levels[:] = np.where((floor.bases == UNTOUCHED)[..., None, None], 0, levels)
    return floor


def random_planes(rng: np.random.Generator, rows: int, columns: int, is_halved: bool) -> Planes:
    """Makes planes of so many blocks: anything, or the ends of the range only."""
    step = 8192 if rng.integers(4) == 0 else 1
    sides = [(16 * rows, 16 * columns), *[(8 * rows, 8 * columns) if is_halved else (16 * rows, 16 * columns)] * 2]
    luma, cb, cr = ((rng.integers(0, 8192 // step + 1, side) * step).astype(np.int16) for side in sides)
    return luma, cb, cr
