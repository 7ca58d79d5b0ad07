"""The family `dcvc-rt`: the published codec, "Towards Practical Real-Time Neural Video Compression" (CVPR 2025)."""

from collections.abc import Mapping
from functools import cached_property

from dcvc_cli.families.base import Family, Model
from dcvc_cli.families.conformance_form import ConformanceForm
from dcvc_cli.families.elementary_form import ElementaryForm
from dcvc_cli.families.rt.image import ImageModel
from dcvc_cli.families.rt.model import RtModel
from dcvc_cli.families.rt.sizes import RT, TINY
from dcvc_cli.families.rt.video import VideoModel


class RtFamily(Family):
    """Models `rt` and, for tests, `tiny`."""

    name = "dcvc-rt"

    @cached_property
    def models(self) -> Mapping[str, Model]:
        """Returns the published size and the size for tests."""
        return {
            "rt": RtModel(RT, ImageModel(RT.image), VideoModel(RT.video)),
            "tiny": RtModel(TINY, ImageModel(TINY.image), VideoModel(TINY.video), is_for_tests=True),
        }

    def conformance_form(self) -> ConformanceForm:
        """Returns the reader of cases, which compares streams and pictures byte for byte."""
        from dcvc_cli.families.rt.conformance import RtConformance

        return RtConformance()

    def elementary_form(self) -> ElementaryForm:
        """Returns the form of the published codec's elementary stream."""
        from dcvc_cli.families.rt.remux import RtElementaryForm

        return RtElementaryForm()
