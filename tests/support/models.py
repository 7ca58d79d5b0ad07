"""Models of all families, and the test model with motion, for tests that look inside."""

from dataclasses import asdict

from dcvc_cli.families.lite.image import ImageModel as LiteImageModel
from dcvc_cli.families.lite.sizes import LiteImageSpec, LiteSpec, LiteVideoSpec
from dcvc_cli.families.lite.video import VideoModel as LiteVideoModel
from dcvc_cli.families.registry import models
from dcvc_cli.families.rt.image import ImageModel
from dcvc_cli.families.rt.model import RtModel
from dcvc_cli.families.rt.sizes import TINY, ImageSpec, ModelSpec, VideoSpec
from dcvc_cli.families.rt.video import VideoModel

SPECS: dict[str, ModelSpec] = {name: model.spec for name, model in models().items() if isinstance(model, RtModel)}
WITH_MOTION = LiteSpec("tiny", LiteImageSpec(**asdict(TINY.image)), LiteVideoSpec(**asdict(TINY.video)))
"""The test model with motion and without direct latents."""


def video_model(spec: VideoSpec) -> VideoModel:
    """Returns the graph of a video network, that of `lite` for sizes of `lite`."""
    return LiteVideoModel(spec) if isinstance(spec, LiteVideoSpec) else VideoModel(spec)


def image_model(spec: ImageSpec) -> ImageModel:
    """Returns the graph of an image network, that of `lite` for sizes of `lite`."""
    return LiteImageModel(spec) if isinstance(spec, LiteImageSpec) else ImageModel(spec)


def graphs(spec: ModelSpec) -> tuple[ImageModel, VideoModel]:
    """Returns the graphs of both networks."""
    return image_model(spec.image), video_model(spec.video)
