"""Integer probability tables: their checked form, the stored Gaussian table, and how probabilities become integers.

Source: docs/entropy-coding.md ("Tables"). The integers are normative, not the formulas, because floating-point tables
differ between machines. The weights hold the tables of z as integers; the Gaussian table ships with the package.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dcvc_cli.errors import StreamError
from dcvc_cli.format.native import NativeModule

if TYPE_CHECKING:
    from dcvc_cli import _entropy as native
else:
    native = NativeModule("_entropy")

PROBABILITY_BITS = 16
PROBABILITY_SCALE = 1 << PROBABILITY_BITS
MAX_TABLE_ROWS = 1 << 20
MAX_NATIVE_ROWS = 256
"""Largest number of rows in one coding call, since row indices are bytes."""


class TableError(ValueError):
    """Arrays are no probability table. The message names the row and the reason."""


def check_status(status: "native.Status") -> None:
    """Checks what a decoder of the extension returned.

    Raises:
        StreamError: the bytes are damaged.
    """
    if status != native.Status.OK:
        raise StreamError(f"the entropy-coded data of a frame is damaged: {native.describe(status)}")


@dataclass(frozen=True, eq=False)
class CdfTable:
    """Rows of cumulative frequencies. Construction checks the arrays and makes them read-only.

    Attributes:
        cdf: int32 (rows, width), zero padded; row r uses its first cdf_length[r] values, 0 = c[0] < c[1] < ... = 65536.
        cdf_length: int32 (rows,), 3..width. The last entry, of index cdf_length - 2, is the escape.
        offset: int32 (rows,), the symbol value of entry 0; regular values offset..offset + cdf_length - 3 lie in
            -128..127.

    Raises:
        TableError: a rule above is broken.
    """

    cdf: NDArray[np.int32]
    cdf_length: NDArray[np.int32]
    offset: NDArray[np.int32]
    _native: "dict[tuple[int, int], native.CodingTable]" = field(default_factory=dict, init=False, repr=False)
    _native_wide: "list[native.WideTable]" = field(default_factory=list, init=False, repr=False)

    def __post_init__(self) -> None:
        for name in ("cdf", "cdf_length", "offset"):
            array = getattr(self, name)
            if not isinstance(array, np.ndarray) or array.dtype.kind not in "iu":
                raise TableError(f"{name} must be an integer array")
            if array.size and (array.min() < -(2**31) or array.max() >= 2**31):
                raise TableError(f"{name} does not fit int32")
            checked = np.array(array, dtype=np.int32, order="C")
            checked.flags.writeable = False
            object.__setattr__(self, name, checked)
        self._check_shapes()
        self._check_rows()

    def _check_shapes(self) -> None:
        if self.cdf.ndim != 2 or not 1 <= self.cdf.shape[0] <= MAX_TABLE_ROWS or not 3 <= self.cdf.shape[1] <= 258:
            raise TableError(f"cdf has shape {self.cdf.shape}, expected 1 to {MAX_TABLE_ROWS} rows of 3 to 258 values")
        for name in ("cdf_length", "offset"):
            if getattr(self, name).shape != (self.cdf.shape[0],):
                raise TableError(f"{name} has shape {getattr(self, name).shape}, expected ({self.cdf.shape[0]},)")

    def _check_rows(self) -> None:
        width = self.cdf.shape[1]
        length, offset = self.cdf_length.astype(np.int64), self.offset.astype(np.int64)
        self._refuse((length < 3) | (length > width), f"its length is outside 3..{width}")
        self._refuse((offset < -128) | (offset + length - 3 > 127), "its symbol values do not fit -128..127")
        column = np.arange(width)
        self._refuse(self.cdf[:, 0] != 0, "its first value is not 0")
        self._refuse(self.cdf[np.arange(len(length)), length - 1] != PROBABILITY_SCALE, "its last value is not 65536")
        rises = np.diff(self.cdf.astype(np.int64), axis=1) > 0
        self._refuse((~rises & (column[1:] < length[:, None])).any(axis=1), "its values do not rise strictly")
        self._refuse(((self.cdf != 0) & (column >= length[:, None])).any(axis=1), "its padding is not zero")

    @staticmethod
    def _refuse(bad: Any, why: str) -> None:
        if bad.any():
            raise TableError(f"probability table row {int(np.argmax(bad))}: {why}")

    def __reduce__(self) -> tuple[type["CdfTable"], tuple[NDArray[np.int32], ...]]:
        return CdfTable, (self.cdf, self.cdf_length, self.offset)

    @property
    def num_rows(self) -> int:
        return int(self.cdf.shape[0])

    def native_wide(self) -> "native.WideTable":
        """Returns the rows, at most 256, in the form for the coder of 16-bit symbols (entropy.wide)."""
        if self.num_rows > MAX_NATIVE_ROWS:
            raise TableError(f"a table of {self.num_rows} rows, at most {MAX_NATIVE_ROWS} at once")
        if not self._native_wide:
            self._native_wide.append(native.WideTable(self.cdf, self.cdf_length, self.offset))
        return self._native_wide[0]

    def native(self, first_row: int = 0, num_rows: int | None = None) -> "native.CodingTable":
        """Returns rows first_row..first_row + num_rows - 1 (default: all) in the C++ coder's form, made once and kept.

        Raises:
            TableError: the rows do not exist or are more than 256.
            EnvironmentFault: the compiled coder is missing.
        """
        count = self.num_rows - first_row if num_rows is None else num_rows
        if first_row < 0 or not 1 <= count <= MAX_NATIVE_ROWS or first_row + count > self.num_rows:
            raise TableError(
                f"rows {first_row}..{first_row + count - 1} of a table of {self.num_rows} rows, at most "
                f"{MAX_NATIVE_ROWS} at once"
            )
        key = (first_row, count)
        if key not in self._native:
            rows = slice(first_row, first_row + count)
            self._native[key] = native.CodingTable(self.cdf[rows], self.cdf_length[rows], self.offset[rows])
        return self._native[key]

    def rows(self, first: int, count: int) -> "CdfTable":
        """Returns rows first..first + count - 1 as a table."""
        part = slice(first, first + count)
        return CdfTable(self.cdf[part], self.cdf_length[part], self.offset[part])

    def to_arrays(self, prefix: str) -> dict[str, NDArray[np.int32]]:
        """Returns the three arrays under `prefix`.cdf, .cdf_length and .offset, for storage beside weights."""
        return {f"{prefix}.cdf": self.cdf, f"{prefix}.cdf_length": self.cdf_length, f"{prefix}.offset": self.offset}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]], prefix: str) -> "CdfTable":
        """Inverts `to_arrays`. It ignores other keys.

        Raises:
            TableError: an array is missing or the table breaks a rule.
        """
        names = [f"{prefix}.{name}" for name in ("cdf", "cdf_length", "offset")]
        missing = [name for name in names if name not in arrays]
        if missing:
            raise TableError(f"probability table arrays are missing: {', '.join(missing)}")
        return cls(*(np.asarray(arrays[name]) for name in names))


@lru_cache(maxsize=1)
def gaussian_table() -> CdfTable:
    """Loads the normative table of zero-mean Gaussians for y: 128 rows, row i for scales from
    `scale_thresholds()[i]`."""
    return _stored_table("gaussian_cdf.npz")


@lru_cache(maxsize=1)
def wide_gaussian_table() -> CdfTable:
    """Loads the normative table for y in our own entropy formats. It has the rows of `gaussian_table`, but so wide that
    escapes are rare at every scale."""
    return _stored_table("wide_gaussian_cdf.npz")


def _stored_table(name: str) -> CdfTable:
    with (files("dcvc_cli.entropy") / name).open("rb") as stream, np.load(stream, allow_pickle=False) as arrays:
        return CdfTable(arrays["cdf"], arrays["cdf_length"], arrays["offset"])


def quantise_pmf(pmf: ArrayLike) -> NDArray[np.int32]:
    """Turns probabilities into cumulative 16-bit frequencies. Every entry gets at least 1. The arithmetic is that of
    integers, bit-exact everywhere.

    Args:
        pmf: (n,) float32, 2 <= n < 65536, finite, none negative, not all of them negligible. The last is the escape's
            probability.

    Returns:
        (n + 1,) int32, from 0 to 65536, strictly rising.
    """
    probabilities = np.asarray(pmf, dtype=np.float32)
    if probabilities.ndim != 1 or not 2 <= probabilities.size < PROBABILITY_SCALE:
        raise TableError(f"probabilities have shape {probabilities.shape}, expected (n,) with 2 <= n < 65536")
    if not np.isfinite(probabilities).all() or (probabilities < 0).any() or (probabilities > PROBABILITY_SCALE).any():
        raise TableError("probabilities must be finite and not negative")
    # A product with 2^16 is exact. For numbers that are not negative, half up is half away from zero.
    frequencies = [int(value) for value in np.floor(probabilities.astype(np.float64) * PROBABILITY_SCALE + 0.5)]
    total = sum(frequencies)
    if total == 0:
        raise TableError("probabilities are all zero")
    cdf = np.zeros(len(frequencies) + 1, dtype=np.int32)
    cdf[1:] = np.cumsum([PROBABILITY_SCALE * frequency // total for frequency in frequencies])
    cdf[-1] = PROBABILITY_SCALE
    for i in range(len(frequencies)):
        if cdf[i] == cdf[i + 1]:
            _take_one(cdf, i)
    return cdf


def _take_one(cdf: NDArray[np.int32], i: int) -> None:
    """Moves one unit to entry i, which is empty, from the first of the smallest entries that have two."""
    widths = np.diff(cdf)
    donor = int(np.argmin(np.where(widths > 1, widths, PROBABILITY_SCALE + 1)))
    if donor < i:
        cdf[donor + 1 : i + 1] -= 1
    else:
        cdf[i + 1 : donor + 1] += 1
