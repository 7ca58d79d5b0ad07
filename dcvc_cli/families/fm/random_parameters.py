"""Random parameters of DCVC-FM for measuring speed: the arithmetic of trained ones, but pictures mean nothing."""

from typing import TYPE_CHECKING

from dcvc_cli.families.diverse_contexts.random_parameters import ONE, random_video_parameters, refined_picture
from dcvc_cli.families.fm.image import FmImageNetwork
from dcvc_cli.families.fm.video import FACTORS, FmVideoNetwork
from dcvc_cli.families.wide_latents.random_parameters import predicting, random_state

if TYPE_CHECKING:
    from dcvc_cli.families.base import State

LARGEST, SMALLEST = 4.0, 0.05
"""Predicted scales."""


def image_parameters(network: FmImageNetwork) -> "State":
    """Makes the parameters of the image network."""
    latent = network.sizes.latent
    scales = (latent, LARGEST, SMALLEST)
    biases = {
        "y_prior_fusion.1.block.1.conv_out.bias": predicting((2, 0, 0), scales),
        "y_spatial_prior.2.block.1.conv_out.bias": predicting(scales),
    }
    return random_state(network, {}, biases | refined_picture(), {"q_scale_enc": ONE, "q_scale_dec": ONE})


def video_parameters(network: FmVideoNetwork) -> "State":
    """Makes the parameters of the video network."""
    return random_video_parameters(network, FACTORS.values())
