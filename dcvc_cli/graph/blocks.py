"""The building blocks of networks as a graph of named layers, without any tensor library.

A block owns no parameters. It knows its name in the state dict and the shapes of its parameters, and runs on the
operations of a backend (`BlockOperations`), which owns the numbers. So training, float inference and exact inference
run one definition. Source: DCVC-RT (CVPR 2025), figure 3 and its supplement.

Shapes are channels x height x width; N = 1 outside training.
"""

from collections.abc import Iterator
from typing import Any, Protocol

from dcvc_cli.graph.network import Network, Shape

Tensor = Any
"""A tensor of a backend; opaque here."""
Qp = Any
"""The QP, or the number of another rate: an int; in training a tensor (N,), one for each picture of the batch."""
GDN_PEDESTAL = 2.0**-36
"""Checkpoints store square roots of the parameters of generalised divisive normalisation. This is added to a parameter
before its root is taken."""


class BlockOperations(Protocol):
    """The operations that blocks need. `dcvc_cli.backend.operations.Operations` says what each of them computes."""

    def conv(self, layer: "Conv", x: Tensor, /) -> Tensor:
        """Computes a convolution."""

    def depthwise(self, layer: "Depthwise", x: Tensor, /) -> Tensor:
        """Computes a depthwise convolution."""

    def scale(self, vector: "ScaleVector", x: Tensor, qp: Qp, /) -> Tensor:
        """Multiplies x by a row of the vector."""

    def depth_conv_block(self, block: "DepthConvBlock", x: Tensor, /) -> Tensor:
        """Computes the whole block."""

    def fourfold_block(self, block: "FourfoldBlock", /, *parts: Tensor) -> Tensor:
        """Computes the whole block, of the concatenation of the parts."""

    def pixel_shuffle(self, x: Tensor, factor: int, /) -> Tensor:
        """Moves channels to samples."""


class Conv:
    """Convolution cin -> cout, zero padding `padding`, with a bias unless `bias` is False.

    Parameters: `NAME.weight` (cout, cin, k, k), `NAME.bias` (cout).
    """

    def __init__(
        self, name: str, cin: int, cout: int, kernel: int = 1, stride: int = 1, padding: int = 0, *, bias: bool = True
    ) -> None:
        self.name, self.cin, self.cout = name, cin, cout
        self.kernel, self.stride, self.padding = kernel, stride, padding
        self.bias = bias

    def shapes(self) -> Iterator[tuple[str, Shape]]:
        yield f"{self.name}.weight", (self.cout, self.cin, self.kernel, self.kernel)
        if self.bias:
            yield f"{self.name}.bias", (self.cout,)

    def __call__(self, ops: BlockOperations, x: Tensor) -> Tensor:
        return ops.conv(self, x)


class Depthwise:
    """Depthwise 3x3 convolution with bias and zero padding 1. Parameters: weight (c, 1, 3, 3), bias (c)."""

    def __init__(self, name: str, channels: int) -> None:
        self.name, self.channels = name, channels

    def shapes(self) -> Iterator[tuple[str, Shape]]:
        yield f"{self.name}.weight", (self.channels, 1, 3, 3)
        yield f"{self.name}.bias", (self.channels,)

    def __call__(self, ops: BlockOperations, x: Tensor) -> Tensor:
        return ops.depthwise(self, x)


class ScaleVector:
    """A (num_qps, c, 1, 1) parameter; row `qp` multiplies a feature map channel by channel."""

    def __init__(self, name: str, num_qps: int, channels: int) -> None:
        self.name, self.num_qps, self.channels = name, num_qps, channels

    def shapes(self) -> Iterator[tuple[str, Shape]]:
        yield self.name, (self.num_qps, self.channels, 1, 1)

    def __call__(self, ops: BlockOperations, x: Tensor, qp: Qp) -> Tensor:
        return ops.scale(self, x, qp)


class FlatScaleVector(ScaleVector):
    """A ScaleVector whose parameter has shape (num_qps, c)."""

    def shapes(self) -> Iterator[tuple[str, Shape]]:
        yield self.name, (self.num_qps, self.channels)


