"""The ranges that calibration finds: which tensors share an exponent, which channels share a scaling, and the largest
magnitudes in them.

Typical and strange content count apart. Strange content may drive a whole network four or eight times as far. Ranges
for all of it take two or three bits from every number, which costs `lite` 88 % more rate at equal quality. But few
layers need or miss these bits (docs/decisions/0021-prepared-alike-everywhere.md). In layers where the picture passes,
strange content may take three bits: without them, a cut from black to white has 2.6 dB. In residual branches it may
take one bit. In the priors it may take none: priors only predict symbols, lose most by coarser numbers, and saturation
costs them nothing but bits.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dcvc_cli.backend import exact_rules as rules
from dcvc_cli.weights.compression import PRIOR_PREFIXES

HEADROOM = 1.2
"""Factor by which magnitudes in coding may exceed those in calibration."""
MAX_GAIN_BITS = 5
ROOM_FOR_PICTURE, ROOM_FOR_BRANCHES, ROOM_FOR_PRIORS = 3, 1, 0
"""Number of bits by which strange content may widen a range."""


class Channels:
    """Sets of channels that share a scaling, because they are summed. Channels are integer ids.

    Attributes:
        fixed: sets that must not be scaled.
        peak: the largest magnitude of each set in typical content.
        strange_peak: the same in strange content.
    """

    def __init__(self) -> None:
        self.parent = np.empty(0, np.int64)
        self.peak = np.empty(0, np.float64)
        self.strange_peak = np.empty(0, np.float64)
        self.fixed = np.empty(0, np.bool_)

    def new(self, count: int, *, fixed: bool = False) -> NDArray[np.int64]:
        first = len(self.parent)
        ids = np.arange(first, first + count)
        self.parent = np.concatenate([self.parent, ids])
        self.peak = np.concatenate([self.peak, np.zeros(count)])
        self.strange_peak = np.concatenate([self.strange_peak, np.zeros(count)])
        self.fixed = np.concatenate([self.fixed, np.full(count, fixed)])
        return ids

    def roots(self, ids: NDArray[np.int64]) -> NDArray[np.int64]:
        found = self.parent[ids]
        above = self.parent[found]
        if (above == found).all():
            return found
        while not (above == found).all():
            found, above = above, self.parent[above]
        self.parent[ids] = found  # so that the next search is short
        return found

    def tie(self, a: NDArray[np.int64], b: NDArray[np.int64]) -> None:
        """Joins the sets of element i of `a` and of `b`."""
        roots_a, roots_b = self.roots(a), self.roots(b)
        if (roots_a == roots_b).all():
            return
        for first, second in zip(a[roots_a != roots_b], b[roots_a != roots_b], strict=True):
            x, y = self._root(int(first)), self._root(int(second))
            if x != y:
                self.parent[y] = x
                self.peak[x] = max(self.peak[x], self.peak[y])
                self.strange_peak[x] = max(self.strange_peak[x], self.strange_peak[y])
                self.fixed[x] |= self.fixed[y]

    def _root(self, one: int) -> int:
        while self.parent[one] != one:
            one = int(self.parent[one])
        return one

    def fix(self, ids: NDArray[np.int64]) -> None:
        self.fixed[self.roots(ids)] = True

    def gains(self, ids: NDArray[np.int64], group_range: float) -> NDArray[np.float64]:
        """Returns the powers of two that bring quiet channels near the range of their group; 1 for channels that must
        not be scaled."""
        roots = self.roots(ids)
        if group_range <= 0:
            return np.ones(len(ids))
        own = _range(self.peak[roots], self.strange_peak[roots], ROOM_FOR_BRANCHES)
        room = group_range / np.maximum(own, group_range * 2.0**-MAX_GAIN_BITS)
        return np.where(self.fixed[roots], 1.0, np.ldexp(1.0, np.frexp(room)[1] - 1))

    def see(self, ids: NDArray[np.int64], peaks: NDArray[np.float64], *, typical: bool) -> None:
        np.maximum.at(self.peak if typical else self.strange_peak, self.roots(ids), peaks)


def room_for_strange(layer_name: str) -> int:
    """Returns the number of bits by which strange content may widen the range of a layer's output."""
    if layer_name.startswith(PRIOR_PREFIXES):
        return ROOM_FOR_PRIORS
    return ROOM_FOR_BRANCHES if {"dc", "ffn"} & set(layer_name.split(".")) else ROOM_FOR_PICTURE


def _range(typical: Any, strange: Any, room: int) -> Any:
    """Returns the magnitude that numbers must hold, elementwise."""
    return np.minimum(np.maximum(typical, strange), np.where(np.asarray(typical) > 0, typical * 2.0**room, strange))


@dataclass
class Groups:
    """Sets of tensors; each has one exponent. For each set the largest magnitude is known, and limits of the exponent.

    Attributes:
        room: bits that strange content may take.
        fixed: given exponents.
        limits: largest exponents of sets.
        activations: sets that are inputs of an activation.
    """

    parent: list[int] = field(default_factory=list)
    peak: list[float] = field(default_factory=list)
    strange_peak: list[float] = field(default_factory=list)
    room: list[int] = field(default_factory=list)
    fixed: dict[int, int] = field(default_factory=dict)
    limits: dict[int, int] = field(default_factory=dict)
    activations: set[int] = field(default_factory=set)

    def new(self, fixed: int | None = None, room: int = 0) -> int:
        self.parent.append(len(self.parent))
        self.peak.append(0.0)
        self.strange_peak.append(0.0)
        self.room.append(room)
        if fixed is not None:
            self.fixed[self.parent[-1]] = fixed
        return self.parent[-1]

    def root(self, group: int) -> int:
        while self.parent[group] != group:
            group = self.parent[group]
        return group

    def tie(self, a: int, b: int) -> int:
        a, b = self.root(a), self.root(b)
        if a == b:
            return a
        self.parent[b] = a
        self.peak[a] = max(self.peak[a], self.peak[b])
        self.strange_peak[a] = max(self.strange_peak[a], self.strange_peak[b])
        self.room[a] = max(self.room[a], self.room[b])
        if b in self.fixed:
            self.fixed[a] = self.fixed.pop(b)
        if b in self.limits:
            self.limits[a] = min(self.limits.pop(b), self.limits.get(a, rules.MAX_EXPONENT))
        if b in self.activations:
            self.activations.add(a)
        return a

    def lower(self, group: int) -> bool:
        """Lowers the largest exponent of a set by one. Returns False if the exponent must not be lowered."""
        group, exponent = self.root(group), self.exponent(group)
        if group in self.fixed or exponent <= (rules.WSILU_EXPONENTS.start if group in self.activations else 1):
            return False
        self.limits[group] = exponent - 1
        return True

    def range(self, group: int) -> float:
        """Returns the magnitude that the set's numbers must hold."""
        group = self.root(group)
        return float(_range(self.peak[group], self.strange_peak[group], self.room[group]))

    def exponent(self, group: int) -> int:
        """Returns the largest exponent at which range * HEADROOM fits 16 bits."""
        group = self.root(group)
        if group in self.fixed:
            return self.fixed[group]
        room = 32767 / max(self.range(group) * HEADROOM, 1e-9)
        exponent = min(int(np.frexp(room)[1]) - 1, self.limits.get(group, rules.MAX_EXPONENT))
        if group in self.activations:
            return min(max(exponent, rules.WSILU_EXPONENTS.start), rules.WSILU_EXPONENTS.stop - 1)
        return min(max(exponent, 1), rules.MAX_EXPONENT)
