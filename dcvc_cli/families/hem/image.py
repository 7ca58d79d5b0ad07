"""The image network of DCVC-HEM. Source: DCVC-HEM (ACM MM 2022).

The picture is 3 x Hp x Wp, R G B in 0..1; both sides are multiples of 64. y and z are on the 1/16 and the 1/64 grid.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dcvc_cli.families.hem.blocks import (
    UNet,
    analysis_layers,
    chain,
    hyper_analysis_layers,
    hyper_synthesis_layers,
    synthesis_layers,
)
from dcvc_cli.families.wide_latents.blocks import conv
from dcvc_cli.families.wide_latents.quality import NUM_ANCHORS
from dcvc_cli.families.wide_latents.sides import SMALLEST_STEP
from dcvc_cli.graph.blocks import BitEstimator, ScaleVector, Shape, Tensor, layer_shapes
from dcvc_cli.stages import ANALYSIS, HYPER, PRIORS, SYNTHESIS, timed

if TYPE_CHECKING:
    from dcvc_cli.backend.float_torch import FloatOperations

ESTIMATOR = "bit_estimator_z."


@dataclass(frozen=True)
class HemImageSizes:
    """Sizes of the image network.

    Attributes:
        latents: channels of y, z and the layers between.
        features: channels of the picture before refinement.
        unet: widths of its UNet at full, half and quarter size.
    """

    latents: int = 192
    features: int = 16
    unet: tuple[int, int, int] = (32, 64, 128)


class HemImageNetwork:
    """All layers of the image network. The methods are the steps of a picture."""

    encoder_only: tuple[str, ...] = ("enc.", "hyper_enc.", "q_scale")
    num_qps = 1

    def __init__(self, sizes: HemImageSizes) -> None:
        n = sizes.latents
        self.sizes, self.num_z_channels = sizes, n
        self.q_basic, self.q_scale = ScaleVector("q_basic", 1, n), ScaleVector("q_scale", NUM_ANCHORS, 1)
        self.estimator = BitEstimator("bit_estimator_z", 1, n)
        self.encoder = analysis_layers("enc", 3, n)
        self.decoder = synthesis_layers("dec", n, sizes.features)
        self.refine_net = UNet("refine.0", sizes.features, sizes.features, sizes.unet)
        self.refine_last = conv("refine.1", sizes.features, 3)
        self.hyper_encoder = hyper_analysis_layers("hyper_enc", n, n)
        self.hyper_decoder = hyper_synthesis_layers("hyper_dec", n, n)
        self.fusion = chain("y_prior_fusion", 2 * n, 3 * n, 3 * n, 3 * n)
        self.spatial = chain("y_spatial_prior", 4 * n, 3 * n, 3 * n, 2 * n)

    def shapes(self) -> Iterator[tuple[str, Shape]]:
        """Yields names and shapes of the state dict."""
        return layer_shapes(self)

    def decoder_shapes(self) -> Iterator[tuple[str, Shape]]:
        """Yields names and shapes of the parameters that a decoder uses."""
        return ((key, shape) for key, shape in self.shapes() if not key.startswith((*self.encoder_only, ESTIMATOR)))

    def steps(self, ops: "FloatOperations", scale: Any) -> Tensor:
        """Returns the quantiser step of every channel of y at a rate's scale."""
        return ops.at_least(ops.parameters["q_basic"], SMALLEST_STEP) * scale

    @timed(ANALYSIS)
    def analysis(self, ops: "FloatOperations", picture: Tensor) -> Tensor:
        """Maps picture -> y, before the division by its steps."""
        return self.encoder(ops, picture)

    @timed(HYPER)
    def hyper_analysis(self, ops: "FloatOperations", y: Tensor) -> Tensor:
        """Maps y -> z."""
        return self.hyper_encoder(ops, y)

    @timed(PRIORS)
    def prediction(self, ops: "FloatOperations", z_hat: Tensor) -> Tensor:
        """Maps z -> steps, scales and means of y."""
        return self.fusion(ops, self.hyper_decoder(ops, z_hat))

    @timed(PRIORS)
    def spatial_prior(self, ops: "FloatOperations", known: Tensor) -> Tensor:
        """Elements known after the first step -> scales and means of the second."""
        return self.spatial(ops, known)

    @timed(SYNTHESIS)
    def synthesis(self, ops: "FloatOperations", y_hat: Tensor) -> Tensor:
        """Maps y, multiplied by its steps -> picture 3 x Hp x Wp in 0..1."""
        return ops.clamp_unit(self.refine_last(ops, self.refine_net(ops, self.decoder(ops, y_hat))))
