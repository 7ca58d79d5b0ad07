"""The frame encoder and decoder of `lite`: those of `rt` on what block motion leaves, and an output filter (docs/motion.md, docs/output-filter.md).

A payload has vectors, filters and symbols, in this order. Pictures are put out filtered; the reference is the picture before that. Both ends keep
the reference's frame and feature and the long-term reference.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dcvc_cli.backend.operations import Tensor
from dcvc_cli.bitstream.varint import ByteReader, write_uv
from dcvc_cli.codec.latents import DecodingSide, EncodingSide, latent_sizes
from dcvc_cli.codec.networks import CodecNetworks
from dcvc_cli.entropy.coder import FrameDecoder
from dcvc_cli.errors import StreamError
from dcvc_cli.families.lite.filter.filters import FilterCoder, FilterFit, filter_planes, planes_of_squares
from dcvc_cli.families.lite.filter.parameters import Filters, Planes
from dcvc_cli.families.lite.image import ImageModel
from dcvc_cli.families.lite.motion.field import FieldCoder, compensate_squares, in_lines, luma_of_values, search_lambda
from dcvc_cli.families.lite.motion.motion import SAMPLE_UNIT, Motion
from dcvc_cli.families.lite.pictures import picture_from_planes
from dcvc_cli.families.lite.video import VideoModel
from dcvc_cli.families.rt.recipe import FrameSide, code_i_frame, code_p_frame
from dcvc_cli.format.entropy_format import EntropyFormat
from dcvc_cli.format.range_coder import DecoderState, EncoderState
from dcvc_cli.format.types import Picture, VideoFormat
from dcvc_cli.stages import FILTER, MOTION, timed


@dataclass
class Reference:
    """What the next P frame predicts from.

    Attributes:
        last_qp: the row that made the feature.
        predicted: the compensated frame and what latents added to it directly; the feature's picture adds to that.
        long_term: the last kept picture before this one (docs/motion.md): its samples as Operations.samples_from_frame has them, or where the
            backend has kernels for pictures the frame itself.
    """

    frame: Tensor | None = None
    feature: Tensor | None = None
    last_qp: int = 0
    predicted: Tensor | None = None
    long_term: Any = None


@dataclass(frozen=True)
class SymbolBytes:
    """What vectors and filters leave of a payload for the symbols.

    Attributes:
        data: the bytes; in the compact format still all of them.
        state: in the compact format, where vectors and filters left the range coder.
    """

    data: bytes
    state: DecoderState | None = None


class _FrameCoder:
    """What encoder and decoder share: networks, references, filters in force.

    Args:
        halve_chroma: what the output filter works on: chroma at half the size, as 4:2:0 pictures have it, or all planes at full size.
    """

    def __init__(
        self,
        image: ImageModel,
        video: VideoModel,
        networks: CodecNetworks,
        entropy_format: EntropyFormat,
        skip_threshold: float | None,
        halve_chroma: bool = True,
    ) -> None:
        self.image, self.video, self.networks = image, video, networks
        self.entropy_format, self.skip_threshold, self.halve_chroma = entropy_format, skip_threshold, halve_chroma
        self.reference = Reference()
        self.field_coder, self.filter_coder = FieldCoder(), FilterCoder()

    def output(self) -> Tensor:
        """The network output of the frame coded last, before any filter: 3 x Hp x Wp in 0..1."""
        reference = self.reference
        if reference.frame is None:
            ops = self.networks["video"].synthesis
            reference.frame = self.video.reconstruct_on(ops, reference.feature, reference.last_qp, reference.predicted)
        return reference.frame

    @timed(FILTER)
    def filtered(self) -> Planes:
        """The planes of the frame coded last as they are put out."""
        ops, filters = self.networks["video"].synthesis, self.filter_coder.filters
        if ops.has_picture_kernels:
            planes: Planes = ops.filtered_planes(self.output(), filters.luma, filters.chroma, self.halve_chroma)
            return planes
        return filter_planes(self._planes(), filters)

    def picture(self, video_format: VideoFormat, *, truncate_chroma: bool) -> Picture:
        """What is put out of the frame coded last; filtered planes are always rounded."""
        return picture_from_planes(self.filtered(), video_format)

    def _planes(self) -> Planes:
        return planes_of_squares(self._samples(), self.halve_chroma)

    def _samples(self) -> NDArray[np.int16]:
        return self.networks["video"].synthesis.samples_from_frame(self.output())

    def _code_i(self, side: FrameSide, qp: int) -> None:
        self.reference = Reference(code_i_frame(self.image, self.networks["image"].synthesis, side, qp), None, qp)
        self.field_coder.reset()

    def _code_p(self, side: FrameSide, qp: int, reset: bool, predicted: Tensor, keeps_reference: bool) -> None:
        """Codes what compensation leaves.

        Args:
            predicted: the compensated frame.
            keeps_reference: whether the reference is the long-term reference from now on.
        """
        ops, before = self.networks["video"].synthesis, self.reference
        adapted = self.video.adapt(ops, predicted, None if reset else before.feature)
        coded = code_p_frame(self.video, ops, side, adapted, qp)
        predicted = self.video.add_direct(ops, predicted, coded.y_hat)
        long_term = before.long_term
        if keeps_reference:
            long_term = before.frame if ops.has_picture_kernels else ops.samples_from_frame(before.frame)
        self.reference = Reference(None, coded.feature, qp, predicted, long_term)


class FramePayloadEncoder(_FrameCoder):
    """Codes network inputs (float32 values as from pictures.values_from_picture) one after the other."""

    def __init__(
        self,
        image: ImageModel,
        video: VideoModel,
        networks: CodecNetworks,
        entropy_format: EntropyFormat,
        skip_threshold: float | None,
        halve_chroma: bool = True,
    ) -> None:
        super().__init__(image, video, networks, entropy_format, skip_threshold, halve_chroma)
        self.filter_fit = FilterFit()

    def encode_i(self, values: NDArray[np.float32], qp: int, zero_below: NDArray[np.float32] | None = None) -> bytes:
        """Codes an I frame at row `qp` (0..63), quantised with a dead zone (families.lite.dead_zone); returns its payload.

        Raises:
            EnvironmentFault: the networks give latents that are not finite.
        """
        side = EncodingSide(self.networks["image"], values, self.entropy_format, self.skip_threshold, zero_below)
        self._code_i(side, qp)
        self.filter_coder.reset()
        self.filter_fit.reset()
        return self._payload(side, None, values, qp)

    def encode_p(self, values: NDArray[np.float32], qp: int, reset: bool, zero_below: NDArray[np.float32] | None = None) -> bytes:
        """Codes a P frame at row `qp` (0..71) from the references, quantised with a dead zone (families.lite.dead_zone); returns its payload.

        Raises:
            EnvironmentFault: the networks give latents that are not finite.
        """
        keeps_reference = self.field_coder.keeps_reference
        predicted, left, vectors = self.find_motion(values, qp)
        side = EncodingSide(self.networks["video"], left, self.entropy_format, self.skip_threshold, zero_below)
        self._code_p(side, qp, reset, predicted, keeps_reference)
        return self._payload(side, vectors, values, qp)

    @timed(MOTION)
    def find_motion(self, values: NDArray[np.float32], qp: int) -> tuple[Tensor, NDArray[np.float32], EncoderState]:
        """(the compensated frame, what it leaves of a network input, the coder behind the vectors)."""
        ops = self.networks["video"].synthesis
        samples, long_term = self._samples(), self.reference.long_term
        if long_term is not None and ops.has_picture_kernels:
            long_term = ops.samples_from_frame(long_term)
        before = None if long_term is None else in_lines(long_term[:1])
        motion = self.field_coder.search(luma_of_values(values), in_lines(samples[:1]), qp, before, self.networks.threads)
        compensated = compensate_squares(samples, motion, long_term)
        left = values - in_lines(compensated) * SAMPLE_UNIT
        return ops.frame_from_samples(compensated), left, self.field_coder.encode_open(motion)

    def _payload(self, side: EncodingSide, vectors: EncoderState | None, values: NDArray[np.float32], qp: int) -> bytes:
        """Filters stand behind the vectors and before the symbols."""
        filters = self.fit_filters(values, qp)
        if self.entropy_format is EntropyFormat.COMPACT:
            return side.encoder.finish(self.filter_coder.encode_open(filters, vectors))
        data = self.filter_coder.encode(filters, vectors)
        return write_uv(len(data)) + data + side.encoder.finish()

    @timed(FILTER)
    def fit_filters(self, values: NDArray[np.float32], qp: int) -> Filters:
        """The output filters that suit the frame coded last, a network input at row `qp`."""
        step = 2 if self.halve_chroma else 1
        luma, cb, cr = (
            np.rint(plane * np.float32(255)).astype(np.uint8) for plane in (values[0], values[1, ::step, ::step], values[2, ::step, ::step])
        )
        return self.filter_fit.fit(self._planes(), (luma, cb, cr), self.filter_coder, search_lambda(qp) ** 2)


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
        halve_chroma: bool = True,
    ) -> None:
        super().__init__(image, video, networks, entropy_format, skip_threshold, halve_chroma)
        self.padded = padded

    def decode_i(self, payload: bytes, qp: int) -> None:
        """Decodes an I frame; StreamError if the payload does not hold exactly its filters and symbols."""
        self.filter_coder.reset()
        rest = self._read_filters(payload)
        self._code_i(self._side("image", self.image, rest), qp)

    def decode_p(self, payload: bytes, qp: int, reset: bool) -> None:
        """Decodes a P frame; StreamError if there is no reference or the payload does not hold exactly its vectors, filters and symbols."""
        if self.reference.frame is None and self.reference.feature is None:
            raise StreamError("a P frame comes before any I frame", "the start of the stream is missing")
        keeps_reference = self.field_coder.keeps_reference
        predicted, rest = self.follow_motion(payload)
        self._code_p(self._side("video", self.video, rest), qp, reset, predicted, keeps_reference)

    @timed(MOTION)
    def follow_motion(self, payload: bytes) -> tuple[Tensor, SymbolBytes]:
        """(the compensated frame, what vectors and filters leave for the symbols)."""
        motion, rest = self._read_vectors_and_filters(payload)
        ops = self.networks["video"].synthesis
        if ops.has_picture_kernels:
            return ops.compensate(self.output(), motion, self.reference.long_term), rest
        return ops.frame_from_samples(compensate_squares(self._samples(), motion, self.reference.long_term)), rest

    def _read_vectors_and_filters(self, payload: bytes) -> tuple[Motion, SymbolBytes]:
        data, symbols = self._parts(payload)
        latent_size, _ = latent_sizes(self.padded)
        motion, state = self.field_coder.decode_open(data, *(2 * side for side in latent_size))
        return motion, self._filters_of(data, symbols, state)

    def _read_filters(self, payload: bytes) -> SymbolBytes:
        data, symbols = self._parts(payload)
        return self._filters_of(data, symbols, None)

    def _parts(self, payload: bytes) -> tuple[bytes, bytes | None]:
        """(bytes that hold vectors and filters, those of the symbols; None where both share them)."""
        if self.entropy_format is EntropyFormat.COMPACT:
            return payload, None
        reader = ByteReader(payload)
        return reader.take(reader.uv()), payload[reader.offset :]

    def _filters_of(self, data: bytes, symbols: bytes | None, state: DecoderState | None) -> SymbolBytes:
        """The filters are those of the filter coder then."""
        if symbols is None:
            return SymbolBytes(data, self.filter_coder.decode_open(data, state)[1])
        self.filter_coder.decode(data, state)
        return SymbolBytes(symbols)

    def _side(self, name: str, model: ImageModel | VideoModel, rest: SymbolBytes) -> DecodingSide:
        decoder = FrameDecoder(rest.data, self.entropy_format, rest.state)
        return DecodingSide(self.networks[name], decoder, model.num_z_channels, self.padded, self.entropy_format, self.skip_threshold)
