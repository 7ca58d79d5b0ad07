"""What every network is to those who store, open or prepare it: named parameters with shapes, and the rows of its z
table."""

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
        """QPs that the network's vectors and z table have rows for."""

    @property
    def num_z_channels(self) -> int:
        """Channels of the hyperprior z; its table has num_qps * num_z_channels rows, 0 for a network without a stored
        table."""

    def shapes(self) -> Iterator[tuple[str, Shape]]:
        """Names and shapes of the state dict."""

    def decoder_shapes(self) -> Iterator[tuple[str, Shape]]:
        """The part of `shapes` that a decoder uses."""
