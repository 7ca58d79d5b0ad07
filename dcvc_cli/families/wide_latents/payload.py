"""The payload of several coders: a flag byte, the sizes of all strings but the last, the strings."""

from collections.abc import Sequence

from dcvc_cli.entropy.wide import MAX_CODERS
from dcvc_cli.errors import StreamError

_SHORT_SIZE, _LONG_SIZE = 2, 4
_IS_SHORT = 1
"""Low half of the flag byte if sizes take two bytes. Any other value means four bytes."""


def join_strings(strings: Sequence[bytes]) -> bytes:
    """Joins 1 to 16 strings to a payload. Sizes take four bytes only if one does not fit two."""
    if not 1 <= len(strings) <= MAX_CODERS:
        raise ValueError(f"a payload has {len(strings)} strings, expected 1..{MAX_CODERS}")
    sizes = [len(one) for one in strings[:-1]]
    is_short = all(size < 1 << 16 for size in sizes)
    width = _SHORT_SIZE if is_short else _LONG_SIZE
    flag = len(sizes) << 4 | (_IS_SHORT if is_short else 0)
    return bytes([flag]) + b"".join(size.to_bytes(width, "little") for size in sizes) + b"".join(strings)


def split_payload(payload: bytes) -> list[bytes]:
    """Splits a payload into its strings.

    Raises:
        StreamError: the payload is shorter than its sizes say.
    """
    if not payload:
        raise StreamError("a payload is empty")
    num_sizes, width = payload[0] >> 4, _SHORT_SIZE if payload[0] & 15 == _IS_SHORT else _LONG_SIZE
    position = 1 + num_sizes * width
    if len(payload) < position:
        raise StreamError(f"a payload of {len(payload)} bytes ends inside its header")
    strings = []
    for place in range(1, position, width):
        size = int.from_bytes(payload[place : place + width], "little")
        if position + size > len(payload):
            raise StreamError(f"a payload of {len(payload)} bytes ends inside a coder's {size}")
        strings.append(payload[position : position + size])
        position += size
    return [*strings, payload[position:]]
