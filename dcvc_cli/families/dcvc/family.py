"""The family `dcvc`: the published codec DCVC (NeurIPS 2021), with each of its I-frame models."""

from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar

from dcvc_cli.bitstream.sps import Precision
from dcvc_cli.families.base import Family
from dcvc_cli.families.conformance_form import ConformanceForm
from dcvc_cli.families.dcvc.video import DENSITIES, DcvcRecipe, DcvcSizes, DcvcVideoNetwork
from dcvc_cli.families.float_codec.anchor import AnchorNetwork
from dcvc_cli.families.float_codec.hyperprior import HyperpriorNetwork
from dcvc_cli.families.float_codec.model import FloatModel

if TYPE_CHECKING:
    from dcvc_cli.learning.progressive.codec import ProgressiveCodec

TINY = DcvcSizes(motion=12, latent=12, feature=8, motion_prior=12, flow=(8, 8, 8, 4))


def _model(
    name: str,
    image: AnchorNetwork | HyperpriorNetwork,
    sizes: DcvcSizes = DcvcSizes(),  # noqa: B008  frozen
    *,
    relative_width: float = 9.0,
    is_for_tests: bool = False,
) -> FloatModel:
    video = DcvcVideoNetwork(sizes)
    recipe = DcvcRecipe(image, video)

    def progressive() -> "ProgressiveCodec":
        from dcvc_cli.families.dcvc.training import DcvcProgressiveCodec

        return DcvcProgressiveCodec(image, recipe, DENSITIES)

    return FloatModel(
        name, image, video, recipe, DENSITIES, progressive, relative_width=relative_width, is_for_tests=is_for_tests
    )


class DcvcFamily(Family):
    """The models of DCVC. They differ in their I-frame model.

    `dcvc` has the anchor model with 192 channels, as three of the four published rates; `dcvc-128` has the anchor model
    with 128 channels. `dcvc-hyper` and `dcvc-hyper-320` have the hyperprior models of the MS-SSIM rates.
    """

    name = "dcvc"
    precisions: ClassVar[tuple[Precision, ...]] = (Precision.FLOAT32, Precision.FLOAT64)

    @cached_property
    def models(self) -> Mapping[str, FloatModel]:
        """Returns the published sizes and the sizes for tests."""
        made = [
            _model("dcvc", AnchorNetwork(192, has_context=True)),
            _model("dcvc-128", AnchorNetwork(128, has_context=True)),
            _model("dcvc-hyper", HyperpriorNetwork(128, 192)),
            _model("dcvc-hyper-320", HyperpriorNetwork(192, 320)),
            _model("tiny-dcvc", AnchorNetwork(12, has_context=True), TINY, relative_width=0.5, is_for_tests=True),
            _model("tiny-dcvc-hyper", HyperpriorNetwork(8, 12), TINY, relative_width=0.5, is_for_tests=True),
        ]
        return {model.name: model for model in made}

    def conformance_form(self) -> ConformanceForm:
        """Returns the reader of cases, which compares files, symbols, estimated bits and pictures."""
        from dcvc_cli.families.dcvc.conformance import DcvcConformance

        return DcvcConformance(self.models)
