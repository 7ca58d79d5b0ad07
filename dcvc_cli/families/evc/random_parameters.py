"""Random parameters of EVC, for measuring speed."""

from typing import TYPE_CHECKING

import numpy as np

from dcvc_cli.families.evc.network import EvcNetwork
from dcvc_cli.families.wide_latents.random_parameters import predicting, random_state

if TYPE_CHECKING:
    from dcvc_cli.families.base import State

ANCHORS = (2.4, 1.4, 0.8, 0.45)
WIDEST, NARROWEST = 4.0, 0.1
"""Predicted scales of the first and the last channel of y."""
GAINS = {
    r"^encs?\.(\d\.)?0\.(conv1|downsample)\.weight$": 4.0,
    r"block\.0\.conv2(\.0)?\.weight$": 0.5,
    r"block\.1\.conv\.2\.weight$": 0.2,
    r"^dec\.7\.0\.weight$": 0.3,
}


def random_parameters_of(network: EvcNetwork) -> "State":
    """Makes parameters: latents spread over some symbols, and pictures are noise around grey."""
    n = network.sizes.latents
    spatial = (n // 2, WIDEST, NARROWEST), (n // 2, 0.0, 0.0)

    def grey(bias: np.ndarray) -> None:
        bias += 0.5

    biases = {
        "y_prior_fusion.1.block.0.conv2.bias": predicting((n, 1.0, 1.0), (n, WIDEST, NARROWEST)),
        "y_spatial_prior.2.block.0.conv2.bias": predicting(*spatial, *spatial),
        "dec.7.0.bias": grey,
    }
    values = {"q_basic": np.ones(1, np.float32), "q_scale": np.array(ANCHORS, np.float32).reshape(4, 1, 1, 1)}
    return random_state(network, GAINS, biases, values)
