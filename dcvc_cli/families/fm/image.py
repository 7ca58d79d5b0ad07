"""The image network of DCVC-FM. Source: DCVC-FM (CVPR 2024)."""

from typing import TYPE_CHECKING

from dcvc_cli.backend.operations import Tensor
from dcvc_cli.families.diverse_contexts.blocks import DepthBlock, Form, StridedResidual, UNet
from dcvc_cli.families.diverse_contexts.recipe import ImageNetwork, ImageParameters
from dcvc_cli.families.diverse_contexts.sizes import ImageSizes
from dcvc_cli.families.wide_latents.blocks import SMALL_SLOPE, Leaky, UpBlock, conv
from dcvc_cli.graph.blocks import BitEstimator, Conv, Qp, ScaleVector, Sequence
from dcvc_cli.stages import ANALYSIS, PRIORS, SYNTHESIS, timed

if TYPE_CHECKING:
    from dcvc_cli.backend.float_torch import FloatOperations

NUM_QUALITIES = 64


class FmImageNetwork(ImageNetwork):
    """The graph of the network. The backend holds the parameters."""

    encoder_only: tuple[str, ...] = ("enc.", "hyper_enc.", "q_scale_enc")

    def __init__(self, sizes: ImageSizes) -> None:
        self.sizes, self.num_z = sizes, sizes.hyper
        latent, hyper, width, inner, last = sizes.latent, sizes.hyper, sizes.width, sizes.inner, sizes.last
        self.q_scale_enc = ScaleVector("q_scale_enc", NUM_QUALITIES, width)
        self.q_scale_dec = ScaleVector("q_scale_dec", NUM_QUALITIES, width)
        self.bit_estimator_z = BitEstimator("bit_estimator_z", NUM_QUALITIES, hyper)
        self.enc_1 = Sequence(StridedResidual("enc.enc_1.0", 3, width), DepthBlock("enc.enc_1.1", Form.PRODUCT, width))
        self.enc_2 = Sequence(
            StridedResidual("enc.enc_2.0", width, inner),
            DepthBlock("enc.enc_2.1", Form.PRODUCT, inner),
            StridedResidual("enc.enc_2.2", inner, latent),
            DepthBlock("enc.enc_2.3", Form.PRODUCT, latent),
            conv("enc.enc_2.4", latent, latent, stride=2),
        )
        self.hyper_enc = Sequence(
            DepthBlock("hyper_enc.0", Form.ADDED, latent, hyper),
            conv("hyper_enc.1", hyper, hyper, stride=2),
            Leaky(SMALL_SLOPE),
            conv("hyper_enc.3", hyper, hyper, stride=2),
        )
        self.hyper_dec = Sequence(
            UpBlock("hyper_dec.0", hyper, hyper),
            UpBlock("hyper_dec.1", hyper, hyper),
            DepthBlock("hyper_dec.2", Form.ADDED, hyper, latent),
        )
        self.fusion = Sequence(
            DepthBlock("y_prior_fusion.0", Form.ADDED, latent, 2 * latent),
            DepthBlock("y_prior_fusion.1", Form.ADDED, 2 * latent, 2 * latent + 2),
        )
        self.reduction = Conv("y_spatial_prior_reduction", 2 * latent + 2, latent)
        self.adaptors = Sequence(
            *(DepthBlock(f"y_spatial_prior_adaptor_{step}", Form.GATED, 2 * latent) for step in (1, 2, 3))
        )
        self.spatial = Sequence(*(DepthBlock(f"y_spatial_prior.{k}", Form.GATED, 2 * latent) for k in range(3)))
        self.dec_1 = Sequence(
            DepthBlock("dec.dec_1.0", Form.PRODUCT, latent),
            UpBlock("dec.dec_1.1", latent, latent),
            DepthBlock("dec.dec_1.2", Form.PRODUCT, latent),
            UpBlock("dec.dec_1.3", latent, inner),
            DepthBlock("dec.dec_1.4", Form.PRODUCT, inner),
            UpBlock("dec.dec_1.5", inner, width),
        )
        self.dec_2 = Sequence(DepthBlock("dec.dec_2.0", Form.PRODUCT, width), UpBlock("dec.dec_2.1", width, last))
        self.refine = Sequence(
            UNet("refine.0", Form.GATED, last, last, sizes.unet, is_learned=True), conv("refine.1", last, 3)
        )

    @property
    def num_qps(self) -> int:
        """Returns the number of qualities: vectors and the table of z have rows for each."""
        return NUM_QUALITIES

    @timed(ANALYSIS)
    def analysis(self, ops: "FloatOperations", picture: Tensor, quality: Qp) -> Tensor:
        """Maps picture -> y. Encoder only."""
        return self.enc_2(ops, self.q_scale_enc(ops, self.enc_1(ops, picture), quality))

    @timed(PRIORS)
    def parameters(self, ops: "FloatOperations", z_hat: Tensor, latent_size: tuple[int, int]) -> ImageParameters:
        """Predicts one step size for the encoder and one for the decoder at each place, and scales and means."""
        latent = self.sizes.latent
        found = ops.crop(self.fusion(ops, self.hyper_dec(ops, z_hat)), latent_size)
        inverse, step_size, scales, means = ops.split(found, (1, 1, latent, latent))
        common = self.reduction(ops, found)
        return ImageParameters(ops.half_to_two(inverse), ops.half_to_two(step_size), scales, means, common)

    @timed(SYNTHESIS)
    def synthesis(self, ops: "FloatOperations", y_hat: Tensor, quality: Qp) -> Tensor:
        """Maps y_hat -> picture."""
        inner = self.q_scale_dec(ops, self.dec_1(ops, y_hat), quality)
        return ops.clamp_unit(self.refine(ops, self.dec_2(ops, inner)))
