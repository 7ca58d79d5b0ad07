"""The blocks of the networks of DCVC-DC and DCVC-FM. Source: DCVC-DC (CVPR 2023), DCVC-FM (CVPR 2024).

Layers own no numbers. Convolutions run on the operations of a float backend, whose values are PyTorch tensors (N, c, h,
w). All other operations are PyTorch's.
"""

from collections.abc import Iterator
from enum import Enum
from typing import TYPE_CHECKING, Any

from dcvc_cli.backend.operations import Operations, Tensor
from dcvc_cli.families.diverse_contexts.sizes import UNetWidths
from dcvc_cli.graph.blocks import Conv, Depthwise, ScaleVector, Sequence, Shape, layer_shapes

if TYPE_CHECKING:
    import torch

SLOPE, STEEP_SLOPE = 0.01, 0.1
"""Slopes of the leaky ReLU below 0."""
WIDEST_HIDDEN = 1024
"""Largest number of channels inside a WIDE feed-forward part. The part has at least twice its own channels inside."""


def leaky_relu(x: Tensor, slope: float = SLOPE) -> Tensor:
    """Returns x where it is positive, slope * x elsewhere."""
    from torch.nn import functional

    return functional.leaky_relu(x, slope)


def max_pool(x: Tensor) -> Tensor:
    """Takes the largest of each aligned 2x2 block: c x h x w -> c x h/2 x w/2."""
    from torch.nn import functional

    return functional.max_pool2d(x, 2)


class Activation:
    """A leaky ReLU as a part of a Sequence."""

    def __init__(self, slope: float = SLOPE) -> None:
        self.slope = slope

    def shapes(self) -> Iterator[tuple[str, Shape]]:
        return iter(())

    def __call__(self, ops: Operations, x: Tensor) -> Tensor:
        return leaky_relu(x, self.slope)


class Factors(ScaleVector):
    """A parameter of any shape whose values multiply features."""

    def __init__(self, name: str, *shape: int) -> None:
        super().__init__(name, shape[0], shape[1])
        self.shape = shape

    def shapes(self) -> Iterator[tuple[str, Shape]]:
        yield self.name, self.shape

    def values(self, ops: Any) -> "torch.Tensor":
        """Returns the parameter in the type and on the device of the networks."""
        values: torch.Tensor = ops.parameters[self.name]
        return values


