"""The video model DMC: codes a P frame from one reference. Source: DCVC-RT (CVPR 2025) and docs/bitstream.md.

reference frame or feature -> adaptor -> feature_extractor -> ctx, ctx_t
x, ctx -> encoder -> y -> hyper_encoder -> z                          encoder only
z_hat, ctx_t -> prior fusion -> step size, scales, means of step 0; spatial prior before step 1
y_hat, ctx -> decoder -> feature (the next reference) -> recon_generation_net -> x_hat
"""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from dcvc_cli.families.rt.prediction import BatchMemory, BatchPrediction
from dcvc_cli.families.rt.sizes import SOURCE_CHANNELS, VideoSpec
from dcvc_cli.graph.blocks import (
    BitEstimator,
    Conv,
    DepthConvBlock,
    DownBlock,
    Qp,
    ScaleVector,
    Sequence,
    Shape,
    SubPixelConv,
    Tensor,
    UpBlock,
    decoder_shapes,
    depth_conv_blocks,
    layer_shapes,
)
from dcvc_cli.graph.latent_steps import VIDEO_STEPS, LatentCoder
from dcvc_cli.graph.sections import repeatable
from dcvc_cli.stages import ANALYSIS, CONTEXT, HYPER, PRIORS, RECONSTRUCTION, SYNTHESIS, timed

if TYPE_CHECKING:
    import torch

    from dcvc_cli.backend.operations import Operations


