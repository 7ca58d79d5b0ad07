"""The I-frame model `bmshj2018-hyperprior` of CompressAI. Latents have mean 0 and scales from z; there is no context
model.

Source: Balle et al. (ICLR 2018); DCVC (2021).
"""

from dcvc_cli.families.float_codec.anchor import CONSTANTS, GAUSSIAN
from dcvc_cli.families.float_codec.coder import WordTable
from dcvc_cli.families.float_codec.layers import Bottleneck, Deconv, FloatNetwork, Gdn, Ops, Tensor
from dcvc_cli.families.float_codec.sides import Side
from dcvc_cli.families.float_codec.tables import SMALLEST_GAUSSIAN, rows_by_table, stored_table
from dcvc_cli.families.wide_latents.blocks import Leaky, conv
from dcvc_cli.graph.blocks import Part, Sequence
from dcvc_cli.stages import ANALYSIS, HYPER, PRIORS, SYNTHESIS, timed

GAUSSIAN_ROWS = rows_by_table(GAUSSIAN, SMALLEST_GAUSSIAN)


class HyperpriorNetwork(FloatNetwork):
    """The I-frame network with m-channel latents on the 1/16 grid.

    Args:
        n: channels of z and of the inner layers.
        m: channels of y.
    """

    encoder_only = ("g_a.", "h_a.")
    without_parameters = CONSTANTS
    predictors = (("h_s.4", None),)

    def __init__(self, n: int, m: int) -> None:
        self.n = self.num_z_channels = n
        down: list[Part] = []
        up: list[Part] = []
        for k in range(3):
            gdn = {"is_stored": True}
            down += [conv(f"g_a.{2 * k}", n if k else 3, n, 5, 2), Gdn(f"g_a.{2 * k + 1}", n, **gdn)]
            up += [Deconv(f"g_s.{2 * k}", n if k else m, n, 5), Gdn(f"g_s.{2 * k + 1}", n, inverse=True, **gdn)]
        self.g_a = Sequence(*down, conv("g_a.6", n, m, 5, 2))
        self.g_s = Sequence(*up, Deconv("g_s.6", n, 3, 5))
        self.h_a = Sequence(
            conv("h_a.0", m, n), Leaky(0), conv("h_a.2", n, n, 5, 2), Leaky(0), conv("h_a.4", n, n, 5, 2)
        )
        self.h_s = Sequence(Deconv("h_s.0", n, n, 5), Leaky(0), Deconv("h_s.2", n, n, 5), Leaky(0), conv("h_s.4", n, m))
        self.bottleneck = Bottleneck(n)

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
        scales = self.prior(ops, z_hat)
        return self.synthesis(ops, side.latent("y", stored_table(GAUSSIAN)[0], GAUSSIAN_ROWS, scales, None, y))

    @timed(ANALYSIS)
    def analysis(self, ops: Ops, values: Tensor) -> Tensor:
        """Maps picture -> y: m x Hp/16 x Wp/16."""
        return self.g_a(ops, values)

    @timed(HYPER)
    def hyper_analysis(self, ops: Ops, y: Tensor) -> Tensor:
        """Maps y -> z: n x Hp/64 x Wp/64."""
        return self.h_a(ops, y.abs())

    @timed(PRIORS)
    def prior(self, ops: Ops, z_hat: Tensor) -> Tensor:
        """Maps z -> scales of y, none negative."""
        return self.h_s(ops, z_hat).clamp_min(0)

    @timed(SYNTHESIS)
    def synthesis(self, ops: Ops, y_hat: Tensor) -> Tensor:
        """Maps y -> picture in 0..1."""
        return ops.clamp_unit(self.g_s(ops, y_hat))
