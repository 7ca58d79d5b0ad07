"""The building blocks of DCVC-HEM as named layers that own no numbers. Source: DCVC-HEM (ACM MM 2022) and its appendix.

Shapes are channels x height x width.
"""

from collections.abc import Iterator
from itertools import pairwise
from typing import TYPE_CHECKING

from dcvc_cli.families.wide_latents.blocks import (
    LARGE_SLOPE,
    SMALL_SLOPE,
    DownBlock,
    Leaky,
    Residual,
    UpBlock,
    conv,
)
from dcvc_cli.graph.blocks import Conv, Part, Sequence, Shape, SubPixelConv, Tensor, layer_shapes

if TYPE_CHECKING:
    from dcvc_cli.backend.float_torch import FloatOperations

GATE_SHARE = 16
NUM_REFINEMENTS = 4


class Gate:
    """Multiplies each channel by a factor, which depends on the means of all channels: c x h x w.

    Parameters: `NAME.fc.0.weight` (c / 16, c), `NAME.fc.2.weight` (c, c / 16).
    """

    def __init__(self, name: str, channels: int) -> None:
        self.first, self.second = f"{name}.fc.0.weight", f"{name}.fc.2.weight"
        self.channels = channels

    def shapes(self) -> Iterator[tuple[str, Shape]]:
        hidden = self.channels // GATE_SHARE
        yield self.first, (hidden, self.channels)
        yield self.second, (self.channels, hidden)

    def __call__(self, ops: "FloatOperations", x: Tensor) -> Tensor:
        hidden = ops.relu(ops.plane_means(x) @ ops.parameters[self.first].T)
        return x * (hidden @ ops.parameters[self.second].T).sigmoid()[..., None, None]


class GatedBlock:
    """Two convolutions and a gate beside a 1x1 convolution: cin x h x w -> c x h x w."""

    def __init__(self, name: str, cin: int, channels: int) -> None:
        self.conv1, self.conv2 = conv(f"{name}.conv.0", cin, channels), conv(f"{name}.conv.2", channels, channels)
        self.gate = Gate(f"{name}.conv.3", channels)
        self.up_dim = Conv(f"{name}.up_dim", cin, channels)

    def shapes(self) -> Iterator[tuple[str, Shape]]:
        return layer_shapes(self)

    def __call__(self, ops: "FloatOperations", x: Tensor) -> Tensor:
        t = self.conv2(ops, ops.leaky_relu(self.conv1(ops, x), SMALL_SLOPE))
        return self.up_dim(ops, x) + self.gate(ops, t)


class UNet:
    """Three scales with skips: cin x h x w -> c x h x w, sides multiples of 4."""

    def __init__(self, name: str, cin: int, channels: int, widths: tuple[int, int, int]) -> None:
        first, second, third = widths
        self.conv1 = GatedBlock(f"{name}.conv1", cin, first)
        self.conv2 = GatedBlock(f"{name}.conv2", first, second)
        self.conv3 = GatedBlock(f"{name}.conv3", second, third)
        blocks = (Residual(f"{name}.context_refine.{k}", third, slope=0.0, before=True) for k in range(NUM_REFINEMENTS))
        self.refine = Sequence(*blocks)
        self.up3 = SubPixelConv(f"{name}.up3.0", third, second)
        self.up_conv3 = GatedBlock(f"{name}.up_conv3", 2 * second, second)
        self.up2 = SubPixelConv(f"{name}.up2.0", second, first)
        self.up_conv2 = GatedBlock(f"{name}.up_conv2", 2 * first, channels)

    def shapes(self) -> Iterator[tuple[str, Shape]]:
        return layer_shapes(self)

    def __call__(self, ops: "FloatOperations", x: Tensor) -> Tensor:
        full = self.conv1(ops, x)
        half = self.conv2(ops, ops.max_pool(full))
        quarter = self.refine(ops, self.conv3(ops, ops.max_pool(half)))
        half = self.up_conv3(ops, ops.concat(half, self.up3(ops, quarter)))
        return self.up_conv2(ops, ops.concat(full, self.up2(ops, half)))


def analysis_layers(name: str, cin: int, channels: int) -> Sequence:
    """Makes layers cin x h x w -> channels on the 1/16 grid."""
    layers: list[Part] = []
    for number, width in ((0, cin), (2, channels), (4, channels)):
        layers += [
            DownBlock(f"{name}.{number}", width, channels),
            Residual(f"{name}.{number + 1}", channels, after=True),
        ]
    return Sequence(*layers, conv(f"{name}.6", channels, channels, stride=2))


def synthesis_layers(name: str, channels: int, cout: int) -> Sequence:
    """Makes the inverse layers: channels on the 1/16 grid -> cout x h x w."""
    layers: list[Part] = []
    for number in (0, 2, 4):
        layers += [
            Residual(f"{name}.{number}", channels, after=True),
            UpBlock(f"{name}.{number + 1}", channels, channels),
        ]
    return Sequence(*layers, Residual(f"{name}.6", channels, after=True), SubPixelConv(f"{name}.7.0", channels, cout))


def hyper_analysis_layers(name: str, latents: int, channels: int) -> Sequence:
    """Makes layers y -> z, a quarter of the size."""
    leaky = Leaky(SMALL_SLOPE)
    return Sequence(
        conv(f"{name}.0", latents, channels),
        leaky,
        conv(f"{name}.2", channels, channels),
        leaky,
        conv(f"{name}.4", channels, channels, stride=2),
        leaky,
        conv(f"{name}.6", channels, channels),
        leaky,
        conv(f"{name}.8", channels, channels, stride=2),
    )


def hyper_synthesis_layers(name: str, channels: int, latents: int) -> Sequence:
    """Makes layers z -> twice as many channels as y, four times the size."""
    leaky, wide = Leaky(SMALL_SLOPE), 3 * latents // 2
    return Sequence(
        conv(f"{name}.0", channels, latents),
        leaky,
        SubPixelConv(f"{name}.2.0", latents, latents),
        leaky,
        conv(f"{name}.4", latents, wide),
        leaky,
        SubPixelConv(f"{name}.6.0", wide, wide),
        leaky,
        conv(f"{name}.8", wide, 2 * latents),
    )


def chain(name: str, *widths: int) -> Sequence:
    """Makes 3x3 convolutions from width to width, with an activation between them. Priors are made of such chains."""
    layers: list[Part] = []
    for number, (cin, cout) in enumerate(pairwise(widths)):
        layers += [*([Leaky(LARGE_SLOPE)] if number else []), conv(f"{name}.{2 * number}", cin, cout)]
    return Sequence(*layers)
