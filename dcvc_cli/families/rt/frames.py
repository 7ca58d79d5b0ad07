"""The frame encoder and decoder of `rt`.

    encoder: network values -> analysis -> symbols -> payload, and the decoder's half for the next reference
    decoder: payload -> symbols -> synthesis -> network output

Both keep one reference: the frame after an I frame, the feature after a P frame. In exact precision, encoder and
decoder have the same reference bit for bit.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from dcvc_cli.backend.operations import Tensor
from dcvc_cli.codec.latents import DecodingSide, EncodingSide
from dcvc_cli.codec.networks import CodecNetworks
from dcvc_cli.codec.pictures import picture_from_frame
from dcvc_cli.entropy.coder import FrameDecoder
from dcvc_cli.families.base import require_reference
from dcvc_cli.families.rt.image import ImageModel
from dcvc_cli.families.rt.recipe import FrameSide, code_i_frame, code_p_frame
from dcvc_cli.families.rt.video import VideoModel
from dcvc_cli.format.entropy_format import EntropyFormat
from dcvc_cli.format.types import Picture, VideoFormat


@dataclass
class Reference:
    """What the next P frame is predicted from.

    Attributes:
        frame: 3 x Hp x Wp in 0..1; None until a picture is made of the feature.
        feature: feature x Hp/8 x Wp/8; None after an I frame and after a reset.
        last_qp: row 0..71 of the frame that left the feature.
    """

    frame: Tensor | None = None
    feature: Tensor | None = None
    last_qp: int = 0


class _FrameCoder:
    """The networks and the reference, which encoder and decoder have alike."""

    def __init__(
        self,
        image: ImageModel,
        video: VideoModel,
        networks: CodecNetworks,
        entropy_format: EntropyFormat,
        skip_threshold: float | None,
    ) -> None:
        self.image, self.video, self.networks = image, video, networks
        self.entropy_format, self.skip_threshold = entropy_format, skip_threshold
        self.reference = Reference()

    @property
    def computes_beside_host(self) -> bool:
        """Returns whether a device computes the networks while the host does something else."""
        return self.networks["video"].synthesis.computes_beside_host

    def shown(self) -> Reference:
        """Returns what `picture` needs of the frame coded last once others are coded."""
        return self.reference

    def saved(self) -> Reference:
        """Returns a copy of what the next frame depends on."""
        return replace(self.reference)

    def restore(self, saved: Reference) -> None:
        """Goes back to where `saved` was called."""
        self.reference = replace(saved)

    def output(self, shown: Reference | None = None) -> Tensor:
        """Returns the network output of the frame coded last, or of the frame of `shown`: 3 x Hp x Wp in 0..1."""
        reference = self.reference if shown is None else shown
        if reference.frame is None:
            reference.frame = self.video.reconstruction(
                self.networks["video"].synthesis, reference.feature, reference.last_qp
            )
        return reference.frame

    def picture(self, video_format: VideoFormat, *, truncate_chroma: bool, shown: Reference | None = None) -> Picture:
        """Returns the output picture of the frame coded last, or of the frame of `shown`."""
        return picture_from_frame(
            self.networks["video"].synthesis, self.output(shown), video_format, truncate_chroma=truncate_chroma
        )

    def _code_i(self, side: FrameSide, qp: int) -> None:
        self.reference = Reference(code_i_frame(self.image, self.networks["image"].synthesis, side, qp), None, qp)

    def _code_p(self, side: FrameSide, qp: int, reset: bool) -> None:
        ops, reference = self.networks["video"].synthesis, self.reference
        if reset:
            self.output()
            reference.feature = None
        adapted = self.video.adapt(ops, reference.frame, reference.feature)
        self.reference = Reference(None, code_p_frame(self.video, ops, side, adapted, qp).feature, qp)


class FramePayloadEncoder(_FrameCoder):
    """Codes frames one after the other. `values` are what codec.pictures.values_from_picture returns."""

    def encode_i(self, values: NDArray[np.float32], qp: int, zero_below: NDArray[np.float32] | None = None) -> bytes:
        """Codes an I frame at row `qp` (0..63) and returns its payload.

        Raises:
            EnvironmentFault: the networks give latents that are not finite.
        """
        return self.code_i(values, qp, zero_below)()

    def code_i(
        self, values: NDArray[np.float32], qp: int, zero_below: NDArray[np.float32] | None = None
    ) -> Callable[[], bytes]:
        """Codes the frame up to its symbols. Returns a function that makes the payload of them, in any thread."""
        side = EncodingSide(self.networks["image"], values, self.entropy_format, self.skip_threshold, zero_below)
        self._code_i(side, qp)
        self.networks["image"].synthesis.start(self.reference.frame)
        return side.encoder.finish

    def encode_p(
        self, values: NDArray[np.float32], qp: int, reset: bool, zero_below: NDArray[np.float32] | None = None
    ) -> bytes:
        """Codes a P frame at row `qp` (0..71) from the reference and returns its payload.

        Raises:
            EnvironmentFault: the networks give latents that are not finite.
        """
        return self.code_p(values, qp, reset, zero_below)()

    def code_p(
        self, values: NDArray[np.float32], qp: int, reset: bool, zero_below: NDArray[np.float32] | None = None
    ) -> Callable[[], bytes]:
        """Codes the frame up to its symbols. Returns a function that makes the payload of them, in any thread."""
        side = EncodingSide(self.networks["video"], values, self.entropy_format, self.skip_threshold, zero_below)
        self._code_p(side, qp, reset)
        self.networks["video"].synthesis.start(self.reference.feature)
        return side.encoder.finish


class FramePayloadDecoder(_FrameCoder):
    """Decodes payloads one after the other.

    Args:
        padded: (Hp, Wp), both multiples of 16.
    """

    def __init__(
        self,
        image: ImageModel,
        video: VideoModel,
        networks: CodecNetworks,
        entropy_format: EntropyFormat,
        skip_threshold: float | None,
        padded: tuple[int, int],
    ) -> None:
        super().__init__(image, video, networks, entropy_format, skip_threshold)
        self.padded = padded

    def decode_i(self, payload: bytes, qp: int) -> None:
        """Decodes an I frame.

        Raises:
            StreamError: the payload does not hold exactly the frame's symbols.
        """
        self._code_i(self._side("image", self.image, payload), qp)

    def decode_p(self, payload: bytes, qp: int, reset: bool) -> None:
        """Decodes a P frame.

        Raises:
            StreamError: there is no reference, or the payload does not hold exactly the frame's symbols.
        """
        require_reference(self.reference.frame is not None or self.reference.feature is not None)
        self._code_p(self._side("video", self.video, payload), qp, reset)

    def _side(self, name: str, model: ImageModel | VideoModel, payload: bytes) -> DecodingSide:
        decoder = FrameDecoder(payload, self.entropy_format)
        return DecodingSide(
            self.networks[name], decoder, model.num_z_channels, self.padded, self.entropy_format, self.skip_threshold
        )
