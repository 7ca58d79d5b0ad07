"""The video network of DCVC-HEM. Source: DCVC-HEM (ACM MM 2022).

Pictures are 3 x Hp x Wp, R G B in 0..1; both sides are multiples of 64. Latents of motion and of the picture are on the
1/16 grid, their hyper-latents on the 1/64 grid. Contexts have full, half and quarter size.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dcvc_cli.families.float_codec.motion import FLOW_WIDTHS
from dcvc_cli.families.hem.blocks import (
    UNet,
    analysis_layers,
    chain,
    hyper_analysis_layers,
    hyper_synthesis_layers,
    synthesis_layers,
)
from dcvc_cli.families.hem.motion import MotionNetwork
from dcvc_cli.families.wide_latents.blocks import SLOPE, SMALL_SLOPE, Leaky, Residual, bottleneck, conv
from dcvc_cli.families.wide_latents.quality import NUM_ANCHORS
from dcvc_cli.families.wide_latents.sides import SMALLEST_STEP
from dcvc_cli.graph.blocks import BitEstimator, Conv, ScaleVector, Sequence, Shape, SubPixelConv, Tensor, layer_shapes
from dcvc_cli.stages import ANALYSIS, CONTEXT, HYPER, MOTION, PRIORS, RECONSTRUCTION, SYNTHESIS, timed

if TYPE_CHECKING:
    from dcvc_cli.backend.float_torch import FloatOperations

MOTION_CHANNELS = 2
ESTIMATORS = ("bit_estimator_z", "bit_estimator_z_mv")
"""Density estimators of z and of motion's z, in the order of the rows of the table of z."""
ESTIMATORS_OF = {"image": ("bit_estimator_z",), "video": ESTIMATORS}
"""Density estimators of each network of a model."""
Contexts = tuple[Tensor, Tensor, Tensor]


@dataclass(frozen=True)
class HemVideoSizes:
    """Sizes of the video network.

    Attributes:
        features: channels of features, contexts and both hyper-latents.
        motion: channels of the latents of motion.
        latents: channels of y.
        tail: channels that the decoder hands to the reconstruction.
        unet: widths of its UNets.
        flow: channels between the layers of motion estimation.
    """

    features: int = 64
    motion: int = 64
    latents: int = 96
    tail: int = 32
    unet: tuple[int, int, int] = (32, 64, 128)
    flow: tuple[int, ...] = FLOW_WIDTHS


class ContextNetwork:
    """Makes the contexts: features of the reference at three sizes, warped by the flow and fused."""

    def __init__(self, n: int) -> None:
        name = "feature_extractor"
        self.extract = [
            (conv(f"{name}.conv{k}", n, n, stride=1 if k == 1 else 2), Residual(f"{name}.res_block{k}", n, before=True))
            for k in (1, 2, 3)
        ]
        name = "context_fusion_net"
        self.up3 = Sequence(
            SubPixelConv(f"{name}.conv3_up.0", n, n, kernel=3), Residual(f"{name}.res_block3_up", n, before=True)
        )
        self.out3 = Sequence(conv(f"{name}.conv3_out", n, n), Residual(f"{name}.res_block3_out", n, before=True))
        self.up2 = Sequence(
            SubPixelConv(f"{name}.conv2_up.0", 2 * n, n, kernel=3), Residual(f"{name}.res_block2_up", n, before=True)
        )
        self.out2 = Sequence(conv(f"{name}.conv2_out", 2 * n, n), Residual(f"{name}.res_block2_out", n, before=True))
        self.out1 = Sequence(conv(f"{name}.conv1_out", 2 * n, n), Residual(f"{name}.res_block1_out", n, before=True))
        self.extractor = Sequence(*(layer for pair in self.extract for layer in pair))

    def shapes(self) -> Iterator[tuple[str, Shape]]:
        return layer_shapes(self)

    def __call__(self, ops: "FloatOperations", features: Tensor, flow: Tensor) -> Contexts:
        warped = []
        for number, (layer, block) in enumerate(self.extract):
            features = block(ops, layer(ops, features))
            if number:
                flow = ops.halved(flow) / 2
            warped.append(ops.warp(features, flow))
        full, half, quarter = warped
        up = self.up3(ops, quarter)
        upper = self.up2(ops, ops.concat(up, half))
        return (
            full + self.out1(ops, ops.concat(upper, full)),
            half + self.out2(ops, ops.concat(up, half)),
            quarter + self.out3(ops, quarter),
        )


