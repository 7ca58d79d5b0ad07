"""The interface between a network and the code that stores, opens or prepares it: named parameters with shapes, and the
rows of its z table."""

from collections.abc import Iterator
from typing import Protocol

Shape = tuple[int, ...]


class Network(Protocol):
    """A graph of named layers that owns no numbers.

    Attributes:
        encoder_only: prefixes of the layers that a decoder never runs.
    """

    encoder_only: tuple[str, ...]

    @property
    def num_qps(self) -> int:
        """Returns the number of QPs: the network's vectors and its z table have rows for each."""

    @property
    def num_z_channels(self) -> int:
        """Channels of z. The table of z has num_qps * num_z_channels rows; a network without a stored table has 0
        channels."""

    def shapes(self) -> Iterator[tuple[str, Shape]]:
        """Yields names and shapes of the state dict."""

    def decoder_shapes(self) -> Iterator[tuple[str, Shape]]:
        """Yields the part of `shapes` that a decoder uses."""
