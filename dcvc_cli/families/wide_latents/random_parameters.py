"""Random parameters for measurements of speed of networks in floating point. The arithmetic is that of trained ones;
pictures mean nothing.

A weight's spread is 1 / sqrt(its inputs), so that layers keep the size of values. Families name the layers with another
gain.
"""

import re
import zlib
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from dcvc_cli.graph.network import Network

if TYPE_CHECKING:
    from dcvc_cli.families.base import State

ESTIMATOR_SLOPE = 1.0
"""Four softplus of it make densities of z that are some symbols wide."""
GAIN = 0.8


def random_state(
    network: Network,
    gains: Mapping[str, float],
    biases: Mapping[str, Callable[[NDArray[np.float32]], None]],
    values: Mapping[str, NDArray[np.float32]],
) -> "State":
    """Makes the parameters of a network.

    Args:
        gains: gains of weights by a pattern of their key. The first pattern that fits counts; other weights have 0.8.
        biases: functions by the key of a bias; each changes its bias in place.
        values: given parameters by key.
    """
    state = {}
    for key, shape in network.shapes():
        generator = np.random.default_rng(zlib.crc32(key.encode()))
        if key in values:
            state[key] = np.broadcast_to(np.asarray(values[key], np.float32), shape).copy()
        elif key.startswith("bit_estimator_z"):
            state[key] = np.full(shape, -ESTIMATOR_SLOPE if key.endswith(".h") else 0.0, np.float32)
        elif key.endswith(".bias"):
            state[key] = 0.05 * generator.standard_normal(shape, np.float32)
            if key in biases:
                biases[key](state[key])
        else:
            gain = next((value for pattern, value in gains.items() if re.search(pattern, key)), GAIN)
            state[key] = generator.standard_normal(shape, np.float32) * np.float32(gain / np.sqrt(np.prod(shape[1:])))
    return state


def predicting(*parts: tuple[int, float, float]) -> Callable[[NDArray[np.float32]], None]:
    """Returns a function that changes a bias, so that consecutive groups of channels predict given values.

    Args:
        parts: (channels, first value, last value) of each group. The values between are evenly spaced in the logarithm.
            Values of 0 and 0 leave a group unchanged.
    """

    def change(bias: NDArray[np.float32]) -> None:
        first = 0
        for count, begin, end in parts:
            if begin and end:
                bias[first : first + count] = np.geomspace(begin, end, count)
            first += count

    return change
