"""Parameters for measuring the speed of a model that has no weights here: the same arithmetic as with trained ones, but pictures mean nothing.

Weights are Xavier-uniform. The last layers of residual branches and of predictions are damped, so that features keep their size from frame
to frame; latents have scales from well above to below the skip threshold, so that some are coded and some are not, as with trained weights;
pictures are noise around grey. So no layer's output is all zero or saturated, in float or in integers.
"""

import math
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch

from dcvc_cli.codec.pictures import values_from_picture
from dcvc_cli.entropy.factorised import factorised_table
from dcvc_cli.families.rt.image import ImageModel
from dcvc_cli.families.rt.sizes import SPECS
from dcvc_cli.families.rt.video import VideoModel
from dcvc_cli.measuring.synthetic_clip import synthetic_format, synthetic_pictures
from dcvc_cli.preparing.quantise import ALL_WIDE, Clip, prepare_exact
from dcvc_cli.training.initialise import random_parameters
from dcvc_cli.weights.file import ModelWeights, NetworkWeights, table_arrays
from dcvc_cli.weights.stored_arrays import coding_shapes

BRANCH_GAIN = 0.1
"""Share of a Xavier-uniform weight's magnitude in the last layer of every residual branch."""
LARGEST_SCALE, SMALLEST_SCALE = 2.0, 0.02
"""Scales of the first and the last latent; those below the stream's skip threshold, 0.12, are not coded."""
PREDICTION_GAIN, PICTURE_GAIN, DIRECT_GAIN = 0.05, 0.2, 0.02
CALIBRATION_SIDE, CALIBRATION_PICTURES = 128, 3


@dataclass(frozen=True)
class _LastLayers:
    """The layers that predict the first coding step (scales from output `first_scale` on) and the others (scales first), and the last one."""

    fusion: str
    first_scale: int
    spatial: str
    picture: str


@cache
def random_weights(name: str, *, exact: bool) -> ModelWeights:
    """Weights of the model that SPECS calls `name`.

    Args:
        exact: with their integer form, 16-bit weights in every layer, calibrated on a few pictures of the built-in clip: as a published
            checkpoint is prepared.
    """
    spec = SPECS[name]
    image, video = ImageModel(spec.image), VideoModel(spec.video)
    fusion = f"y_prior_fusion.{spec.image.fusion_depth}", f"y_prior_fusion.conv.{spec.video.fusion_depth}"
    spatial = f"y_spatial_prior.{spec.image.spatial_depth}", f"y_spatial_prior.conv.{spec.video.spatial_depth}"
    networks = (
        _network(image, 0, _LastLayers(fusion[0], 2, spatial[0], "dec.dec_2.adaptor")),
        _network(video, 1, _LastLayers(fusion[1], spec.video.latent, spatial[1], "recon_generation_net.head")),
    )
    weights = ModelWeights(spec, networks[0], networks[1], spec.name, "random parameters")
    return prepare_exact(weights, [_calibration_clip()], policy=ALL_WIDE) if exact else weights


def _network(model: ImageModel | VideoModel, seed: int, layers: _LastLayers) -> NetworkWeights:
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
        scales[:] = torch.logspace(math.log10(LARGEST_SCALE), math.log10(SMALLEST_SCALE), latent)
    parameters[f"{layers.picture}.weight"] *= PICTURE_GAIN
    parameters[f"{layers.picture}.bias"] += 0.5
    arrays = {key: parameters[key].numpy() for key in coding_shapes(model)}
    return NetworkWeights(model, arrays | table_arrays(factorised_table(parameters)))


def _calibration_clip() -> Clip:
    video_format = synthetic_format(CALIBRATION_SIDE, CALIBRATION_SIDE)
    return [np.asarray(values_from_picture(picture, video_format)) for picture in synthetic_pictures(video_format, CALIBRATION_PICTURES)]
