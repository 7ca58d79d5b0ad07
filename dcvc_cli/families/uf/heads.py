"""The heads that make pictures of a feature. The heads of a chunk see the common feature, but not each other."""

from collections.abc import Iterator
from typing import Protocol

from dcvc_cli.backend.operations import Operations, Tensor
from dcvc_cli.families.uf.blocks import uf_block, uf_blocks
from dcvc_cli.families.uf.sizes import CELL_CHANNELS, Block, VideoSizes
from dcvc_cli.graph.blocks import Conv, Sequence, Shape, layer_shapes


class Heads(Protocol):
    """Makes the pictures of a unit."""

    def shapes(self) -> Iterator[tuple[str, Shape]]:
        """Yields names and shapes of the parameters."""

    def cells(self, ops: Operations, feature: Tensor, index: int) -> Tensor:
        """Maps feature -> picture `index` of the unit, 192 x Hp/8 x Wp/8."""

    def pair(self, ops: Operations, feature: Tensor, number: int) -> Tensor:
        """Runs what the heads of pictures 2 number and 2 number + 1 share."""

    def own_cells(self, ops: Operations, feature: Tensor, index: int) -> Tensor:
        """Makes picture `index` of its head's input, the output of `pair`."""


class OneHead:
    """The head of LD."""

    def __init__(self, sizes: VideoSizes) -> None:
        self.conv = uf_blocks("recon_head.conv", sizes.feature, sizes.feature, sizes.head_depth, sizes.block)
        self.head = Conv("recon_head.head", sizes.feature, CELL_CHANNELS)

    def shapes(self) -> Iterator[tuple[str, Shape]]:
        return layer_shapes(self)

    def cells(self, ops: Operations, feature: Tensor, index: int) -> Tensor:
        return self.own_cells(ops, self.pair(ops, feature, index // 2), index)

    def pair(self, ops: Operations, feature: Tensor, number: int) -> Tensor:
        """Returns the feature: one head shares nothing."""
        return feature

    def own_cells(self, ops: Operations, feature: Tensor, index: int) -> Tensor:
        return self.head(ops, self.conv(ops, feature))


class ChunkHeads:
    """The heads of HT-L and HT-S. In HT-S, pictures 2j and 2j + 1 share a block."""

    def __init__(self, sizes: VideoSizes) -> None:
        pairs = range(sizes.pictures // 2) if sizes.pair_heads else range(0)
        self.shared = Sequence(
            *(uf_block(f"recon_head.conv1.{j}.0", sizes.feature, sizes.feature, Block.FULL) for j in pairs)
        )
        stem = "recon_head.conv2" if sizes.pair_heads else "recon_head.conv"
        self.own = Sequence(
            *(
                Sequence(
                    uf_blocks(f"{stem}.{i}", sizes.feature, sizes.head, sizes.head_depth, Block.FULL),
                    Conv(f"{stem}.{i}.{sizes.head_depth}", sizes.head, CELL_CHANNELS),
                )
                for i in range(sizes.pictures)
            )
        )

    def shapes(self) -> Iterator[tuple[str, Shape]]:
        return layer_shapes(self)

    def cells(self, ops: Operations, feature: Tensor, index: int) -> Tensor:
        return self.own_cells(ops, self.pair(ops, feature, index // 2), index)

    def pair(self, ops: Operations, feature: Tensor, number: int) -> Tensor:
        """Runs the block that the heads of pictures 2 number and 2 number + 1 share. Only HT-S has such blocks."""
        return self.shared.blocks[number](ops, feature) if self.shared.blocks else feature

    def own_cells(self, ops: Operations, feature: Tensor, index: int) -> Tensor:
        """Makes picture `index` of its head's input."""
        return self.own.blocks[index](ops, feature)


def make_heads(sizes: VideoSizes) -> Heads:
    """Makes the heads for these sizes."""
    return ChunkHeads(sizes) if sizes.pictures > 1 else OneHead(sizes)
