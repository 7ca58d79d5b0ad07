"""What a frame encoder or decoder works with: both networks, their backends and their probability tables."""

from dataclasses import dataclass

from dcvc_cli.backend.operations import Operations
from dcvc_cli.entropy.tables import CdfTable
from dcvc_cli.families.rt.image import ImageModel
from dcvc_cli.families.rt.video import VideoModel
from dcvc_cli.format.entropy_format import EntropyFormat


@dataclass(frozen=True)
class CodecNetwork:
    """One network ready to run.

    Args:
        model: the graph.
        synthesis: backend of everything that a decoder computes; the encoder runs it too.
        analysis: backend of what only the encoder computes; the same object where the precision is one.
        z_table: rows qp * hyper channels + channel.
        published_z_table: the same for the published codec's own entropy format; None where it is no other.
    """

    model: ImageModel | VideoModel
    synthesis: Operations
    analysis: Operations
    z_table: CdfTable
    published_z_table: CdfTable | None = None

    def table_of_z(self, entropy_format: EntropyFormat) -> CdfTable:
        """The table that z is coded with in this format."""
        published = self.published_z_table if entropy_format.is_reference else None
        return self.z_table if published is None else published


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
