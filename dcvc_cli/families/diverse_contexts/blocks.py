"""The blocks of the networks of DCVC-DC and DCVC-FM. Source: DCVC-DC (CVPR 2023), DCVC-FM (CVPR 2024).

Layers own no numbers. Convolutions run on the operations of a float backend, whose values are PyTorch tensors (N, c, h,
w). All other operations are PyTorch's.
"""

from collections.abc import Iterator
from enum import Enum
from typing import TYPE_CHECKING, Any

from dcvc_cli.backend.operations import Tensor
from dcvc_cli.families.diverse_contexts.sizes import UNetWidths
from dcvc_cli.families.wide_latents.blocks import SLOPE, SMALL_SLOPE, conv
from dcvc_cli.graph.blocks import Conv, Depthwise, ScaleVector, Sequence, Shape, SubPixelConv, layer_shapes

if TYPE_CHECKING:
    import torch

    from dcvc_cli.backend.float_torch import FloatOperations

WIDEST_HIDDEN = 1024
"""Largest number of channels inside a WIDE feed-forward part. The part has at least twice its own channels inside."""


class Factors(ScaleVector):
    """A parameter of any shape whose values multiply features."""

    def __init__(self, name: str, *shape: int) -> None:
        super().__init__(name, shape[0], shape[1])
        self.shape = shape

    def shapes(self) -> Iterator[tuple[str, Shape]]:
        yield self.name, self.shape

    def values(self, ops: "FloatOperations") -> "torch.Tensor":
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


class StridedResidual:
    """x = down(x), 2x2 with stride 2; out = x + lrelu(conv.2(lrelu(conv.0(x)))): cin x h x w -> c x h/2 x w/2."""

    def __init__(self, name: str, cin: int, channels: int) -> None:
        self.down = Conv(f"{name}.down", cin, channels, kernel=2, stride=2)
        self.first, self.second = (
            conv(f"{name}.conv.0", channels, channels),
            Conv(f"{name}.conv.2", channels, channels),
        )

    def shapes(self) -> Iterator[tuple[str, Shape]]:
        return layer_shapes(self)

    def __call__(self, ops: "FloatOperations", x: Tensor) -> Tensor:
        x = self.down(ops, x)
        return x + ops.leaky_relu(self.second(ops, ops.leaky_relu(self.first(ops, x), SMALL_SLOPE)), SMALL_SLOPE)


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

    def __call__(self, ops: "FloatOperations", x: Tensor) -> Tensor:
        inner = self.spatial(ops, ops.leaky_relu(self.enter(ops, x), SMALL_SLOPE))
        return self.leave(ops, inner) + (x if self.adaptor is None else self.adaptor(ops, x))


class ProductPart:
    """out_conv(conv1.2(lrelu(conv1.0(x))) * conv2(x)) + x: cin x h x w -> c x h x w."""

    def __init__(self, name: str, cin: int, channels: int) -> None:
        self.enter, self.spatial = Conv(f"{name}.conv1.0", cin, channels), Depthwise(f"{name}.conv1.2", channels)
        self.gate, self.leave = Conv(f"{name}.conv2", cin, channels), Conv(f"{name}.out_conv", channels, channels)
        self.adaptor = Conv(f"{name}.adaptor", cin, channels) if cin != channels else None

    def shapes(self) -> Iterator[tuple[str, Shape]]:
        return layer_shapes(self)

    def __call__(self, ops: "FloatOperations", x: Tensor) -> Tensor:
        inner = self.spatial(ops, ops.leaky_relu(self.enter(ops, x), SMALL_SLOPE)) * self.gate(ops, x)
        return self.leave(ops, inner) + (x if self.adaptor is None else self.adaptor(ops, x))


class WideFeedForward:
    """t + lrelu(conv.2(lrelu(conv.0(t))))."""

    def __init__(self, name: str, channels: int) -> None:
        hidden = max(min(4 * channels, WIDEST_HIDDEN), 2 * channels)
        self.enter = Conv(f"{name}.conv.0", channels, hidden)
        self.leave = Conv(f"{name}.conv.2", hidden, channels)

    def shapes(self) -> Iterator[tuple[str, Shape]]:
        return layer_shapes(self)

    def __call__(self, ops: "FloatOperations", x: Tensor) -> Tensor:
        inner = ops.leaky_relu(self.enter(ops, x), SLOPE)
        return x + ops.leaky_relu(self.leave(ops, inner), SLOPE)


class HalvedFeedForward:
    """t + conv_out of the product or the sum of the two halves of conv(t)."""

    def __init__(self, name: str, channels: int, *, is_product: bool) -> None:
        self.is_product = is_product
        self.enter = Conv(f"{name}.conv", channels, 4 * channels)
        self.leave = Conv(f"{name}.conv_out", 2 * channels, channels)

    def shapes(self) -> Iterator[tuple[str, Shape]]:
        return layer_shapes(self)

    def __call__(self, ops: "FloatOperations", x: Tensor) -> Tensor:
        first, second = self.enter(ops, x).chunk(2, dim=1)
        if self.is_product:
            return x + self.leave(ops, first * ops.leaky_relu(second, SLOPE))
        return x + self.leave(ops, ops.leaky_relu(first, SLOPE) + ops.leaky_relu(second, SMALL_SLOPE))


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

    def __call__(self, ops: "FloatOperations", x: Tensor) -> Tensor:
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
        self.up3 = SubPixelConv(f"{name}.up3.0", third, second)
        self.up_conv3 = DepthBlock(f"{name}.up_conv3", form, 2 * second, second)
        self.up2 = SubPixelConv(f"{name}.up2.0", second, first)
        self.up_conv2 = DepthBlock(f"{name}.up_conv2", form, 2 * first, cout)

    def shapes(self) -> Iterator[tuple[str, Shape]]:
        return layer_shapes(self)

    def __call__(self, ops: "FloatOperations", x: Tensor) -> Tensor:
        first = self.enter(ops, x)
        second = self.middle(ops, ops.max_pool(first) if self.down1 is None else self.down1(ops, first))
        third = self.deep(ops, ops.max_pool(second) if self.down2 is None else self.down2(ops, second))
        third = self.refine(ops, third)
        second = self.up_conv3(ops, ops.concat(second, self.up3(ops, third)))
        return self.up_conv2(ops, ops.concat(first, self.up2(ops, second)))
