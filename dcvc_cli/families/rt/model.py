"""Models of DCVC-RT: an image network and a video network, one picture a unit."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from dcvc_cli.bitstream.limits import MAX_QP_I, MAX_QP_P
from dcvc_cli.bitstream.sps import Sps
from dcvc_cli.codec.calibration import CalibrationSide
from dcvc_cli.codec.choices import CodingChoices
from dcvc_cli.codec.entropy_choice import entropy_format_for
from dcvc_cli.codec.networks import CodecNetworks
from dcvc_cli.codec.pictures import padded_size, video_format_of
from dcvc_cli.entropy.factorised import factorised_table, published_factorised_table
from dcvc_cli.entropy.tables import CdfTable
from dcvc_cli.families.base import Model, PictureDecoder, PictureEncoder
from dcvc_cli.families.rt.frames import FramePayloadDecoder, FramePayloadEncoder
from dcvc_cli.families.rt.gop import gop_rule
from dcvc_cli.families.rt.image import ImageModel
from dcvc_cli.families.rt.recipe import code_i_frame, code_p_frame
from dcvc_cli.families.rt.sequences import FrameByFrameDecoder, FrameByFrameEncoder
from dcvc_cli.families.rt.sizes import ModelSpec
from dcvc_cli.families.rt.video import VideoModel
from dcvc_cli.format.entropy_format import SHARED_FORMATS
from dcvc_cli.format.types import PictureSize

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from dcvc_cli.families.base import State
    from dcvc_cli.learning.trainee import Trainee


class RtModel(Model):
    """A size of an image network and a video network, one picture a unit.

    Attributes:
        spec: sizes, and the pattern of QPs that serves them.
        image: graph of the image network.
        video: graph of the video network.
    """

    largest_qps = (MAX_QP_I, MAX_QP_P)
    entropy_formats = SHARED_FORMATS
    relative_width = 1.3
    codes_every_format = True

    def __init__(self, spec: ModelSpec, image: ImageModel, video: VideoModel, *, is_for_tests: bool = False) -> None:
        self.name, self.spec, self.is_for_tests = spec.name, spec, is_for_tests
        if is_for_tests:
            self.relative_width = 0.5
        self.image, self.video = image, video
        self.networks = {"image": image, "video": video}

    def sps_fields(self, size: PictureSize, choices: CodingChoices) -> Mapping[str, Any]:
        """Chooses the entropy format by the picture size. The pattern of QPs is the model's, the interval of resets the
        user's."""
        entropy_format = choices.entropy_format or entropy_format_for(size)
        return {
            "entropy_format": entropy_format,
            # A stream in the published codec's entropy formats may be remuxed for its decoder. That decoder's file
            # writer truncates.
            "truncate_chroma": entropy_format.is_published,
            "reset_interval": choices.reset_interval,
            "qp_offsets": self.spec.qp_offsets,
        }

    def encoder(self, networks: CodecNetworks, sps: Sps, choices: CodingChoices) -> PictureEncoder:
        """Returns an encoder of one picture a unit."""
        frames = FramePayloadEncoder(self.image, self.video, networks, sps.entropy_format, sps.skip_threshold)
        return FrameByFrameEncoder(frames, sps, gop_rule(choices, self.spec).plans_from(), lambda dead_zone: None)

    def decoder(self, networks: CodecNetworks, sps: Sps) -> PictureDecoder:
        """Returns a decoder of one picture a unit."""
        self.check_sps(sps)
        padded = padded_size(video_format_of(sps).size)
        frames = FramePayloadDecoder(self.image, self.video, networks, sps.entropy_format, sps.skip_threshold, padded)
        return FrameByFrameDecoder(frames, sps, MAX_QP_I, MAX_QP_P)

    def z_table(self, network: str, state: "State") -> CdfTable:
        """Makes the table of the factorised density."""
        return factorised_table(state)

    def published_z_table(self, network: str, state: "State") -> CdfTable:
        """Makes the table as the published codec does: PyTorch computes it in float32 on this machine."""
        return published_factorised_table(state)

    def calibrate(self, networks: Mapping[str, Any], clip: Sequence["NDArray[np.float32]"], qp: int) -> None:
        """Codes an I frame, then P frames."""
        frame = code_i_frame(self.image, networks["image"], CalibrationSide(networks["image"], clip[0]), qp)
        qps = [min(qp + 8 * (k % 2), MAX_QP_P) for k in range(len(clip) - 1)]
        self.calibrate_p_frames(networks["video"], networks["video"].frame(frame.tensor), clip[1:], qps)

    def calibrate_p_frames(
        self, ops: Any, frame: Any, pictures: Sequence["NDArray[np.float32]"], qps: Sequence[int]
    ) -> None:
        """Codes P frames after a recorded reference frame."""
        feature = None
        for values, qp in zip(pictures, qps, strict=True):
            adapted = self.video.adapt(ops, frame, feature)
            feature = code_p_frame(self.video, ops, CalibrationSide(ops, values), adapted, qp).feature
            frame = self.video.reconstruction(ops, feature, qp)

    @property
    def trainees(self) -> tuple[str, ...]:
        """Returns both networks."""
        return tuple(self.networks)

    def trainee(self, network: str) -> "Trainee":
        """Makes one of the two networks in training."""
        from dcvc_cli.families.rt.training import ImageTrainee, VideoTrainee

        if network == "image":
            return ImageTrainee(self.spec, self.image)
        return VideoTrainee(self.spec, self.image, self.video)

    def random_parameters(self, network: str) -> "State":
        """Returns Xavier-uniform parameters. Layers whose values would grow have smaller ones."""
        from dcvc_cli.families.rt.random_parameters import random_parameters_of

        return random_parameters_of(self, network)
