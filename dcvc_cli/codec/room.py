"""Units that must fit the buffer of a receiver (docs/rate-control.md): coded again at lower QPs until they do."""

from collections.abc import Callable


def code_within(room: Callable[[], int] | None, qp: int, code: Callable[[int], bytes]) -> tuple[int, bytes]:
    """Codes a unit at a QP, and again at lower QPs while its payload is larger than the room.

    Args:
        room: bytes that the payload may have, asked once; None = any number.
        qp: 0..71, higher is better quality.
        code: makes the payload at a QP. Each call starts from the state that the encoder had at the first one.

    Returns:
        the QP, and the payload that `code` made last. At QP 0 it may be larger than the room.
    """
    limit = None if room is None else max(1, room())
    payload = code(qp)
    while limit is not None and len(payload) > limit and qp > 0:
        qp = max(0, qp - step_down(len(payload), limit))
        payload = code(qp)
    return qp, payload


def step_down(size: int, limit: int) -> int:
    """Returns by how many QPs the next attempt goes down: few where the size is near the limit, so that quality is not
    wasted."""
    return 10 * (size // limit).bit_length() - 7
