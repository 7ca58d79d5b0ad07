"""The frame coder turns symbols of one frame into bytes and back, in four byte formats. Source:
docs/entropy-coding.md."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from dcvc_cli.entropy.tables import MAX_NATIVE_ROWS, CdfTable, check_status
from dcvc_cli.format.entropy_format import EntropyFormat
from dcvc_cli.format.native import NativeModule
from dcvc_cli.format.range_coder import DecoderState, EncoderState
from dcvc_cli.stages import ENTROPY, timed

if TYPE_CHECKING:
    from dcvc_cli import _entropy as native
else:
    native = NativeModule("_entropy")


def _channel_rows(num_channels: int, height: int, width: int) -> NDArray[np.uint8]:
    """Returns the table row of every element of a (num_channels, height, width) tensor, flattened."""
    if not 1 <= num_channels <= MAX_NATIVE_ROWS:
        raise ValueError(f"z has {num_channels} channels, at most {MAX_NATIVE_ROWS} can be coded")
    return np.repeat(np.arange(num_channels, dtype=np.uint8), height * width)


def _require_compact(fmt: EntropyFormat, start: object) -> None:
    if start is not None and fmt is not EntropyFormat.COMPACT:
        raise ValueError(f"a frame in the {fmt.name} format shares no coder with what comes before its symbols")


class FrameEncoder:
    """Collects a frame's symbols in coding order (z, then the y planes) and codes them at `finish`.

    The bytes are the same on every machine. Arrays must not change between the call that adds them and `finish`. What a
    device still computes is added as a function that gives it.
    """

    def __init__(self, fmt: EntropyFormat) -> None:
        self._fmt, self._format = fmt, native.Format.__members__[fmt.name]
        self._parts: list[native.Part | Callable[[], native.Part]] = []

    @timed(ENTROPY)
    def add_y(self, symbols: NDArray[np.int8], index: NDArray[np.uint8], table: CdfTable) -> None:
        """Adds coded elements: symbols int8 (n,), table rows index uint8 (n,); n may be 0."""
        self._parts.append(self._part_of_y(symbols, index, table))

    def add_y_later(self, take: Callable[[], tuple[NDArray[np.int8], NDArray[np.uint8]]], table: CdfTable) -> None:
        """Adds coded elements as `add_y`; `take` gives (symbols, index) once `finish` asks."""
        self._parts.append(lambda: self._part_of_y(*take(), table))

    @staticmethod
    def _part_of_y(symbols: NDArray[np.int8], index: NDArray[np.uint8], table: CdfTable) -> "native.Part":
        if symbols.dtype != np.int8 or index.dtype != np.uint8 or symbols.ndim != 1 or symbols.shape != index.shape:
            raise ValueError(
                f"y needs int8 symbols and uint8 rows of one length, not {symbols.dtype}{symbols.shape}, "
                f"{index.dtype}{index.shape}"
            )
        return table.native(), np.ascontiguousarray(symbols), np.ascontiguousarray(index)

    @timed(ENTROPY)
    def add_z(self, symbols: NDArray[np.int8], table: CdfTable, row_base: int) -> None:
        """Adds a tensor, int8 (channels, height, width), with at most 256 channels. Channel c uses table row row_base +
        c."""
        self._parts.append(self._part_of_z(symbols, table, row_base))

    def add_z_later(self, take: Callable[[], NDArray[np.int8]], table: CdfTable, qp: int) -> None:
        """Adds a tensor as `add_z`; `take` gives the symbols once `finish` asks.

        Args:
            qp: 0 or more. Of n channels, channel c uses table row qp * n + c.
        """

        def part() -> "native.Part":
            symbols = take()
            return self._part_of_z(symbols, table, qp * symbols.shape[0])

        self._parts.append(part)

    @staticmethod
    def _part_of_z(symbols: NDArray[np.int8], table: CdfTable, row_base: int) -> "native.Part":
        if symbols.dtype != np.int8 or symbols.ndim != 3:
            raise ValueError(f"z needs int8 symbols (channels, height, width), not {symbols.dtype}{symbols.shape}")
        rows = _channel_rows(*symbols.shape)
        return table.native(row_base, symbols.shape[0]), np.ascontiguousarray(symbols).reshape(-1), rows

    def finish(self, start: EncoderState | None = None) -> bytes:
        """Codes the symbols. Returns the frame's bytes, with the bytes in `start`; empty if there is nothing to code.

        Args:
            start: COMPACT only: the state of the range coder behind vectors, filters and floor.
        """
        _require_compact(self._fmt, start)
        parts = [part() if callable(part) else part for part in self._parts]
        self._parts[:] = parts
        return self._coded(parts, start)

    @timed(ENTROPY)
    def _coded(self, parts: "list[native.Part]", start: EncoderState | None) -> bytes:
        if start is not None:
            return native.encode_compact(parts, (start.data, start.low, start.range))
        return native.encode_frame(parts, self._format)


class FrameDecoder:
    """Decodes a frame part by part, in the order and with the sizes, tables and rows of the encoder.

    Damaged bytes raise StreamError in the call that notices them, at the latest in `finish`. They never cost more time
    or memory than intact ones.

    Args:
        start: COMPACT only: the state of the range coder behind vectors, filters and floor.
    """

    def __init__(self, data: bytes, fmt: EntropyFormat, start: DecoderState | None = None) -> None:
        _require_compact(fmt, start)
        if start is None:
            self._decoder = native.FrameDecoder(data, native.Format.__members__[fmt.name])
        else:
            self._decoder = native.FrameDecoder(data, (start.position, start.value, start.range))

    @timed(ENTROPY)
    def decode_z(self, num_channels: int, height: int, width: int, table: CdfTable, row_base: int) -> NDArray[np.int8]:
        """Reads a tensor, int8 (num_channels, height, width). Channel c uses table row row_base + c.

        Raises:
            StreamError: the bytes do not hold these symbols.
        """
        rows = _channel_rows(num_channels, height, width)
        return self._decode(table.native(row_base, num_channels), rows).reshape(num_channels, height, width)

    @timed(ENTROPY)
    def decode_y(self, index: NDArray[np.uint8], table: CdfTable) -> NDArray[np.int8]:
        """Reads coded elements, int8 (n,), for table rows index uint8 (n,); n may be 0.

        Raises:
            StreamError: the bytes do not hold these symbols.
        """
        if index.dtype != np.uint8 or index.ndim != 1:
            raise ValueError(f"y needs uint8 rows (n,), not {index.dtype}{index.shape}")
        return self._decode(table.native(), np.ascontiguousarray(index))

    @timed(ENTROPY)
    def finish(self) -> None:
        """Ends the frame.

        Raises:
            StreamError: bytes are left, a coder's state is not back at its start value, or COMPACT bytes are not the
                shortest.
        """
        check_status(self._decoder.finish())

    def _decode(self, native_table: "native.CodingTable", rows: NDArray[np.uint8]) -> NDArray[np.int8]:
        symbols = np.empty(rows.size, dtype=np.int8)
        check_status(self._decoder.decode(native_table, rows, symbols))
        return symbols
