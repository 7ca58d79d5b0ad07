"""Layers and residual blocks of several published codecs in floating point, as named layers that own no numbers.
Source: DCVC (2021), DCVC-TCM (2022), DCVC-HEM (ACM MM 2022), EVC (ICLR 2023), DCVC-DC (CVPR 2023), DCVC-FM (CVPR 2024).

Shapes are channels x height x width.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from dcvc_cli.graph.blocks import Conv, Shape, SubPixelConv, Tensor, layer_shapes

if TYPE_CHECKING:
    from dcvc_cli.backend.float_torch import FloatOperations

SMALL_SLOPE, SLOPE, LARGE_SLOPE = 0.01, 0.1, 0.2


def conv(name: str, cin: int, channels: int, kernel: int = 3, stride: int = 1) -> Conv:
    """Makes a convolution. Its padding keeps the size; only the stride makes it smaller."""
    return Conv(name, cin, channels, kernel=kernel, stride=stride, padding=(kernel - 1) // 2)


class Leaky:
    """Leaky ReLU as a layer of a Sequence. A slope of 0 is ReLU."""

    def __init__(self, slope: float) -> None:
        self.slope = slope

    def shapes(self) -> Iterator[tuple[str, Shape]]:
        return iter(())

    def __call__(self, ops: "FloatOperations", x: Tensor) -> Tensor:
        return ops.leaky_relu(x, self.slope)


class Residual:
    """x + two 3x3 convolutions, c -> inner -> c, with an activation between them: c x h x w.

    Args:
        inner: channels between the convolutions; None = c.
        before: adds an activation before the first convolution.
        after: adds an activation behind the second convolution.
        keys: names of the convolutions below NAME.
    """

    def __init__(
        self,
        name: str,
        channels: int,
        inner: int | None = None,
        slope: float = SMALL_SLOPE,
        *,
        before: bool = False,
        after: bool = False,
        keys: tuple[str, str] = ("conv1", "conv2"),
    ) -> None:
        self.slope, self.before, self.after = slope, before, after
        self.first = conv(f"{name}.{keys[0]}", channels, inner or channels)
        self.second = conv(f"{name}.{keys[1]}", inner or channels, channels)

    def shapes(self) -> Iterator[tuple[str, Shape]]:
        return layer_shapes(self)

    def __call__(self, ops: "FloatOperations", x: Tensor) -> Tensor:
        t = self.first(ops, ops.leaky_relu(x, self.slope) if self.before else x)
        t = self.second(ops, ops.leaky_relu(t, self.slope))
        return x + (ops.leaky_relu(t, self.slope) if self.after else t)


def bottleneck(name: str, channels: int) -> Residual:
    """Makes a residual block of half the width inside, with three activations."""
    return Residual(name, channels, channels // 2, SLOPE, before=True, after=True)


class DownBlock:
    """lrelu(conv2(lrelu(conv1(x)))) + downsample(x): cin x h x w -> c x h/2 x w/2. The shortcut takes every other
    sample."""

    def __init__(self, name: str, cin: int, channels: int) -> None:
        self.conv1, self.conv2 = (
            conv(f"{name}.conv1", cin, channels, stride=2),
            conv(f"{name}.conv2", channels, channels),
        )
        self.downsample = Conv(f"{name}.downsample", cin, channels, stride=2)

    def shapes(self) -> Iterator[tuple[str, Shape]]:
        return layer_shapes(self)

    def __call__(self, ops: "FloatOperations", x: Tensor) -> Tensor:
        t = self.conv2(ops, ops.leaky_relu(self.conv1(ops, x), SMALL_SLOPE))
        return ops.leaky_relu(t, SLOPE) + self.downsample(ops, x)


class UpBlock:
    """lrelu(conv(lrelu(subpel_conv(x)))) + upsample(x), both by sub-pixels: cin x h x w -> c x 2h x 2w."""

    def __init__(self, name: str, cin: int, channels: int) -> None:
        self.subpel = SubPixelConv(f"{name}.subpel_conv.0", cin, channels)
        self.conv = conv(f"{name}.conv", channels, channels)
        self.upsample = SubPixelConv(f"{name}.upsample.0", cin, channels)

    def shapes(self) -> Iterator[tuple[str, Shape]]:
        return layer_shapes(self)

    def __call__(self, ops: "FloatOperations", x: Tensor) -> Tensor:
        t = ops.leaky_relu(self.subpel(ops, x), SMALL_SLOPE)
        return ops.leaky_relu(self.conv(ops, t), SLOPE) + self.upsample(ops, x)
