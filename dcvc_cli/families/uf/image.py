"""The image model of DCVC-UF: codes an I frame on its own, samples in -0.5..0.5. Source: DCVC-UF (2026).

x -> enc -> y -> hyper_enc -> z                              encoder only
z_hat -> hyper_dec -> prior fusion -> scales, means of step 0; spatial prior before each other step
y_hat -> dec -> x_hat
"""

from collections.abc import Iterator
from typing import Any

from dcvc_cli.backend.operations import Operations, Tensor
from dcvc_cli.families.uf.blocks import Down, Up, uf_block, uf_blocks
from dcvc_cli.families.uf.sizes import CELL_CHANNELS, Block, ImageSizes
from dcvc_cli.families.uf.steps import FOUR_STEPS
from dcvc_cli.format.constants import NUM_QPS
from dcvc_cli.graph.blocks import Conv, FlatScaleVector, Sequence, Shape, StackedEstimator, decoder_shapes, layer_shapes
from dcvc_cli.graph.latent_steps import LatentCoder
from dcvc_cli.graph.sections import repeatable
from dcvc_cli.stages import ANALYSIS, HYPER, PRIORS, SYNTHESIS, timed

FULL = Block.FULL


class UfImageModel:
    """Graph of the image model; the backend holds the parameters."""

    encoder_only: tuple[str, ...] = ("enc.", "hyper_enc.", "q_scale_enc", "q_scale_y_enc")
    """Prefixes of the layers that a decoder never runs."""

    def __init__(self, sizes: ImageSizes) -> None:
        self.sizes = sizes
        inner, latent, hyper, prior = sizes.inner, sizes.latent, sizes.hyper, sizes.prior
        self.q_scale_enc = FlatScaleVector("q_scale_enc", NUM_QPS, inner)
        self.q_scale_dec = FlatScaleVector("q_scale_dec", NUM_QPS, inner)
        self.q_scale_y_enc = FlatScaleVector("q_scale_y_enc", NUM_QPS, latent)
        self.q_scale_y_dec = FlatScaleVector("q_scale_y_dec", NUM_QPS, latent)
        self.bit_estimator_z = StackedEstimator("bit_estimator_z", NUM_QPS, hyper)
        self.enc_1 = uf_block("enc.enc_1", CELL_CHANNELS, inner, FULL)
        self.enc_2 = Sequence(
            uf_blocks("enc.enc_2", inner, inner, sizes.encoder_depth, FULL),
            Conv(f"enc.enc_2.{sizes.encoder_depth}", inner, latent, kernel=3, stride=2, padding=1),
        )
        self.hyper_enc = Sequence(
            uf_block("hyper_enc.conv.0", latent, hyper, FULL),
            Down("hyper_enc.conv.1", hyper, hyper, FULL, shortcut=True),
            Down("hyper_enc.conv.2", hyper, hyper, FULL, shortcut=True),
        )
        self.hyper_dec = Sequence(
            Up("hyper_dec.conv.0", hyper, hyper, FULL, shortcut=True, bias=False),
            Up("hyper_dec.conv.1", hyper, hyper, FULL, shortcut=True, bias=False),
            uf_block("hyper_dec.conv.2", hyper, latent, FULL),
        )
        self.y_prior_fusion = Sequence(
            uf_blocks("y_prior_fusion.conv", latent, prior, sizes.fusion_depth, FULL),
            Conv(f"y_prior_fusion.conv.{sizes.fusion_depth}", prior, 2 * latent),
        )
        self.y_spatial_prior_reduction = Conv("y_spatial_prior_reduction", 2 * latent, latent)
        self.y_spatial_prior_adaptors = Sequence(
            *(
                uf_block(f"y_spatial_prior_adaptor_{step}", 2 * latent, prior, FULL, force_adaptor=True)
                for step in range(1, len(FOUR_STEPS))
            )
        )
        self.y_spatial_prior = Sequence(
            uf_blocks("y_spatial_prior.conv", prior, prior, sizes.spatial_depth, FULL),
            Conv(f"y_spatial_prior.conv.{sizes.spatial_depth}", prior, 2 * latent),
        )
        self.dec_1 = Sequence(
            Up("dec.dec_1.0", latent, inner, FULL, shortcut=True, bias=False),
            uf_blocks("dec.dec_1", inner, inner, sizes.decoder_depth, FULL, first=1),
        )
        self.dec_2 = uf_block("dec.dec_2", inner, CELL_CHANNELS, FULL)

    @property
    def num_qps(self) -> int:
        """Returns the number of QPs: vectors and tables have a row for each."""
        return NUM_QPS

    @property
    def num_z_channels(self) -> int:
        """Channels of z."""
        return self.sizes.hyper

    def shapes(self) -> Iterator[tuple[str, Shape]]:
        """Yields names and shapes of the state dict."""
        return layer_shapes(self)

    def decoder_shapes(self) -> Iterator[tuple[str, Shape]]:
        """Yields the part of `shapes` that a decoder uses."""
        return decoder_shapes(self)

    @timed(ANALYSIS)
    @repeatable
    def analysis(self, ops: Operations, x: Tensor, qp: Any) -> Tensor:
        """Maps x: 3 x Hp x Wp in -0.5..0.5, sides multiples of 16 -> y: latent x Hp/16 x Wp/16. Encoder only."""
        cells = ops.pixel_unshuffle(x, 8)
        return self.enc_2(ops, self.q_scale_enc(ops, self.enc_1(ops, cells), qp))

    @timed(HYPER)
    @repeatable
    def hyper_analysis(self, ops: Operations, y: Tensor) -> Tensor:
        """Maps y, before any scaling -> z before rounding: hyper x ceil(h/4) x ceil(w/4) for y of h x w. Encoder
        only."""
        return self.hyper_enc(ops, ops.pad_replicate(y, 4))

    @timed(PRIORS)
    @repeatable
    def prior_parameters(self, ops: Operations, z_hat: Tensor, latent_size: tuple[int, int]) -> Tensor:
        """Maps z_hat -> scales, means: 2 latent x h x w. Cropped after the fusion."""
        return ops.crop(self.y_prior_fusion(ops, self.hyper_dec(ops, z_hat)), latent_size)

    @timed(ANALYSIS)
    @repeatable
    def scaled_latents(self, ops: Operations, y: Tensor, qp: Any) -> Tensor:
        """Returns y in the domain of the symbols. Encoder only."""
        return self.q_scale_y_enc(ops, y, qp)

    @timed(PRIORS)
    def code_latents(self, ops: Operations, parameters: Tensor, coder: LatentCoder, qp: Any) -> Tensor:
        """Runs the four coding steps through `coder` -> y_hat: latent x h x w."""
        latent = self.sizes.latent
        scales, means = ops.split(parameters, (latent, latent))
        common = self.y_spatial_prior_reduction(ops, parameters)
        so_far = coder.step(FOUR_STEPS[0], scales, means)
        for step, adaptor in zip(FOUR_STEPS[1:], self.y_spatial_prior_adaptors.blocks, strict=True):
            prior = self.y_spatial_prior(ops, adaptor(ops, ops.concat(so_far, common)))
            scales, means = ops.split(prior, (latent, latent))
            so_far = ops.merge_steps(so_far, coder.step(step, scales, means))
        return self.q_scale_y_dec(ops, so_far, qp)

    @timed(SYNTHESIS)
    @repeatable
    def synthesis(self, ops: Operations, y_hat: Tensor, qp: Any) -> Tensor:
        """Maps y_hat -> x_hat: 3 x Hp x Wp, limited to -0.5..0.5."""
        cells = self.dec_2(ops, self.q_scale_dec(ops, self.dec_1(ops, y_hat), qp))
        return ops.clamp_centred(ops.pixel_shuffle(cells, 8))
