"""The family `dcvc-fm`: the published codec DCVC-FM (CVPR 2024), luma and chroma, in floating point."""

from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING

from dcvc_cli.bitstream.sps import Precision
from dcvc_cli.entropy.wide import WideKind
from dcvc_cli.families.base import Family
from dcvc_cli.families.conformance_form import ConformanceForm
from dcvc_cli.families.diverse_contexts.model import DiverseModel
from dcvc_cli.families.diverse_contexts.sizes import TINY_IMAGE, TINY_VIDEO, ImageSizes, VideoSizes
from dcvc_cli.families.fm.image import FmImageNetwork
from dcvc_cli.families.fm.video import FmVideoNetwork

if TYPE_CHECKING:
    from dcvc_cli.families.base import State


class FmModel(DiverseModel):
    """A size of the networks. It codes R G B pictures as luma and chroma of full size."""

    kind = WideKind.BYTES
    adaptors = (0, 1, 0, 2, 0, 2, 0, 2)
    has_refresh = True

    def __init__(self, name: str, image: ImageSizes, video: VideoSizes, *, is_for_tests: bool = False) -> None:
        self.graphs = FmImageNetwork(image), FmVideoNetwork(video)
        super().__init__(name, *self.graphs, is_for_tests=is_for_tests)

    def random_parameters(self, network: str) -> "State":
        """Makes parameters that give latents of many spreads."""
        from dcvc_cli.families.fm.random_parameters import image_parameters, video_parameters

        return image_parameters(self.graphs[0]) if network == "image" else video_parameters(self.graphs[1])


class FmFamily(Family):
    """Models `dcvc-fm` and, for tests, a small one."""

    name = "dcvc-fm"
    precisions = (Precision.FLOAT32, Precision.FLOAT64)

    @cached_property
    def models(self) -> Mapping[str, FmModel]:
        """Returns the published size and the one for tests."""
        return {
            "dcvc-fm": FmModel("dcvc-fm", ImageSizes(hyper=128), VideoSizes()),
            "tiny-dcvc-fm": FmModel("tiny-dcvc-fm", TINY_IMAGE, TINY_VIDEO, is_for_tests=True),
        }

    def conformance_form(self) -> ConformanceForm:
        """Returns the reader of cases, which compares streams and pictures byte for byte in float64."""
        from dcvc_cli.families.fm.conformance import FmConformance

        return FmConformance(self.models["dcvc-fm"])
