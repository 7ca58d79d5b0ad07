"""DCVC-DC in training."""

import re
from collections.abc import Callable, Mapping

import torch

from dcvc_cli.backend.float_layers import FloatLayers
from dcvc_cli.backend.float_torch import FloatOperations
from dcvc_cli.entropy.tables import CdfTable
from dcvc_cli.errors import DcvcError, EnvironmentFault
from dcvc_cli.families.diverse_contexts import recipe
from dcvc_cli.families.diverse_contexts.latents import FrameSide
from dcvc_cli.families.diverse_contexts.motion import warp
from dcvc_cli.families.diverse_contexts.recipe import ImageNetwork, Reference
from dcvc_cli.families.diverse_contexts.video import NUM_ADAPTORS, VideoNetwork
from dcvc_cli.families.wide_latents.tables import laplace_scales
from dcvc_cli.families.wide_latents.training import MOTION, PICTURE, LatentNames
from dcvc_cli.graph.latent_steps import CodingStep
from dcvc_cli.learning.progressive.codec import FrameAt, Motion, ProgressiveCodec
from dcvc_cli.learning.progressive.initial import CARRIER_GAIN, COLOURS, CopyingStart
from dcvc_cli.learning.surrogate import Surrogate
from dcvc_cli.learning.trainee import State

Kept = Mapping[str, torch.Tensor]


class _UnwrittenSide(FrameSide):
    """A side of a batch of frames without symbols."""

    def __init__(self, ops: FloatOperations, x: torch.Tensor) -> None:
        super().__init__(ops, laplace_scales())
        self.x = x

    def analysed(self, make: Callable[[torch.Tensor], torch.Tensor]) -> torch.Tensor:
        return make(self.x)

    def fault(self, message: str) -> DcvcError:
        return EnvironmentFault(message)


class SurrogateSide(_UnwrittenSide):
    """P frames in training, one part of a frame."""

    def __init__(self, coder: Surrogate, x: torch.Tensor, names: LatentNames) -> None:
        super().__init__(coder.ops, x)
        self.coder, self.names = coder, names

    def hyper(self, make: Callable[[], torch.Tensor], table: CdfTable | None, size: tuple[int, int]) -> torch.Tensor:
        return self.coder.hyper(self.names.hyper, make(), self.names.density)

    def step(self, step: CodingStep, y: torch.Tensor | None, scales: torch.Tensor, means: torch.Tensor) -> torch.Tensor:
        assert y is not None, "training has latents"
        return self.coder.latent(self.names.latents, y, scales, means, self._mask(step, means))


class DecodedSide(_UnwrittenSide):
    """I frames as a decoder has them."""

    def hyper(self, make: Callable[[], torch.Tensor], table: CdfTable | None, size: tuple[int, int]) -> torch.Tensor:
        return make().round()

    def step(self, step: CodingStep, y: torch.Tensor | None, scales: torch.Tensor, means: torch.Tensor) -> torch.Tensor:
        assert y is not None, "an encoder has latents"
        part: torch.Tensor = ((y - means).round() + means) * self._mask(step, means)
        return part


class DiverseProgressiveCodec(ProgressiveCodec):
    """Hands on the picture, the features of picture and motion, and both latents."""

    parts = {  # noqa: RUF012
        "flow": ("optic_flow.",),
        "motion": ("optic_flow.", "mv_", "bit_estimator_z_mv."),
    }

    def __init__(
        self, image: ImageNetwork, video: VideoNetwork, adaptors: tuple[int, ...], shapes: Mapping[str, tuple[int, ...]]
    ) -> None:
        self.image, self.video, self.adaptors = image, video, adaptors
        unets = [
            f"recon_generation_net.unet_{k}.{layer}.block.0.adaptor" for k in (1, 2) for layer in ("conv1", "up_conv2")
        ]
        carriers: dict[str, int | None] = {
            "feature_adaptor_I": 0,
            **{f"feature_adaptor.{k}": 0 for k in range(NUM_ADAPTORS)},
            "feature_extractor.conv1": 0,
            "context_fusion_net.conv1_out": None,
            "recon_generation_net.first_conv": video.sizes.last,
            "recon_generation_net.recon_conv": 0,
            **{name: 0 for name in unets if f"{name}.weight" in shapes},
        }
        branches = r".*(res_block\w+|\.res[12])\.conv2|.*block\.0\.conv2|.*block\.1\.conv\.2"
        self.start = CopyingStart(carriers, re.compile(branches))

    def adjust(self, parameters: dict[str, torch.Tensor]) -> None:
        """Offset diversity carries the picture too: its masks are a half at first, so the layer behind them doubles."""
        weight = parameters["align.fusion.weight"] * CARRIER_GAIN
        channels, inputs = weight.shape[:2]
        for colour in range(COLOURS):
            first = colour // (channels // self.video.sizes.groups) * inputs
            place = next(place for place in (colour, colour + channels) if first <= place < first + inputs)
            weight[colour, place - first] += 2
        parameters["align.fusion.weight"] = weight

    def i_frame(self, state: State, x: torch.Tensor, rate: torch.Tensor) -> torch.Tensor:
        """Codes them at the anchors."""
        side, padded = DecodedSide(FloatOperations(state), x), (x.shape[-2], x.shape[-1])
        picture: torch.Tensor = recipe.code_i_frame(self.image, side, None, padded, rate.to(x.device)).frame
        return picture

    def motion(self, coder: Surrogate, x: torch.Tensor, kept: Kept, at: FrameAt) -> Motion:
        """Codes the motion as the codec's frames do."""
        side = SurrogateSide(coder, x, MOTION)
        coded = recipe.code_motion(self.video, side, None, Reference(**_own_names(kept)), at.rate.to(x.device))
        return Motion(coded.field, coded)

    def warped(self, picture: torch.Tensor, motion: Motion) -> torch.Tensor:
        """Warps as the codec warps."""
        warped: torch.Tensor = warp(FloatLayers(), picture, motion.flow)
        return warped

    def picture(
        self, coder: Surrogate, x: torch.Tensor, kept: Kept, motion: Motion, at: FrameAt
    ) -> dict[str, torch.Tensor]:
        """Codes the picture as the codec's frames do."""
        side, reference = SurrogateSide(coder, x, PICTURE), Reference(**_own_names(kept))
        left = recipe.code_picture(self.video, side, None, reference, motion.own, at.rate.to(x.device), at.adaptor)
        names = {"picture": left.frame, "feature": left.feature, "motion_feature": left.motion_feature}
        return names | {"y": left.y, "mv_y": left.mv_y}

    def after_motion(self, picture: torch.Tensor, motion: Motion) -> dict[str, torch.Tensor]:
        """Returns the picture, and feature and latents of the motion."""
        own: recipe.Motion = motion.own
        return {"picture": picture, "motion_feature": own.feature, "mv_y": own.y}


def _own_names(kept: Kept) -> dict[str, torch.Tensor]:
    return {"frame" if name == "picture" else name: value for name, value in kept.items()}