class BitEstimator:
    """Factorised density of the hyper-latent z: eleven (num_qps, c, 1, 1) parameters. Only the making of tables and
    training use them."""

    def __init__(self, name: str, num_qps: int, channels: int) -> None:
        self.name, self.num_qps, self.channels = name, num_qps, channels

    def shapes(self) -> Iterator[tuple[str, Shape]]:
        for stage in ("f1", "f2", "f3", "f4"):
            for kind in ("h", "b") if stage == "f4" else ("h", "b", "a"):
                yield f"{self.name}.{stage}.{kind}", (self.num_qps, self.channels, 1, 1)


class StackedEstimator(BitEstimator):
    """A BitEstimator with its four stages in the last index of three parameters, (num_qps, c, 4) and (num_qps, c,
    3)."""

    def shapes(self) -> Iterator[tuple[str, Shape]]:
        for kind, num_stages in (("h", 4), ("b", 4), ("a", 3)):
            yield f"{self.name}.{kind}", (self.num_qps, self.channels, num_stages)


CodingLayer = Conv | Depthwise | ScaleVector
"""A layer that codes pictures."""
Layer = CodingLayer | BitEstimator


class DepthConvBlock:
    """Depth-conv block: a depthwise and a feed-forward residual branch. All layers but one 3x3 depthwise layer are
    pointwise.

    x   = adaptor(x)                                   when cin != c or force_adaptor
    t   = dc.3(dc.2(wsilu(dc.0(x)))) + x
    out = ffn.2(chunk_add(wsilu(ffn.0(t)))) + t        (+ x with shortcut)
    """

    def __init__(
        self, name: str, cin: int, channels: int, *, shortcut: bool = False, force_adaptor: bool = False
    ) -> None:
        c = channels
        self.name, self.cin, self.channels, self.shortcut = name, cin, c, shortcut
        self.adaptor = Conv(f"{name}.adaptor", cin, c) if cin != c or force_adaptor else None
        self.dc_in = Conv(f"{name}.dc.0", c, c)
        self.dc_spatial = Depthwise(f"{name}.dc.2", c)
        self.dc_out = Conv(f"{name}.dc.3", c, c)
        self.ffn_in = Conv(f"{name}.ffn.0", c, 4 * c)
        self.ffn_out = Conv(f"{name}.ffn.2", 2 * c, c)

    def shapes(self) -> Iterator[tuple[str, Shape]]:
        return layer_shapes(self)

    def __call__(self, ops: BlockOperations, x: Tensor) -> Tensor:
        return ops.depth_conv_block(self, x)


class FourfoldBlock:
    """Depth-conv block whose feed-forward branch adds each four neighbouring channels. Its inner width is c or c / 2.

    x   = adaptor(x)                                     when cin != c or force_adaptor
    t   = dc.3(dc.2(wsilu(dc.0(x)))) + x                 c -> inner -> c
    out = ffn.2(add_fours(wsilu(ffn.0(t)))) + t          c -> 4 inner -> inner -> c        (+ x with shortcut)

    Source: DCVC-UF (2026).
    """

    def __init__(
        self, name: str, cin: int, channels: int, inner: int, *, shortcut: bool = False, force_adaptor: bool = False
    ) -> None:
        self.name, self.cin, self.channels, self.shortcut = name, cin, channels, shortcut
        self.adaptor = Conv(f"{name}.adaptor", cin, channels) if cin != channels or force_adaptor else None
        self.dc_in = Conv(f"{name}.dc.0", channels, inner)
        self.dc_spatial = Depthwise(f"{name}.dc.2", inner)
        self.dc_out = Conv(f"{name}.dc.3", inner, channels)
        self.ffn_in = Conv(f"{name}.ffn.0", channels, 4 * inner)
        self.ffn_out = Conv(f"{name}.ffn.2", inner, channels)

    def shapes(self) -> Iterator[tuple[str, Shape]]:
        return layer_shapes(self)

    def __call__(self, ops: BlockOperations, *parts: Tensor) -> Tensor:
        """Computes the block of the concatenation of the parts."""
        return ops.fourfold_block(self, *parts)


class DownBlock:
    """2x2 convolution with stride 2, then a depth-conv block with shortcut: cin x h x w -> c x h/2 x w/2."""

    def __init__(self, name: str, cin: int, channels: int) -> None:
        self.down = Conv(f"{name}.down", cin, channels, kernel=2, stride=2)
        self.conv = DepthConvBlock(f"{name}.conv", channels, channels, shortcut=True)

    def shapes(self) -> Iterator[tuple[str, Shape]]:
        return layer_shapes(self)

    def __call__(self, ops: BlockOperations, x: Tensor) -> Tensor:
        return self.conv(ops, self.down(ops, x))


