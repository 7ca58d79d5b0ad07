"""The dead zone of the encoder's quantiser. The bits of an unlikely symbol cost more than the error that it avoids.

Plain rounding turns a residual r into the symbol 1 from |r| = 0.5 on. With scale s, the symbol 1 costs E(s) more bits
than 0; 0 leaves an error that is larger by 2 |r| - 1 squared step sizes. If a bit is worth z squared step sizes, 0 is
the better choice below |r| = 0.5 + z * E(s) / 2. A decoder knows nothing of the dead zone. The networks were trained
with the dead zones of their spec (learning.losses.zero_below).
"""

import functools
import math

import numpy as np
from numpy.typing import NDArray

from dcvc_cli.entropy.scale_index import scale_thresholds

LEAST_PROBABILITY = 1e-6
"""A symbol that is less probable is coded as an escape, at about the same cost."""


@functools.cache
def zero_below(dead_zone: float) -> NDArray[np.float32] | None:
    """Returns the magnitude below which a residual is coded as 0, by row of the Gaussian table, (128,). None without a
    dead zone.

    Args:
        dead_zone: price of a bit in squared step sizes, 0..0.1.
    """
    if not dead_zone:
        return None
    table = np.array(
        [0.5 + 0.5 * dead_zone * _extra_bits(float(scale)) for scale in scale_thresholds()], dtype=np.float32
    )
    table.flags.writeable = False  # the cache gives the same array to every frame
    return table


def _extra_bits(scale: float) -> float:
    """Returns the bits that a symbol 1 costs more than a 0, under a Gaussian of this scale."""
    inner, outer = (math.erfc(edge / (scale * math.sqrt(2))) for edge in (0.5, 1.5))
    return max(0.0, math.log2((1 - inner) / max(0.5 * (inner - outer), LEAST_PROBABILITY)))
