"""Models of DCVC-UF: an image network and a video network, which codes one picture a unit or a chunk of them."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from dcvc_cli.bitstream.faults import Rule, UnsupportedStreamError
from dcvc_cli.bitstream.limits import FrameLimits, general_limits
from dcvc_cli.bitstream.sps import Sps
from dcvc_cli.codec.choices import CodingChoices
from dcvc_cli.codec.networks import CodecNetworks
from dcvc_cli.codec.pictures import padded_size, video_format_of
from dcvc_cli.entropy.tables import CdfTable
from dcvc_cli.errors import StreamError, UsageError
from dcvc_cli.families.base import Model, PictureDecoder, PictureEncoder
from dcvc_cli.families.uf.calibration import calibrate
from dcvc_cli.families.uf.image import UfImageModel
from dcvc_cli.families.uf.sequences import UnitDecoder, UnitEncoder, UnitRule
from dcvc_cli.families.uf.sizes import ImageSizes, VideoSizes
from dcvc_cli.families.uf.tables import published_z_table, z_table
from dcvc_cli.families.uf.units import FORMATS, UnitPayloadDecoder, UnitPayloadEncoder
from dcvc_cli.families.uf.video import UfVideoModel
from dcvc_cli.format.constants import MAX_BASE_QP
from dcvc_cli.format.entropy_format import EntropyFormat
from dcvc_cli.format.types import PictureSize

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from dcvc_cli.families.base import State


class UfModel(Model):
    """The image network and one of the video networks.

    Attributes:
        image: graph of the image network.
        video: graph of the video network.
    """

    entropy_formats = FORMATS

    def __init__(
        self, name: str, image: ImageSizes, video: VideoSizes, *, relative_width: float, is_for_tests: bool = False
    ) -> None:
        self.name, self.is_for_tests, self.relative_width = name, is_for_tests, relative_width
        self.image, self.video = UfImageModel(image), UfVideoModel(video)
        self.networks = {"image": self.image, "video": self.video}
        self.max_pictures = video.pictures

    def limits(self, sps: Sps) -> FrameLimits:
        """64 QPs for every unit, and what so many latents can take."""
        return FrameLimits(MAX_BASE_QP, MAX_BASE_QP, general_limits(sps).max_payload_size)

    def sps_fields(self, size: PictureSize, choices: CodingChoices) -> Mapping[str, Any]:
        """The family's own byte format, with our tables of z or those of the published codec.

        Raises:
            UsageError: another format was asked for.
        """
        entropy_format = choices.entropy_format or EntropyFormat.FAMILY
        if entropy_format not in FORMATS:
            name = entropy_format.name.lower().replace("_", "-")
            hint = "use auto, or published-one for a stream that can be remuxed"
            raise UsageError(f"model {self.name} has no entropy format {name}", hint)
        return {
            "entropy_format": entropy_format,
            "truncate_chroma": entropy_format.is_published,
            "reset_interval": choices.reset_interval,
            "qp_offsets": (),
        }

    def encoder(self, networks: CodecNetworks, sps: Sps, choices: CodingChoices) -> PictureEncoder:
        """A unit a picture or a chunk."""
        coder = UnitPayloadEncoder(self.image, self.video, networks, sps.entropy_format, sps.skip_threshold or 0.0)
        return UnitEncoder(coder, sps, UnitRule.of(choices))

    def decoder(self, networks: CodecNetworks, sps: Sps) -> PictureDecoder:
        """The pictures of a unit at once."""
        if max(sps.width, sps.height) > self.max_side:
            limit = f"{self.max_side}x{self.max_side}"
            raise StreamError(f"the stream's pictures are {sps.width}x{sps.height}, larger than {limit}")
        if sps.max_pictures > self.max_pictures or sps.max_reorder or sps.family_block:
            message = f"the stream's units hold what model family {sps.model_family!r} of this dcvc does not know"
            raise UnsupportedStreamError(Rule.UNSUPPORTED, message, hint="decode it with a newer dcvc")
        padded, threshold = padded_size(video_format_of(sps).size), sps.skip_threshold or 0.0
        return UnitDecoder(UnitPayloadDecoder(self.image, self.video, networks, sps.entropy_format, threshold, padded))

    def z_table(self, network: str, state: "State") -> CdfTable:
        """The factorised density's, its rows in zigzag order."""
        return z_table(state).as_stored()

    def published_z_table(self, network: str, state: "State") -> CdfTable:
        """As PyTorch makes it in float32 on this machine."""
        return published_z_table(state).as_stored()

    def calibrate(self, networks: Mapping[str, Any], clip: Sequence["NDArray[np.float32]"], qp: int) -> None:
        """An I frame and P units; a chunk takes the clip's pictures back and forth."""
        calibrate(self.image, self.video, networks, clip, qp)

    def random_parameters(self, network: str) -> "State":
        """Xavier-uniform, damped where it matters."""
        from dcvc_cli.families.uf.random_parameters import random_parameters_of

        return random_parameters_of(self.image if network == "image" else self.video)
