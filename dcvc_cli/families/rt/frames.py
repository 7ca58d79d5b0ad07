"""The frame encoder and decoder: network values in, entropy-coded payloads out, and the mirror. One reference picture is kept.

    encoder: values -> analysis -> symbols -> payload, and the decoder's half for the next reference
    decoder: payload -> symbols -> synthesis -> network output

Both keep {frame or None, feature or None}; after an I frame the frame, after a P frame the feature, and with motion both. Where the precision
is exact the encoder's reference equals the decoder's bit for bit. Models with motion put out their pictures filtered (docs/output-filter.md); the
reference is the picture before that.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from dcvc_cli.backend.operations import Operations, Tensor
from dcvc_cli.bitstream.varint import ByteReader, write_uv
from dcvc_cli.codec.latents import DecodingLatents, EncodingLatents
from dcvc_cli.codec.networks import CodecNetwork, CodecNetworks
from dcvc_cli.entropy.coder import FrameDecoder, FrameEncoder
from dcvc_cli.entropy.tables import CdfTable, gaussian_table, wide_gaussian_table
from dcvc_cli.errors import EnvironmentFault, StreamError
from dcvc_cli.families.lite.filter.filters import FilterCoder, FilterFit, Filters, Planes, filter_planes, planes_of_squares
from dcvc_cli.families.lite.motion.field import SAMPLE_UNIT, FieldCoder, Motion, compensate_squares, in_lines, is_kept, luma_of_values, search_lambda
from dcvc_cli.format.entropy_format import EntropyFormat
from dcvc_cli.format.range_coder import DecoderState, EncoderState


@dataclass
class ReferencePicture:
    """What the next P frame predicts from.

    Attributes:
        last_qp: the row that made the feature.
        predicted: with motion, the compensated frame and what latents added to it directly; the feature adds to that.
        number: of P frames since the I frame, which is 0.
        long_term: with motion, the last kept picture before this one (docs/motion.md): its samples as Operations.samples_from_frame has them, or
            where the backend has kernels for pictures the frame itself.
    """

    frame: Tensor | None = None
    feature: Tensor | None = None
    last_qp: int = 0
    predicted: Tensor | None = None
    number: int = 0
    long_term: Any = None


@dataclass(frozen=True)
class PayloadRest:
    """What vectors and filters leave of a payload for the symbols.

    Attributes:
        data: the bytes; in the compact format still all of them.
        state: there, where the coder of vectors and filters stands.
    """

    data: bytes
    state: DecoderState | None = None


def latent_sizes(padded: tuple[int, int]) -> tuple[tuple[int, int], tuple[int, int]]:
    """((h, w) of y, (h, w) of z) for a padded picture (Hp, Wp)."""
    height, width = padded[0] // 16, padded[1] // 16
    return (height, width), (-(-height // 4), -(-width // 4))


def latent_table(entropy_format: EntropyFormat) -> CdfTable:
    """The table of y: the reference's in its byte formats, the wide one in our own."""
    return gaussian_table() if entropy_format.is_reference else wide_gaussian_table()


class _FrameCoder:
    """What encoder and decoder share: the networks, the reference and the context of a P frame."""

    def __init__(self, networks: CodecNetworks, entropy_format: EntropyFormat, skip_threshold: float | None, halve_chroma: bool = True) -> None:
        self.networks, self.entropy_format, self.skip_threshold, self.halve_chroma = networks, entropy_format, skip_threshold, halve_chroma
        self.reference = ReferencePicture()
        self.field_coder, self.filter_coder = FieldCoder(), FilterCoder()

    @property
    def has_side_information(self) -> bool:
        """Whether frames are put out filtered and P frames have vectors: models with motion."""
        return self.networks.video_model.spec.motion

    def _reconstruct_reference(self) -> Tensor:
        """Makes the reference's frame from its feature, where it is not there yet."""
        reference = self.reference
        if reference.frame is None:
            model, ops = self.networks.video_model, self.networks.video.synthesis
            reference.frame = model.reconstruction(ops, reference.feature, reference.last_qp, reference.predicted)
        return reference.frame

    def _contexts(self, qp: int, reset: bool, predicted: Tensor | None) -> tuple[Tensor, Tensor]:
        ops, model, reference = self.networks.video.synthesis, self.networks.video_model, self.reference
        if reset:
            self._reconstruct_reference()
            reference.feature = None
        return model.contexts(ops, model.adapt(ops, reference.frame if predicted is None else predicted, reference.feature), qp)

    def output(self) -> Tensor:
        """The network output of the frame coded last, before any filter: 3 x Hp x Wp in 0..1."""
        return self._reconstruct_reference()

    def filtered(self) -> Planes | None:
        """The planes of the frame coded last as they are put out; None where the network output itself is."""
        if not self.has_side_information:
            return None
        ops, filters = self.networks.video.synthesis, self.filter_coder.filters
        if ops.has_picture_kernels:
            planes: Planes = ops.filtered_planes(self._reconstruct_reference(), filters.luma, filters.chroma, self.halve_chroma)
            return planes
        return filter_planes(self._planes(), filters)

    def _planes(self) -> Planes:
        return planes_of_squares(self.networks.video.synthesis.samples_from_frame(self._reconstruct_reference()), self.halve_chroma)

    @property
    def output_operations(self) -> Operations:
        """The backend that `output` values belong to."""
        return self.networks.video.synthesis

    def _keep_i(self, frame: Tensor, qp: int) -> None:
        self.reference = ReferencePicture(frame, None, qp)
        self.field_coder.reset()

    def _keep_p(self, y_hat: Tensor, ctx: Tensor, qp: int, predicted: Tensor | None) -> None:
        model, ops = self.networks.video_model, self.networks.video.synthesis
        before = self.reference
        long_term = before.long_term
        if predicted is not None:
            predicted = model.add_direct(ops, predicted, y_hat)
            if is_kept(before.number):
                long_term = before.frame if ops.has_picture_kernels else ops.samples_from_frame(before.frame)
        self.reference = ReferencePicture(None, model.synthesis(ops, y_hat, ctx, qp), qp, predicted, before.number + 1, long_term)


