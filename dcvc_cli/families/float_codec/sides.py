"""The two sides of a frame's symbols: the encoder's side makes them, the decoder's side reads them. A recipe of a frame
runs with either.

A layout names the string of each latent in the payload. Latents of one string follow each other in coding order.
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
    """One side of the symbols of one frame.

    Attributes:
        symbols: int32 (c, h, w) by name of the latent.
        rows: table rows, uint8 (c, h, w), by name of the latent, without z.
    """

    def __init__(self, ops: Ops, layout: Layout) -> None:
        self.ops, self.layout = ops, layout
        self.symbols: dict[str, NDArray[np.int32]] = {}
        self.rows: dict[str, NDArray[np.uint8]] = {}

    @abstractmethod
    def analysis(self, compute: Callable[[], Tensor]) -> Tensor | None:
        """Computes something that only an encoder needs; returns None in a decoder."""

    @abstractmethod
    def coded(self, name: str, table: WordTable, rows: NDArray[np.uint8], values: Tensor | None) -> NDArray[np.int32]:
        """Codes the symbols (c, h, w) of these table rows. An encoder rounds `values`, a decoder reads the string."""

    @abstractmethod
    def coded_by_context(
        self, name: str, table: WordTable, network: ContextNetwork, prior: Tensor, y: Tensor | None
    ) -> Tensor:
        """Codes a latent with a context model. Returns its values (1, c, h, w).

        Args:
            prior: (1, 2c, h, w).
            y: the latent in an encoder; None in a decoder.
        """

    def hyper(
        self, name: str, table: WordTable | None, z: Tensor | None, size: tuple[int, int], medians: Tensor | None = None
    ) -> Tensor:
        """Codes z, which is rounded around the medians of its channels. Returns its values (1, c, h, w).

        Args:
            table: one row a channel; None where a side makes no symbols.
            z: in an encoder; None in a decoder.
            size: (h, w) of z.
            medians: (c, 1, 1); None: z is rounded around 0.
        """
        assert table is not None, "symbols have a table"
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
        """Codes y in channel, row, column order. Returns its values (1, c, h, w).

        Args:
            scales, means: predicted, (1, c, h, w) each; means of None are 0.
            y: in an encoder; None in a decoder.
        """
        rows = self.rows[name] = rule(scales[0])
        values = y if y is None or means is None else y - means
        symbols = self.symbols[name] = self.coded(name, table, rows, values)
        restored = self.tensor(symbols)
        return restored if means is None else restored + means

    def tensor(self, symbols: NDArray[np.int32]) -> Tensor:
        """Turns symbols (c, h, w) into a tensor of the networks."""
        import torch

        return torch.from_numpy(symbols).to(self.ops.device, self.ops.dtype)[None]

    def picked(self, predicted: Tensor) -> tuple[Tensor, Tensor]:
        """Splits the channels into two halves."""
        first, second = predicted.chunk(2, dim=1)
        return first, second


def rounded(values: Tensor) -> NDArray[np.int32]:
    """Rounds values (1, c, h, w), half to even, to int32 (c, h, w).

    Raises:
        EnvironmentFault: a value is not finite.
    """
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
        """Returns the payload's strings in order."""
        return [string.finish() for string in self._strings]

    def payload(self) -> bytes:
        """Returns the unit's payload."""
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
        """Ends the symbols.

        Raises:
            StreamError: bytes of a string are left.
        """
        for string in self._strings:
            string.finish()


def in_planes(values: NDArray[Any], size: tuple[int, int]) -> NDArray[Any]:
    """Turns (h * w, c) into (c, h, w)."""
    return np.ascontiguousarray(values.reshape(*size, -1).transpose(2, 0, 1))
