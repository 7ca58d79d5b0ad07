"""What the frame encoder and decoder of `lite` share, and the decoder: the frame coding of `rt` with block motion, a
floor and an output filter.

A payload has vectors, filters, floor and symbols, in this order (docs/motion.md, docs/output-filter.md, docs/floor.md).
The floor changes the networks' picture, which then becomes the reference. The output filter changes only the pictures
that are put out. Encoder and decoder keep the reference's frame and feature and the long-term reference.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dcvc_cli.backend.operations import Tensor
from dcvc_cli.bitstream.varint import ByteReader
from dcvc_cli.codec.latents import DecodingSide, latent_sizes
from dcvc_cli.codec.networks import CodecNetworks
from dcvc_cli.codec.pictures import output_samples
from dcvc_cli.entropy.coder import FrameDecoder
from dcvc_cli.families.base import require_reference
from dcvc_cli.families.lite.filter.filters import FilterCoder, filter_planes, planes_of_squares
from dcvc_cli.families.lite.filter.parameters import Filters, Planes
from dcvc_cli.families.lite.floor.frame_floor import FloorCoder, FrameFloor, apply_floor, put_back, wants_floor_twin
from dcvc_cli.families.lite.floor.parts import BLOCK
from dcvc_cli.families.lite.image import ImageModel
from dcvc_cli.families.lite.motion.brightness import (
    SAME_BRIGHTNESS,
    BrightnessCoder,
    FrameBrightness,
    brightened,
    brightened_frame,
)
from dcvc_cli.families.lite.motion.field import FieldCoder, compensate_squares
from dcvc_cli.families.lite.motion.motion import Motion
from dcvc_cli.families.lite.pictures import picture_from_planes
from dcvc_cli.families.lite.video import VideoModel
from dcvc_cli.families.rt.recipe import FrameSide, code_i_frame, code_p_frame
from dcvc_cli.format.entropy_format import EntropyFormat
from dcvc_cli.format.range_coder import DecoderState
from dcvc_cli.format.types import Picture, VideoFormat
from dcvc_cli.format.types import Planes as OutputPlanes
from dcvc_cli.stages import FILTER, MOTION, timed


@dataclass
class Reference:
    """What the next P frame is predicted from.

    Attributes:
        frame: 3 x Hp x Wp in 0..1; None until a picture is made of the feature.
        feature: feature x Hp/8 x Wp/8; None after an I frame and after a reset.
        last_qp: row 0..71 of the frame that left the feature.
        predicted: the compensated frame plus the direct path's output. The networks' output from the feature is added
            to it to make `frame`.
        long_term: the last kept picture before this one (docs/motion.md): samples as from
            Operations.samples_from_frame, or the frame itself if the backend has kernels for pictures.
    """

    frame: Tensor | None = None
    feature: Tensor | None = None
    last_qp: int = 0
    predicted: Tensor | None = None
    long_term: Any = None


@dataclass(frozen=True)
class SymbolBytes:
    """The bytes of a payload's symbols.

    Attributes:
        data: the bytes of the symbols; in the compact format all bytes of the payload.
        state: the state of the range coder before the symbols in the compact format; else None.
    """

    data: bytes
    state: DecoderState | None = None


class FrameCoder:
    """What encoder and decoder share: networks, references, filters in force.

    Args:
        halve_chroma: whether floor and output filter work on chroma of half the size, as in 4:2:0 pictures.
        bit_depth: of the output pictures, 8 or 10.
        has_brightness: whether payloads may change the brightness of references, as they do in syntax 4.
    """

    def __init__(
        self,
        image: ImageModel,
        video: VideoModel,
        networks: CodecNetworks,
        entropy_format: EntropyFormat,
        skip_threshold: float | None,
        halve_chroma: bool = True,
        bit_depth: int = 8,
        *,
        has_brightness: bool = False,
    ) -> None:
        self.image, self.video, self.networks = image, video, networks
        self.entropy_format, self.skip_threshold = entropy_format, skip_threshold
        self.halve_chroma, self.bit_depth, self.has_brightness = halve_chroma, bit_depth, has_brightness
        self.reference = Reference()
        self.field_coder, self.filter_coder, self.floor_coder = FieldCoder(), FilterCoder(), FloorCoder(bit_depth)
        self.brightness_coder = BrightnessCoder()

    @property
    def computes_beside_host(self) -> bool:
        """Returns whether a device computes the networks while the host works on other things."""
        return self.networks["video"].synthesis.computes_beside_host

    def shown(self) -> tuple[Reference, Filters]:
        """Returns what `picture` needs to show the last coded frame later, after other frames were coded."""
        return self.reference, self.filter_coder.filters

    def output(self, of: Reference | None = None) -> Tensor:
        """Returns the picture of the last coded frame, or of another reference, before the output filter: 3 x Hp x Wp
        in 0..1."""
        reference = self.reference if of is None else of
        if reference.frame is None:
            ops = self.networks["video"].synthesis
            reference.frame = self.video.reconstruct_on(ops, reference.feature, reference.last_qp, reference.predicted)
        return reference.frame

    @timed(FILTER)
    def filtered(self, shown: tuple[Reference, Filters] | None = None) -> Planes:
        """Returns the filtered planes of the last coded frame, or of the frame that `shown` is of."""
        ops, (reference, filters) = self.networks["video"].synthesis, shown or self.shown()
        if ops.has_picture_kernels:
            frame = self.output(reference)
            planes: Planes = ops.filtered_planes(frame, filters.luma, filters.chroma, self.halve_chroma)
            return planes
        return filter_planes(self._planes_of(self.output(reference)), filters)

    def picture(
        self, video_format: VideoFormat, *, truncate_chroma: bool, shown: tuple[Reference, Filters] | None = None
    ) -> Picture:
        """Returns the output picture of the last coded frame, or of the frame that `shown` is of. `truncate_chroma`
        changes nothing: filtered planes are always rounded."""
        if self.networks["video"].synthesis.has_picture_kernels:
            return Picture(self._filtered_samples(video_format, *(shown or self.shown())))
        return picture_from_planes(self.filtered(shown), video_format)

    @timed(FILTER)
    def _filtered_samples(self, video_format: VideoFormat, reference: Reference, filters: Filters) -> OutputPlanes:
        ops, frame = self.networks["video"].synthesis, self.output(reference)
        output = output_samples(video_format, truncate_chroma=False)
        return ops.filtered_samples(frame, filters.luma, filters.chroma, output)

    def _planes(self) -> Planes:
        return self._planes_of(self.output())

    def _planes_of(self, frame: Tensor) -> Planes:
        return planes_of_squares(self.networks["video"].synthesis.samples_from_frame(frame), self.halve_chroma)

    def _samples(self) -> NDArray[np.int16]:
        return self.networks["video"].synthesis.samples_from_frame(self.output())

    def _apply_floor(self, floor: FrameFloor, predicted: Tensor | None) -> None:
        """Applies a floor to the last coded frame, which is the reference of the next one.

        Args:
            predicted: the compensated frame; None in I frames.
        """
        if not floor.is_used:
            return
        ops, frame = self.networks["video"].synthesis, self.output()
        if ops.has_picture_kernels and not wants_floor_twin():
            self.reference.frame = ops.floored(frame, predicted, *floor.words(), self.halve_chroma)
            return
        compensated = None if predicted is None else self._planes_of(predicted)
        planes = apply_floor(floor, self._planes_of(frame), compensated)
        self.reference.frame = ops.frame_from_samples(put_back(floor, planes, self._samples()))

    def _code_i(self, side: FrameSide, qp: int) -> None:
        self.reference = Reference(code_i_frame(self.image, self.networks["image"].synthesis, side, qp), None, qp)
        self.field_coder.reset()
        self.brightness_coder.reset()

    def _compensate(
        self,
        samples: NDArray[np.int16],
        long_term: NDArray[np.int16] | None,
        motion: Motion,
        brightness: FrameBrightness,
    ) -> NDArray[np.int16]:
        """Compensates references given as samples, after their changes of brightness."""
        kept = None if long_term is None else brightened(long_term, brightness.long_term)
        return compensate_squares(brightened(samples, brightness.reference), motion, kept)

    def _compensate_on_device(self, motion: Motion, brightness: FrameBrightness) -> Tensor:
        """Does the same on a backend with kernels for pictures. The host changes the brightness: fades are rare."""
        ops, long_term = self.networks["video"].synthesis, self.reference.long_term
        frame = brightened_frame(ops, self.output(), brightness.reference)
        kept = None if long_term is None else brightened_frame(ops, long_term, brightness.long_term)
        return ops.compensate(frame, motion, kept)

    def _code_p(self, side: FrameSide, qp: int, reset: bool, predicted: Tensor, keeps_reference: bool) -> None:
        """Codes the difference between a picture and the compensated frame.

        Args:
            predicted: the compensated frame.
            keeps_reference: whether the reference becomes the long-term reference.
        """
        ops, before = self.networks["video"].synthesis, self.reference
        adapted = self.video.adapt(ops, predicted, None if reset else before.feature)
        coded = code_p_frame(self.video, ops, side, adapted, qp)
        predicted = self.video.add_direct(ops, predicted, coded.y_hat)
        long_term = before.long_term
        if keeps_reference:
            long_term = before.frame if ops.has_picture_kernels else ops.samples_from_frame(before.frame)
        self.reference = Reference(None, coded.feature, qp, predicted, long_term)


class FramePayloadDecoder(FrameCoder):
    """Decodes payloads one after the other.

    Args:
        padded: (Hp, Wp), both multiples of 16.
        has_floor: whether payloads have floors, as they do from syntax 2 on.
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
        has_floor: bool = True,
        bit_depth: int = 8,
        *,
        has_brightness: bool = False,
    ) -> None:
        coding = image, video, networks, entropy_format, skip_threshold
        super().__init__(*coding, halve_chroma, bit_depth, has_brightness=has_brightness)
        self.padded, self.has_floor = padded, has_floor
        height, width = padded
        self._floor = self._no_floor = FrameFloor.unused(height // BLOCK, width // BLOCK, halve_chroma, bit_depth)

    def decode_i(self, payload: bytes, qp: int) -> None:
        """Decodes an I frame.

        Raises:
            StreamError: the payload does not hold exactly its filters, floor and symbols.
        """
        self.filter_coder.reset()
        self.floor_coder.reset()
        rest = self._read_filters(payload)
        self._code_i(self._side("image", self.image, rest), qp)
        self._apply_floor(self._floor, None)

    def decode_p(self, payload: bytes, qp: int, reset: bool) -> None:
        """Decodes a P frame.

        Raises:
            StreamError: there is no reference, or the payload does not hold exactly its vectors, filters, floor and
                symbols.
        """
        require_reference(self.reference.frame is not None or self.reference.feature is not None)
        self._decode_difference(payload, qp, reset)

    def _decode_difference(self, payload: bytes, qp: int, reset: bool) -> Tensor:
        """Decodes a P frame; returns the compensated frame."""
        keeps_reference = self.field_coder.keeps_reference
        predicted, rest = self.follow_motion(payload)
        self._code_p(self._side("video", self.video, rest), qp, reset, predicted, keeps_reference)
        self._apply_floor(self._floor, predicted)
        return predicted

    @timed(MOTION)
    def follow_motion(self, payload: bytes) -> tuple[Tensor, SymbolBytes]:
        """Reads vectors, brightness, filters and floor, and compensates.

        Returns:
            (the compensated frame, the bytes of the symbols).
        """
        motion, brightness, rest = self._read_before_symbols(payload)
        ops = self.networks["video"].synthesis
        if ops.has_picture_kernels:
            return self._compensate_on_device(motion, brightness), rest
        compensated = self._compensate(self._samples(), self.reference.long_term, motion, brightness)
        return ops.frame_from_samples(compensated), rest

    def _read_before_symbols(self, payload: bytes) -> tuple[Motion, FrameBrightness, SymbolBytes]:
        data, symbols = self._parts(payload)
        latent_size, _ = latent_sizes(self.padded)
        has_long_term, brightness = self.field_coder.has_long_term, SAME_BRIGHTNESS
        motion, state = self.field_coder.decode_open(data, *(2 * side for side in latent_size))
        if self.has_brightness:
            brightness, state = self.brightness_coder.decode_open(data, has_long_term, state)
        return motion, brightness, self._filters_of(data, symbols, state)

    def _read_filters(self, payload: bytes) -> SymbolBytes:
        data, symbols = self._parts(payload)
        return self._filters_of(data, symbols, None)

    def _parts(self, payload: bytes) -> tuple[bytes, bytes | None]:
        """Splits a payload into (bytes of vectors, filters and floor; bytes of symbols). The second is None in the
        compact format, where both share the bytes."""
        if self.entropy_format is EntropyFormat.COMPACT:
            return payload, None
        reader = ByteReader(payload)
        return reader.take(reader.uv()), payload[reader.offset :]

    def _filters_of(self, data: bytes, symbols: bytes | None, state: DecoderState | None) -> SymbolBytes:
        """Reads filters and floor, which are in force from now on."""
        self._floor, size = self._no_floor, (self.padded[0] // BLOCK, self.padded[1] // BLOCK, self.halve_chroma)
        if symbols is None:
            _, state = self.filter_coder.decode_open(data, state)
            if self.has_floor:
                self._floor, state = self.floor_coder.decode_open(data, *size, state)
            return SymbolBytes(data, state)
        if self.has_floor:
            _, state = self.filter_coder.decode_open(data, state)
            self._floor = self.floor_coder.decode(data, *size, state)
        else:
            self.filter_coder.decode(data, state)
        return SymbolBytes(symbols)

    def _side(self, name: str, model: ImageModel | VideoModel, rest: SymbolBytes) -> DecodingSide:
        decoder = FrameDecoder(rest.data, self.entropy_format, rest.state)
        return DecodingSide(
            self.networks[name], decoder, model.num_z_channels, self.padded, self.entropy_format, self.skip_threshold
        )
