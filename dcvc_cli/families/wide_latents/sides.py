"""The two sides of a frame's 16-bit symbols: the encoder's side makes them of pictures, the decoder's side reads them
from a payload. A family's recipe of a frame runs with either.

Both sides compute the same values with the same operations, so that both find the same row for a scale.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from dcvc_cli.backend.operations import Tensor
from dcvc_cli.codec.networks import CodecNetwork
from dcvc_cli.entropy.tables import CdfTable
from dcvc_cli.entropy.wide import MAX_SYMBOL, WideDecoder, WideEncoder, WideKind
from dcvc_cli.errors import EnvironmentFault
from dcvc_cli.families.wide_latents.tables import ScaleTable
from dcvc_cli.graph.latent_steps import VIDEO_STEPS, CodingStep

if TYPE_CHECKING:
    from dcvc_cli.backend.float_torch import FloatOperations

SMALLEST_STEP = 0.5
"""Smallest quantiser step, predicted or stored."""


def float_operations(network: CodecNetwork) -> "FloatOperations":
    """Returns the arithmetic of a network of a family that has float arithmetic only."""
    ops: FloatOperations = network.synthesis  # type: ignore[assignment]
    return ops


class WideSide(Protocol):
    """The interface between a recipe and either side."""

    def analysed(self, ops: "FloatOperations", analysis: Callable[[], Tensor]) -> Tensor | None:
        """Runs `analysis` in an encoder and returns its latents. A decoder has nothing to analyse and returns None."""

    def hyper(
        self, ops: "FloatOperations", z: Tensor | None, shape: tuple[int, int, int], table: CdfTable | None
    ) -> Tensor:
        """Codes z and returns it rounded. An encoder rounds `z`; a decoder reads it in its shape (channels, height,
        width)."""

    def step(
        self, ops: "FloatOperations", step: CodingStep, y: Tensor | None, scales: Tensor, means: Tensor, by: ScaleTable
    ) -> Tensor:
        """Codes one step. Returns its part of y_hat, which is 0 elsewhere.

        Args:
            y: the encoder's latents, divided by their steps; None in a decoder.
        """


class WideEncodingSide:
    """Makes the symbols of a frame.

    Attributes:
        encoder: holds the symbols.
        scale_planes: the predicted scales of each step's symbols, (C / 2, h, w).
    """

    def __init__(self, kind: WideKind = WideKind.LONG_WORDS) -> None:
        self.encoder = WideEncoder(kind)
        self.scale_planes: list[NDArray[Any]] = []

    def analysed(self, ops: "FloatOperations", analysis: Callable[[], Tensor]) -> Tensor:
        """Returns the latents of the analysis.

        Raises:
            EnvironmentFault: they are not finite.
        """
        y = analysis()
        if not ops.is_finite(y):
            hint = "check the weights, or encode with --precision fp32"
            raise EnvironmentFault("the encoder's networks give latents that are not finite", hint)
        return y

    def hyper(self, ops: "FloatOperations", z: Tensor, shape: tuple[int, int, int], table: CdfTable | None) -> Tensor:
        """Rounds z and adds its symbols."""
        assert table is not None, "symbols have a table"
        symbols = _symbols_of(z)
        self.encoder.add(symbols, channel_rows(symbols.shape), table)
        return _values(ops, symbols)

    def step(
        self, ops: "FloatOperations", step: CodingStep, y: Tensor, scales: Tensor, means: Tensor, by: ScaleTable
    ) -> Tensor:
        """Quantises and adds the elements of a step."""
        mask = ops.mask(step, scales.shape[1], ops.size(scales), scales)
        symbols = _symbols_of(_plane(step, (y - means * mask) * mask))
        plane = _scale_plane(ops, step, scales)
        self.scale_planes.append(plane)
        self.encoder.add(symbols, by.rows(plane), by.table)
        return ops.restore_step(step, symbols, means)


class WideDecodingSide:
    """Reads the symbols of a frame.

    Attributes:
        decoder: holds the bytes.
    """

    def __init__(self, strings: Sequence[bytes], kind: WideKind = WideKind.LONG_WORDS) -> None:
        self.decoder = WideDecoder(strings, kind)

    def analysed(self, ops: "FloatOperations", analysis: Callable[[], Tensor]) -> None:
        """Does nothing: a decoder has nothing to analyse."""

    def hyper(
        self, ops: "FloatOperations", z: Tensor | None, shape: tuple[int, int, int], table: CdfTable | None
    ) -> Tensor:
        """Reads z."""
        assert table is not None, "symbols have a table"
        return _values(ops, self.decoder.decode(channel_rows(shape), table))

    def step(
        self, ops: "FloatOperations", step: CodingStep, y: Tensor | None, scales: Tensor, means: Tensor, by: ScaleTable
    ) -> Tensor:
        """Reads the elements of a step once their scales are known."""
        return ops.restore_step(step, self.decoder.decode(by.rows(_scale_plane(ops, step, scales)), by.table), means)


def dual_prior(
    side: WideSide,
    ops: "FloatOperations",
    y: Tensor | None,
    prediction: Tensor,
    spatial_prior: Callable[[Any, Tensor], Tensor],
    by: ScaleTable,
) -> Tensor:
    """Codes y in two steps on a checkerboard and returns y_hat. The hyperprior predicts half of the elements; these
    predict the others.

    Args:
        y: the encoder's latents, C x h x w; None in a decoder.
        prediction: 3 C x h x w: quantiser steps, scales and means.
        spatial_prior: 4 C -> 2 C channels: scales and means of the first half, then of the second.
    """
    channels = prediction.shape[1] // 3
    steps, scales, means = ops.split(prediction, [channels] * 3)
    steps = ops.at_least(steps, SMALLEST_STEP)
    scaled = None if y is None else y / steps
    first = side.step(ops, VIDEO_STEPS[0], scaled, scales, means, by)
    half = channels // 2
    refined = spatial_prior(ops, ops.concat(first, means, scales, steps))
    scales_0, means_0, scales_1, means_1 = ops.split(refined, [half] * 4)
    scales, means = ops.concat(scales_0, scales_1), ops.concat(means_0, means_1)
    return (first + side.step(ops, VIDEO_STEPS[1], scaled, scales, means, by)) * steps


def _symbols_of(values: Tensor) -> NDArray[np.int16]:
    """Rounds values (1, c, h, w) half to even and limits them to the range of symbols."""
    import torch

    return np.asarray(torch.round(values).clamp(-MAX_SYMBOL, MAX_SYMBOL).to(torch.int16)[0].cpu().numpy())


def _values(ops: "FloatOperations", symbols: NDArray[np.int16]) -> Tensor:
    import torch

    return torch.from_numpy(np.ascontiguousarray(symbols)).to(ops.device, ops.dtype)[None]


def channel_rows(shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """Returns the table row of every element of a tensor (channels, h, w), which is its channel."""
    return np.broadcast_to(np.arange(shape[0], dtype=np.uint8)[:, None, None], shape)


def _plane(step: CodingStep, masked: Tensor) -> Tensor:
    """Puts the channel groups of a masked tensor into one plane. At each position only one group is not 0."""
    first, second = masked.chunk(step.num_groups, dim=1)
    return first + second


def _scale_plane(ops: "FloatOperations", step: CodingStep, scales: Tensor) -> NDArray[Any]:
    """Returns the scale of every element of a step's plane, (C / 2, h, w)."""
    plane = _plane(step, scales * ops.mask(step, scales.shape[1], ops.size(scales), scales))
    return np.ascontiguousarray(plane[0].cpu().numpy())