class SubPixelConv:
    """k x k convolution cin -> 4c, then pixel-shuffle by 2: cin x h x w -> c x 2h x 2w. The convolution has the name
    and the option `bias` of a Conv."""

    def __init__(self, name: str, cin: int, channels: int, kernel: int = 1, *, bias: bool = True) -> None:
        self.conv = Conv(name, cin, 4 * channels, kernel=kernel, padding=(kernel - 1) // 2, bias=bias)

    def shapes(self) -> Iterator[tuple[str, Shape]]:
        return layer_shapes(self)

    def __call__(self, ops: BlockOperations, x: Tensor) -> Tensor:
        return ops.pixel_shuffle(self.conv(ops, x), 2)


class UpBlock:
    """1x1 sub-pixel convolution, then a depth-conv block with shortcut: cin x h x w -> c x 2h x 2w."""

    def __init__(self, name: str, cin: int, channels: int) -> None:
        self.up = SubPixelConv(f"{name}.up.conv.0", cin, channels)
        self.conv = DepthConvBlock(f"{name}.conv", channels, channels, shortcut=True)

    def shapes(self) -> Iterator[tuple[str, Shape]]:
        return layer_shapes(self)

    def __call__(self, ops: BlockOperations, x: Tensor) -> Tensor:
        return self.conv(ops, self.up(ops, x))


class Part(Protocol):
    """A part of a network: a layer, or layers under one name."""

    def shapes(self) -> Iterator[tuple[str, Shape]]:
        """Yields names and shapes of its parameters."""


class Sequence:
    """Parts under one name. A Sequence of blocks runs them one after the other."""

    def __init__(self, *blocks: Part) -> None:
        self.blocks: tuple[Any, ...] = blocks

    def shapes(self) -> Iterator[tuple[str, Shape]]:
        for block in self.blocks:
            yield from block.shapes()

    def __call__(self, ops: BlockOperations, *parts: Tensor) -> Tensor:
        """Runs the blocks. Several parts go to the first block, which must take them."""
        for block in self.blocks:
            parts = (block(ops, *parts),)
        (x,) = parts
        return x


def depth_conv_blocks(name: str, cin: int, channels: int, depth: int, first: int = 0) -> Sequence:
    """Makes `depth` depth-conv blocks named `NAME.first`, `NAME.first+1`, ..; the first one adapts cin -> channels."""
    return Sequence(
        *(DepthConvBlock(f"{name}.{first + k}", cin if k == 0 else channels, channels) for k in range(depth))
    )


def layer_shapes(owner: object) -> Iterator[tuple[str, Shape]]:
    """Yields names and shapes of all parameters below `owner`, in the order in which its layers were made."""
    for value in vars(owner).values():
        if hasattr(value, "shapes"):
            yield from value.shapes()


def layers_of(owner: object) -> Iterator[Layer]:
    """Yields every leaf layer (Conv, Depthwise, ScaleVector, BitEstimator) below `owner`, in the order in which they
    were made."""
    children = owner.blocks if isinstance(owner, Sequence) else vars(owner).values()
    for value in children:
        if isinstance(value, Layer):
            yield value
        elif hasattr(value, "shapes"):
            yield from layers_of(value)


def decoder_layers(model: Network) -> Iterator[CodingLayer]:
    """Yields the layers of a network that a decoder runs, in the order in which they were made."""
    for layer in layers_of(model):
        if not isinstance(layer, BitEstimator) and not layer.name.startswith(model.encoder_only):
            yield layer


def encoder_layers(model: Network) -> Iterator[CodingLayer]:
    """Yields the layers of a network that only an encoder runs, in the order in which they were made."""
    for layer in layers_of(model):
        if not isinstance(layer, BitEstimator) and layer.name.startswith(model.encoder_only):
            yield layer


def decoder_shapes(model: Network) -> Iterator[tuple[str, Shape]]:
    """Yields names and shapes of the parameters that a decoder uses."""
    for layer in decoder_layers(model):
        yield from layer.shapes()
