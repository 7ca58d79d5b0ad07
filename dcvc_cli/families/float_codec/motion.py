"""Motion of the float codecs: the estimate by a SPyNet of four levels, and the warp. Source: DCVC (2021)."""

from collections.abc import Iterator, Sequence
from itertools import pairwise

from dcvc_cli.families.float_codec.layers import Ops, Tensor
from dcvc_cli.families.wide_latents.blocks import conv
from dcvc_cli.graph.blocks import Shape, layer_shapes
from dcvc_cli.stages import MOTION, timed

LEVELS, NUM_LAYERS = 4, 5
FLOW_WIDTHS = (32, 64, 32, 16)
"""Channels between the five layers of a level."""


class _LevelNetwork:
    """Corrects the flow of one level: 8 x h x w -> 2 x h x w."""

    def __init__(self, name: str, inner: Sequence[int]) -> None:
        for k, (cin, cout) in enumerate(pairwise((8, *inner, 2)), 1):
            setattr(self, f"conv{k}", conv(f"{name}.conv{k}", cin, cout, 7))

    def shapes(self) -> Iterator[tuple[str, Shape]]:
        return layer_shapes(self)

    def __call__(self, ops: Ops, x: Tensor) -> Tensor:
        for k in range(1, NUM_LAYERS + 1):
            x = getattr(self, f"conv{k}")(ops, x if k == 1 else ops.leaky_relu(x, 0))
        return x


class MotionEstimation:
    """SPyNet on RGB in 0..1. It begins with the coarsest level.

    Args:
        name: prefix of the levels, such as `opticFlow.moduleBasic`.
        inner: channels between the layers of a level.
    """

    def __init__(self, name: str, inner: Sequence[int] = FLOW_WIDTHS) -> None:
        levels = (_LevelNetwork(f"{name}.{k}", inner) for k in range(LEVELS))
        self.level0, self.level1, self.level2, self.level3 = levels

    def shapes(self) -> Iterator[tuple[str, Shape]]:
        return layer_shapes(self)

    @timed(MOTION)
    def __call__(self, ops: Ops, current: Tensor, reference: Tensor) -> Tensor:
        """Estimates the flow from the current picture into the reference.

        Args:
            current, reference: pictures 3 x h x w; both sides are multiples of 16.

        Returns:
            The flow 2 x h x w in samples, horizontal first.
        """
        import torch
        from torch.nn.functional import avg_pool2d, interpolate

        currents, references = [current], [reference]
        for _ in range(LEVELS - 1):
            currents.append(avg_pool2d(currents[-1], 2))
            references.append(avg_pool2d(references[-1], 2))
        height, width = current.shape[-2:]
        flow = torch.zeros(current.shape[0], 2, height // 16, width // 16, dtype=current.dtype, device=current.device)
        for k, level in enumerate((self.level0, self.level1, self.level2, self.level3)):
            now, then = currents[LEVELS - 1 - k], references[LEVELS - 1 - k]
            up = interpolate(flow, scale_factor=2, mode="bilinear", align_corners=False) * 2.0
            flow = up + level(ops, torch.cat((now, ops.warp(then, up), up), 1))
        return flow
