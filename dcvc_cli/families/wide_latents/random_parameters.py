"""Random parameters for measuring speed of networks in floating point: the same arithmetic as with trained ones, but
pictures mean nothing.

A weight's spread is 1 / sqrt(its inputs), so that layers keep their size; families say which layers have another gain.
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
"""softplus of it, four times: densities of z some symbols wide."""
GAIN = 0.8


def random_state(
    network: Network,
    gains: Mapping[str, float],
    biases: Mapping[str, Callable[[NDArray[np.float32]], None]],
    values: Mapping[str, NDArray[np.float32]],
) -> "State":
    """Parameters of a network.

    Args:
        gains: by pattern of the key of a weight, the first that fits; 0.8 for the others.
        biases: by key of a bias: what changes it in place.
        values: parameters that are given.
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
    """Changes a bias so that consecutive groups of channels predict values from a first to a last, even in the
    logarithm; 0 and 0 leave a group alone."""

    def change(bias: NDArray[np.float32]) -> None:
        first = 0
        for count, begin, end in parts:
            if begin and end:
                bias[first : first + count] = np.geomspace(begin, end, count)
            first += count

    return change
