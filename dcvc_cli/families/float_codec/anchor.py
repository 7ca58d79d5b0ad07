"""The I-frame model `cheng2020-anchor` of CompressAI. DCVC-TCM has it without its context model.

Source: Cheng et al. (CVPR 2020); DCVC (2021).
"""

import re
from collections.abc import Iterator

from dcvc_cli.families.float_codec.coder import WordTable
from dcvc_cli.families.float_codec.context import ContextNetwork
from dcvc_cli.families.float_codec.layers import Bottleneck, FloatNetwork, Gdn, Ops, Tensor
from dcvc_cli.families.float_codec.sides import Side
from dcvc_cli.families.float_codec.tables import SMALLEST_GAUSSIAN, RowRule, stored_table
from dcvc_cli.families.wide_latents.blocks import SMALL_SLOPE, Leaky, Residual, conv
from dcvc_cli.graph.blocks import Sequence, Shape, SubPixelConv, layer_shapes
from dcvc_cli.stages import ANALYSIS, HYPER, PRIORS, SYNTHESIS, timed

GAUSSIAN = "gaussian_64"
CONSTANTS = re.compile(
    r"gaussian_conditional\..*|.*_reparam\.(pedestal|lower_bound\.bound)|context_prediction\.mask"
    r"|entropy_bottleneck\.(_offset|_quantized_cdf|_cdf_length|target|likelihood_lower_bound\.bound)"
)
"""Keys of a checkpoint of an I-frame model that are no parameters."""


class _Down:
    """gdn(conv2(lrelu(conv1(x)))) + downsample(x): cin x h x w -> n x h/2 x w/2."""

    def __init__(self, name: str, cin: int, n: int) -> None:
        self.conv1, self.conv2 = conv(f"{name}.conv1", cin, n, 3, 2), conv(f"{name}.conv2", n, n)
        self.gdn = Gdn(f"{name}.gdn", n, is_stored=True)
        self.downsample = conv(f"{name}.downsample", cin, n, 1, 2)

    def shapes(self) -> Iterator[tuple[str, Shape]]:
        return layer_shapes(self)

    def __call__(self, ops: Ops, x: Tensor) -> Tensor:
        inner = self.conv2(ops, ops.leaky_relu(self.conv1(ops, x), SMALL_SLOPE))
        return self.gdn(ops, inner) + self.downsample(ops, x)


class _Up:
    """igdn(conv(lrelu(subpel_conv(x)))) + upsample(x): n x h x w -> n x 2h x 2w."""

    def __init__(self, name: str, n: int) -> None:
        self.subpel, self.upsample = (
            SubPixelConv(f"{name}.subpel_conv.0", n, n, kernel=3),
            SubPixelConv(f"{name}.upsample.0", n, n, kernel=3),
        )
        self.conv, self.igdn = conv(f"{name}.conv", n, n), Gdn(f"{name}.igdn", n, inverse=True, is_stored=True)

    def shapes(self) -> Iterator[tuple[str, Shape]]:
        return layer_shapes(self)

    def __call__(self, ops: Ops, x: Tensor) -> Tensor:
        inner = self.conv(ops, ops.leaky_relu(self.subpel(ops, x), SMALL_SLOPE))
        return self.igdn(ops, inner) + self.upsample(ops, x)


