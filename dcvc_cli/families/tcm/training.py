"""DCVC-TCM in training."""

import re
from typing import Any

import torch

from dcvc_cli.families.float_codec.anchor import AnchorNetwork
from dcvc_cli.families.float_codec.training import FloatProgressiveCodec, Kept
from dcvc_cli.families.tcm.video import TcmRecipe
from dcvc_cli.learning.progressive.initial import CopyingStart


class TcmProgressiveCodec(FloatProgressiveCodec):
    """Hands on the picture and the feature."""

    parts = {  # noqa: RUF012
        "flow": ("optic_flow.",),
        "motion": ("optic_flow.", "mv_encoder.", "mv_decoder.", "mv_prior_", "bit_estimator_z_mv."),
    }

    def __init__(self, image: AnchorNetwork, recipe: TcmRecipe, densities: tuple[str, str]) -> None:
        super().__init__(image, recipe, densities)
        self.first_z_row = recipe.video.sizes.hyper
        self.start = CopyingStart(
            {
                "feature_adaptor_I": 0,
                "feature_adaptor_P": 0,
                "feature_extractor.conv1": 0,
                "context_fusion_net.conv1_out": None,
                "recon_generation_net.feature_conv.0": recipe.video.sizes.decoded,
                "recon_generation_net.recon_conv": 0,
            },
            re.compile(r".*(res_block\w+|\.res[12]|feature_conv\.[12]|mv_(en|de)coder\.\d+)\.conv2"),
        )

    def as_tuple(self, kept: Kept) -> tuple[Any, ...]:
        """Returns (picture, feature or None)."""
        return kept["picture"], kept.get("feature")

    def as_mapping(self, left: tuple[Any, ...]) -> dict[str, torch.Tensor]:
        """Returns by name."""
        return {"picture": left[0], "feature": left[1]}
