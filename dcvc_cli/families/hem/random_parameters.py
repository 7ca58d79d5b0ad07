"""Random parameters of DCVC-HEM, for measuring speed."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from dcvc_cli.families.hem.image import HemImageNetwork
from dcvc_cli.families.hem.video import HemVideoNetwork
from dcvc_cli.families.wide_latents.random_parameters import predicting, random_state

if TYPE_CHECKING:
    from dcvc_cli.families.base import State

ANCHORS = {"q_scale": (1.6, 1.05, 0.7, 0.45), "mv_y_q_scale": (1.2, 0.95, 0.75, 0.6), "y_q_scale": (1.5, 1, 0.68, 0.46)}
WIDEST, NARROWEST = 4.0, 0.1
"""Predicted scales of the first and the last channel of a latent."""
GAINS = {
    r"^enc\.0\.(conv1|downsample)\.weight$": 4.0,
    r"\.conv2\.weight$": 0.4,
    r"(refine\.1|recon_conv)\.weight$": 0.3,
    r"mv_decoder\.7\.0\.weight$": 1.0,
    r"prior(_fusion)?\.4\.weight$": 0.2,
}


def image_parameters(network: HemImageNetwork) -> "State":
    """Makes parameters: latents spread over some symbols, and pictures are noise around grey."""
    biases = _prior_biases("", network.sizes.latents) | {"refine.1.bias": _grey}
    return random_state(network, GAINS, biases, _scales("q_basic", "q_scale"))


def video_parameters(network: HemVideoNetwork) -> "State":
    """Makes parameters: latents spread over some symbols, pictures are noise around grey, motion is a few samples."""
    sizes = network.sizes
    biases = _prior_biases("", sizes.latents) | _prior_biases("mv_", sizes.motion)
    biases |= {"recon_generation_net.recon_conv.bias": _grey}
    scales = _scales("mv_y_q_basic", "mv_y_q_scale") | _scales("y_q_basic", "y_q_scale")
    return random_state(network, GAINS, biases, scales)


def _grey(bias: NDArray[np.float32]) -> None:
    bias += 0.5


def _prior_biases(prefix: str, n: int) -> dict:
    spatial = (n // 2, WIDEST, NARROWEST), (n // 2, 0.0, 0.0)
    return {
        f"{prefix}y_prior_fusion.4.bias": predicting((n, 1.0, 1.0), (n, WIDEST, NARROWEST)),
        f"{prefix}y_spatial_prior.4.bias": predicting(*spatial, *spatial),
    }


def _scales(basic: str, scale: str) -> dict[str, NDArray[np.float32]]:
    anchors = np.array(ANCHORS[scale], np.float32).reshape(4, 1, 1, 1)
    return {basic: np.ones(1, np.float32), scale: anchors}