class HemVideoNetwork:
    """All layers of the video network. The methods are the steps of a P frame, in the order of coding."""

    encoder_only: tuple[str, ...] = (
        "optic_flow.",
        "mv_encoder.",
        "mv_hyper_prior_encoder.",
        "contextual_encoder.",
        "contextual_hyper_prior_encoder.",
        "mv_y_q_scale",
        "y_q_scale",
    )
    num_qps = 1

    def __init__(self, sizes: HemVideoSizes) -> None:
        n, m, y = sizes.features, sizes.motion, sizes.latents
        self.sizes, self.num_z_channels = sizes, 2 * n
        self.scales = Sequence(
            ScaleVector("mv_y_q_basic", 1, m),
            ScaleVector("mv_y_q_scale", NUM_ANCHORS, 1),
            ScaleVector("y_q_basic", 1, y),
            ScaleVector("y_q_scale", NUM_ANCHORS, 1),
            *(BitEstimator(name, 1, n) for name in ESTIMATORS),
        )
        self.motion = MotionNetwork("optic_flow", sizes.flow)
        self.mv_encoder = analysis_layers("mv_encoder", MOTION_CHANNELS, m)
        self.mv_decoder = synthesis_layers("mv_decoder", m, MOTION_CHANNELS)
        self.mv_hyper_encoder = hyper_analysis_layers("mv_hyper_prior_encoder", m, n)
        self.mv_hyper_decoder = hyper_synthesis_layers("mv_hyper_prior_decoder", n, m)
        self.mv_fusion = chain("mv_y_prior_fusion", 3 * m, 3 * m, 3 * m, 3 * m)
        self.mv_spatial = chain("mv_y_spatial_prior", 4 * m, 3 * m, 3 * m, 2 * m)
        self.adaptor_i = conv("feature_adaptor_I", 3, n)
        self.adaptor_p = Conv("feature_adaptor_P", n, n)
        self.contexts = ContextNetwork(n)
        name = "contextual_encoder"
        self.encode1 = conv(f"{name}.conv1", n + 3, n, stride=2)
        self.encode2 = Sequence(bottleneck(f"{name}.res1", 2 * n), conv(f"{name}.conv2", 2 * n, n, stride=2))
        self.encode3 = Sequence(
            bottleneck(f"{name}.res2", 2 * n),
            conv(f"{name}.conv3", 2 * n, n, stride=2),
            conv(f"{name}.conv4", n, y, stride=2),
        )
        name = "contextual_hyper_prior_encoder"
        leaky = Leaky(SMALL_SLOPE)
        hyper = conv(f"{name}.0", y, n), leaky, conv(f"{name}.2", n, n, stride=2), leaky
        self.hyper_encoder = Sequence(*hyper, conv(f"{name}.4", n, n, stride=2))
        self.hyper_decoder = hyper_synthesis_layers("contextual_hyper_prior_decoder", n, y)
        name = "temporal_prior_encoder"
        first = conv(f"{name}.0", n, 3 * y // 2, stride=2)
        self.temporal = Sequence(first, Leaky(SLOPE), conv(f"{name}.2", 3 * y // 2, 2 * y, stride=2))
        self.fusion = chain("y_prior_fusion", 5 * y, 4 * y, 3 * y, 3 * y)
        self.spatial = chain("y_spatial_prior", 4 * y, 3 * y, 3 * y, 2 * y)
        name = "contextual_decoder"
        self.decode1 = Sequence(
            SubPixelConv(f"{name}.up1.0", y, n, kernel=3), SubPixelConv(f"{name}.up2.0", n, n, kernel=3)
        )
        self.decode2 = Sequence(bottleneck(f"{name}.res1", 2 * n), SubPixelConv(f"{name}.up3.0", 2 * n, n, kernel=3))
        self.decode3 = Sequence(
            bottleneck(f"{name}.res2", 2 * n), SubPixelConv(f"{name}.up4.0", 2 * n, sizes.tail, kernel=3)
        )
        name = "recon_generation_net"
        unets = (UNet(f"{name}.unet_{k}", n, n, sizes.unet) for k in (1, 2))
        self.generate = Sequence(conv(f"{name}.first_conv", n + sizes.tail, n), *unets)
        self.last = conv(f"{name}.recon_conv", n, 3)

    def shapes(self) -> Iterator[tuple[str, Shape]]:
        """Yields names and shapes of the state dict."""
        return layer_shapes(self)

    def decoder_shapes(self) -> Iterator[tuple[str, Shape]]:
        """Yields names and shapes of the parameters that a decoder uses."""
        left_out = (*self.encoder_only, "bit_estimator_")
        return ((key, shape) for key, shape in self.shapes() if not key.startswith(left_out))

    def motion_steps(self, ops: "FloatOperations", scale: Any) -> Tensor:
        """Returns the quantiser step of every channel of motion at a rate's scale."""
        return ops.at_least(ops.parameters["mv_y_q_basic"], SMALLEST_STEP) * scale

    def steps(self, ops: "FloatOperations", scale: Any) -> Tensor:
        """Returns the quantiser step of every channel of y at a rate's scale."""
        return ops.at_least(ops.parameters["y_q_basic"], SMALLEST_STEP) * scale

    @timed(MOTION)
    def motion_analysis(self, ops: "FloatOperations", picture: Tensor, reference: Tensor) -> Tensor:
        """Maps picture and reference -> latents of motion, before the division by their steps."""
        return self.mv_encoder(ops, self.motion(ops, picture, reference))

    @timed(HYPER)
    def motion_hyper_analysis(self, ops: "FloatOperations", y: Tensor) -> Tensor:
        """Latents of motion -> their z."""
        return self.mv_hyper_encoder(ops, y)

    @timed(PRIORS)
    def motion_prediction(self, ops: "FloatOperations", z_hat: Tensor, before: Tensor | None) -> Tensor:
        """Maps z and the latents of motion of the frame before, if any -> steps, scales and means."""
        hyper = self.mv_hyper_decoder(ops, z_hat)
        return self.mv_fusion(ops, ops.concat(hyper, _or_zeros(before, hyper, self.sizes.motion)))

    @timed(PRIORS)
    def motion_spatial_prior(self, ops: "FloatOperations", known: Tensor) -> Tensor:
        """Elements known after the first step -> scales and means of the second."""
        return self.mv_spatial(ops, known)

    @timed(CONTEXT)
    def flow(self, ops: "FloatOperations", motion: Tensor) -> Tensor:
        """Latents of motion -> flow, 2 x Hp x Wp."""
        return self.mv_decoder(ops, motion)

    @timed(CONTEXT)
    def contexts_of(self, ops: "FloatOperations", reference: Tensor, feature: Tensor | None, flow: Tensor) -> Contexts:
        """Makes contexts of the reference's feature, or of its picture if there is no feature, along the flow."""
        features = self.adaptor_i(ops, reference) if feature is None else self.adaptor_p(ops, feature)
        return self.contexts(ops, features, flow)

    @timed(ANALYSIS)
    def analysis(self, ops: "FloatOperations", picture: Tensor, contexts: Contexts) -> Tensor:
        """Maps picture and contexts -> y, before the division by its steps."""
        full, half, quarter = contexts
        t = self.encode1(ops, ops.concat(picture, full))
        t = self.encode2(ops, ops.concat(t, half))
        return self.encode3(ops, ops.concat(t, quarter))

    @timed(HYPER)
    def hyper_analysis(self, ops: "FloatOperations", y: Tensor) -> Tensor:
        """Maps y -> z."""
        return self.hyper_encoder(ops, y)

    @timed(PRIORS)
    def prediction(self, ops: "FloatOperations", z_hat: Tensor, contexts: Contexts, before: Tensor | None) -> Tensor:
        """Maps z, the context and y of the frame before, if any -> steps, scales and means."""
        hyper = self.hyper_decoder(ops, z_hat)
        temporal = self.temporal(ops, contexts[2])
        return self.fusion(ops, ops.concat(temporal, hyper, _or_zeros(before, hyper, self.sizes.latents)))

    @timed(PRIORS)
    def spatial_prior(self, ops: "FloatOperations", known: Tensor) -> Tensor:
        """Elements known after the first step -> scales and means of the second."""
        return self.spatial(ops, known)

    @timed(SYNTHESIS)
    def synthesis(self, ops: "FloatOperations", y_hat: Tensor, contexts: Contexts) -> Tensor:
        """Maps y, multiplied by its steps, and contexts -> feature, the next frame's reference."""
        full, half, quarter = contexts
        t = self.decode2(ops, ops.concat(self.decode1(ops, y_hat), quarter))
        t = self.decode3(ops, ops.concat(t, half))
        return self.generate(ops, ops.concat(t, full))

    @timed(RECONSTRUCTION)
    def reconstruction(self, ops: "FloatOperations", feature: Tensor) -> Tensor:
        """Maps feature -> picture 3 x Hp x Wp in 0..1."""
        return ops.clamp_unit(self.last(ops, feature))


def _or_zeros(value: Tensor | None, like: Tensor, channels: int) -> Tensor:
    return like.new_zeros((like.shape[0], channels, *like.shape[2:])) if value is None else value
