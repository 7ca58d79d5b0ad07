"""DCVC-UF's two latent coders: one quantises and collects symbols, one reads them. The networks call both in the same
way.

If all steps share their scales, rows and flags of all positions are known at once, and the symbols of all steps are one
sequence. Else each step is a sequence of its own.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from dcvc_cli.backend.operations import Operations, Tensor
from dcvc_cli.families.uf.coder import UnitDecoder, UnitEncoder
from dcvc_cli.families.uf.tables import gaussian_table
from dcvc_cli.graph.latent_steps import CodingStep, LatentCoder


class UnitLatentCoder(LatentCoder, Protocol):
    """A latent coder that also takes the scales that all steps share."""

    def share_scales(self, steps: Sequence[CodingStep], scales: Tensor) -> None:
        """Takes the scales of all steps, C x h x w, before step 0. All symbols are one sequence then."""


def _cells(step: CodingStep, whole: NDArray[Any]) -> Iterator[tuple[NDArray[Any], tuple[slice, ...]]]:
    """Yields, for each position of a 2x2 cell, the channel group of `whole` (channels, h, w) that `step` codes there,
    and where in a plane the position's elements are."""
    groups = whole.reshape(step.num_groups, -1, *whole.shape[1:])
    for position in range(4):
        row, column = divmod(position, 2)
        yield groups[step.group_at(position)], (slice(None), slice(row, None, 2), slice(column, None, 2))


def _scatter(step: CodingStep, plane: NDArray[Any], whole: NDArray[Any]) -> None:
    """Puts a step's plane (channels / groups, h, w) into `whole` (channels, h, w), at the places that the step
    codes."""
    for group, where in _cells(step, whole):
        group[where] = plane[where]


def _gather(step: CodingStep, whole: NDArray[Any]) -> NDArray[Any]:
    """Takes the plane of a step out of `whole`. Inverts _scatter."""
    plane = np.empty((whole.shape[0] // step.num_groups, *whole.shape[1:]), whole.dtype)
    for group, where in _cells(step, whole):
        plane[where] = group[where]
    return plane


class EncodingLatents:
    """Quantises the analysis latents against the predicted means and hands the symbols to the entropy encoder.

    Args:
        y: latents of the analysis, in the form for `ops.quantise_step`.
        skip_threshold: latents whose predicted scale is not above it are not coded; 0 or more.
    """

    def __init__(self, ops: Operations, encoder: UnitEncoder, y: Any, skip_threshold: float) -> None:
        self.ops, self.encoder, self.y, self.skip_threshold = ops, encoder, y, skip_threshold
        self._steps: Sequence[CodingStep] = ()
        self._planes: list[tuple[NDArray[np.int8], NDArray[np.uint8], NDArray[np.bool_]]] = []

    def begin(self, step_size_inverse: Any) -> None:
        self.y = self.y * step_size_inverse

    def share_scales(self, steps: Sequence[CodingStep], scales: Tensor) -> None:
        self._steps = steps

    def step(self, step: CodingStep, scales: Tensor, means: Tensor) -> Tensor:
        part, symbols, index, coded = self.ops.quantise_step(step, self.y, scales, means, self.skip_threshold)
        if not self._steps:
            self.encoder.add_y(symbols, index, coded, gaussian_table())
            return part
        self._planes.append((symbols, index, coded))
        if len(self._planes) == len(self._steps):
            self._add_all()
        return part

    def _add_all(self) -> None:
        channels = self._planes[0][0].shape[0] * self._steps[0].num_groups
        shape = (channels, *self._planes[0][0].shape[1:])
        symbols, index, coded = np.zeros(shape, np.int8), np.zeros(shape, np.uint8), np.zeros(shape, np.bool_)
        for step, planes in zip(self._steps, self._planes, strict=True):
            for plane, whole in zip(planes, (symbols, index, coded), strict=True):
                _scatter(step, plane, whole)
        self.encoder.add_y(symbols, index, coded, gaussian_table())


class DecodingLatents:
    """Reads the symbols of each step once its scales are known. If all steps share their scales, it reads the symbols
    of all steps at once."""

    def __init__(self, ops: Operations, decoder: UnitDecoder, skip_threshold: float) -> None:
        self.ops, self.decoder, self.skip_threshold = ops, decoder, skip_threshold
        self._symbols: NDArray[np.int8] | None = None

    def begin(self, step_size_inverse: Any) -> None:
        """Does nothing: a decoder has no latents to scale yet."""

    def share_scales(self, steps: Sequence[CodingStep], scales: Tensor) -> None:
        planes = [self.ops.step_index(step, scales, self.skip_threshold) for step in steps]
        channels = planes[0][0].shape[0] * steps[0].num_groups
        shape = (channels, *planes[0][0].shape[1:])
        index, coded = np.zeros(shape, np.uint8), np.zeros(shape, np.bool_)
        for step, (rows, flags) in zip(steps, planes, strict=True):
            _scatter(step, rows, index)
            _scatter(step, flags, coded)
        self._symbols = self.decoder.decode_y(index, coded, gaussian_table())

    def step(self, step: CodingStep, scales: Tensor, means: Tensor) -> Tensor:
        if self._symbols is not None:
            return self.ops.restore_step(step, _gather(step, self._symbols), means)
        index, coded = self.ops.step_index(step, scales, self.skip_threshold)
        symbols = self.decoder.decode_y(index, coded, gaussian_table())
        return self.ops.restore_step(step, symbols, means)
