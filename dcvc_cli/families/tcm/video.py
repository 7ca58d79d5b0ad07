"""The video network of DCVC-TCM and the recipe of its frames. Source: DCVC-TCM (2022)."""

from dataclasses import dataclass
from typing import Any

from dcvc_cli.codec.networks import CodecNetworks
from dcvc_cli.entropy.tables import CdfTable
from dcvc_cli.families.float_codec.anchor import AnchorNetwork
from dcvc_cli.families.float_codec.coder import WordTable
from dcvc_cli.families.float_codec.hyper_layers import hyper_decoder, hyper_encoder
from dcvc_cli.families.float_codec.layers import (
    Activation,
    Deconv,
    Density,
    FloatNetwork,
    Gdn,
    Ops,
    Residual,
    Tensor,
    conv,
)
from dcvc_cli.families.float_codec.motion import FLOW_WIDTHS, MotionEstimation, warp
from dcvc_cli.families.float_codec.sequences import FrameRecipe
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
from dcvc_cli.families.wide_latents.tables import laplace_scales
from dcvc_cli.graph.blocks import Sequence
from dcvc_cli.stages import ANALYSIS, CONTEXT, HYPER, PRIORS, RECONSTRUCTION, SYNTHESIS, timed

Z_MV, Z = "bit_estimator_z_mv", "bit_estimator_z"
DENSITIES = (Z_MV, Z)
"""The densities of z, in the order of their rows in the stored table."""
LAPLACE_ROWS = rows_by_logarithm(0.01, 64.0, 256, 0)
GAUSSIAN_ROWS = rows_by_logarithm(0.11, 256.0, 64, 1)
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


