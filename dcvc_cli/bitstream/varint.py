"""The variable-length unsigned integer `uv` of the published codec (docs/bitstream.md, "Integers"), and a byte reader
that cannot run past its end."""

from dcvc_cli.bitstream.faults import BitstreamError, Rule, TruncatedStreamError

UV_LIMIT = 1 << 30
"""`uv` holds 0..2^30-1."""


def write_uv(value: int) -> bytes:
    """Returns the shortest `uv` form of `value`: 1, 2 or 4 bytes, big endian, the length in the top bits.

    Raises:
        ValueError: the value is outside 0..2^30-1.
    """
    if not 0 <= value < UV_LIMIT:
        raise ValueError(f"uv holds 0..{UV_LIMIT - 1}, not {value}")
    if value < 1 << 7:
        return value.to_bytes(1, "big")
    if value < 1 << 14:
        return (value | 0x8000).to_bytes(2, "big")
    return (value | 0xC000_0000).to_bytes(4, "big")


class ByteReader:
    """Reads big-endian fields from `data`.

    A field that does not fit raises TruncatedStreamError. The reader then stays where it was.

    Args:
        data: the bytes of one header or payload; offsets count from its start.
    """

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.offset = 0

    @property
    def remaining(self) -> int:
        """Counts the bytes not yet read."""
        return len(self._data) - self.offset

    def take(self, num_bytes: int) -> bytes:
        """Returns the next `num_bytes` bytes."""
        if num_bytes < 0 or num_bytes > self.remaining:
            raise TruncatedStreamError(
                Rule.TRUNCATED, f"a field of {num_bytes} bytes does not fit into the {self.remaining} bytes left"
            )
        start = self.offset
        self.offset += num_bytes
        return self._data[start : self.offset]

    def uint(self, num_bytes: int) -> int:
        """Reads an unsigned big-endian integer of `num_bytes` bytes."""
        return int.from_bytes(self.take(num_bytes), "big")

    def uv(self, shortest: bool = True) -> int:
        """Reads a variable-length integer, 0..2^30-1.

        Raises:
            BitstreamError: `shortest` is set, and the integer takes more bytes than it needs (rule length-form).
        """
        start = self.offset
        first = self.uint(1)
        if first < 0x80:
            return first
        extra = 3 if first & 0x40 else 1
        try:
            value = (first & 0x3F) << (8 * extra) | self.uint(extra)
        except TruncatedStreamError:
            self.offset = start
            raise
        if shortest and value < (1 << 14 if extra == 3 else 1 << 7):
            raise BitstreamError(
                Rule.LENGTH_FORM, f"integer {value} is written in {extra + 1} bytes, not in its shortest form"
            )
        return value


def read_uv(data: bytes) -> tuple[int, int]:
    """Reads the `uv` at the start of `data`.

    Returns:
        (value, bytes used).

    Raises:
        TruncatedStreamError: the data end inside the integer.
        BitstreamError: the integer is not in its shortest form (rule length-form).
    """
    reader = ByteReader(data)
    return reader.uv(), reader.offset