class AnchorNetwork(FloatNetwork):
    """The I-frame network with n-channel latents on the 1/16 grid.

    Args:
        n: channels of y and of z.
        has_context: whether there is a context model, as in the published anchor. Without one, all parameters of y come
            from z.
        rule: turns scales into table rows, in the network without a context model.
    """

    encoder_only = ("g_a.", "h_a.")
    without_parameters = CONSTANTS

    def __init__(self, n: int, *, has_context: bool, rule: RowRule | None = None) -> None:
        self.n = self.num_z_channels = n
        self.rule = rule
        down = (
            part for k in range(3) for part in (_Down(f"g_a.{2 * k}", n if k else 3, n), _skip(f"g_a.{2 * k + 1}", n))
        )
        self.g_a = Sequence(*list(down)[:-1], _skip("g_a.5", n), conv("g_a.6", n, n, 3, 2))
        self.h_a = Sequence(
            conv("h_a.0", n, n),
            Leaky(SMALL_SLOPE),
            conv("h_a.2", n, n),
            Leaky(SMALL_SLOPE),
            conv("h_a.4", n, n, 3, 2),
            Leaky(SMALL_SLOPE),
            conv("h_a.6", n, n),
            Leaky(SMALL_SLOPE),
            conv("h_a.8", n, n, 3, 2),
        )
        wide = n * 3 // 2
        self.h_s = Sequence(
            conv("h_s.0", n, n),
            Leaky(SMALL_SLOPE),
            SubPixelConv("h_s.2.0", n, n, kernel=3),
            Leaky(SMALL_SLOPE),
            conv("h_s.4", n, wide),
            Leaky(SMALL_SLOPE),
            SubPixelConv("h_s.6.0", wide, wide, kernel=3),
            Leaky(SMALL_SLOPE),
            conv("h_s.8", wide, 2 * n),
        )
        up = [part for k in range(3) for part in (_skip(f"g_s.{2 * k}", n), _Up(f"g_s.{2 * k + 1}", n))]
        self.g_s = Sequence(*up, _skip("g_s.6", n), SubPixelConv("g_s.7.0", n, 3, kernel=3))
        self.bottleneck = Bottleneck(n)
        if has_context:
            self.context = ContextNetwork(
                "context_prediction",
                "entropy_parameters",
                n,
                means_first=False,
                table=GAUSSIAN,
                smallest=SMALLEST_GAUSSIAN,
            )
        self.has_context = has_context
        self.predictors = (("entropy_parameters.4" if has_context else "h_s.8", False),)

    def code(
        self, ops: Ops, side: Side, values: Tensor | None, z_table: WordTable | None, z_size: tuple[int, int]
    ) -> Tensor:
        """Codes a picture.

        Args:
            values: the source, 3 x Hp x Wp in 0..1; None in a decoder.

        Returns:
            The decoder's picture, 3 x Hp x Wp in 0..1.
        """
        y = side.analysis(lambda: self.analysis(ops, values))
        z = side.analysis(lambda: self.hyper_analysis(ops, y))
        z_hat = side.hyper("z", z_table, z, z_size, self.bottleneck.medians(ops))
        prior = self.prior(ops, z_hat)
        gaussian = stored_table(GAUSSIAN)[0]
        if self.has_context:
            y_hat = side.coded_by_context("y", gaussian, self.context, prior, y)
        else:
            assert self.rule is not None
            scales, means = side.picked(prior)
            y_hat = side.latent("y", gaussian, self.rule, scales, means, y)
        return self.synthesis(ops, y_hat)

    @timed(ANALYSIS)
    def analysis(self, ops: Ops, values: Tensor) -> Tensor:
        """Maps picture -> y: n x Hp/16 x Wp/16."""
        return self.g_a(ops, values)

    @timed(HYPER)
    def hyper_analysis(self, ops: Ops, y: Tensor) -> Tensor:
        """Maps y -> z: n x Hp/64 x Wp/64."""
        return self.h_a(ops, y)

    @timed(PRIORS)
    def prior(self, ops: Ops, z_hat: Tensor) -> Tensor:
        """Maps z -> 2n x Hp/16 x Wp/16."""
        return self.h_s(ops, z_hat)

    @timed(SYNTHESIS)
    def synthesis(self, ops: Ops, y_hat: Tensor) -> Tensor:
        """Maps y -> picture in 0..1."""
        return ops.clamp_unit(self.g_s(ops, y_hat))


def _skip(name: str, n: int) -> Residual:
    """Makes the block lrelu(conv2(lrelu(conv1(x)))) + x."""
    return Residual(name, n, after=True)
