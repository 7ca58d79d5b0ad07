"""The two ends of a frame's symbols: an encoder's makes them, a decoder's reads them. Recipes of frames run with
either.

A layout says which string of the payload each latent stands in; latents of one string follow in coding order.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dcvc_cli.errors import EnvironmentFault, StreamError
from dcvc_cli.families.float_codec.coder import StringDecoder, StringEncoder, WordTable, joined, parted
from dcvc_cli.families.float_codec.context import ContextNetwork
from dcvc_cli.families.float_codec.layers import Ops, Tensor
from dcvc_cli.families.float_codec.tables import RowRule

Layout = Mapping[str, int]
"""Number of the string by name of the latent."""


class Side(ABC):
    """One end of the symbols of one frame.

    Attributes:
        symbols: int32 (c, h, w) by name of the latent.
        rows: table rows, uint8 (c, h, w), by name of the latent; none of z.
    """

    def __init__(self, ops: Ops, layout: Layout) -> None:
        self.ops, self.layout = ops, layout
        self.symbols: dict[str, NDArray[np.int32]] = {}
        self.rows: dict[str, NDArray[np.uint8]] = {}

    @abstractmethod
    def analysis(self, compute: Callable[[], Tensor]) -> Tensor | None:
        """What only an encoder computes; None in a decoder."""

    @abstractmethod
    def coded(self, name: str, table: WordTable, rows: NDArray[np.uint8], values: Tensor | None) -> NDArray[np.int32]:
        """Symbols (c, h, w) of these table rows: `values` rounded, or what the string says."""

    @abstractmethod
    def coded_by_context(
        self, name: str, table: WordTable, network: ContextNetwork, prior: Tensor, y: Tensor | None
    ) -> Tensor:
        """A latent whose parameters depend on its own values before; prior (1, 2c, h, w) -> its values."""

    def hyper(
        self, name: str, table: WordTable, z: Tensor | None, size: tuple[int, int], medians: Tensor | None = None
    ) -> Tensor:
        """z, rounded around the medians of its channels or around 0; (1, c, h, w).

        Args:
            table: a row a channel.
            size: (h, w) of z.
        """
        channels = table.cdf_length.size
        rows = np.broadcast_to(np.arange(channels, dtype=np.uint8)[:, None, None], (channels, *size))
        middle = 0.0 if medians is None else medians
        symbols = self.symbols[name] = self.coded(name, table, rows, None if z is None else z - middle)
        return self.tensor(symbols) + middle

    def latent(
        self,
        name: str,
        table: WordTable,
        rule: RowRule,
        scales: Tensor,
        means: Tensor | None,
        y: Tensor | None,
    ) -> Tensor:
        """y of predicted scales and means (None: 0), (1, c, h, w) each; in channel, row, column order."""
        rows = self.rows[name] = rule(scales[0])
        values = y if y is None or means is None else y - means
        symbols = self.symbols[name] = self.coded(name, table, rows, values)
        restored = self.tensor(symbols)
        return restored if means is None else restored + means

    def tensor(self, symbols: NDArray[np.int32]) -> Tensor:
        """(c, h, w) symbols as a value of the networks."""
        import torch

        return torch.from_numpy(symbols).to(self.ops.device, self.ops.dtype)[None]

    def picked(self, predicted: Tensor) -> tuple[Tensor, Tensor]:
        """The two halves of the channels."""
        first, second = predicted.chunk(2, dim=1)
        return first, second


def rounded(values: Tensor) -> NDArray[np.int32]:
    """(1, c, h, w) -> int32 (c, h, w), half to even; EnvironmentFault where they are no numbers of a latent."""
    whole = values[0].round()
    if not bool((whole.abs() < 2**30).all()):
        raise EnvironmentFault("the networks give latents that are not finite", "use other weights or --precision fp32")
    return np.ascontiguousarray(whole.cpu().numpy().astype(np.int32))


class EncodingSide(Side):
    """Makes symbols and the payload."""

    def __init__(self, ops: Ops, layout: Layout) -> None:
        super().__init__(ops, layout)
        self._strings = [StringEncoder() for _ in range(max(layout.values()) + 1)]

    def analysis(self, compute: Callable[[], Tensor]) -> Tensor:
        return compute()

    def coded(self, name: str, table: WordTable, rows: NDArray[np.uint8], values: Tensor | None) -> NDArray[np.int32]:
        symbols = rounded(values)
        self._strings[self.layout[name]].add(table, symbols, rows)
        return symbols

    def coded_by_context(
        self, name: str, table: WordTable, network: ContextNetwork, prior: Tensor, y: Tensor | None
    ) -> Tensor:
        symbols, rows, restored = network.encode(self.ops, prior, y)
        self._strings[self.layout[name]].add(table, symbols, rows)
        size = prior.shape[-2:]
        self.symbols[name], self.rows[name] = in_planes(symbols, size), in_planes(rows, size)
        return network.as_tensor(self.ops, restored, size)

    def strings(self) -> list[bytes]:
        """The payload's strings in order."""
        return [string.finish() for string in self._strings]

    def payload(self) -> bytes:
        """A unit's payload."""
        return joined(self.strings())


class DecodingSide(Side):
    """Reads symbols from the strings of a payload, or from a list of strings."""

    def __init__(self, ops: Ops, layout: Layout, payload: bytes | list[bytes]) -> None:
        super().__init__(ops, layout)
        count = max(layout.values()) + 1
        strings = parted(payload, count) if isinstance(payload, bytes) else payload
        if len(strings) != count:
            raise StreamError(f"a unit has {len(strings)} strings, expected {count}")
        self._strings = [StringDecoder(string) for string in strings]

    def analysis(self, compute: Callable[[], Tensor]) -> None:
        return None

    def coded(self, name: str, table: WordTable, rows: NDArray[np.uint8], values: Tensor | None) -> NDArray[np.int32]:
        return self._strings[self.layout[name]].decode(table, rows)

    def coded_by_context(
        self, name: str, table: WordTable, network: ContextNetwork, prior: Tensor, y: Tensor | None
    ) -> Tensor:
        string = self._strings[self.layout[name]]
        symbols, rows, restored = network.decode(self.ops, prior, string, table)
        size = prior.shape[-2:]
        self.symbols[name], self.rows[name] = in_planes(symbols, size), in_planes(rows, size)
        return network.as_tensor(self.ops, restored, size)

    def finish(self) -> None:
        """StreamError where a string is not used up."""
        for string in self._strings:
            string.finish()


def in_planes(values: NDArray[Any], size: tuple[int, int]) -> NDArray[Any]:
    """(h * w, c) -> (c, h, w)."""
    return np.ascontiguousarray(values.reshape(*size, -1).transpose(2, 0, 1))
