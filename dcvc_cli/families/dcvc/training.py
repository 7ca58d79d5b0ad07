"""DCVC in training."""

import re
from typing import Any

import torch

from dcvc_cli.families.dcvc.video import DcvcRecipe
from dcvc_cli.families.float_codec.anchor import AnchorNetwork
from dcvc_cli.families.float_codec.hyperprior import HyperpriorNetwork
from dcvc_cli.families.float_codec.training import FloatProgressiveCodec, Kept
from dcvc_cli.learning.progressive.initial import CopyingStart


class DcvcProgressiveCodec(FloatProgressiveCodec):
    """Hands on the picture alone."""

    has_context_model = True
    parts = {  # noqa: RUF012
        "flow": ("opticFlow.",),
        "motion": (
            "opticFlow.",
            "mvEncoder.",
            "mvDecoder_part1.",
            "mvDecoder_part2.",
            "mvpriorEncoder.",
            "mvpriorDecoder.",
            "auto_regressive_mv.",
            "entropy_parameters_mv.",
            "bitEstimator_z_mv.",
        ),
    }

    def __init__(
        self, image: AnchorNetwork | HyperpriorNetwork, recipe: DcvcRecipe, densities: tuple[str, str]
    ) -> None:
        super().__init__(image, recipe, densities)
        self.start = CopyingStart(
            {
                "feature_extract.0": 0,
                "context_refine.1": 0,
                "contextualDecoder_part2.0": recipe.video.sizes.feature,
                "contextualDecoder_part2.3": 0,
            },
            re.compile(
                r"(feature_extract\.1|context_refine\.0|contextualDecoder_part2\.[12])\.conv2"
                r"|contextual(En|De)coder\w*\.\d\.conv\.2"
            ),
        )

    def as_tuple(self, kept: Kept) -> tuple[Any, ...]:
        """Returns (picture,)."""
        return (kept["picture"],)

    def as_mapping(self, left: tuple[Any, ...]) -> dict[str, torch.Tensor]:
        """Returns them by name."""
        return {"picture": left[0]}