class FramePayloadEncoder(_FrameCoder):
    """Codes network inputs (float32 values as from pictures.values_from_picture) one after the other.

    Args:
        halve_chroma: what the output filter works on: chroma at half the size, as 4:2:0 pictures have it, or all planes at full size.
    """

    def __init__(self, networks: CodecNetworks, entropy_format: EntropyFormat, skip_threshold: float | None, halve_chroma: bool = True) -> None:
        super().__init__(networks, entropy_format, skip_threshold, halve_chroma)
        self.filter_fit = FilterFit()

    def encode_i(self, values: Any, qp: int, dead_zone: float = 0.0) -> bytes:
        """Codes an I frame at row `qp` (0..63), quantised with a dead zone (families.lite.dead_zone); returns its payload.

        Raises:
            EnvironmentFault: the networks give latents that are not finite.
        """
        network, model = self.networks.image, self.networks.image_model
        y = model.analysis(network.analysis, network.analysis.frame_from_values(values), qp)
        z = model.hyper_analysis(network.analysis, y)
        encoder, z_hat, coder = self._begin(network, y, z, qp, dead_zone)
        ops = network.synthesis
        parameters = model.prior_parameters(ops, z_hat, network.analysis.size(y))
        y_hat = model.code_latents(ops, parameters, coder)
        self._keep_i(model.synthesis(ops, y_hat, qp), qp)
        self.filter_coder.reset()
        self.filter_fit.reset()
        return self._finish(encoder, None, values, qp)

    def encode_p(self, values: Any, qp: int, reset: bool, dead_zone: float = 0.0) -> bytes:
        """Codes a P frame at row `qp` (0..71) from the reference, quantised with a dead zone (families.lite.dead_zone); returns its payload.

        Raises:
            EnvironmentFault: the networks give latents that are not finite.
        """
        network, model = self.networks.video, self.networks.video_model
        ops, analysis = network.synthesis, network.analysis
        predicted, vectors, left = None, None, values
        if model.spec.motion:
            predicted, left, vectors = self.find_motion(values, qp)
        ctx, ctx_t = self._contexts(qp, reset, predicted)
        float_ctx = ctx if analysis is ops else analysis.from_float(ops.to_float(ctx))
        y = model.analysis(analysis, analysis.frame_from_values(left), float_ctx, qp)
        z = model.hyper_analysis(analysis, y)
        encoder, z_hat, coder = self._begin(network, y, z, qp, dead_zone)
        parameters = model.prior_parameters(ops, z_hat, ctx_t, analysis.size(y))
        y_hat = model.code_latents(ops, parameters, coder)
        self._keep_p(y_hat, ctx, qp, predicted)
        return self._finish(encoder, vectors, values, qp)

    def find_motion(self, values: Any, qp: int) -> tuple[Tensor, Any, EncoderState]:
        """(what block motion makes of the reference, what it leaves of a network input, the coder behind the vectors)."""
        ops = self.networks.video.synthesis
        samples, long_term = ops.samples_from_frame(self._reconstruct_reference()), self.reference.long_term
        if long_term is not None and ops.has_picture_kernels:
            long_term = ops.samples_from_frame(long_term)
        before = None if long_term is None else in_lines(long_term[:1])
        motion = self.field_coder.search(luma_of_values(values), in_lines(samples[:1]), qp, before, self.networks.threads)
        compensated = compensate_squares(samples, motion, long_term)
        left = values - in_lines(compensated) * SAMPLE_UNIT
        return ops.frame_from_samples(compensated), left, self.field_coder.encode_open(motion)

    def _begin(self, network: CodecNetwork, y: Any, z: Any, qp: int, dead_zone: float) -> tuple[FrameEncoder, Tensor, EncodingLatents]:
        if not (network.analysis.is_finite(y) and network.analysis.is_finite(z)):
            hint = "check the weights, or encode with --precision fp32"
            raise EnvironmentFault("the encoder's networks give latents that are not finite", hint)
        encoder = FrameEncoder(self.entropy_format)
        symbols = network.analysis.round_z(z)
        encoder.add_z(symbols, network.table_of_z(self.entropy_format), qp * symbols.shape[0])
        latents = y if network.analysis is network.synthesis else network.analysis.to_float(y)
        coder = EncodingLatents(network.synthesis, encoder, latent_table(self.entropy_format), latents, self.skip_threshold, dead_zone)
        return encoder, network.synthesis.z_from_symbols(symbols), coder

    def _finish(self, encoder: FrameEncoder, vectors: EncoderState | None, values: Any, qp: int) -> bytes:
        """The payload; filters, where there are any, stand behind the vectors and before the symbols."""
        if not self.has_side_information:
            return encoder.finish()
        filters = self.fit_filters(values, qp)
        if self.entropy_format is EntropyFormat.COMPACT:
            return encoder.finish(self.filter_coder.encode_open(filters, vectors))
        data = self.filter_coder.encode(filters, vectors)
        return write_uv(len(data)) + data + encoder.finish()

    def fit_filters(self, values: Any, qp: int) -> Filters:
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
        halve_chroma: as in FramePayloadEncoder.
    """

    def __init__(
        self, networks: CodecNetworks, entropy_format: EntropyFormat, skip_threshold: float | None, padded: tuple[int, int], halve_chroma: bool = True
    ) -> None:
        super().__init__(networks, entropy_format, skip_threshold, halve_chroma)
        self.latent_size, self.hyper_size = latent_sizes(padded)

    def decode_i(self, payload: bytes, qp: int) -> None:
        """Decodes an I frame; StreamError if the payload does not hold exactly its symbols."""
        network, model = self.networks.image, self.networks.image_model
        ops = network.synthesis
        self.filter_coder.reset()
        rest = self._read_side_information(payload, False)[1] if self.has_side_information else PayloadRest(payload)
        decoder, z_hat, coder = self._begin(network, rest, qp)
        parameters = model.prior_parameters(ops, z_hat, self.latent_size)
        y_hat = model.code_latents(ops, parameters, coder)
        decoder.finish()
        self._keep_i(model.synthesis(ops, y_hat, qp), qp)

    def decode_p(self, payload: bytes, qp: int, reset: bool) -> None:
        """Decodes a P frame; StreamError if there is no reference or the payload does not hold exactly its symbols."""
        if self.reference.frame is None and self.reference.feature is None:
            raise StreamError("a P frame comes before any I frame", "the start of the stream is missing")
        network, model = self.networks.video, self.networks.video_model
        ops = network.synthesis
        predicted, rest = None, PayloadRest(payload)
        if model.spec.motion:
            predicted, rest = self.follow_motion(payload)
        ctx, ctx_t = self._contexts(qp, reset, predicted)
        decoder, z_hat, coder = self._begin(network, rest, qp)
        parameters = model.prior_parameters(ops, z_hat, ctx_t, self.latent_size)
        y_hat = model.code_latents(ops, parameters, coder)
        decoder.finish()
        self._keep_p(y_hat, ctx, qp, predicted)

    def follow_motion(self, payload: bytes) -> tuple[Tensor, PayloadRest]:
        """(what the vectors of a P frame's payload make of the reference, what is left for the symbols)."""
        ops = self.networks.video.synthesis
        motion, rest = self._read_side_information(payload, True)
        assert motion is not None
        if ops.has_picture_kernels:
            return ops.compensate(self._reconstruct_reference(), motion, self.reference.long_term), rest
        compensated = compensate_squares(ops.samples_from_frame(self._reconstruct_reference()), motion, self.reference.long_term)
        return ops.frame_from_samples(compensated), rest

    def _read_side_information(self, payload: bytes, has_vectors: bool) -> tuple[Motion | None, PayloadRest]:
        """(a P frame's motion, what is left for the symbols); the filters are those of the filter coder then."""
        is_compact = self.entropy_format is EntropyFormat.COMPACT
        reader = ByteReader(payload)
        data = payload if is_compact else reader.take(reader.uv())
        motion, state = None, None
        if has_vectors:
            motion, state = self.field_coder.decode_open(data, *(2 * side for side in self.latent_size))
        if is_compact:
            return motion, PayloadRest(data, self.filter_coder.decode_open(data, state)[1])
        self.filter_coder.decode(data, state)
        return motion, PayloadRest(payload[reader.offset :])

    def _begin(self, network: CodecNetwork, rest: PayloadRest, qp: int) -> tuple[FrameDecoder, Tensor, DecodingLatents]:
        decoder = FrameDecoder(rest.data, self.entropy_format, rest.state)
        channels = network.model.spec.hyper
        symbols = decoder.decode_z(channels, *self.hyper_size, network.table_of_z(self.entropy_format), qp * channels)
        coder = DecodingLatents(network.synthesis, decoder, latent_table(self.entropy_format), self.skip_threshold)
        return decoder, network.synthesis.z_from_symbols(symbols), coder
