"""Random parameters for measurements of speed. The arithmetic is that of trained ones; pictures mean nothing.

Weights are Xavier-uniform, as in `families.rt.random_parameters`. Damped layers keep the size of features and latents.
"""

import math
from typing import TYPE_CHECKING

import torch

from dcvc_cli.families.rt.random_parameters import (
    BRANCH_GAIN,
    FIRST_SCALE,
    LAST_SCALE,
    PICTURE_GAIN,
    PREDICTION_GAIN,
)
from dcvc_cli.families.uf.image import UfImageModel
from dcvc_cli.families.uf.video import UfVideoModel
from dcvc_cli.learning.parameters import random_parameters

if TYPE_CHECKING:
    from dcvc_cli.families.base import State

STEP_SIZE = 1.0


def random_parameters_of(model: UfImageModel | UfVideoModel) -> "State":
    """Makes parameters of a network. Latents have scales from well above to below the skip threshold."""
    parameters = random_parameters(model, seed := 0 if isinstance(model, UfImageModel) else 1)
    generator = torch.Generator().manual_seed(seed + 2)
    for key, value in parameters.items():
        if key.endswith((".dc.3.weight", ".ffn.2.weight")):
            bound = BRANCH_GAIN * math.sqrt(6 / (value.shape[0] + value.shape[1]))
            parameters[key] = (torch.rand(value.shape, generator=generator) * 2 - 1) * bound
    latent = model.sizes.latent
    scales = torch.logspace(math.log10(FIRST_SCALE), math.log10(LAST_SCALE), latent)
    fusion, spatial = (_last(parameters, stem) for stem in ("y_prior_fusion.conv", "y_spatial_prior.conv"))
    for layer in (fusion, spatial):
        parameters[f"{layer}.weight"] *= PREDICTION_GAIN
    bias = parameters[f"{fusion}.bias"]
    if isinstance(model, UfImageModel):
        bias[:latent] = scales
        parameters["dec.dec_2.adaptor.weight"] *= PICTURE_GAIN
    else:
        bias[:latent], bias[latent : 2 * latent] = STEP_SIZE, scales
        for key in parameters:
            if key.startswith("recon_head.") and key.endswith(".weight") and parameters[key].shape[0] == 192:
                parameters[key] *= PICTURE_GAIN
    if parameters[f"{spatial}.bias"].shape[0] == 2 * latent:
        parameters[f"{spatial}.bias"][:latent] = scales
    return {key: value.numpy() for key, value in parameters.items()}


def _last(parameters: dict[str, torch.Tensor], stem: str) -> str:
    """Returns the name of the convolution behind the blocks of a part."""
    numbers = [int(key.split(".")[2]) for key in parameters if key.startswith(f"{stem}.")]
    return f"{stem}.{max(numbers)}"
