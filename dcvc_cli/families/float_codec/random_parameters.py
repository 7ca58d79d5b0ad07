"""Random parameters for measurements of speed and for tests. Some latents have scales well above a step, some below
it."""

import re
import zlib
from typing import TYPE_CHECKING

import numpy as np

from dcvc_cli.families.float_codec.layers import BOTTLENECK, FloatNetwork
from dcvc_cli.graph.blocks import GDN_PEDESTAL

if TYPE_CHECKING:
    from dcvc_cli.families.base import State

FIRST_SCALE, LAST_SCALE = 4.0, 0.05
Z_SPREAD = 2.0
"""Approximate standard deviation of the densities of z."""
PREDICTION_GAIN, MOTION_GAIN, PICTURE_GAIN = 0.05, 0.1, 0.2
_PICTURE = re.compile(r"(.*recon_conv|g_s\.7\.0|g_s\.6|contextualDecoder_part2\.3)\.(weight|bias)$")
_MOTION = re.compile(r".*(conv5|mv_decoder\.8|mvDecoder_part1\.6|mvDecoder_part2\.12)\.weight$")


def random_parameters(network: FloatNetwork) -> "State":
    """Makes parameters of a network. Each call gives the same ones."""
    layers = dict(network.predictors)
    state = {}
    for key, shape in network.shapes():
        generator = np.random.default_rng(zlib.crc32(key.encode()))
        owner = key.rpartition(".")[0]
        if ".".join(key.split(".")[-2:])[:1] == "f" and len(shape) == 4 and key.rpartition(".")[2] in "hba":
            value = _density_value(key, shape)
        elif key.startswith(BOTTLENECK):
            value = _bottleneck_value(key, shape)
        elif key.endswith(".beta"):
            value = np.full(shape, np.sqrt(1 + GDN_PEDESTAL))
        elif key.endswith(".gamma"):
            value = np.sqrt(0.1 * np.eye(shape[0]) + GDN_PEDESTAL)
        elif key.endswith(".bias"):
            value = np.full(shape, 0.5 if _PICTURE.match(key) else 0.0)
            if owner in layers:
                value = _predicted_bias(shape[0], means_first=layers[owner])
        else:
            value = generator.standard_normal(shape) / np.sqrt(np.prod(shape[1:]))
            gain = PREDICTION_GAIN if owner in layers else PICTURE_GAIN if _PICTURE.match(key) else 1.0
            value = value * (MOTION_GAIN if _MOTION.match(key) else gain)
        state[key] = value.astype(np.float32)
    return state


def _predicted_bias(count: int, *, means_first: bool | None) -> np.ndarray:
    """Makes a bias that gives means of 0 and scales with evenly spaced logarithms. None: there are only scales."""
    half = count if means_first is None else count // 2
    scales, means = np.geomspace(FIRST_SCALE, LAST_SCALE, half), np.zeros(count - half)
    return np.concatenate([means, scales] if means_first else [scales, means])


def _density_value(key: str, shape: tuple[int, ...]) -> np.ndarray:
    slope = (1.81 / Z_SPREAD) ** 0.25
    return np.full(shape, np.log(np.expm1(slope)) if key.endswith("h") else 0.0)


def _bottleneck_value(key: str, shape: tuple[int, ...]) -> np.ndarray:
    if key.endswith("quantiles"):
        return np.broadcast_to(np.array([-4.0, 0.0, 4.0]) * Z_SPREAD, shape).copy()
    if "_matrices" in key:
        slope = (1.81 / Z_SPREAD) ** 0.2 / (shape[2])
        return np.full(shape, np.log(np.expm1(slope)))
    return np.zeros(shape)
