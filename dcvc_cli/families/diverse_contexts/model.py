"""Models of DCVC-DC and DCVC-FM: an image network and a video network in floating point. A unit holds one picture."""

from abc import abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from dcvc_cli.backend.operations import Tensor
from dcvc_cli.bitstream.sps import Sps
from dcvc_cli.codec.choices import CodingChoices
from dcvc_cli.codec.networks import CodecNetworks
from dcvc_cli.codec.pictures import padded_size, picture_from_frame, values_from_picture, video_format_of
from dcvc_cli.entropy.tables import CdfTable
from dcvc_cli.entropy.wide import WideKind
from dcvc_cli.families.base import Model, PictureDecoder, PictureEncoder
from dcvc_cli.families.diverse_contexts.frames import FramePayloadDecoder, FramePayloadEncoder
from dcvc_cli.families.diverse_contexts.recipe import ImageNetwork
from dcvc_cli.families.diverse_contexts.sequences import UnitDecoder, UnitEncoder
from dcvc_cli.families.diverse_contexts.video import VideoNetwork
from dcvc_cli.families.rt.gop import GopRule
from dcvc_cli.families.wide_latents.sequences import NO_OFFSETS
from dcvc_cli.families.wide_latents.tables import z_table
from dcvc_cli.format.entropy_format import EntropyFormat
from dcvc_cli.format.types import Picture, PictureSize, VideoFormat

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from dcvc_cli.families.base import State

ESTIMATORS = {"image": ("bit_estimator_z",), "video": ("bit_estimator_z", "bit_estimator_z_mv")}
"""Density estimators of each network, in the order of the rows of its table of z."""


class DiverseModel(Model):
    """An image network and a video network.

    Attributes:
        image, video: the graphs.
        kind: kind of the coder's state, bytes or long words.
        adaptors: numbers of feature adaptors by the picture's number after its I frame, repeated.
        has_refresh: whether the codec has refreshes, which `--reset-interval` sets.
    """

    relative_width = 15.0
    kept_memory = 352 << 20
    kind: WideKind
    adaptors: tuple[int, ...]
    has_refresh: bool

    def __init__(self, name: str, image: ImageNetwork, video: VideoNetwork, *, is_for_tests: bool = False) -> None:
        self.name, self.image, self.video, self.is_for_tests = name, image, video, is_for_tests
        if is_for_tests:
            self.relative_width, self.kept_memory = 0.5, 0
        self.networks = {"image": image, "video": video}

    def values(self, picture: Picture, video_format: VideoFormat) -> "NDArray[np.float32]":
        """Makes the network input, float32 (3, Hp, Wp) in 0..1, of a picture: luma and chroma."""
        return values_from_picture(picture, video_format)

    def picture(self, frame: Tensor, video_format: VideoFormat) -> Picture:
        """Makes a picture of network output, 3 x Hp x Wp in 0..1 on a float backend. Inverts `values`."""
        from dcvc_cli.backend.float_torch import FloatOperations

        ops = FloatOperations({"frame": frame})
        return picture_from_frame(ops, frame, video_format, truncate_chroma=False)

    def sps_fields(self, size: PictureSize, choices: CodingChoices) -> Mapping[str, Any]:
        """Returns the fields for the family's own byte format.

        Raises:
            UsageError: the choices name another entropy format.
        """
        self.check_entropy_format(choices.entropy_format or EntropyFormat.FAMILY)
        return {
            "entropy_format": EntropyFormat.FAMILY,
            "reset_interval": choices.reset_interval if self.has_refresh else 0,
            "qp_offsets": (),
        }

    def encoder(self, networks: CodecNetworks, sps: Sps, choices: CodingChoices) -> PictureEncoder:
        """Makes an encoder that gives one unit a picture."""
        rule = GopRule(
            choices.qp_i,
            choices.qp_p,
            choices.keyint,
            choices.reset_interval if self.has_refresh else 0,
            NO_OFFSETS,
            forced_keys=choices.forced_keys,
        )
        frames = FramePayloadEncoder(self.image, self.video, networks, self.kind)
        return UnitEncoder(frames, sps, rule.plans_from(), self.adaptors, self.values, self.picture)

    def decoder(self, networks: CodecNetworks, sps: Sps) -> PictureDecoder:
        """Makes a decoder that gives one picture a unit."""
        self.check_sps(sps)
        padded = padded_size(video_format_of(sps).size)
        frames = FramePayloadDecoder(self.image, self.video, networks, self.kind, padded)
        return UnitDecoder(frames, self.picture)

    def z_table(self, network: str, state: "State") -> CdfTable:
        """Makes the table of z of the factorised densities. The rows of the motion's z come last."""
        return z_table(state, *ESTIMATORS[network])

    @abstractmethod
    def random_parameters(self, network: str) -> "State":
        """Makes parameters that give latents of many spreads."""
