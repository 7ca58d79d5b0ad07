"""The family `dcvc-tcm`: the published codec DCVC-TCM (IEEE TMM, 2022)."""

from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar

from dcvc_cli.bitstream.sps import Precision
from dcvc_cli.families.base import Family
from dcvc_cli.families.conformance_form import ConformanceForm
from dcvc_cli.families.float_codec.anchor import AnchorNetwork
from dcvc_cli.families.float_codec.model import FloatModel
from dcvc_cli.families.tcm.video import DENSITIES, GAUSSIAN_ROWS, TcmRecipe, TcmSizes, TcmVideoNetwork

if TYPE_CHECKING:
    from dcvc_cli.learning.progressive.codec import ProgressiveCodec

TINY = TcmSizes(motion=12, latent=12, hyper=8, feature=8, decoded=4, flow=(8, 8, 8, 4))


def _model(
    name: str, n: int, sizes: TcmSizes, *, relative_width: float, kept_memory: int = 0, is_for_tests: bool = False
) -> FloatModel:
    image, video = AnchorNetwork(n, has_context=False, rule=GAUSSIAN_ROWS), TcmVideoNetwork(sizes)
    recipe = TcmRecipe(image, video)

    def progressive() -> "ProgressiveCodec":
        from dcvc_cli.families.tcm.training import TcmProgressiveCodec

        return TcmProgressiveCodec(image, recipe, DENSITIES)

    return FloatModel(
        name,
        image,
        video,
        recipe,
        DENSITIES,
        progressive,
        relative_width=relative_width,
        kept_memory=kept_memory,
        is_for_tests=is_for_tests,
    )


class TcmFamily(Family):
    """Models `dcvc-tcm` and, for tests, a small one."""

    name = "dcvc-tcm"
    precisions: ClassVar[tuple[Precision, ...]] = (Precision.FLOAT32, Precision.FLOAT64)

    @cached_property
    def models(self) -> Mapping[str, FloatModel]:
        """Returns the published size and one for tests."""
        made = [
            _model("dcvc-tcm", 192, TcmSizes(), relative_width=9.5, kept_memory=352 << 20),
            _model("tiny-tcm", 12, TINY, relative_width=0.5, is_for_tests=True),
        ]
        return {model.name: model for model in made}

    def conformance_form(self) -> ConformanceForm:
        """Returns the reader of cases, which compares files, symbols, estimated bits and pictures."""
        from dcvc_cli.families.tcm.conformance import TcmConformance

        return TcmConformance(self.models["dcvc-tcm"])
