"""The building blocks of EVC as named layers that own no numbers. Source: EVC (ICLR 2023), figure 2 and appendix.

Shapes are channels x height x width.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from dcvc_cli.families.wide_latents.blocks import SLOPE, SMALL_SLOPE
from dcvc_cli.graph.blocks import Conv, Depthwise, Shape, Tensor, layer_shapes

if TYPE_CHECKING:
    from dcvc_cli.backend.float_torch import FloatOperations

MAX_HIDDEN = 1024


class MainBlock:
    """Depth-conv block of the encoder and the decoder: three leaky activations in the depth part, ReLU in the
    feed-forward part. c x h x w -> c x h x w."""

    def __init__(self, name: str, channels: int) -> None:
        self.conv1 = Conv(f"{name}.block.0.conv1.0", channels, channels)
        self.depth = Depthwise(f"{name}.block.0.depth_conv.0", channels)
        self.conv2 = Conv(f"{name}.block.0.conv2.0", channels, channels)
        self.wide = Conv(f"{name}.block.1.conv.0", channels, 4 * channels)
        self.narrow = Conv(f"{name}.block.1.conv.2", 4 * channels, channels)

    def shapes(self) -> Iterator[tuple[str, Shape]]:
        return layer_shapes(self)

    def __call__(self, ops: "FloatOperations", x: Tensor) -> Tensor:
        t = x
        for layer in (self.conv1, self.depth, self.conv2):
            t = ops.leaky_relu(layer(ops, t), SMALL_SLOPE)
        t = t + x
        return t + ops.relu(self.narrow(ops, ops.relu(self.wide(ops, t))))


class PriorBlock:
    """Depth-conv block of the hyperprior and the priors: one leaky activation in the depth part, two in the
    feed-forward part. cin x h x w -> c x h x w."""

    def __init__(self, name: str, cin: int, channels: int) -> None:
        hidden = max(min(4 * channels, MAX_HIDDEN), 2 * channels)
        self.conv1 = Conv(f"{name}.block.0.conv1.0", cin, cin)
        self.depth = Depthwise(f"{name}.block.0.depth_conv", cin)
        self.conv2 = Conv(f"{name}.block.0.conv2", cin, channels)
        self.adaptor = Conv(f"{name}.block.0.adaptor", cin, channels) if cin != channels else None
        self.wide = Conv(f"{name}.block.1.conv.0", channels, hidden)
        self.narrow = Conv(f"{name}.block.1.conv.2", hidden, channels)

    def shapes(self) -> Iterator[tuple[str, Shape]]:
        return layer_shapes(self)

    def __call__(self, ops: "FloatOperations", x: Tensor) -> Tensor:
        t = self.conv2(ops, self.depth(ops, ops.leaky_relu(self.conv1(ops, x), SMALL_SLOPE)))
        t = t + (x if self.adaptor is None else self.adaptor(ops, x))
        return t + ops.leaky_relu(self.narrow(ops, ops.leaky_relu(self.wide(ops, t), SLOPE)), SLOPE)


class PriorUpBlock:
    """A prior block and a 1x1 sub-pixel convolution: c x h x w -> c x 2h x 2w."""

    def __init__(self, name: str, channels: int) -> None:
        self.block = PriorBlock(name, channels, channels)
        self.up = Conv(f"{name}.block.2", channels, 4 * channels)

    def shapes(self) -> Iterator[tuple[str, Shape]]:
        return layer_shapes(self)

    def __call__(self, ops: "FloatOperations", x: Tensor) -> Tensor:
        return ops.pixel_shuffle(self.up(ops, self.block(ops, x)), 2)
