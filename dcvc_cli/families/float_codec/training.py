"""The float codecs in training: their recipes with a side that makes no symbols."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from dcvc_cli.backend.float_layers import FloatLayers
from dcvc_cli.backend.float_torch import FloatOperations
from dcvc_cli.families.float_codec.anchor import AnchorNetwork
from dcvc_cli.families.float_codec.coder import WordTable
from dcvc_cli.families.float_codec.context import ContextNetwork
from dcvc_cli.families.float_codec.hyperprior import HyperpriorNetwork
from dcvc_cli.families.float_codec.layers import Ops, Tensor
from dcvc_cli.families.float_codec.sequences import FrameRecipe
from dcvc_cli.families.float_codec.sides import Side
from dcvc_cli.families.float_codec.tables import RowRule
from dcvc_cli.learning.progressive.codec import FrameAt, Motion, ProgressiveCodec
from dcvc_cli.learning.surrogate import Surrogate, laplace_bits
from dcvc_cli.learning.trainee import State

Kept = Mapping[str, torch.Tensor]


class _UnwrittenSide(Side):
    """A side of a batch of frames without symbols."""

    def __init__(self, ops: Ops) -> None:
        super().__init__(ops, {})

    def analysis(self, compute: Callable[[], Tensor]) -> Tensor:
        return compute()

    def coded(self, name: str, table: WordTable, rows: NDArray[np.uint8], values: Tensor | None) -> NDArray[np.int32]:
        raise AssertionError("a side without symbols codes none")


class SurrogateSide(_UnwrittenSide):
    """P frames in training.

    Args:
        densities: beginning of the density's parameters by name of z.
    """

    def __init__(self, coder: Surrogate, densities: Mapping[str, str]) -> None:
        super().__init__(coder.ops)
        self.coder, self.densities = coder, densities

    def hyper(
        self, name: str, table: WordTable | None, z: Tensor, size: tuple[int, int], medians: Tensor | None = None
    ) -> Tensor:
        return self.coder.hyper(name, z, self.densities[name])

    def latent(
        self, name: str, table: WordTable, rule: RowRule, scales: Tensor, means: Tensor | None, y: Tensor
    ) -> Tensor:
        assert means is not None, "video networks predict means"
        return self.coder.latent(name, y, scales, means)

    def coded_by_context(
        self, name: str, table: WordTable, network: ContextNetwork, prior: Tensor, y: Tensor
    ) -> Tensor:
        """Codes all positions at once: each is predicted from the noisy, or rounded, values before it."""
        values = self.coder.noisy(y.float()) if self.coder.adds_noise else y.float().round()
        means, scales = network.predicted(self.ops, prior, values)
        residual = values - means if self.coder.adds_noise else (y - means).round()
        self.coder.count(name, laplace_bits(residual, scales))
        return values


class DecodedSide(_UnwrittenSide):
    """I frames as a decoder has them, of a batch; the latents of a context model one after the other."""

    def hyper(
        self, name: str, table: WordTable | None, z: Tensor, size: tuple[int, int], medians: Tensor | None = None
    ) -> Tensor:
        middle = 0.0 if medians is None else medians
        return (z - middle).round() + middle

    def latent(
        self, name: str, table: WordTable, rule: RowRule, scales: Tensor, means: Tensor | None, y: Tensor
    ) -> Tensor:
        return y.round() if means is None else (y - means).round() + means

    def coded_by_context(
        self, name: str, table: WordTable, network: ContextNetwork, prior: Tensor, y: Tensor
    ) -> Tensor:
        size = prior.shape[-2:]
        parts = [
            network.as_tensor(self.ops, network.encode(self.ops, prior[k : k + 1], y[k : k + 1])[2], size)
            for k in range(len(y))
        ]
        return torch.cat(parts)


class FloatProgressiveCodec(ProgressiveCodec, ABC):
    """A float codec as progressive training drives it.

    Args:
        image: codes I frames.
        recipe: codes P frames.
        densities: beginnings of the densities' parameters, of mv_z and of z.
    """

    def __init__(
        self, image: AnchorNetwork | HyperpriorNetwork, recipe: FrameRecipe, densities: tuple[str, str]
    ) -> None:
        self.image, self.recipe = image, recipe
        self.densities = dict(zip(("mv_z", "z"), densities, strict=True))
        self._image_ops: tuple[State, FloatOperations] | None = None

    @abstractmethod
    def as_tuple(self, kept: Kept) -> tuple[Any, ...]:
        """Returns what a frame left as the recipe has it."""

    @abstractmethod
    def as_mapping(self, left: tuple[Any, ...]) -> dict[str, torch.Tensor]:
        """Inverts `as_tuple`."""

    def i_frame(self, state: State, x: torch.Tensor, rate: torch.Tensor) -> torch.Tensor:
        """Codes the pictures at the one rate."""
        if self._image_ops is None or self._image_ops[0] is not state:
            self._image_ops = state, FloatOperations(state)
        side = DecodedSide(self._image_ops[1])
        picture: torch.Tensor = self.image.code(side.ops, side, x, None, (0, 0))
        return picture

    def motion(self, coder: Surrogate, x: torch.Tensor, kept: Kept, at: FrameAt) -> Motion:
        """Codes the motion as the codec's frames do."""
        side = SurrogateSide(coder, self.densities)
        return Motion(self.recipe.motion(side, None, x, (0, 0), self.as_tuple(kept)))

    def warped(self, picture: torch.Tensor, motion: Motion) -> torch.Tensor:
        """Warps as the codec warps."""
        return FloatLayers().warp(picture, motion.flow)

    def picture(
        self, coder: Surrogate, x: torch.Tensor, kept: Kept, motion: Motion, at: FrameAt
    ) -> dict[str, torch.Tensor]:
        """Codes the picture as the codec's frames do."""
        side = SurrogateSide(coder, self.densities)
        return self.as_mapping(self.recipe.picture(side, None, x, (0, 0), self.as_tuple(kept), motion.flow))
