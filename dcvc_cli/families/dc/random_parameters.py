"""Random parameters of DCVC-DC for measuring speed: the arithmetic of trained ones, but pictures mean nothing."""

from typing import TYPE_CHECKING

from dcvc_cli.families.dc.image import DcImageNetwork
from dcvc_cli.families.dc.video import DcVideoNetwork
from dcvc_cli.families.diverse_contexts.random_parameters import ONE, random_video_parameters, refined_picture
from dcvc_cli.families.wide_latents.random_parameters import predicting, random_state
from dcvc_cli.graph.network import Network

if TYPE_CHECKING:
    from dcvc_cli.families.base import State

LARGEST, SMALLEST, STEP_SIZE = 4.0, 0.05, 1.0
"""Predicted scales and step sizes."""


def image_parameters(network: DcImageNetwork) -> "State":
    """Makes the parameters of the image network."""
    latent = network.sizes.latent
    scales = (latent, LARGEST, SMALLEST)
    biases = {
        "y_prior_fusion.1.block.1.conv_out.bias": predicting((latent, STEP_SIZE, STEP_SIZE), scales),
        "y_spatial_prior.2.block.1.conv_out.bias": predicting(scales),
    }
    return random_state(network, {}, biases | refined_picture(), dict.fromkeys(_factors(network), ONE))


def video_parameters(network: DcVideoNetwork) -> "State":
    """Makes the parameters of the video network."""
    return random_video_parameters(network, _factors(network))


def _factors(network: Network) -> list[str]:
    """Returns the names of the parameters of qualities."""
    return [key for key, _ in network.shapes() if "q_basic" in key or "q_scale" in key]
