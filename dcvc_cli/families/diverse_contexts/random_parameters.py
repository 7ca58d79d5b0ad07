"""Random parameters of the networks that DCVC-DC and DCVC-FM share, for measuring speed."""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from dcvc_cli.families.diverse_contexts.video import VideoNetwork
from dcvc_cli.families.wide_latents.random_parameters import predicting, random_state

if TYPE_CHECKING:
    from dcvc_cli.families.base import State

LARGEST, SMALLEST, STEP_SIZE = 4.0, 0.02, 1.0
"""Predicted scales and step sizes."""
GREY = 0.5
ONE = np.ones(1, np.float32)
"""The factor of every quality."""
GAINS = {
    r"^mv_decoder\.dec_3\.1": 0.2,
    r"recon_conv": 0.1,
    r"context_refine|res_block": 0.3,
    r"^align\.conv_offset": 0.2,
}


def _grey(bias: NDArray[np.float32]) -> None:
    bias[:] = GREY


def refined_picture() -> dict[str, Callable[[NDArray[np.float32]], None]]:
    """Returns changes of biases that give I frames pictures around grey."""
    return {"refine.1.bias": _grey}


def random_video_parameters(network: VideoNetwork, units: Iterable[str]) -> "State":
    """Makes the parameters of a video network.

    Args:
        units: names of parameters whose values are all 1.
    """
    biases: dict[str, Callable[[NDArray[np.float32]], None]] = {"recon_generation_net.recon_conv.bias": _grey}
    for prefix, latent in (("mv_", network.sizes.motion), ("", network.sizes.latent)):
        scales = (latent, LARGEST, SMALLEST)
        biases[f"{prefix}y_prior_fusion.1.block.1.conv.2.bias"] = predicting((latent, STEP_SIZE, STEP_SIZE), scales)
        biases[f"{prefix}y_spatial_prior.2.block.1.conv.2.bias"] = predicting(scales)
    return random_state(network, GAINS, biases, dict.fromkeys(units, ONE))
