"""Probability tables whose rows reach 50, and the rule that turns a scale into a row. Source: docs/entropy-coding.md,
"Wide symbols".

The integers are normative, not the formulas. The tables of y ship with the package; the tables of z are in the weights.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dcvc_cli.entropy.factorised import Density, PublishedDensity, ReproducibleDensity
from dcvc_cli.entropy.scale_index import SCALE_MIN
from dcvc_cli.entropy.tables import CdfTable, quantise_pmf

REACH = 50
"""Largest magnitude of a symbol that a row names. Larger symbols are escapes."""
TAIL = 0.0001
"""A row is so long that each tail has less probability than this."""
NUM_ROWS = 256
LAST_SCALE = 64.0
SMALLEST_SCALE = 1e-5
"""Smaller scales count as this before the logarithm is taken."""
ADDED_PROBABILITY = 1e-5
"""Published estimates of bits add this to every probability."""


@dataclass(frozen=True)
class ScaleTable:
    """A table of one distribution with a row for each scale of a grid. The grid is even in the logarithm.

    Attributes:
        table: 256 rows.
        smallest: scale of row 0; the last row has scale 64.
    """

    table: CdfTable
    smallest: float

    def rows(self, scales: NDArray[Any]) -> NDArray[np.uint8]:
        """Returns the row of every scale: the nearest scale of the grid that is not larger.

        Args:
            scales: float32 or float64, of any shape. The arithmetic has that type; the logarithm is the platform's.
        """
        kind = scales.dtype.type
        step = (math.log(LAST_SCALE) - math.log(self.smallest)) / (NUM_ROWS - 1)
        logarithm = np.log(np.maximum(scales, kind(SMALLEST_SCALE)))
        position = (logarithm - kind(math.log(self.smallest))) / kind(step)
        return np.clip(np.trunc(position), 0, NUM_ROWS - 1).astype(np.uint8)


@lru_cache(maxsize=1)
def gaussian_scales() -> ScaleTable:
    """Loads the table of zero-mean Gaussians with standard deviations from SCALE_MIN."""
    return ScaleTable(_stored("gaussian"), SCALE_MIN)


@lru_cache(maxsize=1)
def laplace_scales() -> ScaleTable:
    """Loads the table of zero-mean Laplace distributions with scale parameters from 0.01."""
    return ScaleTable(_stored("laplace"), 0.01)


def _stored(name: str) -> CdfTable:
    with (
        (files("dcvc_cli.families.wide_latents") / "tables.npz").open("rb") as stream,
        np.load(stream, allow_pickle=False) as arrays,
    ):
        return CdfTable(*(arrays[f"{name}_{part}"] for part in ("cdf", "cdf_length", "offset")))


def z_table(parameters: Mapping[str, Any], *prefixes: str) -> CdfTable:
    """Makes the table of z, the same on every machine: one row a channel, one estimator of `prefixes` after the other.

    Args:
        parameters: `prefix`.f1.h, .b, .a, ..., f4.h, f4.b: arrays or tensors (1, channels, 1, 1).

    Raises:
        TableError: a parameter is missing or misshapen, or the parameters give no density.
    """
    return _joined([_rows_of(ReproducibleDensity.of(parameters, prefix)) for prefix in prefixes])


def published_z_table(parameters: Mapping[str, Any], *prefixes: str) -> CdfTable:
    """Makes the table of z as the published codecs do, in float32 by PyTorch's functions. It is NOT the same on every
    machine."""
    return _joined([_rows_of(PublishedDensity.of(parameters, prefix)) for prefix in prefixes])


def _rows_of(density: Density) -> CdfTable:
    at_integers = density.cumulative([float(x) for x in range(-REACH, REACH + 1)])
    kind = at_integers.dtype.type
    lower, upper = np.full(density.num_rows, REACH), np.full(density.num_rows, REACH)
    for i in range(REACH, 1, -1):
        lower[at_integers[:, REACH - i] < kind(TAIL)] = i
        upper[at_integers[:, REACH + i] > kind(1 - TAIL)] = i
    longest = int((lower + upper + 1).max())
    # The longest row may begin at a channel's own `lower`, so the tails need points up to 2 * REACH - 2 + 0.5.
    at_halves = density.cumulative([x - REACH - 0.5 for x in range(3 * REACH + 2)])
    cdf = np.zeros((density.num_rows, 2 * REACH + 3), np.int32)
    for row, (lo, hi) in enumerate(zip(lower, upper, strict=True)):
        halves = at_halves[row, REACH - lo :]
        pmf = np.maximum(halves[1 : lo + hi + 2] - halves[: lo + hi + 1], 0)
        # The upper tail begins at the end of the longest row of all, as in the published tables.
        tail = halves[0] + (kind(1) - halves[longest])
        cdf[row, : lo + hi + 3] = quantise_pmf(np.append(pmf, tail))
    return CdfTable(cdf, (lower + upper + 3).astype(np.int32), (-lower).astype(np.int32))


def _joined(tables: list[CdfTable]) -> CdfTable:
    return CdfTable(
        np.concatenate([table.cdf for table in tables]),
        np.concatenate([table.cdf_length for table in tables]),
        np.concatenate([table.offset for table in tables]),
    )
