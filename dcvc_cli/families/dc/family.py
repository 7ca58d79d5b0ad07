"""The family `dcvc-dc`: the published codec DCVC-DC (CVPR 2023), on R G B or on luma and chroma, in floating point."""

from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from dcvc_cli.backend.operations import Tensor
from dcvc_cli.bitstream.sps import Precision
from dcvc_cli.codec.pictures import padded_size
from dcvc_cli.entropy.wide import WideKind
from dcvc_cli.families.base import Family
from dcvc_cli.families.conformance_form import ConformanceForm
from dcvc_cli.families.dc.image import DcImageNetwork
from dcvc_cli.families.dc.video import DcVideoNetwork
from dcvc_cli.families.diverse_contexts.model import DiverseModel
from dcvc_cli.families.diverse_contexts.sizes import TINY_IMAGE, TINY_VIDEO, ImageSizes, VideoSizes
from dcvc_cli.families.wide_latents.quality import NUM_ANCHORS
from dcvc_cli.format.types import ChromaFormat, Picture, VideoFormat
from dcvc_cli.stages import COLOUR, timed

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dcvc_cli.families.base import State
    from dcvc_cli.learning.trainee import Trainee


class DcModel(DiverseModel):
    """A size of the networks. It codes R G B pictures as R G B and 4:2:0 pictures as luma and chroma. Checkpoints
    called yuv420 were trained for luma and chroma, the others for R G B."""

    kind = WideKind.LONG_WORDS
    adaptors = (0, 1, 0, 2)
    has_refresh = False

    def __init__(self, name: str, image: ImageSizes, video: VideoSizes, *, is_for_tests: bool = False) -> None:
        self.graphs = DcImageNetwork(image), DcVideoNetwork(video)
        super().__init__(name, *self.graphs, is_for_tests=is_for_tests)

    def values(self, picture: Picture, video_format: VideoFormat) -> "NDArray[np.float32]":
        """Makes the network input, float32 (3, Hp, Wp) in 0..1, of a picture. Its planes are not converted."""
        if video_format.chroma is not ChromaFormat.RGB:
            return super().values(picture, video_format)
        return _rgb_values(picture, video_format)

    def picture(self, frame: Tensor, video_format: VideoFormat) -> Picture:
        """Makes a picture of network output. Inverts `values`."""
        if video_format.chroma is not ChromaFormat.RGB:
            return super().picture(frame, video_format)
        return _rgb_picture(frame, video_format)

    def random_parameters(self, network: str) -> "State":
        """Makes parameters that give latents of many spreads."""
        from dcvc_cli.families.dc.random_parameters import image_parameters, video_parameters

        return image_parameters(self.graphs[0]) if network == "image" else video_parameters(self.graphs[1])

    # ---- training

    @property
    def trainees(self) -> tuple[str, ...]:
        """Returns the video network; the image network comes from a published checkpoint."""
        return ("video",)

    def trainee(self, network: str) -> "Trainee":
        """Makes the trainee of the video network behind frozen I frames."""
        from dcvc_cli.families.diverse_contexts.training import DiverseProgressiveCodec
        from dcvc_cli.learning.progressive.trainee import ProgressiveTrainee

        shapes = dict(self.video.shapes())
        return ProgressiveTrainee(
            DiverseProgressiveCodec(self.image, self.video, self.adaptors, shapes), shapes, NUM_ANCHORS
        )


@timed(COLOUR)
def _rgb_values(picture: Picture, video_format: VideoFormat) -> "NDArray[np.float32]":
    size = video_format.size
    height, width = padded_size(size)
    values = np.stack(picture.planes).astype(np.float32) / np.float32(255)
    return np.pad(values, ((0, 0), (0, height - size.height), (0, width - size.width)), mode="edge")


@timed(COLOUR)
def _rgb_picture(frame: Tensor, video_format: VideoFormat) -> Picture:
    size = video_format.size
    samples = (frame[0, :, : size.height, : size.width] * 255).round().cpu().numpy().astype(np.uint8)
    red, green, blue = (np.ascontiguousarray(plane) for plane in samples)
    return Picture((red, green, blue))


class DcFamily(Family):
    """Models `dcvc-dc` and, for tests, a small one."""

    name = "dcvc-dc"
    precisions = (Precision.FLOAT32, Precision.FLOAT64)

    @cached_property
    def models(self) -> Mapping[str, DcModel]:
        """Returns the published size and the one for tests."""
        return {
            "dcvc-dc": DcModel("dcvc-dc", ImageSizes(hyper=256), VideoSizes()),
            "tiny-dcvc-dc": DcModel("tiny-dcvc-dc", TINY_IMAGE, TINY_VIDEO, is_for_tests=True),
        }

    def conformance_form(self) -> ConformanceForm:
        """Returns the reader of cases, which compares streams and pictures byte for byte in float64."""
        from dcvc_cli.families.dc.conformance import DcConformance

        return DcConformance(self.models["dcvc-dc"])
