"""The video network of DCVC-TCM and the recipe of its frames. Source: DCVC-TCM (2022)."""

from dataclasses import dataclass
from typing import Any

from dcvc_cli.codec.networks import CodecNetworks
from dcvc_cli.entropy.scale_index import SCALE_MIN
from dcvc_cli.families.float_codec.coder import WordTable
from dcvc_cli.families.float_codec.conditional import ConditionalNetwork, ConditionalRecipe
from dcvc_cli.families.float_codec.hyper_layers import hyper_decoder, hyper_encoder
from dcvc_cli.families.float_codec.layers import Deconv, Density, Gdn, Ops, Tensor
from dcvc_cli.families.float_codec.motion import FLOW_WIDTHS, MotionEstimation
from dcvc_cli.families.float_codec.sides import Side
from dcvc_cli.families.float_codec.tables import rows_by_logarithm
from dcvc_cli.families.tcm.contexts import (
    ContextFusion,
    ContextualDecoder,
    ContextualEncoder,
    FeatureExtractor,
    Reconstruction,
    TemporalPriorEncoder,
)
from dcvc_cli.families.wide_latents.blocks import SLOPE, SMALL_SLOPE, Leaky, Residual, conv
from dcvc_cli.families.wide_latents.tables import laplace_scales
from dcvc_cli.graph.blocks import Part, Sequence
from dcvc_cli.stages import ANALYSIS, CONTEXT, PRIORS, RECONSTRUCTION, SYNTHESIS, timed

Z_MV, Z = "bit_estimator_z_mv", "bit_estimator_z"
DENSITIES = (Z_MV, Z)
"""The densities of z, in the order of their rows in the stored table."""
LAPLACE_ROWS = rows_by_logarithm(0.01, 64.0, 256, 0)
GAUSSIAN_ROWS = rows_by_logarithm(SCALE_MIN, 256.0, 64, 1)
"""The I-frame model takes the next larger scale, the video model the next smaller one."""


@dataclass(frozen=True)
class TcmSizes:
    """Channels: of the motion latent, the frame latent, both z, features and contexts, and the decoder's output."""

    motion: int = 128
    latent: int = 96
    hyper: int = 64
    feature: int = 64
    decoded: int = 32
    flow: tuple[int, ...] = FLOW_WIDTHS