class VideoModel:
    """Graph of the video model with the widths and depths of `spec`; parameters live in the backend."""

    predicts_pictures = False
    """Whether every P frame is predicted from the picture before it, and not only from its feature."""
    encoder_only: tuple[str, ...] = ("encoder.", "hyper_encoder.", "q_encoder")
    """Prefixes of the layers that a decoder never runs."""

    def __init__(self, spec: VideoSpec) -> None:
        self.spec = spec
        self.hyper_out = spec.hyper_out or spec.latent
        width, latent, hyper, prior, recon = spec.feature, spec.latent, spec.hyper, spec.prior, spec.recon
        self.q_encoder = ScaleVector("q_encoder", spec.num_qps, width)
        self.q_decoder = ScaleVector("q_decoder", spec.num_qps, width)
        self.q_feature = ScaleVector("q_feature", spec.num_qps, width)
        self.q_recon = ScaleVector("q_recon", spec.num_qps, recon)
        self.bit_estimator_z = BitEstimator("bit_estimator_z", spec.num_qps, hyper)
        self.feature_adaptor_i = DepthConvBlock("feature_adaptor_i", SOURCE_CHANNELS, width)
        self.feature_adaptor_p = Conv("feature_adaptor_p", width, width)
        self.extractor_1 = depth_conv_blocks("feature_extractor.conv1", width, width, spec.extractor_depths[0])
        self.extractor_2 = depth_conv_blocks("feature_extractor.conv2", width, width, spec.extractor_depths[1])
        self.encoder_conv1 = Conv("encoder.conv1", SOURCE_CHANNELS, width)
        self.encoder_conv2 = depth_conv_blocks("encoder.conv2", 2 * width, width, spec.encoder_depth)
        self.encoder_conv3 = DepthConvBlock("encoder.conv3", width, width)
        self.encoder_down = Conv("encoder.down", width, latent, kernel=3, stride=2, padding=1)
        self.hyper_encoder = Sequence(
            DepthConvBlock("hyper_encoder.conv.0", latent, hyper),
            DownBlock("hyper_encoder.conv.1", hyper, hyper),
            DownBlock("hyper_encoder.conv.2", hyper, hyper),
        )
        self.hyper_decoder = Sequence(
            UpBlock("hyper_decoder.conv.0", hyper, hyper),
            UpBlock("hyper_decoder.conv.1", hyper, hyper),
            DepthConvBlock("hyper_decoder.conv.2", hyper, self.hyper_out),
        )
        self.temporal_prior_encoder = DownBlock("temporal_prior_encoder", width, width)
        self.y_prior_fusion = Sequence(
            depth_conv_blocks("y_prior_fusion.conv", self.hyper_out + width, prior, spec.fusion_depth),
            Conv(f"y_prior_fusion.conv.{spec.fusion_depth}", prior, 3 * latent),
        )
        self.y_spatial_prior = Sequence(
            depth_conv_blocks("y_spatial_prior.conv", 4 * latent, prior, spec.spatial_depth),
            Conv(f"y_spatial_prior.conv.{spec.spatial_depth}", prior, 2 * latent),
        )
        self.decoder_up = SubPixelConv("decoder.up.conv.0", latent, width, kernel=spec.up_kernel)
        self.decoder_conv1 = depth_conv_blocks("decoder.conv1", 2 * width, width, spec.decoder_depth)
        self.decoder_conv2 = Conv("decoder.conv2", width, width)
        self.recon_conv = depth_conv_blocks("recon_generation_net.conv", width, recon, spec.recon_depth)
        self.recon_head = Conv("recon_generation_net.head", recon, SOURCE_CHANNELS)

    @property
    def num_qps(self) -> int:
        """Returns the number of QPs. Vectors and tables have a row for each."""
        return self.spec.num_qps

    @property
    def num_z_channels(self) -> int:
        """Returns the number of channels of z."""
        return self.spec.hyper

    def shapes(self) -> Iterator[tuple[str, Shape]]:
        """Returns names and shapes of the state dict."""
        return layer_shapes(self)

    def decoder_shapes(self) -> Iterator[tuple[str, Shape]]:
        """Returns the part of `shapes` that a decoder uses."""
        return decoder_shapes(self)

    @timed(CONTEXT)
    @repeatable
    def adapt_frame(self, ops: "Operations", frame: Tensor) -> Tensor:
        """Maps reference frame, 3 x Hp x Wp in 0..1 -> feature x Hp/8 x Wp/8. P frames need it after an I frame and
        after a reset."""
        return self.feature_adaptor_i(ops, ops.pixel_unshuffle(frame, 8))

    @timed(CONTEXT)
    @repeatable
    def adapt_feature(self, ops: "Operations", feature: Tensor) -> Tensor:
        """Maps reference feature of the previous P frame -> feature x Hp/8 x Wp/8."""
        return self.feature_adaptor_p(ops, feature)

    def adapt(self, ops: "Operations", frame: Tensor, feature: Tensor) -> Tensor:
        """Maps reference -> feature x Hp/8 x Wp/8. The reference is the feature where there is one, else the frame."""
        return self.adapt_frame(ops, frame) if feature is None else self.adapt_feature(ops, feature)

    @timed(CONTEXT)
    @repeatable
    def contexts(self, ops: "Operations", adapted: Tensor, qp: Qp) -> tuple[Tensor, Tensor]:
        """Maps adapted reference -> (ctx, ctx_t), both feature x Hp/8 x Wp/8. Only ctx_t depends on the QP; it is the
        temporal prior's input."""
        shared = self.extractor_1(ops, adapted)
        return self.extractor_2(ops, shared), self.q_feature(ops, shared, qp)

    @timed(ANALYSIS)
    @repeatable
    def analysis(self, ops: "Operations", x: Tensor, ctx: Tensor, qp: Qp) -> Tensor:
        """Maps x: 3 x Hp x Wp in 0..1 and ctx -> y: latent x Hp/16 x Wp/16. Encoder only."""
        return self._latents_of_cells(ops, ops.pixel_unshuffle(x, 8), ctx, qp)

    def _latents_of_cells(self, ops: "Operations", cells: Tensor, ctx: Tensor, qp: Qp) -> Tensor:
        merged = self.encoder_conv3(ops, self.encoder_conv2(ops, ops.concat(self.encoder_conv1(ops, cells), ctx)))
        return self.encoder_down(ops, self.q_encoder(ops, merged, qp))

    @timed(HYPER)
    @repeatable
    def hyper_analysis(self, ops: "Operations", y: Tensor) -> Tensor:
        """Maps y -> z before rounding, hyper x ceil(h/4) x ceil(w/4) for y of h x w. Encoder only."""
        return self.hyper_encoder(ops, ops.pad_replicate(y, 4))

    @timed(PRIORS)
    @repeatable
    def prior_parameters(self, ops: "Operations", z_hat: Tensor, ctx_t: Tensor, latent_size: tuple[int, int]) -> Tensor:
        """Maps z_hat and ctx_t -> step size, scales, means: 3 latent x h x w. The video model crops before the fusion,
        the image model after it."""
        hyper = ops.crop(self.hyper_decoder(ops, z_hat), latent_size)
        return self.y_prior_fusion(ops, ops.concat(hyper, self.temporal_prior_encoder(ops, ctx_t)))

    @timed(PRIORS)
    def code_latents(self, ops: "Operations", parameters: Tensor, coder: LatentCoder) -> Tensor:
        """Runs the two coding steps through `coder` -> y_hat: latent x h x w. The spatial prior sees the step size
        unclamped."""
        latent = self.spec.latent
        step_size, scales, means = ops.split(parameters, (latent, latent, latent))
        step_size = ops.clamp_step_size(step_size)
        coder.begin(ops.reciprocal(step_size))
        so_far = coder.step(VIDEO_STEPS[0], scales, means)
        scales, means = ops.split(self._spatial_prior(ops, so_far, parameters), (latent, latent))
        so_far = ops.merge_steps(so_far, coder.step(VIDEO_STEPS[1], scales, means))
        return ops.multiply_step_size(so_far, step_size)

    @repeatable
    def _spatial_prior(self, ops: "Operations", so_far: Tensor, parameters: Tensor) -> Tensor:
        return self.y_spatial_prior(ops, ops.concat(so_far, parameters))

    @timed(SYNTHESIS)
    @repeatable
    def synthesis(self, ops: "Operations", y_hat: Tensor, ctx: Tensor, qp: Qp) -> Tensor:
        """Maps y_hat and ctx -> feature x Hp/8 x Wp/8, the next reference feature."""
        up = self.decoder_up(ops, y_hat)
        return self.q_decoder(ops, self.decoder_conv2(ops, self.decoder_conv1(ops, ops.concat(up, ctx))), qp)

    @timed(RECONSTRUCTION)
    @repeatable
    def reconstruction(self, ops: "Operations", feature: Tensor, qp: Qp) -> Tensor:
        """Maps feature -> x_hat: 3 x Hp x Wp, clamped to [0, 1]."""
        return ops.clamp_unit(self._picture_of_feature(ops, feature, qp))

    def what_is_left(self, x: Tensor, predicted: Tensor) -> Tensor:
        """Returns what the networks code of a picture x that is predicted from `predicted`."""
        return x

    def picture_of(self, ops: "Operations", feature: Tensor, y_hat: Tensor, qp: Qp, predicted: Tensor) -> Tensor:
        """Returns the picture of a coded P frame: 3 x Hp x Wp, clamped to [0, 1]."""
        return self.reconstruction(ops, feature, qp)

    def new_memory(self) -> BatchMemory | None:
        """Returns, at an I frame, what training keeps of a sample between its P frames; None where that is nothing."""
        return None

    def restored_memory(self, stored: Mapping[str, Any], device: "torch.device") -> BatchMemory | None:
        """Inverts BatchMemory.stored."""
        return None

    def batch_prediction(self, memories: list[Any]) -> BatchPrediction:
        """Returns what predicts the P frames of a batch in training. Each sample has a memory."""
        return BatchPrediction()

    def _picture_of_feature(self, ops: "Operations", feature: Tensor, qp: Qp) -> Tensor:
        scaled = self.q_recon(ops, self.recon_conv(ops, feature), qp)
        return ops.pixel_shuffle(self.recon_head(ops, scaled), 8)
