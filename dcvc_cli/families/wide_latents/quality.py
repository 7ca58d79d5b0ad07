"""Turns QPs into rates of codecs whose quality is one scale for each kind of latents. Larger scales are coarser.

A checkpoint has four rates, the coarsest first. The published tests take n rates evenly spaced in the logarithm from
the first to the last; QP 0..63 are the 64 rates of that rule. Streams carry the scale in hundredths.
"""

import math
from typing import Any

from dcvc_cli.errors import StreamError
from dcvc_cli.format.constants import MAX_BASE_QP

NUM_ANCHORS = 4
"""Number of a checkpoint's rates."""
FINEST_SCALE, COARSEST_SCALE = 0.01, 655.0
HUNDRED = 100
INDEX_BYTES = 2


def scale_index(anchors: Any, qp: int) -> int:
    """Returns the scale of a QP 0..63 in hundredths, 1..65500.

    Args:
        anchors: tensor of the checkpoint's rates, the coarsest first.
    """
    first, last = float(anchors.reshape(-1)[0]), float(anchors.reshape(-1)[-1])
    # An untrained or damaged rate may have any value. The limits keep the scale in the format's range.
    first, last = (min(max(value, FINEST_SCALE), COARSEST_SCALE) for value in (first, last))
    return index_of_scale(math.exp(math.log(first) + (math.log(last) - math.log(first)) * qp / MAX_BASE_QP))


def index_of_scale(scale: float) -> int:
    """Turns a scale into hundredths, rounded half to even."""
    return round(min(max(scale, FINEST_SCALE), COARSEST_SCALE) * HUNDRED)


def write_indices(*indices: int) -> bytes:
    """Writes the scales that precede a payload, two bytes each, high byte first."""
    return b"".join(index.to_bytes(INDEX_BYTES, "big") for index in indices)


def read_indices(payload: bytes, count: int) -> tuple[list[int], bytes]:
    """Reads the scales that precede a payload. Returns (scales, the rest).

    Raises:
        StreamError: the payload is too short, or a scale is 0.
    """
    size = count * INDEX_BYTES
    if len(payload) < size:
        raise StreamError(f"a payload of {len(payload)} bytes has no room for {count} scales")
    indices = [int.from_bytes(payload[k : k + INDEX_BYTES], "big") for k in range(0, size, INDEX_BYTES)]
    if 0 in indices:
        raise StreamError("a scale of a payload is 0")
    return indices, payload[size:]
