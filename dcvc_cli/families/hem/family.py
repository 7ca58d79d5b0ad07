"""The family `dcvc-hem`: the published codec DCVC-HEM (ACM MM 2022), on R G B."""

from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

from dcvc_cli.bitstream.sps import Precision, Sps
from dcvc_cli.codec.choices import CodingChoices
from dcvc_cli.codec.networks import CodecNetworks
from dcvc_cli.codec.pictures import video_format_of
from dcvc_cli.entropy.tables import CdfTable
from dcvc_cli.families.base import Family, Model, PictureDecoder, PictureEncoder
from dcvc_cli.families.conformance_form import ConformanceForm
from dcvc_cli.families.hem.frames import HemFrameDecoder, HemFrameEncoder
from dcvc_cli.families.hem.image import HemImageNetwork, HemImageSizes
from dcvc_cli.families.hem.video import ESTIMATORS_OF, HemVideoNetwork, HemVideoSizes
from dcvc_cli.families.wide_latents.quality import NUM_ANCHORS
from dcvc_cli.families.wide_latents.rgb import padded_size
from dcvc_cli.families.wide_latents.sequences import RgbDecoder, RgbEncoder, rgb_sps_fields
from dcvc_cli.families.wide_latents.tables import z_table
from dcvc_cli.format.types import PictureSize

if TYPE_CHECKING:
    from dcvc_cli.families.base import State
    from dcvc_cli.learning.trainee import Trainee


class HemModel(Model):
    """An image and a video network.

    Attributes:
        image, video: the graphs of the networks.
    """

    relative_width = 11.0
    kept_memory = 352 << 20

    def __init__(self, name: str, image: HemImageSizes, video: HemVideoSizes, *, is_for_tests: bool = False) -> None:
        self.name, self.is_for_tests = name, is_for_tests
        self.image, self.video = HemImageNetwork(image), HemVideoNetwork(video)
        if is_for_tests:
            self.relative_width, self.kept_memory = 0.5, 0
        self.networks = {"image": self.image, "video": self.video}

    def sps_fields(self, size: PictureSize, choices: CodingChoices) -> Mapping[str, Any]:
        """Returns the fields for the family's own byte format."""
        return rgb_sps_fields(self, choices)

    def encoder(self, networks: CodecNetworks, sps: Sps, choices: CodingChoices) -> PictureEncoder:
        """Makes an encoder that gives one unit a picture."""
        return RgbEncoder(HemFrameEncoder(self.image, self.video, networks), sps, choices)

    def decoder(self, networks: CodecNetworks, sps: Sps) -> PictureDecoder:
        """Makes a decoder that gives one picture a unit."""
        self.check_sps(sps)
        padded = padded_size(video_format_of(sps).size)
        return RgbDecoder(HemFrameDecoder(self.image, self.video, networks, padded), sps)

    def z_table(self, network: str, state: "State") -> CdfTable:
        """Makes the table of z of the factorised densities: the rows of y's z, then the rows of motion's z."""
        return z_table(state, *ESTIMATORS_OF[network])

    def random_parameters(self, network: str) -> "State":
        """Makes parameters whose layers keep the size of values."""
        from dcvc_cli.families.hem.random_parameters import image_parameters, video_parameters

        return image_parameters(self.image) if network == "image" else video_parameters(self.video)

    # ---- training

    @property
    def trainees(self) -> tuple[str, ...]:
        """Returns the video network; the image network comes from a published checkpoint."""
        return ("video",)

    def trainee(self, network: str) -> "Trainee":
        """Makes the trainee of the video network behind frozen I frames."""
        from dcvc_cli.families.hem.training import HemProgressiveCodec
        from dcvc_cli.learning.progressive.trainee import ProgressiveTrainee

        codec = HemProgressiveCodec(self.image, self.video)
        return ProgressiveTrainee(codec, dict(self.video.shapes()), NUM_ANCHORS)


class HemFamily(Family):
    """The model `dcvc-hem`, and a small one for tests."""

    name = "dcvc-hem"
    precisions = (Precision.FLOAT32, Precision.FLOAT64)

    @cached_property
    def models(self) -> Mapping[str, HemModel]:
        """Returns the models by name."""
        small = (16, 16, 16)
        tiny = HemImageSizes(8, 16, small), HemVideoSizes(16, 8, 8, 8, small, flow=(8, 8, 8, 4))
        made = [
            HemModel("dcvc-hem", HemImageSizes(), HemVideoSizes()),
            HemModel("tiny-dcvc-hem", *tiny, is_for_tests=True),
        ]
        return {model.name: model for model in made}

    def conformance_form(self) -> ConformanceForm:
        """Returns the reader of cases, which compares the frames' files and pictures byte for byte."""
        from dcvc_cli.families.hem.conformance import HemConformance

        return HemConformance(self.models["dcvc-hem"])
