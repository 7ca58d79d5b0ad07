"""Frame encoder and decoder of DCVC-DC and DCVC-FM: samples to payloads and back. Source: DCVC-DC (CVPR 2023)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from dcvc_cli.backend.operations import Tensor
from dcvc_cli.codec.networks import CodecNetworks
from dcvc_cli.entropy.tables import CdfTable
from dcvc_cli.entropy.wide import WideDecoder, WideEncoder, WideKind
from dcvc_cli.families.base import require_reference
from dcvc_cli.families.diverse_contexts.latents import DecodingSide, EncodingSide, FrameSide
from dcvc_cli.families.diverse_contexts.recipe import (
    ImageNetwork,
    Reference,
    code_i_frame,
    code_p_frame,
    hyper_size,
    split_z_tables,
)
from dcvc_cli.families.diverse_contexts.video import VideoNetwork
from dcvc_cli.families.wide_latents.payload import join_strings, split_payload
from dcvc_cli.families.wide_latents.sides import float_operations
from dcvc_cli.families.wide_latents.tables import gaussian_scales, laplace_scales


class FrameCoder:
    """What encoder and decoder share: networks, tables, and the reference.

    Args:
        kind: kind of the coder's state, bytes or long words.

    Attributes:
        reference: the reference of the next P frame. Its `frame` is the decoder's output.
    """

    def __init__(self, image: ImageNetwork, video: VideoNetwork, networks: CodecNetworks, kind: WideKind) -> None:
        self.image, self.video, self.networks, self.kind = image, video, networks, kind
        self.z_tables = split_z_tables(networks["video"].z_table, video)
        self.reference: Reference | None = None
        self._image_rows: dict[int, CdfTable] = {}

    def image_rows(self, quality: int) -> CdfTable:
        """Returns the rows of z for I frames of this quality."""
        number = quality if self.image.num_qps > 1 else 0
        if number not in self._image_rows:
            num_z = self.image.num_z
            self._image_rows[number] = self.networks["image"].z_table.rows(number * num_z, num_z)
        return self._image_rows[number]

    @property
    def frame(self) -> Tensor:
        """Returns the decoder's picture of the last frame, (1, 3, Hp, Wp)."""
        assert self.reference is not None, "no frame came yet"
        return self.reference.frame

    def code_i(self, side: FrameSide, padded: tuple[int, int], quality: int) -> None:
        """Codes an I frame through `side`."""
        self._keep(side, code_i_frame(self.image, side, self.image_rows(quality), padded, quality))

    def code_p(self, side: FrameSide, frame: "PFrame") -> None:
        """Codes a P frame through `side`."""
        assert self.reference is not None, "callers see to a reference"
        reference = replace(self.reference, feature=None) if frame.refreshes else self.reference
        self._keep(side, code_p_frame(self.video, side, self.z_tables, reference, frame.quality, frame.adaptor))

    def _keep(self, side: FrameSide, reference: Reference) -> None:
        if not side.ops.is_finite(reference.frame):
            raise side.fault("a picture has values that are not finite")
        self.reference = reference


@dataclass(frozen=True)
class PFrame:
    """The settings of a P frame.

    Attributes:
        quality: quality index for the networks' `factor`.
        adaptor: 0..2, number of the feature adaptor; without effect if `refreshes`.
        refreshes: whether the reference's feature is dropped first.
    """

    quality: int
    adaptor: int
    refreshes: bool = False


class FramePayloadEncoder(FrameCoder):
    """Codes samples, float32 (3, Hp, Wp) in 0..1, frame by frame.

    Raises:
        EnvironmentFault: the networks give latents that are not finite.
    """

    def encode_i(self, values: NDArray[np.float32], quality: int, num_coders: int = 1) -> bytes:
        """Codes an I frame with 1 to 16 coders. Returns the payload."""
        side = EncodingSide(float_operations(self.networks["image"]), gaussian_scales(), values)
        self.code_i(side, (values.shape[1], values.shape[2]), quality)
        encoder = WideEncoder(self.kind)
        side.add_to(encoder)
        return join_strings(encoder.finish(num_coders))

    def encode_p(self, frames: Sequence[tuple[NDArray[np.float32], PFrame]], num_coders: int = 1) -> bytes:
        """Codes one P frame, or several that share their coders. Returns the payload."""
        encoder = WideEncoder(self.kind)
        for values, frame in frames:
            side = EncodingSide(float_operations(self.networks["video"]), laplace_scales(), values)
            self.code_p(side, frame)
            side.add_to(encoder)
        return join_strings(encoder.finish(num_coders))


class FramePayloadDecoder(FrameCoder):
    """Decodes payloads frame by frame.

    Args:
        padded: (Hp, Wp), both multiples of 16.

    Raises:
        StreamError: a payload does not hold exactly its symbols, or a P frame has no reference.
    """

    def __init__(
        self,
        image: ImageNetwork,
        video: VideoNetwork,
        networks: CodecNetworks,
        kind: WideKind,
        padded: tuple[int, int],
    ) -> None:
        super().__init__(image, video, networks, kind)
        self.padded = padded

    def decode_i(self, payload: bytes, quality: int) -> None:
        """Decodes an I frame."""
        decoder = WideDecoder(split_payload(payload), self.kind)
        hypers = [(self.image_rows(quality), (self.image.num_z, *hyper_size(self.padded)))]
        self.code_i(
            DecodingSide(float_operations(self.networks["image"]), gaussian_scales(), decoder, hypers),
            self.padded,
            quality,
        )
        decoder.finish()

    def decode_p(self, payload: bytes, frames: Sequence[PFrame]) -> Iterator[Tensor]:
        """Decodes one P frame, or several that share their coders. Yields their pictures one after the other."""
        require_reference(self.reference is not None)
        decoder, size = WideDecoder(split_payload(payload), self.kind), hyper_size(self.padded)
        hypers = [(self.z_tables[0], (self.video.sizes.motion, *size)), (self.z_tables[1], (self.video.num_z, *size))]
        for frame in frames:
            self.code_p(
                DecodingSide(float_operations(self.networks["video"]), laplace_scales(), decoder, hypers), frame
            )
            if frame is frames[-1]:
                decoder.finish()
            yield self.frame
