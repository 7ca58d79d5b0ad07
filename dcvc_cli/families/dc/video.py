"""The video network of DCVC-DC. Source: DCVC-DC (CVPR 2023)."""

from typing import TYPE_CHECKING, Any

from dcvc_cli.families.dc.factors import factor, quality_factors
from dcvc_cli.families.diverse_contexts.blocks import Form
from dcvc_cli.families.diverse_contexts.sizes import VideoSizes
from dcvc_cli.families.diverse_contexts.video import VideoNetwork
from dcvc_cli.families.wide_latents.blocks import SMALL_SLOPE, Leaky, Residual, bottleneck, conv
from dcvc_cli.graph.blocks import Qp, Sequence, SubPixelConv

if TYPE_CHECKING:
    from dcvc_cli.backend.float_torch import FloatOperations

LEVELS = tuple((f"moduleBasic.{k}", 7) for k in range(4))
FACTORS = {"mv_y_enc": ("mv_y_", "enc"), "mv_y_dec": ("mv_y_", "dec"), "y_enc": ("y_", "enc"), "y_dec": ("y_", "dec")}


class DcVideoNetwork(VideoNetwork):
    """The graph of the network. The backend holds the parameters."""

    encoder_only: tuple[str, ...] = (
        *VideoNetwork.encoder_only,
        "mv_y_q_basic_enc",
        "mv_y_q_scale_enc",
        "y_q_basic_enc",
        "y_q_scale_enc",
    )

    def __init__(self, sizes: VideoSizes) -> None:
        self.q = Sequence(
            quality_factors("mv_y_", "enc", sizes.motion),
            quality_factors("mv_y_", "dec", sizes.motion),
            quality_factors("y_", "enc", 2 * sizes.half),
            quality_factors("y_", "dec", sizes.half),
        )
        super().__init__(sizes, Form.WIDE, LEVELS, sizes.latent)

    def inner_block(self, name: str, channels: int) -> Residual:
        """Makes a block of two 3x3 convolutions."""
        return bottleneck(name, channels)

    def hyper_networks(self) -> tuple[Any, Any, Any, Any]:
        """Makes the hyper networks of the motion and of y, of plain convolutions. The motion's encoder has two more."""
        c, name = self.sizes.motion, "mv_hyper_prior_encoder"
        motion_encoder = Sequence(
            conv(f"{name}.0", c, c),
            Leaky(SMALL_SLOPE),
            conv(f"{name}.2", c, c),
            Leaky(SMALL_SLOPE),
            conv(f"{name}.4", c, c, stride=2),
            Leaky(SMALL_SLOPE),
            conv(f"{name}.6", c, c),
            Leaky(SMALL_SLOPE),
            conv(f"{name}.8", c, c, stride=2),
        )
        c, name = self.sizes.latent, "contextual_hyper_prior_encoder"
        encoder = Sequence(
            conv(f"{name}.0", c, c),
            Leaky(SMALL_SLOPE),
            conv(f"{name}.2", c, c, stride=2),
            Leaky(SMALL_SLOPE),
            conv(f"{name}.4", c, c, stride=2),
        )
        return (
            motion_encoder,
            _hyper_decoder("mv_hyper_prior_decoder", self.sizes.motion),
            encoder,
            _hyper_decoder("contextual_hyper_prior_decoder", self.sizes.latent),
        )

    def factor(self, ops: "FloatOperations", name: str, quality: Qp) -> Any:
        """Returns a factor for each channel."""
        prefix, side = FACTORS[name]
        return factor(ops, prefix, side, quality)


def _hyper_decoder(name: str, c: int) -> Sequence:
    return Sequence(
        conv(f"{name}.0", c, c),
        Leaky(SMALL_SLOPE),
        SubPixelConv(f"{name}.2.0", c, c),
        Leaky(SMALL_SLOPE),
        conv(f"{name}.4", c, c),
        Leaky(SMALL_SLOPE),
        SubPixelConv(f"{name}.6.0", c, c),
        Leaky(SMALL_SLOPE),
        conv(f"{name}.8", c, c),
    )
