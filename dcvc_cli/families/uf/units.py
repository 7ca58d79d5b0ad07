"""Encoder and decoder of DCVC-UF's units: samples to payloads and back.

A unit is an I frame, or the next picture (LD), or the next eight pictures (HT-S, HT-L). Between units, a coder keeps a
`recipe.Memory`.
"""

import numpy as np
from numpy.typing import NDArray

from dcvc_cli.backend.operations import Tensor
from dcvc_cli.bitstream.faults import Rule, UnsupportedStreamError
from dcvc_cli.codec.networks import CodecNetworks
from dcvc_cli.families.base import require_reference
from dcvc_cli.families.uf.coder import UnitDecoder
from dcvc_cli.families.uf.image import UfImageModel
from dcvc_cli.families.uf.recipe import (
    Memory,
    UnitSide,
    code_i_frame,
    code_p_unit,
    memory_after_picture,
    memory_after_unit,
    next_contexts,
)
from dcvc_cli.families.uf.sides import DecodingSide, EncodingSide, UnitNetwork
from dcvc_cli.families.uf.video import UfVideoModel
from dcvc_cli.format.entropy_format import EntropyFormat
from dcvc_cli.graph.network import Network

FORMATS = (EntropyFormat.FAMILY, EntropyFormat.PUBLISHED_ONE)
"""FAMILY has our tables of z, the same on every machine. PUBLISHED_ONE has the published codec's, for its own
streams."""


class UnitCoder:
    """What encoder and decoder share: networks, memory, and the last coded unit."""

    def __init__(
        self,
        image: UfImageModel,
        video: UfVideoModel,
        networks: CodecNetworks,
        entropy_format: EntropyFormat,
        skip_threshold: float,
    ) -> None:
        self.image, self.video, self.skip_threshold = image, video, skip_threshold
        self._opened = networks
        self._format: EntropyFormat | None = None
        self.networks: dict[str, UnitNetwork] = {}
        self.use_format(entropy_format)
        self.kept = Memory()
        self._picture: Tensor | None = None
        self._feature: Tensor | None = None
        self._pair: tuple[int, Tensor] | None = None
        """Number of the pair whose pictures are asked for, and what they have in common."""

    def use_format(self, entropy_format: EntropyFormat) -> None:
        """Sets the entropy format, which decides the tables of z.

        Raises:
            UnsupportedStreamError: the family has no such format.
            EnvironmentFault: the weights have no tables for it.
        """
        if entropy_format is self._format:
            return
        if entropy_format not in FORMATS:
            message = (
                f"the stream's symbols are in the {entropy_format.name.lower()} format, which its family does not have"
            )
            raise UnsupportedStreamError(Rule.UNSUPPORTED, message, hint="decode it with a newer dcvc")
        models: dict[str, Network] = {"image": self.image, "video": self.video}
        self.networks = {
            name: UnitNetwork(self._opened[name], model.num_z_channels, entropy_format)
            for name, model in models.items()
        }
        self._format = entropy_format

    def output(self, index: int) -> Tensor:
        """Makes picture `index` of the last coded unit, 3 x Hp x Wp in 0..1."""
        if self._picture is not None:
            return self.networks["image"].synthesis.from_centre(self._picture)
        ops = self.networks["video"].synthesis
        if not self.video.sizes.pair_heads:
            return ops.from_centre(self.video.picture(ops, self._feature, index))
        number = index // 2
        if self._pair is None or self._pair[0] != number:
            self._pair = number, self.video.pair(ops, self._feature, number)
        return ops.from_centre(self.video.picture_of_pair(ops, self._pair[1], index))

    def _code_i(self, side: UnitSide, qp: int) -> None:
        ops = self.networks["image"].synthesis
        self._picture, self._feature, self._pair = code_i_frame(self.image, ops, side, qp), None, None
        self.kept = memory_after_picture(ops, self._picture)

    def _code_p(self, side: UnitSide, qp: int, *, reset: bool) -> None:
        ops = self.networks["video"].synthesis
        contexts = next_contexts(self.video, ops, self.kept)
        self._picture, self._pair = None, None
        self._feature = code_p_unit(self.video, ops, side, contexts, qp)
        self.kept = memory_after_unit(self.video, ops, contexts, self._feature, reset=reset)


class UnitPayloadEncoder(UnitCoder):
    """Codes samples unit by unit. A picture is float32 (3, Hp, Wp) in 0..1."""

    def encode_i(self, values: NDArray[np.float32], qp: int, num_coders: int | None = None) -> tuple[bytes, int]:
        """Codes an I frame at QP 0..63. Returns (payload, number of coders).

        Raises:
            EnvironmentFault: the networks give latents that are not finite.
        """
        side = EncodingSide(self.networks["image"], values, self.skip_threshold)
        self._code_i(side, qp)
        return side.encoder.finish(num_coders)

    def encode_p(
        self, values: list[NDArray[np.float32]], qp: int, reset: bool, num_coders: int | None = None
    ) -> tuple[bytes, int]:
        """Codes the pictures of a P unit at QP 0..63. Returns (payload, number of coders).

        Raises:
            EnvironmentFault: the networks give latents that are not finite.
        """
        side = EncodingSide(self.networks["video"], np.concatenate(values), self.skip_threshold)
        self._code_p(side, qp, reset=reset)
        return side.encoder.finish(num_coders)


class UnitPayloadDecoder(UnitCoder):
    """Decodes payloads unit by unit.

    Args:
        padded: (Hp, Wp), both multiples of 16.
    """

    def __init__(
        self,
        image: UfImageModel,
        video: UfVideoModel,
        networks: CodecNetworks,
        entropy_format: EntropyFormat,
        skip_threshold: float,
        padded: tuple[int, int],
    ) -> None:
        super().__init__(image, video, networks, entropy_format, skip_threshold)
        self.padded = padded

    def decode_i(self, payload: bytes, qp: int, num_coders: int) -> None:
        """Decodes an I frame.

        Raises:
            StreamError: the payload does not hold exactly its symbols.
        """
        self._code_i(self._side("image", payload, num_coders), qp)

    def decode_p(self, payload: bytes, qp: int, reset: bool, num_coders: int) -> None:
        """Decodes a P unit.

        Raises:
            StreamError: there is no unit before it, or the payload does not hold exactly its symbols.
        """
        require_reference(self.kept.pending is not None or self.kept.memory is not None)
        self._code_p(self._side("video", payload, num_coders), qp, reset=reset)

    def _side(self, name: str, payload: bytes, num_coders: int) -> DecodingSide:
        return DecodingSide(self.networks[name], UnitDecoder(payload, num_coders), self.padded, self.skip_threshold)
