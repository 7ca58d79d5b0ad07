"""Units of DCVC-UF: network values in, payloads out, and the mirror. One recipe serves encoder and decoder.

A unit is an I frame, or the next picture (LD) or the next eight (HT-S, HT-L). Between units a coder keeps memory and
feature, or the picture that waits to become memory: after an I frame, and after a unit with the reset flag.
"""

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from dcvc_cli.backend.operations import Operations, Tensor
from dcvc_cli.errors import StreamError
from dcvc_cli.families.uf.coder import MAX_Z, MIN_Z, UnitDecoder, UnitEncoder
from dcvc_cli.families.uf.image import UfImageModel
from dcvc_cli.families.uf.latents import DecodingLatents, EncodingLatents, UnitLatentCoder
from dcvc_cli.families.uf.tables import ZigzagTable
from dcvc_cli.families.uf.video import UfVideoModel


@dataclass(frozen=True)
class ImageNetwork:
    """The image model with its parameters on the backends: synthesis for what a decoder runs, analysis for the rest."""

    model: UfImageModel
    synthesis: Operations
    analysis: Operations
    z_table: ZigzagTable


@dataclass(frozen=True)
class VideoNetwork:
    """A video model, likewise."""

    model: UfVideoModel
    synthesis: Operations
    analysis: Operations
    z_table: ZigzagTable


class Side(Protocol):
    """Where symbols come from: an encoder makes them, a decoder reads them."""

    def z(self, table: ZigzagTable, row_base: int) -> NDArray[np.int8]:
        """The hyper-latent's symbols, int8 (channels, height, width) in -64..63."""

    def latents(self, ops: Operations) -> UnitLatentCoder:
        """The coder that the network's coding steps drive."""


@dataclass(frozen=True)
class EncodingSide:
    """Symbols from the analysis.

    Attributes:
        y: latents in the domain of the symbols, in the form that `quantise_step` takes. symbols: those of z.
    """

    encoder: UnitEncoder
    y: Any
    symbols: NDArray[np.int8]
    skip_threshold: float

    def z(self, table: ZigzagTable, row_base: int) -> NDArray[np.int8]:
        self.encoder.add_z(self.symbols, table, row_base)
        return self.symbols

    def latents(self, ops: Operations) -> UnitLatentCoder:
        return EncodingLatents(ops, self.encoder, self.y, self.skip_threshold)


@dataclass(frozen=True)
class DecodingSide:
    """Symbols from a payload. hyper_shape: (channels, height, width) of z."""

    decoder: UnitDecoder
    hyper_shape: tuple[int, int, int]
    skip_threshold: float

    def z(self, table: ZigzagTable, row_base: int) -> NDArray[np.int8]:
        return self.decoder.decode_z(*self.hyper_shape, table, row_base)

    def latents(self, ops: Operations) -> UnitLatentCoder:
        return DecodingLatents(ops, self.decoder, self.skip_threshold)


@dataclass
class Memory:
    """What a unit leaves to the next one: `pending`, 192 x Hp/8 x Wp/8, or memory and feature."""

    pending: Tensor | None = None
    memory: Tensor | None = None
    feature: Tensor | None = None


class _UnitCoder:
    """What encoder and decoder share: the networks, the memory and the recipe of a unit."""

    def __init__(self, image: ImageNetwork, video: VideoNetwork, skip_threshold: float) -> None:
        self.image, self.video, self.skip_threshold = image, video, skip_threshold
        self.kept = Memory()

    def _code_i(self, side: Side, qp: int, latent_size: tuple[int, int]) -> Tensor:
        """The picture of an I frame, 3 x Hp x Wp in -0.5..0.5."""
        model, ops = self.image.model, self.image.synthesis
        z_hat = ops.z_from_symbols(side.z(self.image.z_table, qp * model.sizes.hyper))
        parameters = model.prior_parameters(ops, z_hat, latent_size)
        y_hat = model.code_latents(ops, parameters, side.latents(ops), qp)
        picture = model.synthesis(ops, y_hat, qp)
        self.kept = Memory(pending=ops.pixel_unshuffle(picture, 8))
        return picture

    def _contexts(self) -> tuple[Tensor, Tensor]:
        """(memory, ctx) of the next unit."""
        model, ops, kept = self.video.model, self.video.synthesis, self.kept
        if kept.pending is None:  # noqa: SIM108
            memory = model.next_memory(ops, kept.memory, kept.feature)
        else:
            memory = model.memory_from_pending(ops, kept.pending)
        return memory, model.context(ops, memory)

    def _code_p(self, side: Side, qp: int, reset: bool, contexts: tuple[Tensor, Tensor], size: tuple[int, int]) -> Tensor:
        """The feature of a unit; the memory is that of the next one then. size: (h, w) of y."""
        model, ops = self.video.model, self.video.synthesis
        memory, ctx = contexts
        z_hat = ops.z_from_symbols(side.z(self.video.z_table, qp * model.sizes.hyper))
        temporal = model.temporal_prior(ops, memory, qp)
        parameters = model.prior_parameters(ops, z_hat, temporal, size)
        y_hat = model.code_latents(ops, parameters, side.latents(ops))
        feature = model.synthesis(ops, y_hat, ctx, qp)
        self.kept = Memory(memory=memory, feature=feature)
        if reset:
            self.kept = Memory(pending=model.reconstruction(ops, feature, model.sizes.pictures - 1))
        return feature


