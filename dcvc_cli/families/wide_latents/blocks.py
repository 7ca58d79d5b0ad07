"""Layers and residual blocks of several published codecs in floating point, as named layers that own no numbers.
Source: EVC (ICLR 2023) and DCVC-HEM (ACM MM 2022).

Shapes are channels x height x width.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from dcvc_cli.graph.blocks import Conv, Shape, Tensor, layer_shapes

if TYPE_CHECKING:
    from dcvc_cli.backend.float_torch import FloatOperations

SMALL_SLOPE, SLOPE, LARGE_SLOPE = 0.01, 0.1, 0.2


def conv3(name: str, cin: int, channels: int, stride: int = 1) -> Conv:
    """Makes a 3x3 convolution with zero padding 1."""
    return Conv(name, cin, channels, kernel=3, stride=stride, padding=1)


class Leaky:
    """Leaky ReLU, for sequences of layers."""

    def __init__(self, slope: float) -> None:
        self.slope = slope

    def shapes(self) -> Iterator[tuple[str, Shape]]:
        return iter(())

    def __call__(self, ops: "FloatOperations", x: Tensor) -> Tensor:
        return ops.leaky_relu(x, self.slope)


class Shuffle:
    """k x k convolution and pixel-shuffle: cin x h x w -> c x 2h x 2w."""

    def __init__(self, name: str, cin: int, channels: int, kernel: int = 1) -> None:
        self.conv = Conv(f"{name}.0", cin, 4 * channels, kernel=kernel, padding=(kernel - 1) // 2)

    def shapes(self) -> Iterator[tuple[str, Shape]]:
        return layer_shapes(self)

    def __call__(self, ops: "FloatOperations", x: Tensor) -> Tensor:
        return ops.pixel_shuffle(self.conv(ops, x), 2)


class DownBlock:
    """Residual block of stride 2: cin x h x w -> c x h/2 x w/2."""

    def __init__(self, name: str, cin: int, channels: int) -> None:
        self.conv1 = Conv(f"{name}.conv1", cin, channels, kernel=3, stride=2, padding=1)
        self.conv2 = Conv(f"{name}.conv2", channels, channels, kernel=3, padding=1)
        self.downsample = Conv(f"{name}.downsample", cin, channels, stride=2)

    def shapes(self) -> Iterator[tuple[str, Shape]]:
        return layer_shapes(self)

    def __call__(self, ops: "FloatOperations", x: Tensor) -> Tensor:
        t = self.conv2(ops, ops.leaky_relu(self.conv1(ops, x), SMALL_SLOPE))
        return ops.leaky_relu(t, SLOPE) + self.downsample(ops, x)


class UpBlock:
    """Residual block of a sub-pixel convolution: cin x h x w -> c x 2h x 2w."""

    def __init__(self, name: str, cin: int, channels: int) -> None:
        self.subpel = Conv(f"{name}.subpel_conv.0", cin, 4 * channels)
        self.conv = Conv(f"{name}.conv", channels, channels, kernel=3, padding=1)
        self.upsample = Conv(f"{name}.upsample.0", cin, 4 * channels)

    def shapes(self) -> Iterator[tuple[str, Shape]]:
        return layer_shapes(self)

    def __call__(self, ops: "FloatOperations", x: Tensor) -> Tensor:
        t = ops.leaky_relu(ops.pixel_shuffle(self.subpel(ops, x), 2), SMALL_SLOPE)
        return ops.leaky_relu(self.conv(ops, t), SLOPE) + ops.pixel_shuffle(self.upsample(ops, x), 2)
