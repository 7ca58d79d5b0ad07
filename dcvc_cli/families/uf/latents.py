"""DCVC-UF's two latent coders: one quantises and collects symbols, one reads them. The networks drive both alike.

Where all steps share their scales, the rows and flags of every position are known at once, and the symbols of all steps
are one sequence of all channels. Else each step is a sequence of its own.
"""

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from dcvc_cli.backend.operations import Operations, Tensor
from dcvc_cli.families.uf.coder import UnitDecoder, UnitEncoder
from dcvc_cli.families.uf.tables import gaussian_table
from dcvc_cli.graph.latent_steps import CodingStep, LatentCoder


class UnitLatentCoder(LatentCoder, Protocol):
    """A latent coder that may be told ahead which scales all steps share."""

    def share_scales(self, steps: Sequence[CodingStep], scales: Tensor) -> None:
        """Before step 0: the scales of all steps, C x h x w, so that all symbols are one sequence."""


def _group_map(step: CodingStep, size: tuple[int, int]) -> NDArray[np.intp]:
    """(height, width): the channel group that `step` codes at each position."""
    cell = np.array([[step.group_at(2 * row + column) for column in (0, 1)] for row in (0, 1)])
    return np.tile(cell, (-(-size[0] // 2), -(-size[1] // 2)))[: size[0], : size[1]]


def _scatter(step: CodingStep, plane: NDArray[Any], whole: NDArray[Any]) -> None:
    """Puts a step's plane, (channels / groups, h, w), into the places of `whole` (channels, h, w) that the step
    codes."""
    groups = whole.reshape(step.num_groups, -1, *whole.shape[1:])
    where = _group_map(step, (whole.shape[1], whole.shape[2]))
    for group in range(step.num_groups):
        groups[group][:, where == group] = plane[:, where == group]


def _gather(step: CodingStep, whole: NDArray[Any]) -> NDArray[Any]:
    """The plane of a step: the inverse of _scatter."""
    groups = whole.reshape(step.num_groups, -1, *whole.shape[1:])
    where = _group_map(step, (whole.shape[1], whole.shape[2]))
    plane = np.empty(groups.shape[1:], whole.dtype)
    for group in range(step.num_groups):
        plane[:, where == group] = groups[group][:, where == group]
    return plane


class EncodingLatents:
    """Quantises the analysis latents against the predicted means and hands the symbols to the entropy encoder.

    Args:
        y: analysis latents, in the form that `ops.quantise_step` takes.
        skip_threshold: elements whose predicted scale is not above it are predicted, not coded; 0 or more.
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
    """Reads the symbols of each step once the step's scales are known, or those of all steps where they share them."""

    def __init__(self, ops: Operations, decoder: UnitDecoder, skip_threshold: float) -> None:
        self.ops, self.decoder, self.skip_threshold = ops, decoder, skip_threshold
        self._symbols: NDArray[np.int8] | None = None

    def begin(self, step_size_inverse: Any) -> None:
        """A decoder has nothing to scale."""

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