class TcmVideoNetwork(ConditionalNetwork):
    """Codes a P frame from the picture and the feature of the frame before."""

    encoder_only = (
        "optic_flow.",
        "mv_encoder.",
        "mv_prior_encoder.",
        "contextual_encoder.",
        "contextual_hyper_prior_encoder.",
    )
    predictors = (("mv_prior_decoder.4", False), ("contextual_entropy_parameter.4", False))

    def __init__(self, sizes: TcmSizes) -> None:
        v, m, n, c = sizes.motion, sizes.latent, sizes.hyper, sizes.feature
        self.sizes, self.num_z_channels = sizes, 2 * n
        self.optic_flow = MotionEstimation("optic_flow.moduleBasic", sizes.flow)
        steps: list[Part] = []
        for k in range(3):
            steps += [conv(f"mv_encoder.{4 * k}", v if k else 2, v, 3, 2), Gdn(f"mv_encoder.{4 * k + 1}", v)]
            steps += [Residual(f"mv_encoder.{4 * k + 2}", v), Leaky(SLOPE)]
        self.mv_encoder = Sequence(*steps, conv("mv_encoder.12", v, v, 3, 2))
        self.mv_hyper_encoder = hyper_encoder("mv_prior_encoder", v, n, 3)
        self.mv_hyper_decoder = hyper_decoder("mv_prior_decoder", n, (v, v * 3 // 2), 2 * v, 3)
        self.mv_decoder = Sequence(
            Deconv("mv_decoder.0", v, v),
            Leaky(SLOPE),
            Residual("mv_decoder.2", v),
            Gdn("mv_decoder.3", v, inverse=True),
            Deconv("mv_decoder.4", v, v),
            Gdn("mv_decoder.5", v, inverse=True),
            Deconv("mv_decoder.6", v, v),
            Gdn("mv_decoder.7", v, inverse=True),
            Deconv("mv_decoder.8", v, 2),
        )
        self.adaptor_i, self.adaptor_p = conv("feature_adaptor_I", 3, c), conv("feature_adaptor_P", c, c, 1)
        self.extractor = FeatureExtractor("feature_extractor", c)
        self.fusion = ContextFusion("context_fusion_net", c)
        self.encoder = ContextualEncoder("contextual_encoder", c, m)
        self.hyper_encoder = hyper_encoder("contextual_hyper_prior_encoder", m, n, 3)
        self.hyper_decoder = hyper_decoder("contextual_hyper_prior_decoder", n, (m, m * 3 // 2), 2 * m, 3)
        self.temporal = TemporalPriorEncoder("temporal_prior_encoder", c, m)
        wide, middle = m * 10 // 3, m * 8 // 3
        self.parameters = Sequence(
            conv("contextual_entropy_parameter.0", 4 * m, wide),
            Leaky(SMALL_SLOPE),
            conv("contextual_entropy_parameter.2", wide, middle),
            Leaky(SMALL_SLOPE),
            conv("contextual_entropy_parameter.4", middle, 2 * m),
        )
        self.decoder = ContextualDecoder("contextual_decoder", c, m, sizes.decoded)
        self.recon = Reconstruction("recon_generation_net", c, sizes.decoded)
        self.density_z, self.density_z_mv = Density(Z, n), Density(Z_MV, n)

    @timed(CONTEXT)
    def flow(self, ops: Ops, mv_y_hat: Tensor, picture: Tensor) -> Tensor:
        """Maps mv_y -> flow: 2 x Hp x Wp. The picture before plays no part."""
        return self.mv_decoder(ops, mv_y_hat)

    @timed(CONTEXT)
    def contexts(self, ops: Ops, flow: Tensor, *kept: Any) -> tuple[Tensor, ...]:
        """Maps flow, picture and feature of the frame before -> contexts of sizes 1, 1/2 and 1/4, c channels each."""
        picture, feature = kept
        half = ops.halved(flow) / 2
        quarter = ops.halved(half) / 2
        adapted = self.adaptor_i(ops, picture) if feature is None else self.adaptor_p(ops, feature)
        features = self.extractor(ops, adapted)
        warped = [ops.warp(one, own) for one, own in zip(features, (flow, half, quarter), strict=True)]
        return self.fusion(ops, *warped)

    @timed(ANALYSIS)
    def analysis(self, ops: Ops, values: Tensor, contexts: Any) -> Tensor:
        """Maps picture -> y: m x Hp/16 x Wp/16."""
        return self.encoder(ops, values, contexts)

    @timed(PRIORS)
    def prior(self, ops: Ops, z_hat: Tensor, contexts: Any) -> Tensor:
        """Maps z and contexts -> scales and means of y."""
        return self.parameters(ops, ops.concat(self.temporal(ops, contexts), self.hyper_decoder(ops, z_hat)))

    def synthesis(self, ops: Ops, y_hat: Tensor, contexts: Any) -> tuple[Tensor, ...]:
        """Maps y and contexts -> (picture in 0..1, feature)."""
        return self._picture(ops, self._decoded(ops, y_hat, contexts), contexts[0])

    @timed(SYNTHESIS)
    def _decoded(self, ops: Ops, y_hat: Tensor, contexts: Any) -> Tensor:
        return self.decoder(ops, y_hat, contexts)

    @timed(RECONSTRUCTION)
    def _picture(self, ops: Ops, decoded: Tensor, context: Tensor) -> tuple[Tensor, ...]:
        feature, picture = self.recon(ops, decoded, context)
        return ops.clamp_unit(picture), feature


class TcmRecipe(ConditionalRecipe):
    """The recipe of DCVC-TCM's frames. A P frame has one string, an I frame has two."""

    video: TcmVideoNetwork

    # As published: y stands first although z is needed first.
    i_layout = {"y": 0, "z": 1}  # noqa: RUF012
    p_layout = {"mv_z": 0, "mv_y": 0, "z": 0, "y": 0}  # noqa: RUF012

    def i_frame(self, networks: CodecNetworks, side: Side, values: Tensor | None, z_size: tuple[int, int]) -> Any:
        """Codes an I frame. Returns (picture, no feature)."""
        return self.image_of(networks, side, values, z_size), None

    def latent(self, side: Side, name: str, prior: Tensor, values: Tensor | None) -> Tensor:
        """Codes a latent with the predicted scales and means. Returns its value in the decoder."""
        scales, means = side.picked(prior)
        return side.latent(name, laplace_words(), LAPLACE_ROWS, scales, means, values)


def laplace_words() -> WordTable:
    """Returns the normative Laplace table, 256 rows."""
    table = laplace_scales().table
    return WordTable.of_rows(table, 0, table.num_rows)
