"""DCVC-UF's blocks as graphs of named layers. Source: DCVC-UF (2026).

DCVC-UF's blocks differ from DCVC-RT's in three ways. The feed-forward branch adds each four neighbouring channels.
Blocks may be half as wide inside. The layers that change the grid are 1x1 convolutions beside a pixel (un)shuffle.
"""

from collections.abc import Iterator

from dcvc_cli.backend.operations import Operations, Tensor
from dcvc_cli.families.uf.sizes import Block
from dcvc_cli.graph.blocks import Conv, FourfoldBlock, Sequence, Shape, SubPixelConv, layer_shapes


def uf_block(
    name: str, cin: int, channels: int, form: Block, *, shortcut: bool = False, force_adaptor: bool = False
) -> FourfoldBlock:
    """Makes a block of full or half inner width."""
    inner = channels // form.value
    return FourfoldBlock(name, cin, channels, inner, shortcut=shortcut, force_adaptor=force_adaptor)


class Down:
    """Pixel-unshuffle by 2, 1x1 convolution, block: cin x h x w -> c x h/2 x w/2."""

    def __init__(self, name: str, cin: int, channels: int, form: Block, *, shortcut: bool) -> None:
        self.down = Conv(f"{name}.down", 4 * cin, channels)
        self.conv = uf_block(f"{name}.conv", channels, channels, form, shortcut=shortcut)

    def shapes(self) -> Iterator[tuple[str, Shape]]:
        return layer_shapes(self)

    def __call__(self, ops: Operations, x: Tensor) -> Tensor:
        return self.conv(ops, ops.conv_of_cells(self.down, x, 2))


class Up:
    """1x1 sub-pixel convolution, then a block: cin x h x w -> c x 2h x 2w."""

    def __init__(self, name: str, cin: int, channels: int, form: Block, *, shortcut: bool, bias: bool) -> None:
        self.up = SubPixelConv(f"{name}.up.conv.0", cin, channels, bias=bias)
        self.conv = uf_block(f"{name}.conv", channels, channels, form, shortcut=shortcut)

    def shapes(self) -> Iterator[tuple[str, Shape]]:
        return layer_shapes(self)

    def __call__(self, ops: Operations, x: Tensor) -> Tensor:
        return self.conv(ops, self.up(ops, x))


def uf_blocks(name: str, cin: int, channels: int, depth: int, form: Block, first: int = 0) -> Sequence:
    """Makes `depth` blocks named `NAME.first`, `NAME.first+1`, ..; the first one adapts cin -> channels."""
    return Sequence(
        *(uf_block(f"{name}.{first + k}", cin if k == 0 else channels, channels, form) for k in range(depth))
    )
