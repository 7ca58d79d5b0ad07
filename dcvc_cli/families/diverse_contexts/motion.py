"""Motion: pyramids of vectors, warping, and offset diversity. Source: DCVC-DC (CVPR 2023), DCVC-FM (CVPR 2024).

A field of vectors is 2 x h x w, horizontal then vertical, in samples of its own grid. It leads from the current picture
to the reference.
"""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from dcvc_cli.backend.operations import Tensor
from dcvc_cli.families.diverse_contexts.blocks import GroupedConv
from dcvc_cli.families.diverse_contexts.sizes import COMPONENTS
from dcvc_cli.families.wide_latents.blocks import SLOPE, Leaky, conv
from dcvc_cli.graph import blocks
from dcvc_cli.graph.blocks import Conv, Shape, layer_shapes

if TYPE_CHECKING:
    from dcvc_cli.backend.float_layers import FloatLayers
    from dcvc_cli.backend.float_torch import FloatOperations

OFFSETS = 2
"""Number of offsets of each group."""
LARGEST_OFFSET = 40.0


def warp(ops: "FloatLayers", x: Tensor, field: Tensor) -> Tensor:
    """Reads x bilinearly at the places that the vectors lead to. Places outside have the border's sample.

    `FloatOperations.warp` does the same by the rule of the other codecs, which rounds places another way.

    Args:
        x: (n, c, h, w), h and w above 1.
        field: (n, 2, h, w).
    """
    import torch

    height, width = x.shape[-2:]
    columns = torch.arange(width, dtype=field.dtype, device=field.device)
    rows = torch.arange(height, dtype=field.dtype, device=field.device)[:, None]
    across = (field[:, 0] + columns) * (2 / (width - 1)) - 1
    down = (field[:, 1] + rows) * (2 / (height - 1)) - 1
    return ops.at_places(x, across, down)


class _Level:
    """Five convolutions, ReLU between them: 8 x h x w -> 2 x h x w."""

    def __init__(self, name: str, kernel: int, inner: Sequence[int]) -> None:
        widths = (2 * 3 + COMPONENTS, *inner, COMPONENTS)
        self.convs = blocks.Sequence(
            *(
                Conv(f"{name}.conv{k + 1}", widths[k], widths[k + 1], kernel=kernel, padding=kernel // 2)
                for k in range(5)
            )
        )

    def shapes(self) -> Iterator[tuple[str, Shape]]:
        return layer_shapes(self)

    def __call__(self, ops: "FloatOperations", x: Tensor) -> Tensor:
        *inner, last = self.convs.blocks
        for layer in inner:
            x = layer(ops, x).relu()
        return last(ops, x)


class OpticFlow:
    """Estimates vectors on four scales, coarse to fine. Each level adds to the doubled vectors of the coarser level.

    Args:
        levels: name and kernel size of each level, coarse to fine.
        inner: channels between the five layers of a level.
    """

    def __init__(self, levels: Sequence[tuple[str, int]], inner: Sequence[int]) -> None:
        self.levels = blocks.Sequence(*(_Level(f"optic_flow.{name}", kernel, inner) for name, kernel in levels))

    def shapes(self) -> Iterator[tuple[str, Shape]]:
        return layer_shapes(self)

    def __call__(self, ops: "FloatOperations", current: Tensor, reference: Tensor) -> Tensor:
        """Estimates the field 2 x h x w between two pictures 3 x h x w."""
        pyramid = [(current, reference)]
        for _ in self.levels.blocks[1:]:
            pyramid.append((ops.halved(pyramid[-1][0]), ops.halved(pyramid[-1][1])))
        field = None
        for level, (picture, other) in zip(self.levels.blocks, reversed(pyramid), strict=True):
            if field is None:
                field = level(ops, ops.concat(picture, other, picture[:, :2] * 0))
            else:
                above = 2 * ops.doubled(field)
                field = above + level(ops, ops.concat(picture, warp(ops, other, above), above))
        return field


class OffsetDiversity:
    """Warps the reference feature by fields near the motion, two for each group of channels. Each field is the motion
    plus an offset. Each warped group has a mask.

    The 1x1 convolution behind the warp joins neighbouring groups of one offset, not the two offsets of one group.
    """

    def __init__(self, channels: int, groups: int, inner: int) -> None:
        self.groups = groups
        self.conv_offset = blocks.Sequence(
            conv("align.conv_offset.0", channels + 3 + COMPONENTS, inner, stride=2),
            Leaky(SLOPE),
            conv("align.conv_offset.2", inner, inner),
            Leaky(SLOPE),
            conv("align.conv_offset.4", inner, (COMPONENTS + 1) * groups * OFFSETS),
        )
        self.fusion = GroupedConv("align.fusion", OFFSETS * channels, channels, groups)

    def shapes(self) -> Iterator[tuple[str, Shape]]:
        return layer_shapes(self)

    def __call__(self, ops: "FloatOperations", feature: Tensor, warped: Tensor, field: Tensor) -> Tensor:
        """Maps feature c x h x w, warped feature and picture c + 3 x h x w, field 2 x h x w -> c x h x w."""
        count, channels, height, width = feature.shape
        num = self.groups * OFFSETS
        found = ops.doubled(self.conv_offset(ops, ops.concat(warped, field)))
        offsets = (LARGEST_OFFSET * found[:, : COMPONENTS * num].tanh()).reshape(-1, num, COMPONENTS, height, width)
        fields = (offsets + field[:, None]).reshape(-1, COMPONENTS, height, width)
        masks = found[:, COMPONENTS * num :].sigmoid().reshape(-1, 1, height, width)
        parts = feature.reshape(count, self.groups, channels // self.groups, height, width).repeat(1, OFFSETS, 1, 1, 1)
        sampled = warp(ops, parts.reshape(-1, channels // self.groups, height, width), fields) * masks
        return self.fusion(ops, sampled.reshape(count, OFFSETS * channels, height, width))
