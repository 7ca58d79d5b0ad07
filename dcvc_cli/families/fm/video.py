"""The video network of DCVC-FM. Source: DCVC-FM (CVPR 2024)."""

from typing import TYPE_CHECKING, Any

from dcvc_cli.families.diverse_contexts.blocks import DepthBlock, Factors, Form
from dcvc_cli.families.diverse_contexts.sizes import VideoSizes
from dcvc_cli.families.diverse_contexts.video import VideoNetwork
from dcvc_cli.families.wide_latents.blocks import SMALL_SLOPE, Leaky, UpBlock, conv
from dcvc_cli.format.constants import MAX_BASE_QP
from dcvc_cli.graph.blocks import Qp, Sequence

if TYPE_CHECKING:
    from dcvc_cli.backend.float_torch import FloatOperations

LEVELS = (("me_8x", 7), ("me_4x", 7), ("me_2x", 5), ("me_1x", 5))
HYPER_LATENT = 64
FACTORS = {"mv_y_enc": "mv_y_q_enc", "mv_y_dec": "mv_y_q_dec", "y_enc": "y_q_enc", "y_dec": "y_q_dec"}


class FmVideoNetwork(VideoNetwork):
    """The graph of the network. The backend holds the parameters."""

    encoder_only: tuple[str, ...] = (*VideoNetwork.encoder_only, "mv_y_q_enc", "y_q_enc")

    def __init__(self, sizes: VideoSizes, num_z: int = HYPER_LATENT) -> None:
        self.q = Sequence(*(Factors(name, 2, 1, 1, 1) for name in FACTORS.values()))
        super().__init__(sizes, Form.ADDED, LEVELS, num_z)

    def inner_block(self, name: str, channels: int) -> DepthBlock:
        """Makes a depth-conv block."""
        return DepthBlock(name, Form.ADDED, channels)

    def hyper_networks(self) -> tuple[Any, Any, Any, Any]:
        """Makes the hyper networks of the motion and of y."""
        motion = self.sizes.motion
        pair = _hyper_pair("contextual_hyper_prior", self.sizes.latent, self.num_z)
        return (*_hyper_pair("mv_hyper_prior", motion, motion), *pair)

    def factor(self, ops: "FloatOperations", name: str, quality: Qp) -> Any:
        """Returns one factor. Qualities divide the logarithm evenly from the first stored value to the second."""
        first, last = ops.parameters[FACTORS[name]].log().reshape(2)
        return (first + quality * (last - first) / MAX_BASE_QP).exp()


def _hyper_pair(name: str, latent: int, c: int) -> tuple[Sequence, Sequence]:
    encoder = Sequence(
        DepthBlock(f"{name}_encoder.0", Form.ADDED, latent, c),
        conv(f"{name}_encoder.1", c, c, stride=2),
        Leaky(SMALL_SLOPE),
        conv(f"{name}_encoder.3", c, c, stride=2),
    )
    decoder = Sequence(
        UpBlock(f"{name}_decoder.0", c, c),
        UpBlock(f"{name}_decoder.1", c, c),
        DepthBlock(f"{name}_decoder.2", Form.ADDED, c, latent),
    )
    return encoder, decoder