class GroupedConv(Conv):
    """1x1 convolution in groups of channels: weight (cout, cin / groups, 1, 1), bias (cout)."""

    def __init__(self, name: str, cin: int, cout: int, groups: int) -> None:
        super().__init__(name, cin, cout)
        self.groups = groups

    def shapes(self) -> Iterator[tuple[str, Shape]]:
        yield f"{self.name}.weight", (self.cout, self.cin // self.groups, 1, 1)
        yield f"{self.name}.bias", (self.cout,)

    def __call__(self, ops: Any, x: Tensor) -> Tensor:
        from torch.nn import functional

        weight, bias = ops.parameters[f"{self.name}.weight"], ops.parameters[f"{self.name}.bias"]
        return functional.conv2d(x, weight, bias, groups=self.groups)


def conv3(name: str, cin: int, cout: int, stride: int = 1) -> Conv:
    """Makes a 3x3 convolution with zero padding 1."""
    return Conv(name, cin, cout, kernel=3, stride=stride, padding=1)


class SubPixel:
    """1x1 or 3x3 convolution cin -> 4c named NAME.0, then pixel-shuffle by 2: cin x h x w -> c x 2h x 2w."""

    def __init__(self, name: str, cin: int, channels: int, kernel: int = 1) -> None:
        self.conv = Conv(f"{name}.0", cin, 4 * channels, kernel=kernel, padding=kernel // 2)

    def shapes(self) -> Iterator[tuple[str, Shape]]:
        return layer_shapes(self)

    def __call__(self, ops: Operations, x: Tensor) -> Tensor:
        return ops.pixel_shuffle(self.conv(ops, x), 2)


class Residual:
    """x + conv2(a(conv1(a(x)))), a = leaky ReLU: c x h x w, size unchanged."""

    def __init__(self, name: str, channels: int) -> None:
        self.first, self.second = conv3(f"{name}.conv1", channels, channels), conv3(f"{name}.conv2", channels, channels)

    def shapes(self) -> Iterator[tuple[str, Shape]]:
        return layer_shapes(self)

    def __call__(self, ops: Operations, x: Tensor) -> Tensor:
        return x + self.second(ops, leaky_relu(self.first(ops, leaky_relu(x))))


class BottleneckResidual:
    """x + a(conv2(a(conv1(a(x))))), a = leaky ReLU of the steep slope; half as wide inside."""

    def __init__(self, name: str, channels: int) -> None:
        self.first = conv3(f"{name}.conv1", channels, channels // 2)
        self.second = conv3(f"{name}.conv2", channels // 2, channels)

    def shapes(self) -> Iterator[tuple[str, Shape]]:
        return layer_shapes(self)

    def __call__(self, ops: Operations, x: Tensor) -> Tensor:
        inner = leaky_relu(self.first(ops, leaky_relu(x, STEEP_SLOPE)), STEEP_SLOPE)
        return x + leaky_relu(self.second(ops, inner), STEEP_SLOPE)


class ResidualDown:
    """lrelu(conv2(lrelu(conv1(x)))) + downsample(x): cin x h x w -> c x h/2 x w/2; the shortcut takes every other
    sample."""

    def __init__(self, name: str, cin: int, channels: int) -> None:
        self.first = conv3(f"{name}.conv1", cin, channels, stride=2)
        self.second = conv3(f"{name}.conv2", channels, channels)
        self.shortcut = Conv(f"{name}.downsample", cin, channels, stride=2)

    def shapes(self) -> Iterator[tuple[str, Shape]]:
        return layer_shapes(self)

    def __call__(self, ops: Operations, x: Tensor) -> Tensor:
        inner = leaky_relu(self.first(ops, x))
        return leaky_relu(self.second(ops, inner), STEEP_SLOPE) + self.shortcut(ops, x)


class StridedResidual:
    """x = down(x), 2x2 with stride 2; out = x + lrelu(conv.2(lrelu(conv.0(x)))): cin x h x w -> c x h/2 x w/2."""

    def __init__(self, name: str, cin: int, channels: int) -> None:
        self.down = Conv(f"{name}.down", cin, channels, kernel=2, stride=2)
        self.first, self.second = (
            conv3(f"{name}.conv.0", channels, channels),
            Conv(f"{name}.conv.2", channels, channels),
        )

    def shapes(self) -> Iterator[tuple[str, Shape]]:
        return layer_shapes(self)

    def __call__(self, ops: Operations, x: Tensor) -> Tensor:
        x = self.down(ops, x)
        return x + leaky_relu(self.second(ops, leaky_relu(self.first(ops, x))))


class ResidualUp:
    """lrelu(conv(lrelu(subpel_conv(x)))) + upsample(x), both by sub-pixels: cin x h x w -> c x 2h x 2w."""

    def __init__(self, name: str, cin: int, channels: int) -> None:
        self.main, self.shortcut = (
            SubPixel(f"{name}.subpel_conv", cin, channels),
            SubPixel(f"{name}.upsample", cin, channels),
        )
        self.conv = conv3(f"{name}.conv", channels, channels)

    def shapes(self) -> Iterator[tuple[str, Shape]]:
        return layer_shapes(self)

    def __call__(self, ops: Operations, x: Tensor) -> Tensor:
        inner = leaky_relu(self.main(ops, x))
        return leaky_relu(self.conv(ops, inner), STEEP_SLOPE) + self.shortcut(ops, x)


class Form(Enum):
    """The forms of a depth-conv block, by its feed-forward part t + f(t) and its depth part.

    WIDE: f = lrelu(conv.2(lrelu(conv.0(t)))), four times as wide inside.
    GATED: f = conv_out(u * lrelu(v)), u and v the halves of conv(t).
    ADDED: f = conv_out(lrelu(u) + lrelu(v)).
    PRODUCT: as GATED, and the depth part is a product of two branches.
    """

    WIDE = 1
    GATED = 2
    PRODUCT = 3
    ADDED = 4


class DepthPart:
    """conv2(depth_conv(lrelu(conv1.0(x)))) + x, cin wide inside: cin x h x w -> c x h x w."""

    def __init__(self, name: str, cin: int, channels: int) -> None:
        self.enter, self.spatial = Conv(f"{name}.conv1.0", cin, cin), Depthwise(f"{name}.depth_conv", cin)
        self.leave = Conv(f"{name}.conv2", cin, channels)
        self.adaptor = Conv(f"{name}.adaptor", cin, channels) if cin != channels else None

    def shapes(self) -> Iterator[tuple[str, Shape]]:
        return layer_shapes(self)

    def __call__(self, ops: Operations, x: Tensor) -> Tensor:
        inner = self.spatial(ops, leaky_relu(self.enter(ops, x)))
        return self.leave(ops, inner) + (x if self.adaptor is None else self.adaptor(ops, x))


class ProductPart:
    """out_conv(conv1.2(lrelu(conv1.0(x))) * conv2(x)) + x: cin x h x w -> c x h x w."""

    def __init__(self, name: str, cin: int, channels: int) -> None:
        self.enter, self.spatial = Conv(f"{name}.conv1.0", cin, channels), Depthwise(f"{name}.conv1.2", channels)
        self.gate, self.leave = Conv(f"{name}.conv2", cin, channels), Conv(f"{name}.out_conv", channels, channels)
        self.adaptor = Conv(f"{name}.adaptor", cin, channels) if cin != channels else None

    def shapes(self) -> Iterator[tuple[str, Shape]]:
        return layer_shapes(self)

    def __call__(self, ops: Operations, x: Tensor) -> Tensor:
        inner = self.spatial(ops, leaky_relu(self.enter(ops, x))) * self.gate(ops, x)
        return self.leave(ops, inner) + (x if self.adaptor is None else self.adaptor(ops, x))


class WideFeedForward:
    """t + lrelu(conv.2(lrelu(conv.0(t))))."""

    def __init__(self, name: str, channels: int) -> None:
        hidden = max(min(4 * channels, WIDEST_HIDDEN), 2 * channels)
        self.enter = Conv(f"{name}.conv.0", channels, hidden)
        self.leave = Conv(f"{name}.conv.2", hidden, channels)

    def shapes(self) -> Iterator[tuple[str, Shape]]:
        return layer_shapes(self)

    def __call__(self, ops: Operations, x: Tensor) -> Tensor:
        inner = leaky_relu(self.enter(ops, x), STEEP_SLOPE)
        return x + leaky_relu(self.leave(ops, inner), STEEP_SLOPE)


class HalvedFeedForward:
    """t + conv_out of the product or the sum of the two halves of conv(t)."""

    def __init__(self, name: str, channels: int, *, is_product: bool) -> None:
        self.is_product = is_product
        self.enter = Conv(f"{name}.conv", channels, 4 * channels)
        self.leave = Conv(f"{name}.conv_out", 2 * channels, channels)

    def shapes(self) -> Iterator[tuple[str, Shape]]:
        return layer_shapes(self)

    def __call__(self, ops: Operations, x: Tensor) -> Tensor:
        first, second = self.enter(ops, x).chunk(2, dim=1)
        if self.is_product:
            return x + self.leave(ops, first * leaky_relu(second, STEEP_SLOPE))
        return x + self.leave(ops, leaky_relu(first, STEEP_SLOPE) + leaky_relu(second))


class DepthBlock:
    """Depth-conv block: a depth part, then a feed-forward part; cin x h x w -> c x h x w.

    Args:
        channels: c; None = cin.
    """

    def __init__(self, name: str, form: Form, cin: int, channels: int | None = None) -> None:
        c = cin if channels is None else channels
        depth, forward = f"{name}.block.0", f"{name}.block.1"
        self.depth = ProductPart(depth, cin, c) if form is Form.PRODUCT else DepthPart(depth, cin, c)
        self.forward: WideFeedForward | HalvedFeedForward
        if form is Form.WIDE:
            self.forward = WideFeedForward(forward, c)
        else:
            self.forward = HalvedFeedForward(forward, c, is_product=form is not Form.ADDED)

    def shapes(self) -> Iterator[tuple[str, Shape]]:
        return layer_shapes(self)

    def __call__(self, ops: Operations, x: Tensor) -> Tensor:
        return self.forward(ops, self.depth(ops, x))


class UNet:
    """Three scales of depth-conv blocks with skips: cin x h x w -> cout x h x w, sides multiples of 4.

    Args:
        widths: channels at 1/1, 1/2 and 1/4.
        is_learned: whether a 2x2 convolution halves the size; else max pooling halves it.
    """

    def __init__(
        self, name: str, form: Form, cin: int, cout: int, widths: UNetWidths, *, is_learned: bool = False
    ) -> None:
        first, second, third = widths
        self.enter = DepthBlock(f"{name}.conv1", form, cin, first)
        self.middle = DepthBlock(f"{name}.conv2", form, first, second)
        self.deep = DepthBlock(f"{name}.conv3", form, second, third)
        self.down1 = Conv(f"{name}.down1", first, first, kernel=2, stride=2) if is_learned else None
        self.down2 = Conv(f"{name}.down2", second, second, kernel=2, stride=2) if is_learned else None
        self.refine = Sequence(*(DepthBlock(f"{name}.context_refine.{k}", form, third) for k in range(4)))
        self.up3 = SubPixel(f"{name}.up3", third, second)
        self.up_conv3 = DepthBlock(f"{name}.up_conv3", form, 2 * second, second)
        self.up2 = SubPixel(f"{name}.up2", second, first)
        self.up_conv2 = DepthBlock(f"{name}.up_conv2", form, 2 * first, cout)

    def shapes(self) -> Iterator[tuple[str, Shape]]:
        return layer_shapes(self)

    def __call__(self, ops: Operations, x: Tensor) -> Tensor:
        first = self.enter(ops, x)
        second = self.middle(ops, max_pool(first) if self.down1 is None else self.down1(ops, first))
        third = self.deep(ops, max_pool(second) if self.down2 is None else self.down2(ops, second))
        third = self.refine(ops, third)
        second = self.up_conv3(ops, ops.concat(second, self.up3(ops, third)))
        return self.up_conv2(ops, ops.concat(first, self.up2(ops, second)))
