"""The video models of DCVC-UF: LD codes one picture a unit, HT-S and HT-L code eight. Source: DCVC-UF (2026).

pending picture, or memory and feature -> adaptor -> memory -> feature_extractor -> ctx; memory -> temporal prior
x, ctx -> encoder -> y -> hyper_encoder -> z                                             encoder only
z_hat, temporal prior -> prior fusion -> step size, scales, means; spatial prior before each other step
y_hat, ctx -> decoder -> feature -> recon_head -> pictures

Samples are in -0.5..0.5. The input of a chunk has 3 planes for each of its pictures.
"""

from collections.abc import Iterator
from typing import Any

from dcvc_cli.backend.operations import Operations, Tensor
from dcvc_cli.families.uf.blocks import Down, Up, uf_block, uf_blocks
from dcvc_cli.families.uf.heads import make_heads
from dcvc_cli.families.uf.latents import UnitLatentCoder
from dcvc_cli.families.uf.sizes import CELL_CHANNELS, Block, VideoSizes
from dcvc_cli.families.uf.steps import FOUR_STEPS, TWO_STEPS
from dcvc_cli.format.constants import NUM_QPS
from dcvc_cli.graph.blocks import (
    Conv,
    FlatScaleVector,
    Sequence,
    Shape,
    StackedEstimator,
    SubPixelConv,
    decoder_shapes,
    layer_shapes,
)
from dcvc_cli.graph.sections import repeatable
from dcvc_cli.stages import ANALYSIS, CONTEXT, HYPER, PRIORS, RECONSTRUCTION, SYNTHESIS, timed


