"""Models of DCVC-DC and DCVC-FM: an image network and a video network in floating point. A unit holds one picture."""

from abc import abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from dcvc_cli.backend.operations import Tensor
from dcvc_cli.bitstream.faults import Rule, UnsupportedStreamError
from dcvc_cli.bitstream.limits import FrameLimits, general_limits
from dcvc_cli.bitstream.sps import Sps
from dcvc_cli.codec.choices import CodingChoices
from dcvc_cli.codec.networks import CodecNetworks
from dcvc_cli.codec.pictures import padded_size, picture_from_frame, values_from_picture, video_format_of
from dcvc_cli.entropy.tables import CdfTable
from dcvc_cli.entropy.wide import WideKind
from dcvc_cli.errors import StreamError, UsageError
from dcvc_cli.families.base import Model, PictureDecoder, PictureEncoder
from dcvc_cli.families.diverse_contexts.frames import FramePayloadDecoder, FramePayloadEncoder
from dcvc_cli.families.diverse_contexts.recipe import ImageNetwork
from dcvc_cli.families.diverse_contexts.sequences import UnitDecoder, UnitEncoder
from dcvc_cli.families.diverse_contexts.video import VideoNetwork
from dcvc_cli.families.rt.gop import GopRule
from dcvc_cli.families.wide_latents.tables import z_table
from dcvc_cli.format.constants import MAX_BASE_QP
from dcvc_cli.format.entropy_format import EntropyFormat
from dcvc_cli.format.types import Picture, PictureSize, VideoFormat

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from dcvc_cli.families.base import State

ESTIMATORS = {"image": ("bit_estimator_z",), "video": ("bit_estimator_z", "bit_estimator_z_mv")}
"""Density estimators of each network, in the order of the rows of its table of z."""
NO_OFFSETS = (0,) * 8


class DiverseModel(Model):
    """An image network and a video network.

    Attributes:
        image, video: the graphs.
        kind: kind of the coder's state, bytes or long words.
        adaptors: numbers of feature adaptors by the picture's number after its I frame, repeated.
        has_refresh: whether the codec has refreshes, which `--reset-interval` sets.
    """

    entropy_formats = (EntropyFormat.FAMILY,)
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

    def limits(self, sps: Sps) -> FrameLimits:
        """Returns 64 QPs for every unit, and the largest payload of so many latents."""
        return FrameLimits(MAX_BASE_QP, MAX_BASE_QP, general_limits(sps).max_payload_size)

    def sps_fields(self, size: PictureSize, choices: CodingChoices) -> Mapping[str, Any]:
        """Returns the fields for the family's own byte format.

        Raises:
            UsageError: the choices name another entropy format.
        """
        if choices.entropy_format not in (None, EntropyFormat.FAMILY):
            name = choices.entropy_format.name.lower().replace("_", "-")
            raise UsageError(f"model {self.name} has no entropy format {name}", "use auto")
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
        if max(sps.width, sps.height) > self.max_side:
            limit = f"{self.max_side}x{self.max_side}"
            raise StreamError(f"the stream's pictures are {sps.width}x{sps.height}, larger than {limit}")
        is_known = sps.entropy_format is EntropyFormat.FAMILY and not sps.family_block
        if sps.max_pictures > 1 or sps.max_reorder or not is_known:
            message = f"the stream's units hold what model family {sps.model_family!r} of this dcvc does not know"
            raise UnsupportedStreamError(Rule.UNSUPPORTED, message, hint="decode it with a newer dcvc")
        padded = padded_size(video_format_of(sps).size)
        frames = FramePayloadDecoder(self.image, self.video, networks, self.kind, padded)
        return UnitDecoder(frames, self.picture)

    def z_table(self, network: str, state: "State") -> CdfTable:
        """Makes the table of z of the factorised densities. The rows of the motion's z come last."""
        return z_table(state, *ESTIMATORS[network])

    @abstractmethod
    def random_parameters(self, network: str) -> "State":
        """Makes parameters that give latents of many spreads."""
