"""Random parameters for measurements of speed. The arithmetic is that of trained ones; pictures mean nothing.

Weights are Xavier-uniform. The last layers of residual branches and of predictions are damped, so that features keep
their size from frame to frame. Latents have scales from well above to below the skip threshold: as with trained
weights, some are coded and some are not. Pictures are noise around grey. So no layer's output is all zero or saturated,
in float or in integers.
"""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from dcvc_cli.families.rt.image import ImageModel
from dcvc_cli.families.rt.video import VideoModel
from dcvc_cli.learning.parameters import Parameters, random_parameters

if TYPE_CHECKING:
    from dcvc_cli.families.base import State
    from dcvc_cli.families.rt.model import RtModel

BRANCH_GAIN = 0.1
"""Share of a Xavier-uniform weight's magnitude in the last layer of every residual branch."""
FIRST_SCALE, LAST_SCALE = 2.0, 0.02
"""Scales of the first and the last latent. Latents below the stream's skip threshold, 0.12, are not coded."""
PREDICTION_GAIN, PICTURE_GAIN, DIRECT_GAIN = 0.05, 0.2, 0.02


@dataclass(frozen=True)
class _LastLayers:
    """The layers that predict the first coding step (scales from output `first_scale` on), those that predict the other
    steps (scales first), and the last layer."""

    fusion: str
    first_scale: int
    spatial: str
    picture: str


def random_parameters_of(model: "RtModel", network: str) -> "State":
    """Makes parameters of the image or the video network."""
    spec = model.spec
    if network == "image":
        layers = _LastLayers(
            f"y_prior_fusion.{spec.image.fusion_depth}",
            2,
            f"y_spatial_prior.{spec.image.spatial_depth}",
            "dec.dec_2.adaptor",
        )
        return {key: value.numpy() for key, value in _damped(model.image, 0, layers).items()}
    fusion, spatial = (
        f"y_prior_fusion.conv.{spec.video.fusion_depth}",
        f"y_spatial_prior.conv.{spec.video.spatial_depth}",
    )
    layers = _LastLayers(fusion, spec.video.latent, spatial, "recon_generation_net.head")
    return {key: value.numpy() for key, value in _damped(model.video, 1, layers).items()}


def _damped(model: ImageModel | VideoModel, seed: int, layers: _LastLayers) -> Parameters:
    parameters = random_parameters(model, seed)
    generator = torch.Generator().manual_seed(seed + 2)
    for key, value in parameters.items():
        if key.endswith((".dc.3.weight", ".ffn.2.weight")):
            bound = BRANCH_GAIN * math.sqrt(6 / (value.shape[0] + value.shape[1]))
            parameters[key] = (torch.rand(value.shape, generator=generator) * 2 - 1) * bound
        if "direct" in key.split("."):
            parameters[key] = value * DIRECT_GAIN
    latent = model.spec.latent
    for layer, first_scale in ((layers.fusion, layers.first_scale), (layers.spatial, 0)):
        parameters[f"{layer}.weight"] *= PREDICTION_GAIN
        scales = parameters[f"{layer}.bias"][first_scale : first_scale + latent]
        scales[:] = torch.logspace(math.log10(FIRST_SCALE), math.log10(LAST_SCALE), latent)
    parameters[f"{layers.picture}.weight"] *= PICTURE_GAIN
    parameters[f"{layers.picture}.bias"] += 0.5
    return parameters
