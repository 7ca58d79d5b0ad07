"""The networks of a P frame of DCVC-DC and DCVC-FM. Source: DCVC-DC (CVPR 2023), DCVC-FM (CVPR 2024).

picture, reference picture -> optic_flow -> mv_encoder -> mv_y -> mv_hyper_prior_encoder -> mv_z          encoder only
mv_z_hat, reference mv_y -> prior of the motion, four steps -> mv_y_hat -> mv_decoder -> field, motion feature
reference feature, field -> feature_extractor, align, context_fusion_net -> contexts at 1/1, 1/2, 1/4
picture, contexts -> contextual_encoder -> y -> contextual_hyper_prior_encoder -> z                       encoder only
z_hat, contexts, reference y -> prior, four steps -> y_hat
y_hat, contexts -> contextual_decoder, recon_generation_net -> feature, picture

The two codecs differ in blocks, in the hyper networks and in the factors of a quality.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dcvc_cli.backend.operations import Tensor
from dcvc_cli.families.diverse_contexts.blocks import DepthBlock, Form, UNet
from dcvc_cli.families.diverse_contexts.motion import OffsetDiversity, OpticFlow, warp
from dcvc_cli.families.diverse_contexts.sizes import VideoSizes
from dcvc_cli.families.wide_latents.blocks import SLOPE, DownBlock, Leaky, Residual, UpBlock, conv
from dcvc_cli.graph.blocks import BitEstimator, Conv, Qp, Sequence, Shape, SubPixelConv, decoder_shapes, layer_shapes
from dcvc_cli.stages import ANALYSIS, CONTEXT, HYPER, MOTION, PRIORS, RECONSTRUCTION, SYNTHESIS, timed

if TYPE_CHECKING:
    from dcvc_cli.backend.float_torch import FloatOperations

NUM_ADAPTORS = 3


class Prior:
    """The prior of one kind of latents: it fuses hyper-latents and references, and has the spatial prior of later
    steps.

    Args:
        prefix: prefix of all names, "mv_" for the motion.
        latent: channels C of the latents; the prior is 3 C wide.
        first, later: channels of the input without and with latents of a reference.
    """

    def __init__(self, prefix: str, form: Form, latent: int, first: int, later: int) -> None:
        self.latent, wide = latent, 3 * latent
        self.adaptor_0 = DepthBlock(f"{prefix}y_prior_fusion_adaptor_0", form, first, later)
        self.adaptor_1 = DepthBlock(f"{prefix}y_prior_fusion_adaptor_1", form, later)
        self.fusion = Sequence(
            DepthBlock(f"{prefix}y_prior_fusion.0", form, later, wide),
            DepthBlock(f"{prefix}y_prior_fusion.1", form, wide),
        )
        self.adaptors = Sequence(
            *(Conv(f"{prefix}y_spatial_prior_adaptor_{step}", wide + latent, wide) for step in (1, 2, 3))
        )
        self.spatial = Sequence(
            DepthBlock(f"{prefix}y_spatial_prior.0", form, wide),
            DepthBlock(f"{prefix}y_spatial_prior.1", form, wide),
            DepthBlock(f"{prefix}y_spatial_prior.2", form, wide, 2 * latent),
        )

    def shapes(self) -> Iterator[tuple[str, Shape]]:
        return layer_shapes(self)

    @timed(PRIORS)
    def parameters(self, ops: "FloatOperations", known: Tensor, reference: Tensor | None) -> Tensor:
        """Maps hyper-latents with context, and latents of the reference -> step sizes, scales, means: 3 C x h x w."""
        if reference is None:
            return self.fusion(ops, self.adaptor_0(ops, known))
        return self.fusion(ops, self.adaptor_1(ops, ops.concat(known, reference)))

    def predictor(self, ops: "FloatOperations", parameters: Tensor) -> Callable[[int, Tensor], Tensor]:
        """Returns a function (step 1..3, latents coded so far) -> scales and means: 2 C x h x w."""

        def predict(step: int, so_far: Tensor) -> Tensor:
            return self.spatial(ops, self.adaptors.blocks[step - 1](ops, ops.concat(so_far, parameters)))

        return predict


@dataclass(frozen=True)
class Contexts:
    """The contexts of a P frame: 48, 64 and 96 channels at 1/1, 1/2 and 1/4."""

    full: Tensor
    half: Tensor
    quarter: Tensor


class VideoNetwork(ABC):
    """The graph of the network. The backend holds the parameters.

    Args:
        motion_form: form of the depth-conv blocks in the motion's encoder and decoder.
        levels: name and kernel size of each level of motion estimation, coarse to fine.
        num_z: channels of z.
    """

    encoder_only: tuple[str, ...] = (
        "optic_flow.",
        "mv_encoder.",
        "mv_hyper_prior_encoder.",
        "contextual_encoder.",
        "contextual_hyper_prior_encoder.",
    )

    def __init__(self, sizes: VideoSizes, motion_form: Form, levels: tuple[tuple[str, int], ...], num_z: int) -> None:
        self.sizes, self.num_z = sizes, num_z
        latent, motion, quarter = sizes.latent, sizes.motion, sizes.quarter
        self.bit_estimator_z = BitEstimator("bit_estimator_z", 1, num_z)
        self.bit_estimator_z_mv = BitEstimator("bit_estimator_z_mv", 1, motion)
        self.optic_flow = OpticFlow(levels, sizes.flow)
        self._make_motion(motion_form)
        self.motion_prior = Prior("mv_", Form.WIDE, motion, motion, 2 * motion)
        self._make_contexts()
        self.temporal_prior_encoder = Sequence(
            conv("temporal_prior_encoder.0", quarter, quarter, stride=2),
            Leaky(SLOPE),
            conv("temporal_prior_encoder.2", quarter, latent, stride=2),
        )
        self.prior = Prior("", Form.WIDE, latent, 2 * latent, 3 * latent)
        self._make_picture(motion_form)
        self.mv_hyper_encoder, self.mv_hyper_decoder, self.hyper_encoder, self.hyper_decoder = self.hyper_networks()

    def _make_motion(self, form: Form) -> None:
        c, name = self.sizes.motion, "mv_encoder"
        self.mv_enc_1 = Sequence(DownBlock(f"{name}.enc_1.0", 2, c), DepthBlock(f"{name}.enc_1.1", form, c))
        self.mv_enc_2 = DownBlock(f"{name}.enc_2", c, c)
        self.mv_adaptor_0 = DepthBlock(f"{name}.adaptor_0", form, c)
        self.mv_adaptor_1 = DepthBlock(f"{name}.adaptor_1", form, 2 * c, c)
        self.mv_enc_3 = Sequence(
            DownBlock(f"{name}.enc_3.0", c, c),
            DepthBlock(f"{name}.enc_3.1", form, c),
            conv(f"{name}.enc_3.2", c, c, stride=2),
        )
        name = "mv_decoder"
        self.mv_dec_1 = Sequence(
            DepthBlock(f"{name}.dec_1.0", form, c),
            UpBlock(f"{name}.dec_1.1", c, c),
            DepthBlock(f"{name}.dec_1.2", form, c),
            UpBlock(f"{name}.dec_1.3", c, c),
            DepthBlock(f"{name}.dec_1.4", form, c),
        )
        self.mv_dec_2 = UpBlock(f"{name}.dec_2", c, c)
        self.mv_dec_3 = Sequence(DepthBlock(f"{name}.dec_3.0", form, c), SubPixelConv(f"{name}.dec_3.1.0", c, 2))

    def _make_contexts(self) -> None:
        sizes = self.sizes
        full, half, quarter = sizes.feature, sizes.half, sizes.quarter
        self.feature_adaptor_i = conv("feature_adaptor_I", 3, full)
        self.feature_adaptors = Sequence(*(Conv(f"feature_adaptor.{k}", full, full) for k in range(NUM_ADAPTORS)))
        name = "feature_extractor"
        self.extract_1 = Sequence(conv(f"{name}.conv1", full, full), Residual(f"{name}.res_block1", full, before=True))
        self.extract_2 = Sequence(
            conv(f"{name}.conv2", full, half, stride=2), Residual(f"{name}.res_block2", half, before=True)
        )
        self.extract_3 = Sequence(
            conv(f"{name}.conv3", half, quarter, stride=2), Residual(f"{name}.res_block3", quarter, before=True)
        )
        self.align = OffsetDiversity(full, sizes.groups, sizes.offset)
        name = "context_fusion_net"
        self.fuse_3_up = Sequence(
            SubPixelConv(f"{name}.conv3_up.0", quarter, half, kernel=3),
            Residual(f"{name}.res_block3_up", half, before=True),
        )
        self.fuse_3 = Sequence(
            conv(f"{name}.conv3_out", quarter, quarter), Residual(f"{name}.res_block3_out", quarter, before=True)
        )
        self.fuse_2_up = Sequence(
            SubPixelConv(f"{name}.conv2_up.0", 2 * half, full, kernel=3),
            Residual(f"{name}.res_block2_up", full, before=True),
        )
        self.fuse_2 = Sequence(
            conv(f"{name}.conv2_out", 2 * half, half), Residual(f"{name}.res_block2_out", half, before=True)
        )
        self.fuse_1 = Sequence(
            conv(f"{name}.conv1_out", 2 * full, full), Residual(f"{name}.res_block1_out", full, before=True)
        )

    def _make_picture(self, form: Form) -> None:
        sizes = self.sizes
        full, half, quarter, latent = sizes.feature, sizes.half, sizes.quarter, sizes.latent
        name = "contextual_encoder"
        self.enc_1, self.enc_res1 = (
            conv(f"{name}.conv1", 3 + full, half, stride=2),
            self.inner_block(f"{name}.res1", 2 * half),
        )
        self.enc_2, self.enc_res2 = (
            conv(f"{name}.conv2", 2 * half, quarter, stride=2),
            self.inner_block(f"{name}.res2", 2 * quarter),
        )
        self.enc_3 = Sequence(
            conv(f"{name}.conv3", 2 * quarter, quarter, stride=2), conv(f"{name}.conv4", quarter, latent, stride=2)
        )
        name = "contextual_decoder"
        self.dec_1 = Sequence(
            SubPixelConv(f"{name}.up1.0", latent, quarter, kernel=3),
            SubPixelConv(f"{name}.up2.0", quarter, quarter, kernel=3),
        )
        self.dec_res1, self.dec_3 = (
            self.inner_block(f"{name}.res1", 2 * quarter),
            SubPixelConv(f"{name}.up3.0", 2 * quarter, half, kernel=3),
        )
        self.dec_res2, self.dec_4 = (
            self.inner_block(f"{name}.res2", 2 * half),
            SubPixelConv(f"{name}.up4.0", 2 * half, sizes.last, kernel=3),
        )
        name = "recon_generation_net"
        self.first_conv = conv(f"{name}.first_conv", sizes.last + full, full)
        self.unets = Sequence(*(UNet(f"{name}.unet_{k}", form, full, full, sizes.unet) for k in (1, 2)))
        self.recon_conv = conv(f"{name}.recon_conv", full, 3)

    # ---- where the two codecs differ

    @abstractmethod
    def inner_block(self, name: str, channels: int) -> Any:
        """Makes a block of the contextual encoder or decoder."""

    @abstractmethod
    def hyper_networks(self) -> tuple[Any, Any, Any, Any]:
        """Makes hyper-encoder and hyper-decoder of the motion (size h x w <-> h/4 x w/4), and those of y."""

    @abstractmethod
    def factor(self, ops: "FloatOperations", name: str, quality: Qp) -> Any:
        """Returns the factors of features. name: "mv_y_enc", "mv_y_dec", "y_enc" or "y_dec"."""

    # ---- members of every network

    @property
    def num_qps(self) -> int:
        """Returns 1: all qualities have the same table of z."""
        return 1

    @property
    def num_z_channels(self) -> int:
        """Channels of z plus channels of the motion's z."""
        return self.num_z + self.sizes.motion

    def shapes(self) -> Iterator[tuple[str, Shape]]:
        """Yields names and shapes of the state dict."""
        return layer_shapes(self)

    def decoder_shapes(self) -> Iterator[tuple[str, Shape]]:
        """Yields the part of `shapes` that a decoder uses."""
        return decoder_shapes(self)

    # ---- parts of a frame

    @timed(MOTION)
    def motion_analysis(
        self, ops: "FloatOperations", picture: Tensor, reference: Tensor, motion_feature: Tensor | None, quality: Qp
    ) -> Tensor:
        """Maps pictures 3 x Hp x Wp, motion feature of the reference -> mv_y: 64 x Hp/16 x Wp/16. Encoder only."""
        field = self.optic_flow(ops, picture, reference)
        inner = self.mv_enc_2(ops, self.mv_enc_1(ops, field) * self.factor(ops, "mv_y_enc", quality))
        if motion_feature is None:
            return self.mv_enc_3(ops, self.mv_adaptor_0(ops, inner))
        return self.mv_enc_3(ops, self.mv_adaptor_1(ops, ops.concat(inner, motion_feature)))

    @timed(HYPER)
    def motion_hyper_analysis(self, ops: "FloatOperations", mv_y: Tensor) -> Tensor:
        """Maps mv_y -> mv_z before rounding: 64 x ceil(h/4) x ceil(w/4) for mv_y of h x w. Encoder only."""
        return self.mv_hyper_encoder(ops, ops.pad_replicate(mv_y, 4))

    @timed(MOTION)
    def motion_synthesis(self, ops: "FloatOperations", mv_y_hat: Tensor, quality: Qp) -> tuple[Tensor, Tensor]:
        """Maps mv_y_hat -> (field: 2 x Hp x Wp, motion feature: 64 x Hp/4 x Wp/4)."""
        feature = self.mv_dec_1(ops, mv_y_hat)
        inner = self.mv_dec_2(ops, feature) * self.factor(ops, "mv_y_dec", quality)
        return self.mv_dec_3(ops, inner), feature

    @timed(CONTEXT)
    def contexts(
        self, ops: "FloatOperations", frame: Tensor, feature: Tensor | None, adaptor: int, field: Tensor
    ) -> Contexts:
        """Maps reference picture and feature, field -> contexts.

        Args:
            feature: 48 x Hp x Wp; None after an I frame and where a refresh dropped it.
            adaptor: 0..2, number of the feature adaptor.
        """
        half_field = ops.halved(field) / 2
        quarter_field = ops.halved(half_field) / 2
        if feature is None:
            adapted = self.feature_adaptor_i(ops, frame)
        else:
            adapted = self.feature_adaptors.blocks[adaptor](ops, feature)
        first = self.extract_1(ops, adapted)
        second = self.extract_2(ops, first)
        third = self.extract_3(ops, second)
        warped = ops.concat(warp(ops, first, field), warp(ops, frame, field))
        return self._fused(
            ops,
            Contexts(
                self.align(ops, first, warped, field), warp(ops, second, half_field), warp(ops, third, quarter_field)
            ),
        )

    def _fused(self, ops: "FloatOperations", warped: Contexts) -> Contexts:
        """Fuses each scale with the coarser scales."""
        third = self.fuse_3(ops, warped.quarter)
        joined = ops.concat(self.fuse_3_up(ops, warped.quarter), warped.half)
        second = self.fuse_2(ops, joined)
        first = self.fuse_1(ops, ops.concat(self.fuse_2_up(ops, joined), warped.full))
        return Contexts(warped.full + first, warped.half + second, warped.quarter + third)

    @timed(ANALYSIS)
    def analysis(self, ops: "FloatOperations", picture: Tensor, contexts: Contexts, quality: Qp) -> Tensor:
        """Maps picture 3 x Hp x Wp -> y: 128 x Hp/16 x Wp/16. Encoder only."""
        inner = self.enc_1(ops, ops.concat(picture, contexts.full))
        inner = self.enc_res1(ops, ops.concat(inner, contexts.half)) * self.factor(ops, "y_enc", quality)
        inner = self.enc_res2(ops, ops.concat(self.enc_2(ops, inner), contexts.quarter))
        return self.enc_3(ops, inner)

    @timed(HYPER)
    def hyper_analysis(self, ops: "FloatOperations", y: Tensor) -> Tensor:
        """Maps y -> z before rounding: num_z x ceil(h/4) x ceil(w/4) for y of h x w. Encoder only."""
        return self.hyper_encoder(ops, ops.pad_replicate(y, 4))

    @timed(SYNTHESIS)
    def synthesis(self, ops: "FloatOperations", y_hat: Tensor, contexts: Contexts, quality: Qp) -> Tensor:
        """Maps y_hat and contexts -> feature: 48 x Hp x Wp."""
        inner = self.dec_res1(ops, ops.concat(self.dec_1(ops, y_hat), contexts.quarter))
        inner = self.dec_3(ops, inner) * self.factor(ops, "y_dec", quality)
        inner = self.dec_4(ops, self.dec_res2(ops, ops.concat(inner, contexts.half)))
        return self.unets(ops, self.first_conv(ops, ops.concat(inner, contexts.full)))

    @timed(RECONSTRUCTION)
    def picture(self, ops: "FloatOperations", feature: Tensor) -> Tensor:
        """Maps feature -> picture 3 x Hp x Wp, limited to 0..1."""
        return ops.clamp_unit(self.recon_conv(ops, feature))
