"""The image network of DCVC-DC. Source: DCVC-DC (CVPR 2023)."""

from typing import TYPE_CHECKING

from dcvc_cli.backend.operations import Tensor
from dcvc_cli.families.dc.factors import factor, quality_factors
from dcvc_cli.families.diverse_contexts.blocks import DepthBlock, Form, UNet
from dcvc_cli.families.diverse_contexts.recipe import ImageNetwork, ImageParameters
from dcvc_cli.families.diverse_contexts.sizes import ImageSizes
from dcvc_cli.families.wide_latents.blocks import SMALL_SLOPE, DownBlock, Leaky, UpBlock, conv
from dcvc_cli.graph.blocks import BitEstimator, Conv, Qp, Sequence
from dcvc_cli.stages import ANALYSIS, PRIORS, SYNTHESIS, timed

if TYPE_CHECKING:
    from dcvc_cli.backend.float_torch import FloatOperations


class DcImageNetwork(ImageNetwork):
    """The graph of the network. The backend holds the parameters."""

    encoder_only: tuple[str, ...] = ("enc.", "hyper_enc.", "q_basic_enc", "q_scale_enc")

    def __init__(self, sizes: ImageSizes) -> None:
        self.sizes, self.num_z = sizes, sizes.latent
        latent, width, inner, last = sizes.latent, sizes.width, sizes.inner, sizes.last
        form = Form.GATED
        self.q = Sequence(quality_factors("", "enc", width), quality_factors("", "dec", width))
        self.bit_estimator_z = BitEstimator("bit_estimator_z", 1, latent)
        self.enc_1 = Sequence(DownBlock("enc.enc_1.0", 3, width), DepthBlock("enc.enc_1.1", form, width))
        self.enc_2 = Sequence(
            DownBlock("enc.enc_2.0", width, inner),
            DepthBlock("enc.enc_2.1", form, inner),
            DownBlock("enc.enc_2.2", inner, latent),
            DepthBlock("enc.enc_2.3", form, latent),
            conv("enc.enc_2.4", latent, latent, stride=2),
        )
        self.hyper_enc = Sequence(
            DepthBlock("hyper_enc.0", form, latent),
            conv("hyper_enc.1", latent, latent, stride=2),
            Leaky(SMALL_SLOPE),
            conv("hyper_enc.3", latent, latent, stride=2),
        )
        self.hyper_dec = Sequence(
            UpBlock("hyper_dec.0", latent, latent),
            UpBlock("hyper_dec.1", latent, latent),
            DepthBlock("hyper_dec.2", form, latent),
        )
        self.fusion = Sequence(
            DepthBlock("y_prior_fusion.0", form, latent, 2 * latent),
            DepthBlock("y_prior_fusion.1", form, 2 * latent, 3 * latent),
        )
        self.adaptors = Sequence(
            *(Conv(f"y_spatial_prior_adaptor_{step}", 4 * latent, 3 * latent) for step in (1, 2, 3))
        )
        self.spatial = Sequence(
            DepthBlock("y_spatial_prior.0", form, 3 * latent),
            DepthBlock("y_spatial_prior.1", form, 3 * latent, 2 * latent),
            DepthBlock("y_spatial_prior.2", form, 2 * latent),
        )
        self.dec_1 = Sequence(
            DepthBlock("dec.dec_1.0", form, latent),
            UpBlock("dec.dec_1.1", latent, latent),
            DepthBlock("dec.dec_1.2", form, latent),
            UpBlock("dec.dec_1.3", latent, inner),
            DepthBlock("dec.dec_1.4", form, inner),
            UpBlock("dec.dec_1.5", inner, width),
        )
        self.dec_2 = Sequence(DepthBlock("dec.dec_2.0", form, width), UpBlock("dec.dec_2.1", width, last))
        self.refine = Sequence(UNet("refine.0", form, last, last, sizes.unet), conv("refine.1", last, 3))

    @property
    def num_qps(self) -> int:
        """Returns 1: all qualities have the same table of z."""
        return 1

    @timed(ANALYSIS)
    def analysis(self, ops: "FloatOperations", picture: Tensor, quality: Qp) -> Tensor:
        """Maps picture -> y. Encoder only."""
        return self.enc_2(ops, self.enc_1(ops, picture) * factor(ops, "", "enc", quality))

    @timed(PRIORS)
    def parameters(self, ops: "FloatOperations", z_hat: Tensor, latent_size: tuple[int, int]) -> ImageParameters:
        """Predicts a step size, a scale and a mean for each latent."""
        latent = self.sizes.latent
        found = ops.crop(self.fusion(ops, self.hyper_dec(ops, z_hat)), latent_size)
        step_size, scales, means = ops.split(found, (latent, latent, latent))
        step_size = ops.clamp_step_size(step_size)
        return ImageParameters(ops.reciprocal(step_size), step_size, scales, means, found)

    @timed(SYNTHESIS)
    def synthesis(self, ops: "FloatOperations", y_hat: Tensor, quality: Qp) -> Tensor:
        """Maps y_hat -> picture."""
        inner = self.dec_1(ops, y_hat) * factor(ops, "", "dec", quality)
        return ops.clamp_unit(self.refine(ops, self.dec_2(ops, inner)))
