"""Models of the float codecs. A model has an I-frame network and a video network; its weights have one quality."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from dcvc_cli.bitstream.sps import Sps
from dcvc_cli.codec.choices import CodingChoices
from dcvc_cli.codec.networks import CodecNetworks
from dcvc_cli.entropy.tables import CdfTable
from dcvc_cli.families.base import Model, PictureDecoder, PictureEncoder
from dcvc_cli.families.float_codec.layers import FloatNetwork
from dcvc_cli.families.float_codec.sequences import FrameDecoder, FrameEncoder, FrameRecipe
from dcvc_cli.families.float_codec.tables import bottleneck_table
from dcvc_cli.families.wide_latents.tables import z_table
from dcvc_cli.format.entropy_format import EntropyFormat
from dcvc_cli.format.types import PictureSize
from dcvc_cli.stages import COMMON_STAGES

if TYPE_CHECKING:
    from dcvc_cli.families.base import State
    from dcvc_cli.learning.progressive.codec import ProgressiveCodec
    from dcvc_cli.learning.trainee import Trainee


class FloatModel(Model):
    """An I-frame network and a video network.

    Args:
        recipe: the recipe of the codec's frames.
        densities: names of the video network's densities, in the order of their rows in its stored table.
    """

    largest_qps = (0, 0)
    stages = COMMON_STAGES
    has_qps = False

    def __init__(
        self,
        name: str,
        image: FloatNetwork,
        video: FloatNetwork,
        recipe: FrameRecipe,
        densities: tuple[str, ...],
        progressive: "Callable[[], ProgressiveCodec]",
        *,
        relative_width: float = 6.0,
        kept_memory: int = 0,
        is_for_tests: bool = False,
    ) -> None:
        self.name, self.recipe, self.densities, self._progressive = name, recipe, densities, progressive
        self.networks: Mapping[str, FloatNetwork] = {"image": image, "video": video}
        self.relative_width, self.kept_memory, self.is_for_tests = relative_width, kept_memory, is_for_tests

    def sps_fields(self, size: PictureSize, choices: CodingChoices) -> Mapping[str, Any]:
        """Returns the fields for the family's own byte form.

        Raises:
            UsageError: the choices name another entropy format.
        """
        self.check_entropy_format(choices.entropy_format or EntropyFormat.FAMILY)
        return {
            "entropy_format": EntropyFormat.FAMILY,
            "truncate_chroma": False,
            "reset_interval": 0,
            "qp_offsets": (),
        }

    def encoder(self, networks: CodecNetworks, sps: Sps, choices: CodingChoices) -> PictureEncoder:
        """Makes an encoder that gives one unit a picture."""
        return FrameEncoder(self.recipe, networks, sps, choices)

    def decoder(self, networks: CodecNetworks, sps: Sps) -> PictureDecoder:
        """Makes a decoder that gives one picture a unit."""
        self.check_sps(sps)
        return FrameDecoder(self.recipe, networks, sps)

    def z_table(self, network: str, state: "State") -> CdfTable:
        """Makes the table of z, one row a channel: of the I-frame network's bottleneck, or of the video network's
        densities in order."""
        return bottleneck_table(state) if network == "image" else z_table(state, *self.densities)

    def random_parameters(self, network: str) -> "State":
        """Makes normally distributed weights, with damped layers that keep the latents' size."""
        from dcvc_cli.families.float_codec.random_parameters import random_parameters

        return random_parameters(self.networks[network])

    # ---- training

    @property
    def trainees(self) -> tuple[str, ...]:
        """Returns the video network; I-frame networks come from published checkpoints."""
        return ("video",)

    def trainee(self, network: str) -> "Trainee":
        """Makes the trainee of the video network behind frozen I frames."""
        from dcvc_cli.learning.progressive.trainee import ProgressiveTrainee

        return ProgressiveTrainee(self._progressive(), dict(self.networks[network].shapes()))
