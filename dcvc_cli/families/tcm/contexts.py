"""The temporal contexts of DCVC-TCM: features of three sizes, warped and fused. Source: DCVC-TCM (2022)."""

from collections.abc import Iterator

from dcvc_cli.families.float_codec.layers import Gdn, Ops, Tensor
from dcvc_cli.families.wide_latents.blocks import Residual, conv
from dcvc_cli.graph.blocks import Shape, SubPixelConv, layer_shapes


class _Part:
    """Layers of a part of the network; they own no numbers."""

    def shapes(self) -> Iterator[tuple[str, Shape]]:
        return layer_shapes(self)


def _before(name: str, channels: int) -> Residual:
    """Makes the block x + conv2(lrelu(conv1(lrelu(x))))."""
    return Residual(name, channels, before=True)


def _around(name: str, channels: int) -> Residual:
    """Makes the block x + lrelu(conv2(lrelu(conv1(x)))), half as wide inside."""
    return Residual(name, channels, channels // 2, 0.1, after=True)


class FeatureExtractor(_Part):
    """Makes features of c channels in sizes 1, 1/2 and 1/4 of a feature c x h x w. Each is made of the one before."""

    def __init__(self, name: str, c: int) -> None:
        self.conv1, self.res_block1 = conv(f"{name}.conv1", c, c), _before(f"{name}.res_block1", c)
        self.conv2, self.res_block2 = conv(f"{name}.conv2", c, c, 3, 2), _before(f"{name}.res_block2", c)
        self.conv3, self.res_block3 = conv(f"{name}.conv3", c, c, 3, 2), _before(f"{name}.res_block3", c)

    def __call__(self, ops: Ops, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        first = self.res_block1(ops, self.conv1(ops, x))
        second = self.res_block2(ops, self.conv2(ops, first))
        return first, second, self.res_block3(ops, self.conv3(ops, second))


class ContextFusion(_Part):
    """Fuses warped features of three sizes to contexts of three sizes. Each context depends on the smaller features."""

    def __init__(self, name: str, c: int) -> None:
        self.conv3_up, self.res_block3_up = (
            SubPixelConv(f"{name}.conv3_up.0", c, c, kernel=3),
            _before(f"{name}.res_block3_up", c),
        )
        self.conv3_out, self.res_block3_out = conv(f"{name}.conv3_out", c, c), _before(f"{name}.res_block3_out", c)
        self.conv2_up, self.res_block2_up = (
            SubPixelConv(f"{name}.conv2_up.0", 2 * c, c, kernel=3),
            _before(f"{name}.res_block2_up", c),
        )
        self.conv2_out = conv(f"{name}.conv2_out", 2 * c, c)
        self.res_block2_out = _before(f"{name}.res_block2_out", c)
        self.conv1_out = conv(f"{name}.conv1_out", 2 * c, c)
        self.res_block1_out = _before(f"{name}.res_block1_out", c)

    def __call__(self, ops: Ops, w1: Tensor, w2: Tensor, w3: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        joined3 = ops.concat(self.res_block3_up(ops, self.conv3_up(ops, w3)), w2)
        joined2 = ops.concat(self.res_block2_up(ops, self.conv2_up(ops, joined3)), w1)
        out1 = self.res_block1_out(ops, self.conv1_out(ops, joined2))
        out2 = self.res_block2_out(ops, self.conv2_out(ops, joined3))
        out3 = self.res_block3_out(ops, self.conv3_out(ops, w3))
        return w1 + out1, w2 + out2, w3 + out3


class ContextualEncoder(_Part):
    """A picture and contexts -> y: m x h/16 x w/16."""

    def __init__(self, name: str, c: int, m: int) -> None:
        self.conv1, self.gdn1 = conv(f"{name}.conv1", c + 3, c, 3, 2), Gdn(f"{name}.gdn1", c)
        self.res1 = _around(f"{name}.res1", 2 * c)
        self.conv2, self.gdn2 = conv(f"{name}.conv2", 2 * c, c, 3, 2), Gdn(f"{name}.gdn2", c)
        self.res2 = _around(f"{name}.res2", 2 * c)
        self.conv3, self.gdn3 = conv(f"{name}.conv3", 2 * c, c, 3, 2), Gdn(f"{name}.gdn3", c)
        self.conv4 = conv(f"{name}.conv4", c, m, 3, 2)

    def __call__(self, ops: Ops, x: Tensor, contexts: tuple[Tensor, Tensor, Tensor]) -> Tensor:
        c1, c2, c3 = contexts
        inner = self.gdn1(ops, self.conv1(ops, ops.concat(x, c1)))
        inner = self.gdn2(ops, self.conv2(ops, self.res1(ops, ops.concat(inner, c2))))
        inner = self.gdn3(ops, self.conv3(ops, self.res2(ops, ops.concat(inner, c3))))
        return self.conv4(ops, inner)


class TemporalPriorEncoder(_Part):
    """Contexts -> a prior of y: 2m x h/16 x w/16."""

    def __init__(self, name: str, c: int, m: int) -> None:
        wide = m * 3 // 2
        self.conv1, self.gdn1 = conv(f"{name}.conv1", c, c, 3, 2), Gdn(f"{name}.gdn1", c)
        self.conv2, self.gdn2 = conv(f"{name}.conv2", 2 * c, m, 3, 2), Gdn(f"{name}.gdn2", m)
        self.conv3, self.gdn3 = conv(f"{name}.conv3", m + c, wide, 3, 2), Gdn(f"{name}.gdn3", wide)
        self.conv4 = conv(f"{name}.conv4", wide, 2 * m, 3, 2)

    def __call__(self, ops: Ops, contexts: tuple[Tensor, Tensor, Tensor]) -> Tensor:
        c1, c2, c3 = contexts
        inner = self.gdn1(ops, self.conv1(ops, c1))
        inner = self.gdn2(ops, self.conv2(ops, ops.concat(inner, c2)))
        inner = self.gdn3(ops, self.conv3(ops, ops.concat(inner, c3)))
        return self.conv4(ops, inner)


class ContextualDecoder(_Part):
    """y and the two smaller contexts -> d x h x w."""

    def __init__(self, name: str, c: int, m: int, d: int) -> None:
        self.up1, self.gdn1 = SubPixelConv(f"{name}.up1.0", m, c, kernel=3), Gdn(f"{name}.gdn1", c, inverse=True)
        self.up2, self.gdn2 = SubPixelConv(f"{name}.up2.0", c, c, kernel=3), Gdn(f"{name}.gdn2", c, inverse=True)
        self.res1 = _around(f"{name}.res1", 2 * c)
        self.up3, self.gdn3 = SubPixelConv(f"{name}.up3.0", 2 * c, c, kernel=3), Gdn(f"{name}.gdn3", c, inverse=True)
        self.res2 = _around(f"{name}.res2", 2 * c)
        self.up4 = SubPixelConv(f"{name}.up4.0", 2 * c, d, kernel=3)

    def __call__(self, ops: Ops, y: Tensor, contexts: tuple[Tensor, Tensor, Tensor]) -> Tensor:
        _, c2, c3 = contexts
        inner = self.gdn2(ops, self.up2(ops, self.gdn1(ops, self.up1(ops, y))))
        inner = self.gdn3(ops, self.up3(ops, self.res1(ops, ops.concat(inner, c3))))
        return self.up4(ops, self.res2(ops, ops.concat(inner, c2)))


class Reconstruction(_Part):
    """Makes (feature, picture) of the decoder's output and the full-size context. The picture is not clamped."""

    def __init__(self, name: str, c: int, d: int) -> None:
        self.first = conv(f"{name}.feature_conv.0", c + d, c)
        self.blocks = (_before(f"{name}.feature_conv.1", c), _before(f"{name}.feature_conv.2", c))
        self.recon_conv = conv(f"{name}.recon_conv", c, 3)

    def shapes(self) -> Iterator[tuple[str, Shape]]:
        for layer in (self.first, *self.blocks, self.recon_conv):
            yield from layer.shapes()

    def __call__(self, ops: Ops, d: Tensor, c1: Tensor) -> tuple[Tensor, Tensor]:
        feature = self.first(ops, ops.concat(d, c1))
        for block in self.blocks:
            feature = block(ops, feature)
        return feature, self.recon_conv(ops, feature)
