"""DCVC-HEM in training."""

import re
from collections.abc import Mapping

import torch

from dcvc_cli.backend.float_layers import FloatLayers
from dcvc_cli.backend.float_torch import FloatOperations
from dcvc_cli.families.hem.frames import Motion as CodedMotion
from dcvc_cli.families.hem.frames import Reference, code_image, code_motion, code_picture
from dcvc_cli.families.hem.image import HemImageNetwork
from dcvc_cli.families.hem.video import HemVideoNetwork
from dcvc_cli.families.wide_latents.quality import HUNDRED
from dcvc_cli.families.wide_latents.training import MOTION, PICTURE, DecodedWideSide, SurrogateWideSide
from dcvc_cli.learning.progressive.codec import FrameAt, Motion, ProgressiveCodec
from dcvc_cli.learning.progressive.initial import CopyingStart
from dcvc_cli.learning.surrogate import Surrogate
from dcvc_cli.learning.trainee import State

Kept = Mapping[str, torch.Tensor]


class HemProgressiveCodec(ProgressiveCodec):
    """Hands on the picture, the feature, and the latents of the picture and of the motion."""

    parts = {  # noqa: RUF012
        "flow": ("optic_flow.",),
        "motion": ("optic_flow.", "mv_", "bit_estimator_z_mv."),
    }

    def __init__(self, image: HemImageNetwork, video: HemVideoNetwork) -> None:
        self.image, self.video = image, video
        unets = {f"recon_generation_net.unet_{k}.{layer}.up_dim": 0 for k in (1, 2) for layer in ("conv1", "up_conv2")}
        self.start = CopyingStart(
            {
                "feature_adaptor_I": 0,
                "feature_adaptor_P": 0,
                "feature_extractor.conv1": 0,
                "context_fusion_net.conv1_out": None,
                "recon_generation_net.first_conv": video.sizes.tail,
                "recon_generation_net.recon_conv": 0,
            }
            | unets,
            re.compile(r".*(res_block\w+|\.res[12]|context_refine\.\d|coder\.\d)\.conv2|.*unet_.*\.conv\.2"),
        )

    def i_frame(self, state: State, x: torch.Tensor, rate: torch.Tensor) -> torch.Tensor:
        """Codes them at the anchors, as streams have them: in hundredths."""
        ops = FloatOperations(state)
        scale = (state["q_scale"][rate.to(x.device)] * HUNDRED).round() / HUNDRED
        steps = self.image.steps(ops, scale)
        picture: torch.Tensor = code_image(self.image, ops, DecodedWideSide(), x, _size(x), steps, None)
        return picture

    def motion(self, coder: Surrogate, x: torch.Tensor, kept: Kept, at: FrameAt) -> Motion:
        """Codes the motion as the codec's frames do."""
        steps = self.video.motion_steps(coder.ops, coder.ops.parameters["mv_y_q_scale"][at.rate.to(x.device)])
        side = SurrogateWideSide(coder, MOTION)
        coded = code_motion(self.video, coder.ops, side, x, _size(x), _reference(kept), steps, None)
        return Motion(coded.flow, coded)

    def warped(self, picture: torch.Tensor, motion: Motion) -> torch.Tensor:
        """Warps as the codec warps."""
        return FloatLayers().warp(picture, motion.flow)

    def picture(
        self, coder: Surrogate, x: torch.Tensor, kept: Kept, motion: Motion, at: FrameAt
    ) -> dict[str, torch.Tensor]:
        """Codes the picture as the codec's frames do."""
        steps = self.video.steps(coder.ops, coder.ops.parameters["y_q_scale"][at.rate.to(x.device)])
        side, own = SurrogateWideSide(coder, PICTURE), motion.own
        left = code_picture(self.video, coder.ops, side, x, _size(x), _reference(kept), own, steps, None)
        return {
            "picture": left.frame,
            "feature": left.feature,
            "latents": left.latents,
            "motion_latents": left.motion,
        }

    def after_motion(self, picture: torch.Tensor, motion: Motion) -> dict[str, torch.Tensor]:
        """Returns the picture and the latents of the motion."""
        own: CodedMotion = motion.own
        return {"picture": picture, "motion_latents": own.latents}


def _reference(kept: Kept) -> Reference:
    return Reference(kept["picture"], kept.get("feature"), kept.get("latents"), kept.get("motion_latents"))


def _size(x: torch.Tensor) -> tuple[int, int]:
    return x.shape[-2], x.shape[-1]
