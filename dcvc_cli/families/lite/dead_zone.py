"""The dead zone of the encoder's quantiser: a symbol that the tables call unlikely costs more bits than the error it
spares is worth.

Rounding to the nearest symbol leaves a symbol 0 from 0.5 on. Of two symbols with scale s, 1 costs E(s) more bits than
0, and 0 leaves an error that is larger by 2 |r| - 1 squared step sizes; so with a bit worth z of them, 0 is the better
choice below |r| = 0.5 + z * E(s) / 2. A decoder knows nothing of it. The networks were trained with the dead zones that
their spec names (training.losses.zero_below).
"""

import functools
import math

import numpy as np
from numpy.typing import NDArray

from dcvc_cli.entropy.scale_index import scale_thresholds

LEAST_PROBABILITY = 1e-6
"""Below it a symbol is coded as an escape, at much the same cost."""


@functools.cache
def zero_below(dead_zone: float) -> NDArray[np.float32] | None:
    """Residuals whose magnitude is below this are coded as 0, by row of the Gaussian table: (128,). None without a dead
    zone.

    Args:
        dead_zone: what a bit is worth in squared step sizes, 0..0.1.
    """
    if not dead_zone:
        return None
    table = np.array(
        [0.5 + 0.5 * dead_zone * _extra_bits(float(scale)) for scale in scale_thresholds()], dtype=np.float32
    )
    table.flags.writeable = False  # kept, and handed out to every frame
    return table


def _extra_bits(scale: float) -> float:
    """Bits of a symbol 1 less those of a 0, under a Gaussian of this scale."""
    inner, outer = (math.erfc(edge / (scale * math.sqrt(2))) for edge in (0.5, 1.5))
    return max(0.0, math.log2((1 - inner) / max(0.5 * (inner - outer), LEAST_PROBABILITY)))
