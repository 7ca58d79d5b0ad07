"""The image model DMCI: codes an I frame on its own. Source: DCVC-RT (CVPR 2025) and docs/bitstream.md.

x -> enc -> y -> hyper_enc -> z          encoder only
z_hat -> hyper_dec -> prior fusion -> scales, means of step 0; spatial prior after each step
y_hat -> dec -> x_hat
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from dcvc_cli.families.rt.sizes import SOURCE_CHANNELS, ImageSpec
from dcvc_cli.graph.blocks import (
    BitEstimator,
    Conv,
    DepthConvBlock,
    DownBlock,
    Qp,
    ScaleVector,
    Sequence,
    Shape,
    Tensor,
    UpBlock,
    decoder_shapes,
    depth_conv_blocks,
    layer_shapes,
)
from dcvc_cli.graph.latent_steps import IMAGE_STEPS, LatentCoder
from dcvc_cli.graph.sections import repeatable
from dcvc_cli.stages import ANALYSIS, HYPER, PRIORS, SYNTHESIS, timed

if TYPE_CHECKING:
    from dcvc_cli.backend.operations import Operations


class ImageModel:
    """Graph of the image model with the widths and depths of `spec`; parameters live in the backend."""

    encoder_only: tuple[str, ...] = ("enc.", "hyper_enc.", "q_scale_enc")
    """Prefixes of the layers that a decoder never runs."""

    def __init__(self, spec: ImageSpec) -> None:
        self.spec = spec
        self.hyper_out = spec.hyper_out or spec.latent
        width, latent, hyper, prior = spec.internal, spec.latent, spec.hyper, spec.prior
        self.q_scale_enc = ScaleVector("q_scale_enc", spec.num_qps, width)
        self.q_scale_dec = ScaleVector("q_scale_dec", spec.num_qps, width)
        self.bit_estimator_z = BitEstimator("bit_estimator_z", spec.num_qps, hyper)
        self.enc_1 = DepthConvBlock("enc.enc_1", SOURCE_CHANNELS, width)
        self.enc_2 = Sequence(
            depth_conv_blocks("enc.enc_2", width, width, spec.encoder_depth),
            Conv(f"enc.enc_2.{spec.encoder_depth}", width, latent, kernel=3, stride=2, padding=1),
        )
        self.hyper_enc = Sequence(
            DepthConvBlock("hyper_enc.0", latent, hyper),
            DownBlock("hyper_enc.1", hyper, hyper),
            DownBlock("hyper_enc.2", hyper, hyper),
        )
        self.hyper_dec = Sequence(
            UpBlock("hyper_dec.0", hyper, hyper),
            UpBlock("hyper_dec.1", hyper, hyper),
            DepthConvBlock("hyper_dec.2", hyper, self.hyper_out),
        )
        self.y_prior_fusion = Sequence(
            depth_conv_blocks("y_prior_fusion", self.hyper_out, prior, spec.fusion_depth),
            Conv(f"y_prior_fusion.{spec.fusion_depth}", prior, 2 * latent + 2),
        )
        self.y_spatial_prior_reduction = Conv("y_spatial_prior_reduction", 2 * latent + 2, latent)
        self.y_spatial_prior_adaptor_1 = DepthConvBlock(
            "y_spatial_prior_adaptor_1", 2 * latent, prior, force_adaptor=True
        )
        self.y_spatial_prior_adaptor_2 = DepthConvBlock(
            "y_spatial_prior_adaptor_2", 2 * latent, prior, force_adaptor=True
        )
        self.y_spatial_prior_adaptor_3 = DepthConvBlock(
            "y_spatial_prior_adaptor_3", 2 * latent, prior, force_adaptor=True
        )
        self.y_spatial_prior = Sequence(
            depth_conv_blocks("y_spatial_prior", prior, prior, spec.spatial_depth),
            Conv(f"y_spatial_prior.{spec.spatial_depth}", prior, 2 * latent),
        )
        self.dec_1 = Sequence(
            UpBlock("dec.dec_1.0", latent, width),
            depth_conv_blocks("dec.dec_1", width, width, spec.decoder_depth, first=1),
        )
        self.dec_2 = DepthConvBlock("dec.dec_2", width, SOURCE_CHANNELS)

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

    @timed(ANALYSIS)
    @repeatable
    def analysis(self, ops: "Operations", x: Tensor, qp: Qp) -> Tensor:
        """Maps x: 3 x Hp x Wp in 0..1, sides multiples of 16 -> y: latent x Hp/16 x Wp/16. Encoder only."""
        return self._latents_of_cells(ops, ops.pixel_unshuffle(x, 8), qp)

    def _latents_of_cells(self, ops: "Operations", cells: Tensor, qp: Qp) -> Tensor:
        return self.enc_2(ops, self.q_scale_enc(ops, self.enc_1(ops, cells), qp))

    @timed(HYPER)
    @repeatable
    def hyper_analysis(self, ops: "Operations", y: Tensor) -> Tensor:
        """Maps y -> z before rounding, hyper x ceil(h/4) x ceil(w/4) for y of h x w. Encoder only."""
        return self.hyper_enc(ops, ops.pad_replicate(y, 4))

    @timed(PRIORS)
    @repeatable
    def prior_parameters(self, ops: "Operations", z_hat: Tensor, latent_size: tuple[int, int]) -> Tensor:
        """Maps z_hat -> q_enc, q_dec, scales, means: (2 + 2 latent) x h x w. The image model crops after the fusion,
        the video model before it."""
        return ops.crop(self.y_prior_fusion(ops, self.hyper_dec(ops, z_hat)), latent_size)

    @timed(PRIORS)
    def code_latents(self, ops: "Operations", parameters: Tensor, coder: LatentCoder) -> Tensor:
        """Runs the four coding steps through `coder` -> y_hat: latent x h x w."""
        q_enc, q_dec, scales, means = ops.split(parameters, (1, 1, self.spec.latent, self.spec.latent))
        common = self.y_spatial_prior_reduction(ops, parameters)
        coder.begin(ops.encoder_factor(ops.half_to_two(q_enc)))
        so_far = coder.step(IMAGE_STEPS[0], scales, means)
        for number, step in enumerate(IMAGE_STEPS[1:]):
            prior = self._spatial_prior(ops, so_far, common, number)
            scales, means = ops.split(prior, (self.spec.latent, self.spec.latent))
            so_far = ops.merge_steps(so_far, coder.step(step, scales, means))
        return ops.multiply_step_size(so_far, ops.half_to_two(q_dec))

    @repeatable
    def _spatial_prior(self, ops: "Operations", so_far: Tensor, common: Tensor, number: int) -> Tensor:
        """Returns the prior of step `number` + 1."""
        adaptors = (self.y_spatial_prior_adaptor_1, self.y_spatial_prior_adaptor_2, self.y_spatial_prior_adaptor_3)
        return self.y_spatial_prior(ops, adaptors[number](ops, ops.concat(so_far, common)))

    @timed(SYNTHESIS)
    @repeatable
    def synthesis(self, ops: "Operations", y_hat: Tensor, qp: Qp) -> Tensor:
        """Maps y_hat -> x_hat: 3 x Hp x Wp, clamped to [0, 1]."""
        return ops.clamp_unit(ops.pixel_shuffle(self._cells_of_latents(ops, y_hat, qp), 8))

    def _cells_of_latents(self, ops: "Operations", y_hat: Tensor, qp: Qp) -> Tensor:
        return self.dec_2(ops, self.q_scale_dec(ops, self.dec_1(ops, y_hat), qp))
