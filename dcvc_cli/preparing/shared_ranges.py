"""What calibration finds out about ranges: which tensors share an exponent, which channels a scaling, and the largest
magnitudes in them.

Typical and strange content are told apart. Strange content may drive a whole network four or eight times as far, and
ranges for all of that take two or three bits from every number, which costs `lite` 88 % more rate at equal quality. But
few layers need those bits or miss them (docs/decisions/0021-prepared-alike-everywhere.md). Where the picture passes
through, strange content may take three bits: a cut from black to white comes out at 2.6 dB without them. In the
residual branches it may take one. The priors only predict symbols, lose most by coarser numbers and nothing but bits by
saturating, so it may take none.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dcvc_cli.backend import exact_rules as rules
from dcvc_cli.weights.compression import PRIOR_PREFIXES

HEADROOM = 1.2
"""By how much coding may exceed what calibration has seen."""
MAX_GAIN_BITS = 5
ROOM_FOR_PICTURE, ROOM_FOR_BRANCHES, ROOM_FOR_PRIORS = 3, 1, 0
"""How many bits beyond typical content a range may grow for strange content."""


class Channels:
    """Sets of channels that a scaling must treat alike, because they are summed; `fixed` ones must not be scaled at
    all.

    Ids are integers; `peak` holds the largest magnitude seen in each set.
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
        """Element i of `a` and of `b` become one set."""
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
        """Powers of two that bring quiet channels near the range of their group; 1 for channels that must not be
        scaled."""
        roots = self.roots(ids)
        if group_range <= 0:
            return np.ones(len(ids))
        own = _range(self.peak[roots], self.strange_peak[roots], ROOM_FOR_BRANCHES)
        room = group_range / np.maximum(own, group_range * 2.0**-MAX_GAIN_BITS)
        return np.where(self.fixed[roots], 1.0, np.ldexp(1.0, np.frexp(room)[1] - 1))

    def see(self, ids: NDArray[np.int64], peaks: NDArray[np.float64], *, typical: bool) -> None:
        np.maximum.at(self.peak if typical else self.strange_peak, self.roots(ids), peaks)


def room_for_strange(layer_name: str) -> int:
    """How many bits the range of a layer's output may grow for strange content."""
    if layer_name.startswith(PRIOR_PREFIXES):
        return ROOM_FOR_PRIORS
    return ROOM_FOR_BRANCHES if {"dc", "ffn"} & set(layer_name.split(".")) else ROOM_FOR_PICTURE


def _range(typical: Any, strange: Any, room: int) -> Any:
    """The magnitude that numbers must hold, elementwise."""
    return np.minimum(np.maximum(typical, strange), np.where(np.asarray(typical) > 0, typical * 2.0**room, strange))


@dataclass
class Groups:
    """Sets of tensors with one exponent each, with the largest magnitude seen and what is known about the exponent.

    Attributes:
        room: bits that strange content may take.
        fixed: exponents that are given.
        limits: the largest exponents that sets may have.
        activations: sets that an activation sees.
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
        """Takes one bit from the exponent of a set for good; False where it must not be lowered."""
        group, exponent = self.root(group), self.exponent(group)
        if group in self.fixed or exponent <= (rules.WSILU_EXPONENTS.start if group in self.activations else 1):
            return False
        self.limits[group] = exponent - 1
        return True

    def range(self, group: int) -> float:
        """The magnitude that the set's numbers must hold."""
        group = self.root(group)
        return float(_range(self.peak[group], self.strange_peak[group], self.room[group]))

    def exponent(self, group: int) -> int:
        """The largest exponent at which range * HEADROOM still fits 16 bits."""
        group = self.root(group)
        if group in self.fixed:
            return self.fixed[group]
        room = 32767 / max(self.range(group) * HEADROOM, 1e-9)
        exponent = min(int(np.frexp(room)[1]) - 1, self.limits.get(group, rules.MAX_EXPONENT))
        if group in self.activations:
            return min(max(exponent, rules.WSILU_EXPONENTS.start), rules.WSILU_EXPONENTS.stop - 1)
        return min(max(exponent, 1), rules.MAX_EXPONENT)