class TcmVideoNetwork(FloatNetwork):
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
        steps = []
        for k in range(3):
            steps += [conv(f"mv_encoder.{4 * k}", v if k else 2, v, 3, 2), Gdn(f"mv_encoder.{4 * k + 1}", v)]
            steps += [Residual(f"mv_encoder.{4 * k + 2}", v), Activation(0.1)]
        self.mv_encoder = Sequence(*steps, conv("mv_encoder.12", v, v, 3, 2))
        self.mv_prior_encoder = hyper_encoder("mv_prior_encoder", v, n, 3)
        self.mv_prior_decoder = hyper_decoder("mv_prior_decoder", n, (v, v * 3 // 2), 2 * v, 3)
        self.mv_decoder = Sequence(
            Deconv("mv_decoder.0", v, v),
            Activation(0.1),
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
            Activation(),
            conv("contextual_entropy_parameter.2", wide, middle),
            Activation(),
            conv("contextual_entropy_parameter.4", middle, 2 * m),
        )
        self.decoder = ContextualDecoder("contextual_decoder", c, m, sizes.decoded)
        self.recon = Reconstruction("recon_generation_net", c, sizes.decoded)
        self.density_z, self.density_z_mv = Density(Z, n), Density(Z_MV, n)

    @timed(ANALYSIS)
    def motion_analysis(self, ops: Ops, flow: Tensor) -> Tensor:
        """Flow -> mv_y: v x Hp/16 x Wp/16."""
        return self.mv_encoder(ops, flow)

    @timed(HYPER)
    def motion_hyper_analysis(self, ops: Ops, mv_y: Tensor) -> Tensor:
        """mv_y -> mv_z: n x Hp/64 x Wp/64."""
        return self.mv_prior_encoder(ops, mv_y)

    @timed(PRIORS)
    def motion_prior(self, ops: Ops, mv_z_hat: Tensor) -> Tensor:
        """mv_z -> scales and means of mv_y."""
        return self.mv_prior_decoder(ops, mv_z_hat)

    @timed(CONTEXT)
    def flow(self, ops: Ops, mv_y_hat: Tensor) -> Tensor:
        """mv_y -> flow, 2 x Hp x Wp."""
        return self.mv_decoder(ops, mv_y_hat)

    @timed(CONTEXT)
    def contexts(self, ops: Ops, flow: Tensor, picture: Tensor, feature: Tensor | None) -> tuple[Tensor, ...]:
        """Contexts of sizes 1, 1/2 and 1/4, c channels each."""
        from torch.nn.functional import avg_pool2d

        half = avg_pool2d(flow, 2) / 2
        quarter = avg_pool2d(half, 2) / 2
        adapted = self.adaptor_i(ops, picture) if feature is None else self.adaptor_p(ops, feature)
        features = self.extractor(ops, adapted)
        warped = [warp(one, own) for one, own in zip(features, (flow, half, quarter), strict=True)]
        return self.fusion(ops, *warped)

    @timed(ANALYSIS)
    def analysis(self, ops: Ops, values: Tensor, contexts: Any) -> Tensor:
        """Picture -> y: m x Hp/16 x Wp/16."""
        return self.encoder(ops, values, contexts)

    @timed(HYPER)
    def hyper_analysis(self, ops: Ops, y: Tensor) -> Tensor:
        """y -> z: n x Hp/64 x Wp/64."""
        return self.hyper_encoder(ops, y)

    @timed(PRIORS)
    def prior(self, ops: Ops, z_hat: Tensor, contexts: Any) -> Tensor:
        """z and contexts -> scales and means of y."""
        return self.parameters(ops, ops.concat(self.temporal(ops, contexts), self.hyper_decoder(ops, z_hat)))

    @timed(SYNTHESIS)
    def synthesis(self, ops: Ops, y_hat: Tensor, contexts: Any) -> Tensor:
        """y and contexts -> d x Hp x Wp."""
        return self.decoder(ops, y_hat, contexts)

    @timed(RECONSTRUCTION)
    def reconstruction(self, ops: Ops, decoded: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        """(picture in 0..1, feature)."""
        feature, picture = self.recon(ops, decoded, context)
        return ops.clamp_unit(picture), feature


class TcmRecipe(FrameRecipe):
    """How frames of DCVC-TCM are coded: one string a P frame, two an I frame."""

    i_layout = {"y": 0, "z": 1}  # noqa: RUF012  as published: y stands first although z is needed first
    p_layout = {"mv_z": 0, "mv_y": 0, "z": 0, "y": 0}  # noqa: RUF012

    def __init__(self, image: AnchorNetwork, video: TcmVideoNetwork) -> None:
        self.image, self.video = image, video

    def i_frame(self, networks: CodecNetworks, side: Side, values: Tensor | None, z_size: tuple[int, int]) -> Any:
        """(picture, no feature)."""
        table = WordTable.of_rows(networks["image"].z_table, 0, self.image.n)
        return self.image.code(side.ops, side, values, table, z_size), None

    def motion(
        self, side: Side, z_table: WordTable | None, values: Tensor | None, z_size: tuple[int, int], kept: Any
    ) -> Tensor:
        """From the picture before."""
        video, ops, (picture, _) = self.video, side.ops, kept
        mv_y = side.analysis(lambda: video.motion_analysis(ops, video.optic_flow(ops, values, picture)))
        mv_z = side.analysis(lambda: video.motion_hyper_analysis(ops, mv_y))
        mv_z_hat = side.hyper("mv_z", z_table, mv_z, z_size)
        scales, means = side.picked(video.motion_prior(ops, mv_z_hat))
        return video.flow(ops, side.latent("mv_y", laplace_words(), LAPLACE_ROWS, scales, means, mv_y))

    def picture(
        self,
        side: Side,
        z_table: WordTable | None,
        values: Tensor | None,
        z_size: tuple[int, int],
        kept: Any,
        flow: Tensor,
    ) -> Any:
        """(picture, feature)."""
        video, ops, (picture, feature) = self.video, side.ops, kept
        contexts = video.contexts(ops, flow, picture, feature)
        y = side.analysis(lambda: video.analysis(ops, values, contexts))
        z = side.analysis(lambda: video.hyper_analysis(ops, y))
        z_hat = side.hyper("z", z_table, z, z_size)
        scales, means = side.picked(video.prior(ops, z_hat, contexts))
        y_hat = side.latent("y", laplace_words(), LAPLACE_ROWS, scales, means, y)
        return video.reconstruction(ops, video.synthesis(ops, y_hat, contexts), contexts[0])

    def z_tables(self, stored: CdfTable) -> tuple[WordTable, WordTable]:
        """Tables of mv_z and of z."""
        count = self.video.sizes.hyper
        return WordTable.of_rows(stored, 0, count), WordTable.of_rows(stored, count, count)


def laplace_words() -> WordTable:
    """The normative Laplace table, 256 rows."""
    table = laplace_scales().table
    return WordTable.of_rows(table, 0, table.num_rows)
