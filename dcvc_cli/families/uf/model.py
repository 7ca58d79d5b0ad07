"""Models of DCVC-UF: an image network and a video network. The video network codes one picture a unit, or a chunk of
pictures."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from dcvc_cli.bitstream.sps import Sps
from dcvc_cli.codec.choices import CodingChoices
from dcvc_cli.codec.networks import CodecNetworks
from dcvc_cli.codec.pictures import padded_size, video_format_of
from dcvc_cli.entropy.tables import CdfTable
from dcvc_cli.families.base import Model, PictureDecoder, PictureEncoder
from dcvc_cli.families.uf.calibration import calibrate
from dcvc_cli.families.uf.image import UfImageModel
from dcvc_cli.families.uf.sequences import UnitDecoder, UnitEncoder, UnitRule
from dcvc_cli.families.uf.sizes import ImageSizes, VideoSizes
from dcvc_cli.families.uf.tables import published_z_table, z_table
from dcvc_cli.families.uf.units import FORMATS, UnitPayloadDecoder, UnitPayloadEncoder
from dcvc_cli.families.uf.video import UfVideoModel
from dcvc_cli.format.entropy_format import EntropyFormat
from dcvc_cli.format.types import PictureSize

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from dcvc_cli.families.base import State
    from dcvc_cli.learning.trainee import Trainee


class UfModel(Model):
    """The image network and one of the video networks.

    Attributes:
        image: graph of the image network.
        video: graph of the video network.
    """

    entropy_formats = FORMATS

    def __init__(
        self,
        name: str,
        image: ImageSizes,
        video: VideoSizes,
        *,
        relative_width: float,
        kept_memory: int = 0,
        is_for_tests: bool = False,
    ) -> None:
        self.name, self.is_for_tests = name, is_for_tests
        self.relative_width, self.kept_memory = relative_width, kept_memory
        self.image, self.video = UfImageModel(image), UfVideoModel(video)
        self.networks = {"image": self.image, "video": self.video}
        self.max_pictures = video.pictures

    def sps_fields(self, size: PictureSize, choices: CodingChoices) -> Mapping[str, Any]:
        """Returns the fields for the family's own byte format, with our tables of z or the published codec's.

        Raises:
            UsageError: the choices name another entropy format.
        """
        entropy_format = choices.entropy_format or EntropyFormat.FAMILY
        self.check_entropy_format(entropy_format)
        return {
            "entropy_format": entropy_format,
            "truncate_chroma": entropy_format.is_published,
            "reset_interval": choices.reset_interval,
            "qp_offsets": (),
        }

    def encoder(self, networks: CodecNetworks, sps: Sps, choices: CodingChoices) -> PictureEncoder:
        """Makes an encoder that gives one unit a picture or a chunk."""
        coder = UnitPayloadEncoder(self.image, self.video, networks, sps.entropy_format, sps.skip_threshold or 0.0)
        return UnitEncoder(coder, sps, UnitRule.of(choices))

    def decoder(self, networks: CodecNetworks, sps: Sps) -> PictureDecoder:
        """Makes a decoder that gives the pictures of a unit at once."""
        self.check_sps(sps)
        padded, threshold = padded_size(video_format_of(sps).size), sps.skip_threshold or 0.0
        return UnitDecoder(UnitPayloadDecoder(self.image, self.video, networks, sps.entropy_format, threshold, padded))

    def z_table(self, network: str, state: "State") -> CdfTable:
        """Makes the table of the factorised density, with rows in zigzag order."""
        return z_table(state).as_stored()

    def published_z_table(self, network: str, state: "State") -> CdfTable:
        """Makes the table in float32 by PyTorch, with the results of this machine."""
        return published_z_table(state).as_stored()

    def calibrate(self, networks: Mapping[str, Any], clip: Sequence["NDArray[np.float32]"], qp: int) -> None:
        """Codes an I frame and P units. A chunk takes the clip's pictures back and forth."""
        calibrate(self.image, self.video, networks, clip, qp)

    @property
    def trainees(self) -> tuple[str, ...]:
        """Returns both networks."""
        return tuple(self.networks)

    def trainee(self, network: str) -> "Trainee":
        """Makes the trainee of one of the two."""
        from dcvc_cli.families.uf.training import UfImageTrainee, UfVideoTrainee

        return UfImageTrainee(self.image) if network == "image" else UfVideoTrainee(self.image, self.video)

    def random_parameters(self, network: str) -> "State":
        """Makes Xavier-uniform parameters, with damped layers that keep the size of values."""
        from dcvc_cli.families.uf.random_parameters import random_parameters_of

        return random_parameters_of(self.image if network == "image" else self.video)