class UnitPayloadEncoder(_UnitCoder):
    """Codes network inputs, float32 (3, Hp, Wp) in 0..1 a picture, unit by unit."""

    def encode_i(self, values: NDArray[np.float32], qp: int, num_coders: int | None = None) -> tuple[bytes, int]:
        """Codes an I frame at QP 0..63 -> (payload, number of coders)."""
        model, ops = self.image.model, self.image.analysis
        y = model.analysis(ops, ops.centre(ops.frame_from_values(values)), qp)
        symbols = _rounded_z(ops, model.hyper_analysis(ops, y))
        encoder = UnitEncoder()
        side = EncodingSide(encoder, self._latents(self.image, model.scaled_latents(ops, y, qp)), symbols, self.skip_threshold)
        self._code_i(side, qp, ops.size(y))
        return encoder.finish(num_coders)

    def encode_p(self, values: list[NDArray[np.float32]], qp: int, reset: bool, num_coders: int | None = None) -> tuple[bytes, int]:
        """Codes the next pictures, as many as a unit has, at QP 0..63 -> (payload, number of coders)."""
        model, ops = self.video.model, self.video.analysis
        contexts = self._contexts()
        ctx = contexts[1] if ops is self.video.synthesis else ops.from_float(self.video.synthesis.to_float(contexts[1]))
        y = model.analysis(ops, ops.centre(ops.frame_from_values(np.concatenate(values))), ctx, qp)
        symbols = _rounded_z(ops, model.hyper_analysis(ops, y))
        encoder = UnitEncoder()
        side = EncodingSide(encoder, self._latents(self.video, y), symbols, self.skip_threshold)
        self._code_p(side, qp, reset, contexts, ops.size(y))
        return encoder.finish(num_coders)

    @staticmethod
    def _latents(network: ImageNetwork | VideoNetwork, y: Tensor) -> Any:
        return y if network.analysis is network.synthesis else network.analysis.to_float(y)


class UnitPayloadDecoder(_UnitCoder):
    """Decodes payloads unit by unit.

    Args:
        padded: (Hp, Wp), both multiples of 16.
    """

    def __init__(self, image: ImageNetwork, video: VideoNetwork, skip_threshold: float, padded: tuple[int, int]) -> None:
        super().__init__(image, video, skip_threshold)
        self.latent_size = (padded[0] // 16, padded[1] // 16)
        self.hyper_size = (-(-self.latent_size[0] // 4), -(-self.latent_size[1] // 4))

    def decode_i(self, payload: bytes, qp: int, num_coders: int) -> Tensor:
        """The picture of an I frame, 3 x Hp x Wp in -0.5..0.5; StreamError if the payload does not hold exactly its symbols."""
        decoder = UnitDecoder(payload, num_coders)
        side = DecodingSide(decoder, (self.image.model.sizes.hyper, *self.hyper_size), self.skip_threshold)
        picture = self._code_i(side, qp, self.latent_size)
        decoder.finish()
        return picture

    def decode_p(self, payload: bytes, qp: int, reset: bool, num_coders: int) -> list[Tensor]:
        """The pictures of a unit; StreamError as above, or if there is nothing to predict from."""
        if self.kept.pending is None and self.kept.memory is None:
            raise StreamError("a P unit comes before any I frame", "the start of the stream is missing")
        decoder = UnitDecoder(payload, num_coders)
        side = DecodingSide(decoder, (self.video.model.sizes.hyper, *self.hyper_size), self.skip_threshold)
        feature = self._code_p(side, qp, reset, self._contexts(), self.latent_size)
        decoder.finish()
        model, ops = self.video.model, self.video.synthesis
        return [model.picture(ops, feature, index) for index in range(model.sizes.pictures)]


def _rounded_z(ops: Operations, z: Tensor) -> NDArray[np.int8]:
    return np.clip(ops.round_z(z), MIN_Z, MAX_Z)