class UfVideoModel:
    """Graph of a video model; the backend holds the parameters."""

    encoder_only: tuple[str, ...] = ("encoder.", "hyper_encoder.", "q_encoder")
    """Prefixes of the layers that a decoder never runs."""

    def __init__(self, sizes: VideoSizes) -> None:
        self.sizes = sizes
        width, latent, hyper, block = sizes.feature, sizes.latent, sizes.hyper, sizes.block
        is_chunk = sizes.pictures > 1
        prior_block = Block.FULL if is_chunk else Block.HALF
        self.steps = FOUR_STEPS if sizes.steps == 4 else TWO_STEPS
        self.q_encoder = FlatScaleVector("q_encoder", NUM_QPS, width)
        self.q_decoder = FlatScaleVector("q_decoder", NUM_QPS, width)
        self.q_feature = FlatScaleVector("q_feature", NUM_QPS, width)
        self.bit_estimator_z = StackedEstimator("bit_estimator_z", NUM_QPS, hyper)
        self.feature_adaptor_i = uf_blocks("feature_adaptor_i.conv", CELL_CHANNELS, width, sizes.adaptor_i_depth, block)
        self.feature_adaptor_m = uf_blocks("feature_adaptor_m.conv", 2 * width, width, sizes.adaptor_m_depth, block)
        self.feature_extractor = uf_blocks("feature_extractor.conv", width, width, sizes.extractor_depth, block)
        source = sizes.pictures * CELL_CHANNELS
        num_first = sizes.encoder_depth if is_chunk else sizes.encoder_depth - 1
        self.encoder_conv1 = uf_blocks("encoder.conv1", source + width, width, num_first, block)
        self.encoder_conv2 = None if is_chunk else uf_block("encoder.conv2", width, width, block)
        self.encoder_down = Conv("encoder.down", width, latent, kernel=3, stride=2, padding=1)
        inner, shortcut = sizes.hyper_inner, sizes.shortcut
        self.hyper_encoder = Sequence(
            uf_block("hyper_encoder.conv.0", latent, inner, prior_block),
            Down("hyper_encoder.conv.1", inner, inner, prior_block, shortcut=shortcut),
            Down("hyper_encoder.conv.2", inner, hyper, prior_block, shortcut=shortcut),
        )
        self.hyper_decoder = Sequence(
            Up("hyper_decoder.conv.0", hyper, inner, prior_block, shortcut=shortcut, bias=sizes.up_bias),
            Up("hyper_decoder.conv.1", inner, inner, prior_block, shortcut=shortcut, bias=sizes.up_bias),
            uf_block("hyper_decoder.conv.2", inner, latent, prior_block),
        )
        self.temporal_prior_encoder = Down("temporal_prior_encoder.conv", width, width, prior_block, shortcut=shortcut)
        self.y_prior_fusion = Sequence(
            uf_blocks("y_prior_fusion.conv", latent + width, 3 * latent, 3, prior_block),
            Conv("y_prior_fusion.conv.3", 3 * latent, 3 * latent),
        )
        self._make_spatial_prior(prior_block)
        self.decoder_up = SubPixelConv("decoder.up.conv.0", latent, width, sizes.up_kernel, bias=sizes.up_bias)
        self.decoder_conv1 = uf_blocks("decoder.conv1", 2 * width, width, sizes.decoder_depth, block)
        self.decoder_conv2 = Conv("decoder.conv2", width, width) if sizes.has_last_conv else None
        self.recon_head = make_heads(sizes)

    def _make_spatial_prior(self, form: Block) -> None:
        latent, prior, num_steps = self.sizes.latent, self.sizes.prior, len(self.steps)
        num_out = 2 * latent if self.sizes.refines_scales else latent
        if num_steps == 2:
            self.y_spatial_prior_reduction, self.y_spatial_prior_adaptors = None, None
            self.y_spatial_prior = Sequence(
                uf_blocks("y_spatial_prior.conv", 4 * latent, prior, 2, form),
                Conv("y_spatial_prior.conv.2", prior, num_out),
            )
            return
        self.y_spatial_prior_reduction = Conv("y_spatial_prior_reduction", 3 * latent, latent)
        self.y_spatial_prior_adaptors = Sequence(
            *(
                uf_block(f"y_spatial_prior_adaptor_{step}", 2 * latent, prior, form, force_adaptor=True)
                for step in range(1, num_steps)
            )
        )
        self.y_spatial_prior = Sequence(
            uf_blocks("y_spatial_prior.conv", prior, prior, 3, form), Conv("y_spatial_prior.conv.3", prior, num_out)
        )

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

    @timed(CONTEXT)
    @repeatable
    def memory_from_pending(self, ops: Operations, cells: Tensor) -> Tensor:
        """Maps the 192 channels of a picture on the 1/8 grid -> memory: feature x Hp/8 x Wp/8 (after an I frame or a
        reset)."""
        return self.feature_adaptor_i(ops, cells)

    @timed(CONTEXT)
    @repeatable
    def next_memory(self, ops: Operations, memory: Tensor, feature: Tensor) -> Tensor:
        """Maps memory and feature of the unit before -> memory, all feature x Hp/8 x Wp/8."""
        return self.feature_adaptor_m(ops, memory, feature)

    @timed(CONTEXT)
    @repeatable
    def context(self, ops: Operations, memory: Tensor) -> Tensor:
        """Maps memory -> ctx, feature x Hp/8 x Wp/8."""
        return self.feature_extractor(ops, memory)

    @timed(PRIORS)
    @repeatable
    def temporal_prior(self, ops: Operations, memory: Tensor, qp: Any) -> Tensor:
        """Maps memory -> feature x Hp/16 x Wp/16."""
        if self.sizes.scales_memory_first:
            return self.temporal_prior_encoder(ops, self.q_feature(ops, memory, qp))
        return self.q_feature(ops, self.temporal_prior_encoder(ops, memory), qp)

    @timed(ANALYSIS)
    @repeatable
    def analysis(self, ops: Operations, x: Tensor, ctx: Tensor, qp: Any) -> Tensor:
        """Maps x: 3 planes a picture, Hp x Wp, in -0.5..0.5, and ctx -> y: latent x Hp/16 x Wp/16. Encoder only."""
        merged = self.encoder_conv1(ops, ops.pixel_unshuffle(x, 8), ctx)
        if self.encoder_conv2 is not None:
            merged = self.encoder_conv2(ops, merged)
        return self.encoder_down(ops, self.q_encoder(ops, merged, qp))

    @timed(HYPER)
    @repeatable
    def hyper_analysis(self, ops: Operations, y: Tensor) -> Tensor:
        """Maps y -> z before rounding, hyper x ceil(h/4) x ceil(w/4) for y of h x w. Encoder only."""
        return self.hyper_encoder(ops, ops.pad_replicate(y, 4))

    @timed(PRIORS)
    @repeatable
    def prior_parameters(
        self, ops: Operations, z_hat: Tensor, temporal: Tensor, latent_size: tuple[int, int]
    ) -> Tensor:
        """Maps z_hat and the temporal prior -> step size, scales, means: 3 latent x h x w. Cropped before the
        fusion."""
        hyper = ops.crop(self.hyper_decoder(ops, z_hat), latent_size)
        return self.y_prior_fusion(ops, hyper, temporal)

    @timed(PRIORS)
    def code_latents(self, ops: Operations, parameters: Tensor, coder: UnitLatentCoder) -> Tensor:
        """Runs the coding steps through `coder` -> y_hat: latent x h x w."""
        latent = self.sizes.latent
        step_size, scales, means = ops.split(parameters, (latent, latent, latent))
        step_size = ops.clamp_step_size(step_size)
        coder.begin(ops.reciprocal(step_size))
        if not self.sizes.refines_scales:
            coder.share_scales(self.steps, scales)
        so_far = coder.step(self.steps[0], scales, means)
        common = None
        if self.y_spatial_prior_reduction is not None:
            common = self.y_spatial_prior_reduction(ops, parameters)
        for index, step in enumerate(self.steps[1:]):
            if self.y_spatial_prior_adaptors is None:
                prior: tuple[Tensor, ...] = (so_far, parameters)
            else:
                prior = (self.y_spatial_prior_adaptors.blocks[index](ops, so_far, common),)
            means = self.y_spatial_prior(ops, *prior)
            if self.sizes.refines_scales:
                scales, means = ops.split(means, (latent, latent))
            so_far = ops.merge_steps(so_far, coder.step(step, scales, means))
        return ops.multiply_step_size(so_far, step_size)

    @timed(SYNTHESIS)
    @repeatable
    def synthesis(self, ops: Operations, y_hat: Tensor, ctx: Tensor, qp: Any) -> Tensor:
        """Maps y_hat and ctx -> feature x Hp/8 x Wp/8, of which the pictures and the next memory are made."""
        feature = self.decoder_conv1(ops, self.decoder_up(ops, y_hat), ctx)
        if self.decoder_conv2 is not None:
            feature = self.decoder_conv2(ops, feature)
        return self.q_decoder(ops, feature, qp)

    @timed(RECONSTRUCTION)
    @repeatable
    def reconstruction(self, ops: Operations, feature: Tensor, index: int) -> Tensor:
        """Makes picture `index` of the unit on the 1/8 grid, 192 x Hp/8 x Wp/8, not clamped. After a reset it is
        `Memory.pending`."""
        return self.recon_head.cells(ops, feature, index)

    @timed(RECONSTRUCTION)
    @repeatable
    def picture(self, ops: Operations, feature: Tensor, index: int) -> Tensor:
        """Makes picture `index` of the unit: 3 x Hp x Wp, clamped to -0.5..0.5."""
        return ops.clamp_centred(ops.pixel_shuffle(self.reconstruction(ops, feature, index), 8))

    @timed(RECONSTRUCTION)
    @repeatable
    def pair(self, ops: Operations, feature: Tensor, number: int) -> Tensor:
        """Computes what pictures 2 number and 2 number + 1 have in common, feature x Hp/8 x Wp/8. HT-S only."""
        return self.recon_head.pair(ops, feature, number)

    @timed(RECONSTRUCTION)
    @repeatable
    def picture_of_pair(self, ops: Operations, pair: Tensor, index: int) -> Tensor:
        """Makes the same picture as `picture`, of the output of `pair`."""
        return ops.clamp_centred(ops.pixel_shuffle(self.recon_head.own_cells(ops, pair, index), 8))
