"""What a frame encoder or decoder works with: both networks, their backends and their probability tables."""

from dataclasses import dataclass

from dcvc_cli.backend.operations import Operations
from dcvc_cli.entropy.tables import CdfTable
from dcvc_cli.families.rt.image import ImageModel
from dcvc_cli.families.rt.video import VideoModel


@dataclass(frozen=True)
class CodecNetwork:
    """One network ready to run.

    Args:
        model: the graph.
        synthesis: backend of everything that a decoder computes; the encoder runs it too.
        analysis: backend of what only the encoder computes; the same object where the precision is one.
        z_table: rows qp * hyper channels + channel.
    """

    model: ImageModel | VideoModel
    synthesis: Operations
    analysis: Operations
    z_table: CdfTable


@dataclass(frozen=True)
class CodecNetworks:
    """The image and the video network of one set of weights; threads: of what an encoder does beside them."""

    image: CodecNetwork
    video: CodecNetwork
    threads: int = 1

    @property
    def image_model(self) -> ImageModel:
        assert isinstance(self.image.model, ImageModel)
        return self.image.model

    @property
    def video_model(self) -> VideoModel:
        assert isinstance(self.video.model, VideoModel)
        return self.video.model
