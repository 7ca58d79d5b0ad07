"""DCVC-UF's probability tables: rows in zigzag order 0, 1, -1, 2, -2, .., then the escape. Source:
docs/entropy-coding.md.

The integers are normative, not the formulas. The Gaussian table ships with the package; the z tables are in the
weights.
"""

from dataclasses import dataclass, field
from functools import lru_cache
from importlib.resources import files
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from dcvc_cli.entropy.factorised import (
    Density,
    Probabilities,
    PublishedDensity,
    ReproducibleDensity,
    hyperbolic_tangent,
    softplus,
)
from dcvc_cli.entropy.tables import MAX_NATIVE_ROWS, CdfTable, TableError, native, quantise_pmf

if TYPE_CHECKING:
    from dcvc_cli.entropy.factorised import Parameters

PREFIX = "bit_estimator_z"
MAX_REACH = 8
"""Largest magnitude of a symbol that a row names. Larger symbols are escapes."""
TAIL = 0.001
"""A row is so long that each tail has less probability than this."""


@dataclass(frozen=True, eq=False)
class ZigzagTable:
    """Rows of cumulative frequencies, checked at construction.

    Attributes:
        cdf: int32 (rows, width), zero padded; row r uses its first cdf_length[r] values, 0 = c[0] < c[1] < .. = 65536.
        cdf_length: int32 (rows,), odd. The last entry is the escape; entries before it stand for 0, 1, -1, 2, -2, ..

    Raises:
        TableError: a rule above is broken.
    """

    cdf: NDArray[np.int32]
    cdf_length: NDArray[np.int32]
    _native: "dict[tuple[int, int], native.ZigzagTable]" = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        length = np.asarray(self.cdf_length)
        # CdfTable checks the rules that all tables share. With offset 0, symbols fit any length of this table.
        checked = CdfTable(self.cdf, length, np.zeros(length.shape, np.int32))
        if (checked.cdf_length % 2 == 0).any():
            raise TableError("a zigzag row has as many positive as negative symbols, so its length is odd")
        object.__setattr__(self, "cdf", checked.cdf)
        object.__setattr__(self, "cdf_length", checked.cdf_length)

    @property
    def num_rows(self) -> int:
        return int(self.cdf.shape[0])

    def as_stored(self) -> CdfTable:
        """Returns the same rows in the form of weights files: symbols are places in a row."""
        return CdfTable(self.cdf, self.cdf_length, np.zeros(self.cdf_length.shape, np.int32))

    def native(self, first_row: int = 0, num_rows: int | None = None) -> "native.ZigzagTable":
        """Returns rows first_row..first_row + num_rows - 1 (default: all) in the C++ coder's form, made once and kept.

        Raises:
            TableError: the rows do not exist or are more than 256.
            EnvironmentFault: the compiled coder is missing.
        """
        count = self.num_rows - first_row if num_rows is None else num_rows
        if first_row < 0 or not 1 <= count <= MAX_NATIVE_ROWS or first_row + count > self.num_rows:
            raise TableError(f"rows {first_row}..{first_row + count - 1} of a table of {self.num_rows} rows")
        key = (first_row, count)
        if key not in self._native:
            rows = slice(first_row, first_row + count)
            self._native[key] = native.ZigzagTable(self.cdf[rows], self.cdf_length[rows])
        return self._native[key]


@lru_cache(maxsize=1)
def gaussian_table() -> ZigzagTable:
    """Loads the normative table of zero-mean Gaussians for y, 128 rows."""
    with (
        (files("dcvc_cli.families.uf") / "gaussian_cdf.npz").open("rb") as stream,
        np.load(stream, allow_pickle=False) as arrays,
    ):
        return ZigzagTable(arrays["cdf"], arrays["cdf_length"])


def z_table(parameters: "Parameters", prefix: str = PREFIX) -> ZigzagTable:
    """Makes the tables of z of its density, with row qp * num_channels + channel, the same on every machine.

    Args:
        parameters: `prefix`.h and .b (num_qps, channels, 4), `prefix`.a (num_qps, channels, 3): arrays or tensors.

    Raises:
        TableError: a parameter is missing or misshapen, or the parameters give no density.
    """
    return _tables(_reproducible(parameters, prefix))


