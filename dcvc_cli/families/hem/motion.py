"""The motion network: four small networks of one form from coarse to fine. Source: SPyNet (CVPR 2017). In DCVC-HEM it
takes samples in 0..1 without normalisation. Only an encoder runs it."""

from collections.abc import Iterator
from itertools import pairwise
from typing import TYPE_CHECKING

from dcvc_cli.families.float_codec.motion import LEVELS
from dcvc_cli.graph.blocks import Conv, Sequence, Shape, Tensor, layer_shapes

if TYPE_CHECKING:
    from dcvc_cli.backend.float_torch import FloatOperations

KERNEL = 7


class LevelNetwork:
    """Picture, warped reference and flow -> the correction of the flow: 8 x h x w -> 2 x h x w."""

    def __init__(self, name: str, inner: tuple[int, ...]) -> None:
        self.layers = Sequence(
            *(
                Conv(f"{name}.conv{k}", cin, cout, kernel=KERNEL, padding=KERNEL // 2)
                for k, (cin, cout) in enumerate(pairwise((8, *inner, 2)), 1)
            )
        )

    def shapes(self) -> Iterator[tuple[str, Shape]]:
        return layer_shapes(self)

    def __call__(self, ops: "FloatOperations", x: Tensor) -> Tensor:
        *first, last = self.layers.blocks
        for layer in first:
            x = ops.relu(layer(ops, x))
        return last(ops, x)


class MotionNetwork:
    """Two pictures 3 x h x w -> the flow from the first to places in the second, 2 x h x w, right and down, in samples.
    Both sides are multiples of 16.

    Args:
        inner: channels between the five layers of a level.
    """

    def __init__(self, name: str, inner: tuple[int, ...]) -> None:
        self.levels = Sequence(*(LevelNetwork(f"{name}.moduleBasic.{k}", inner) for k in range(LEVELS)))

    def shapes(self) -> Iterator[tuple[str, Shape]]:
        return layer_shapes(self)

    def __call__(self, ops: "FloatOperations", picture: Tensor, reference: Tensor) -> Tensor:
        pyramid = [(picture, reference)]
        for _ in range(LEVELS - 1):
            pyramid.append((ops.halved(pyramid[-1][0]), ops.halved(pyramid[-1][1])))
        height, width = ops.size(pyramid[-1][0])
        flow = picture.new_zeros((picture.shape[0], 2, height // 2, width // 2))
        for level, (own, other) in zip(self.levels.blocks, reversed(pyramid), strict=True):
            flow = ops.doubled(flow) * 2
            flow = flow + level(ops, ops.concat(own, ops.warp(other, flow), flow))
        return flow
