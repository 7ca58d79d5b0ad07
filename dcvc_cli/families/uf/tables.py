"""DCVC-UF's probability tables: rows in zigzag order 0, 1, -1, 2, -2, .., then the escape. Source: docs/entropy-coding.md.

The integers are the norm, not the formulas: the Gaussian table ships with the package, the z tables travel with the weights.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.resources import files
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dcvc_cli.entropy.tables import MAX_NATIVE_ROWS, CdfTable, TableError, native, quantise_pmf

MAX_REACH = 8
"""Magnitude of the largest symbol that a row names; beyond it symbols are escapes."""
TAIL = np.float32(0.001)
"""A row reaches as far as it takes to leave less than this on either side."""


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
    _native: dict[tuple[int, int], Any] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        length = np.asarray(self.cdf_length)
        # The rules that it shares with the other tables are checked by them; symbols of offset 0 fit any length here.
        checked = CdfTable(self.cdf, length, np.zeros(length.shape, np.int32))
        if (checked.cdf_length % 2 == 0).any():
            raise TableError("a zigzag row has as many positive as negative symbols, so its length is odd")
        object.__setattr__(self, "cdf", checked.cdf)
        object.__setattr__(self, "cdf_length", checked.cdf_length)

    @property
    def num_rows(self) -> int:
        return int(self.cdf.shape[0])

    def native(self, first_row: int = 0, num_rows: int | None = None) -> Any:
        """The coder's form of rows first_row..first_row + num_rows - 1 (default: all), built once and kept.

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
    """The normative table of zero-mean Gaussians for y, 128 rows."""
    with (files("dcvc_cli.families.uf") / "gaussian_cdf.npz").open("rb") as stream, np.load(stream, allow_pickle=False) as arrays:
        return ZigzagTable(arrays["cdf"], arrays["cdf_length"])


def z_table(parameters: Mapping[str, Any], prefix: str = "bit_estimator_z") -> ZigzagTable:
    """Tables of the density of z, row qp * num_channels + channel.

    Evaluated in float32 with PyTorch's functions, so NOT the same on every machine: build once, store the integers.

    Args:
        parameters: `prefix`.h and .b (num_qps, channels, 4), `prefix`.a (num_qps, channels, 3), float32.
    """
    density = _Density(parameters, prefix)
    at_integers = density.cumulative([float(x) for x in range(-MAX_REACH, MAX_REACH + 1)])
    reach = np.full(density.num_rows, MAX_REACH)
    for i in range(MAX_REACH, 1, -1):
        is_enough = (at_integers[:, MAX_REACH - i] < TAIL) & (at_integers[:, MAX_REACH + i] > np.float32(0.999))
        reach[is_enough] = i
    at_halves = density.cumulative([x + 0.5 for x in range(-MAX_REACH - 1, MAX_REACH + 1)])
    cdf = np.zeros((density.num_rows, 2 * MAX_REACH + 3), dtype=np.int32)
    for row, c in enumerate(reach):
        halves = at_halves[row, MAX_REACH - c : MAX_REACH + c + 2]
        # The upper tail starts at c, not c + 0.5: the published tables count half a bin twice.
        tail = halves[0] + (np.float32(1) - at_integers[row, MAX_REACH + c])
        cdf[row, : 2 * c + 3] = quantise_pmf(np.append(_zigzag(halves[1:] - halves[:-1]), tail))
    return ZigzagTable(cdf, (2 * reach + 3).astype(np.int32))


def _zigzag(pmf: NDArray[np.float32]) -> NDArray[np.float32]:
    """Probabilities of -c..c in the order 0, 1, -1, .., c, -c."""
    c = len(pmf) // 2
    places = [c] + [place for s in range(1, c + 1) for place in (c + s, c - s)]
    return pmf[places]


class _Density:
    """The cumulative distribution of every row at given points, in float32."""

    def __init__(self, parameters: Mapping[str, Any], prefix: str) -> None:
        import torch
        from torch.nn.functional import softplus

        def parameter(name: str) -> torch.Tensor:
            key = f"{prefix}.{name}"
            if key not in parameters:
                raise TableError(f"parameter {key} is missing")
            value = parameters[key]
            tensor = value.detach().cpu() if isinstance(value, torch.Tensor) else torch.from_numpy(np.array(value))
            return tensor.to(torch.float32).flatten(0, 1)

        h, b, a = softplus(parameter("h")), parameter("b"), torch.tanh(parameter("a"))
        self._layers = [
            (h[:, k : k + 1].contiguous(), b[:, k : k + 1].contiguous(), a[:, k : k + 1].contiguous() if k < 3 else None) for k in range(4)
        ]
        self.num_rows = int(h.shape[0])

    def cumulative(self, points: list[float]) -> NDArray[np.float32]:
        """(num_rows, len(points)) float32."""
        import torch

        x = torch.tensor(points, dtype=torch.float32).repeat(self.num_rows, 1)
        for slope, shift, gate in self._layers:
            x = x * slope + shift
            if gate is not None:
                x = x + torch.tanh(x) * gate
        return np.asarray(torch.sigmoid(x).numpy(), dtype=np.float32)