def published_z_table(parameters: "Parameters", prefix: str = PREFIX) -> ZigzagTable:
    """Makes the tables of z as the published codec does, in float32 by PyTorch's functions. They are NOT the same on
    every machine."""
    return _tables(_published(parameters, prefix))


def _tables(density: Density) -> ZigzagTable:
    at_integers = density.cumulative([float(x) for x in range(-MAX_REACH, MAX_REACH + 1)])
    kind = at_integers.dtype.type
    reach = np.full(density.num_rows, MAX_REACH)
    for i in range(MAX_REACH, 1, -1):
        is_enough = (at_integers[:, MAX_REACH - i] < kind(TAIL)) & (at_integers[:, MAX_REACH + i] > kind(1 - TAIL))
        reach[is_enough] = i
    at_halves = density.cumulative([x + 0.5 for x in range(-MAX_REACH - 1, MAX_REACH + 1)])
    cdf = np.zeros((density.num_rows, 2 * MAX_REACH + 3), dtype=np.int32)
    for row, c in enumerate(reach):
        halves = at_halves[row, MAX_REACH - c : MAX_REACH + c + 2]
        # The upper tail starts at c, not c + 0.5: the published tables count half a bin twice.
        tail = halves[0] + (kind(1) - at_integers[row, MAX_REACH + c])
        pmf = np.maximum(_zigzag(halves[1:] - halves[:-1]), 0)
        cdf[row, : 2 * c + 3] = quantise_pmf(np.append(pmf, tail))
    return ZigzagTable(cdf, (2 * reach + 3).astype(np.int32))


def _zigzag(pmf: Probabilities) -> Probabilities:
    """Puts probabilities of -c..c into the order 0, 1, -1, .., c, -c."""
    c = len(pmf) // 2
    places = [c] + [place for s in range(1, c + 1) for place in (c + s, c - s)]
    return pmf[places]


def _parameter(parameters: "Parameters", key: str) -> NDArray[np.float32]:
    """Returns (num_rows, stages) float32."""
    if key not in parameters:
        raise TableError(f"parameter {key} is missing")
    value = parameters[key]
    array = np.asarray(value.detach().cpu() if hasattr(value, "detach") else value, np.float32)
    if array.ndim != 3:
        raise TableError(f"parameter {key} has shape {array.shape}, expected (num_qps, channels, stages)")
    return np.ascontiguousarray(array.reshape(-1, array.shape[2]))


def _stages(parameters: "Parameters", prefix: str) -> tuple[NDArray[np.float32], ...]:
    """Returns the parameters h, b (num_rows, 4) and a (num_rows, 3)."""
    found = tuple(_parameter(parameters, f"{prefix}.{name}") for name in "hba")
    rows = found[0].shape[0]
    if [array.shape for array in found] != [(rows, 4), (rows, 4), (rows, 3)]:
        raise TableError(f"the parameters of {prefix} differ in size")
    return found


def _reproducible(parameters: "Parameters", prefix: str) -> ReproducibleDensity:
    h, b, a = (array.astype(np.float64) for array in _stages(parameters, prefix))
    slopes, gates = softplus(h), hyperbolic_tangent(a)
    layers = [(slopes[:, k : k + 1], b[:, k : k + 1], gates[:, k : k + 1] if k < 3 else None) for k in range(4)]
    return ReproducibleDensity(layers, h.shape[0])


def _published(parameters: "Parameters", prefix: str) -> PublishedDensity:
    import torch
    from torch.nn import functional

    h, b, a = (torch.from_numpy(array) for array in _stages(parameters, prefix))
    h, a = functional.softplus(h), torch.tanh(a)
    layers = [
        (h[:, k : k + 1].contiguous(), b[:, k : k + 1].contiguous(), a[:, k : k + 1].contiguous() if k < 3 else None)
        for k in range(4)
    ]
    return PublishedDensity(layers, int(h.shape[0]))
