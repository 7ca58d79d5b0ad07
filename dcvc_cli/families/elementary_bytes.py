"""Reads the numbers of published elementary streams, which are rows of units without checks."""

from dcvc_cli.bitstream.faults import BitstreamError, Rule, TruncatedStreamError
from dcvc_cli.bitstream.window import ByteSource, Window


class ElementaryBytes:
    """The bytes of the unit that is read. Positions count from its first byte."""

    def __init__(self, source: ByteSource) -> None:
        self.window = Window(source)

    def byte(self, position: int) -> int:
        """Returns a byte.

        Raises:
            TruncatedStreamError: the stream ends before it.
        """
        if not self.window.ensure(position + 1):
            raise TruncatedStreamError(
                Rule.TRUNCATED, f"the elementary stream ends inside a unit, after {position} of its bytes"
            )
        return self.window.peek(position, position + 1)[0]

    def number(self, position: int) -> tuple[int, int]:
        """Reads an integer of 1, 2 or 4 bytes. It may be longer than needed, as in the published decoder.

        Returns:
            (value, position behind it).

        Raises:
            TruncatedStreamError: the stream ends inside it.
        """
        value = self.byte(position)
        extra = 0 if value < 0x80 else 3 if value & 0x40 else 1
        if extra:
            value &= 0x3F
        for place in range(position + 1, position + 1 + extra):
            value = value << 8 | self.byte(place)
        return value, position + 1 + extra

    def payload(self, position: int, limit: int) -> tuple[bytes, bytes]:
        """Reads the length of a payload, and the payload, which ends the unit.

        Args:
            position: where the length stands.
            limit: largest length in bytes.

        Returns:
            (header: all bytes before the payload, payload).

        Raises:
            BitstreamError: the length is above the limit.
            TruncatedStreamError: the stream ends inside the payload.
        """
        size, position = self.number(position)
        if size > limit:
            raise BitstreamError(Rule.LENGTH_LIMIT, f"a payload of {size} bytes is above the limit of {limit}")
        if not self.window.ensure(position + size):
            found = self.window.num_available - position
            raise TruncatedStreamError(Rule.TRUNCATED, f"a payload has {size} bytes, {found} are there")
        header, payload = self.window.peek(0, position), self.window.peek(position, position + size)
        self.window.consume(position + size)
        return header, payload
