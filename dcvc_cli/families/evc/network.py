"""The network of EVC: an image codec with encoders and decoders of three sizes. Source: EVC (ICLR 2023).

The picture is 3 x Hp x Wp, R G B in 0..1; both sides are multiples of 64. y and z have 192 channels on the 1/16 and the
1/64 grid.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dcvc_cli.families.evc.blocks import MainBlock, PriorBlock, PriorUpBlock
from dcvc_cli.families.wide_latents.blocks import SMALL_SLOPE, DownBlock, UpBlock
from dcvc_cli.families.wide_latents.quality import NUM_ANCHORS
from dcvc_cli.families.wide_latents.sides import SMALLEST_STEP
from dcvc_cli.graph.blocks import BitEstimator, Conv, ScaleVector, Sequence, Shape, Tensor, decoder_shapes, layer_shapes
from dcvc_cli.stages import ANALYSIS, HYPER, PRIORS, SYNTHESIS, timed

if TYPE_CHECKING:
    from dcvc_cli.backend.float_torch import FloatOperations

LARGE, MEDIUM, SMALL, TINY = (192, 192, 192), (128, 128, 192), (64, 64, 128), (8, 8, 8)
"""Widths on the 1/2, 1/4 and 1/8 grids. TINY is for tests."""
Widths = tuple[int, int, int]


@dataclass(frozen=True)
class EvcSizes:
    """Sizes of a model.

    Attributes:
        encoder, decoder: widths of encoder and decoder.
        num_encoders: number of encoders whose latents are averaged; 1 unless the model is scalable.
        latents: channels of y and z.
    """

    encoder: Widths
    decoder: Widths
    num_encoders: int = 1
    latents: int = 192


class EvcEncoder:
    """Analysis: 3 x Hp x Wp -> y on the 1/16 grid."""

    def __init__(self, name: str, widths: Widths, latents: int) -> None:
        first, second, third = widths
        self.layers = Sequence(
            DownBlock(f"{name}.0", 3, first),
            MainBlock(f"{name}.1", first),
            DownBlock(f"{name}.2", first, second),
            MainBlock(f"{name}.3", second),
            DownBlock(f"{name}.4", second, third),
            MainBlock(f"{name}.5", third),
            Conv(f"{name}.6", third, latents, kernel=3, stride=2, padding=1),
        )

    def shapes(self) -> Iterator[tuple[str, Shape]]:
        return layer_shapes(self)

    def __call__(self, ops: "FloatOperations", x: Tensor) -> Tensor:
        return self.layers(ops, x)


class EvcNetwork:
    """All layers of a model. The methods are the steps of a picture, in the order of coding."""

    encoder_only: tuple[str, ...] = ("enc.", "encs.", "hyper_enc.", "q_scale")
    num_qps = 1

    def __init__(self, sizes: EvcSizes) -> None:
        n = sizes.latents
        first, second, third = sizes.decoder
        self.sizes, self.num_z_channels = sizes, n
        self.q_basic, self.q_scale = ScaleVector("q_basic", 1, n), ScaleVector("q_scale", NUM_ANCHORS, 1)
        self.estimator = BitEstimator("bit_estimator_z", 1, n)
        names = ["enc"] if sizes.num_encoders == 1 else [f"encs.{k}" for k in range(sizes.num_encoders)]
        self.encoders = Sequence(*(EvcEncoder(name, sizes.encoder, n) for name in names))
        self.decoder = Sequence(
            MainBlock("dec.0", n),
            UpBlock("dec.1", n, third),
            MainBlock("dec.2", third),
            UpBlock("dec.3", third, second),
            MainBlock("dec.4", second),
            UpBlock("dec.5", second, first),
            MainBlock("dec.6", first),
        )
        self.last = Conv("dec.7.0", first, 12)
        self.hyper_in = PriorBlock("hyper_enc.0", n, n)
        self.hyper_down = Conv("hyper_enc.1", n, n, kernel=3, stride=2, padding=1)
        self.hyper_out = Conv("hyper_enc.3", n, n, kernel=3, stride=2, padding=1)
        self.hyper_decoder = Sequence(
            PriorUpBlock("hyper_dec.0", n), PriorUpBlock("hyper_dec.1", n), PriorBlock("hyper_dec.2", n, n)
        )
        self.fusion = Sequence(PriorBlock("y_prior_fusion.0", n, 2 * n), PriorBlock("y_prior_fusion.1", 2 * n, 3 * n))
        self.spatial = Sequence(
            PriorBlock("y_spatial_prior.0", 4 * n, 3 * n),
            PriorBlock("y_spatial_prior.1", 3 * n, 2 * n),
            PriorBlock("y_spatial_prior.2", 2 * n, 2 * n),
        )

    def shapes(self) -> Iterator[tuple[str, Shape]]:
        """Yields names and shapes of the state dict."""
        return layer_shapes(self)

    def decoder_shapes(self) -> Iterator[tuple[str, Shape]]:
        """Yields names and shapes of the parameters that a decoder uses."""
        return decoder_shapes(self)

    def steps(self, ops: "FloatOperations", scale: float) -> Tensor:
        """Returns the quantiser step of every channel of y at a rate's scale."""
        return ops.parameters["q_basic"].clamp_min(SMALLEST_STEP) * scale

    @timed(ANALYSIS)
    def candidates(self, ops: "FloatOperations", picture: Tensor, count: int) -> list[Tensor]:
        """Returns the means of the latents of the first 1, 2, .., `count` encoders."""
        found, total = [], None
        for number, encoder in enumerate(self.encoders.blocks[:count]):
            y = encoder(ops, picture)
            total = y if total is None else total + y
            found.append(total / (number + 1))
        return found

    @timed(HYPER)
    def hyper_analysis(self, ops: "FloatOperations", y: Tensor) -> Tensor:
        """Maps y -> z on the 1/64 grid."""
        t = self.hyper_down(ops, self.hyper_in(ops, y))
        return self.hyper_out(ops, ops.leaky_relu(t, SMALL_SLOPE))

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
        """Maps y, multiplied by its steps -> picture 3 x Hp x Wp, not limited to 0..1."""
        return ops.pixel_shuffle(self.last(ops, self.decoder(ops, y_hat)), 2)
