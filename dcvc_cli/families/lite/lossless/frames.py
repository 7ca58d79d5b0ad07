"""Frames of `lite` without loss: payloads with a lossless layer (docs/lossless.md).

The networks code a frame coarsely. The layer says what their picture lacks of the source. The source itself is the
reference of the next frame.
"""

from collections.abc import Callable
from copy import copy
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dcvc_cli.backend.operations import Tensor
from dcvc_cli.bitstream.varint import ByteReader, write_uv
from dcvc_cli.codec.latents import EncodingSide
from dcvc_cli.codec.networks import CodecNetworks
from dcvc_cli.codec.pictures import has_halved_chroma, padded_size
from dcvc_cli.families.base import require_reference
from dcvc_cli.families.lite.filter.parameters import Filters
from dcvc_cli.families.lite.floor.frame_floor import FrameFloor
from dcvc_cli.families.lite.floor.parts import BLOCK
from dcvc_cli.families.lite.frame_encoder import FramePayloadEncoder
from dcvc_cli.families.lite.frames import FrameCoder, FramePayloadDecoder, Reference
from dcvc_cli.families.lite.image import ImageModel
from dcvc_cli.families.lite.lossless.layer import LayerCoder, padded_samples
from dcvc_cli.families.lite.lossless.planes import Levels, Sizes
from dcvc_cli.families.lite.video import VideoModel
from dcvc_cli.format.entropy_format import EntropyFormat
from dcvc_cli.format.range_coder import EncoderState
from dcvc_cli.format.types import ChromaFormat, Picture, Plane, VideoFormat
from dcvc_cli.stages import FILTER, timed

FORMATS = (ChromaFormat.YUV420, ChromaFormat.YUV444)
"""What is coded without loss. The networks see R G B and 4:2:2 in another form than that of the source."""


def keep_as_reference(frames: FrameCoder, levels: Levels, depth: int) -> Picture:
    """Makes the source the reference of the next frame, and returns it as a picture."""
    ops, squares = frames.networks["video"].synthesis, frames._samples()
    _, rows, height, columns, width = squares.shape
    samples = padded_samples(levels, (rows * height, columns * width), depth)
    exact = np.copy(squares, order="K")
    exact[...] = samples.reshape(squares.shape)
    before = frames.reference
    frames.reference = Reference(ops.frame_from_samples(exact), None, before.last_qp, None, before.long_term)
    planes: list[Plane] = [plane.astype(np.uint8 if depth == 8 else np.uint16) for plane in levels]
    return Picture((planes[0], planes[1], planes[2]))


class LosslessFrameEncoder(FramePayloadEncoder):
    """Codes 4:2:0 and 4:4:4 pictures without loss.

    Args:
        video_format: size and depth of the pictures.
    """

    def __init__(
        self,
        image: ImageModel,
        video: VideoModel,
        networks: CodecNetworks,
        entropy_format: EntropyFormat,
        skip_threshold: float | None,
        video_format: VideoFormat,
    ) -> None:
        halve_chroma, depth = has_halved_chroma(video_format), video_format.bit_depth
        super().__init__(image, video, networks, entropy_format, skip_threshold, halve_chroma, bit_depth=depth)
        self._depth, self._shapes = video_format.bit_depth, video_format.plane_shapes
        self._padded = padded_size(video_format.size)
        self._layer = LayerCoder(self._depth)
        self._exact: Picture | None = None

    def saved(self) -> Any:
        """Copies what the next frame depends on."""
        return super().saved(), copy(self._layer)

    def restore(self, saved: Any) -> None:
        """Goes back to where `saved` was called; the saved state stays as it is."""
        state, layer = saved
        super().restore(state)
        self._layer = copy(layer)

    def code_i(
        self, values: NDArray[np.float32], qp: int, zero_below: NDArray[np.float32] | None = None
    ) -> Callable[[], bytes]:
        """Codes an I frame at row `qp` (0..63) up to the symbols; returns what makes the payload of them, in any
        thread. Dead zones do not apply."""
        for coder in (self.filter_coder, self.floor_coder, self._layer):
            coder.reset()
        side = EncodingSide(self.networks["image"], values, self.entropy_format, self.skip_threshold, None)
        self._code_i(side, qp)
        return self._lossless_payload(side, values, None, None)

    def code_p(
        self, values: NDArray[np.float32], qp: int, reset: bool, zero_below: NDArray[np.float32] | None = None
    ) -> Callable[[], bytes]:
        """Codes a P frame at row `qp` (0..71) likewise."""
        keeps_reference = self.field_coder.keeps_reference
        predicted, left, vectors = self.find_motion(values, qp)
        side = EncodingSide(self.networks["video"], left, self.entropy_format, self.skip_threshold, None)
        self._code_p(side, qp, reset, predicted, keeps_reference)
        return self._lossless_payload(side, values, predicted, vectors)

    def _lossless_payload(
        self, side: EncodingSide, values: NDArray[np.float32], predicted: Tensor | None, vectors: EncoderState | None
    ) -> Callable[[], bytes]:
        """Adds the layer. Filters and floor stay unused."""
        layer = self._code_layer(self._levels(values), predicted)
        unused = FrameFloor.unused(self._padded[0] // BLOCK, self._padded[1] // BLOCK, self.halve_chroma, self._depth)
        state = self.filter_coder.encode_open(Filters.zero(), vectors)
        start = write_uv(len(layer)) + layer
        if self.entropy_format is EntropyFormat.COMPACT:
            symbols = partial(side.encoder.finish, self.floor_coder.encode_open(unused, state))
            return lambda: start + symbols()
        data = self.floor_coder.encode(unused, state)
        return lambda: start + write_uv(len(data)) + data + side.encoder.finish()

    def _levels(self, values: NDArray[np.float32]) -> Levels:
        step = 2 if self.halve_chroma else 1
        planes = values[0], values[1, ::step, ::step], values[2, ::step, ::step]
        largest = np.float32((1 << self._depth) - 1)
        luma, cb, cr = (
            np.ascontiguousarray(np.rint(plane[:height, :width] * largest).astype(np.uint16))
            for plane, (height, width) in zip(planes, self._shapes, strict=True)
        )
        return luma, cb, cr

    @timed(FILTER)
    def _code_layer(self, levels: Levels, predicted: Tensor | None) -> bytes:
        compensated = None if predicted is None else self._planes_of(predicted)
        layer = self._layer.encode(levels, self._planes(), compensated)
        self._exact = keep_as_reference(self, levels, self._depth)
        return layer

    def shown(self) -> Any:
        """Returns what `picture` needs to show the last coded frame later: the picture itself."""
        return self._exact

    def picture(self, video_format: VideoFormat, *, truncate_chroma: bool, shown: Any = None) -> Picture:
        """Returns the last coded picture, which is the source, or the one that `shown` is."""
        picture: Picture | None = shown or self._exact
        assert picture is not None, "no frame was coded yet"
        return picture


class LosslessFrameDecoder(FramePayloadDecoder):
    """Decodes payloads with a lossless layer.

    Args:
        video_format: size and depth of the pictures.
    """

    def __init__(
        self,
        image: ImageModel,
        video: VideoModel,
        networks: CodecNetworks,
        entropy_format: EntropyFormat,
        skip_threshold: float | None,
        video_format: VideoFormat,
    ) -> None:
        super().__init__(
            image,
            video,
            networks,
            entropy_format,
            skip_threshold,
            padded_size(video_format.size),
            has_halved_chroma(video_format),
            bit_depth=video_format.bit_depth,
        )
        self._depth = video_format.bit_depth
        luma, cb, cr = video_format.plane_shapes
        self._sizes: Sizes = (luma, cb, cr)
        self._layer = LayerCoder(self._depth)
        self._exact: Picture | None = None

    def decode_i(self, payload: bytes, qp: int) -> None:
        """Decodes an I frame.

        Raises:
            StreamError: the payload does not hold exactly its layer, filters, floor and symbols.
        """
        layer, rest = _split(payload)
        self._layer.reset()
        super().decode_i(rest, qp)
        self._add_layer(layer, None)

    def decode_p(self, payload: bytes, qp: int, reset: bool) -> None:
        """Decodes a P frame.

        Raises:
            StreamError: there is no reference, or the payload does not hold exactly its layer, vectors, filters, floor
                and symbols.
        """
        require_reference(self.reference.frame is not None)
        layer, rest = _split(payload)
        self._add_layer(layer, self._decode_difference(rest, qp, reset))

    @timed(FILTER)
    def _add_layer(self, layer: bytes, predicted: Tensor | None) -> None:
        compensated = None if predicted is None else self._planes_of(predicted)
        levels = self._layer.decode(layer, self._sizes, self._planes(), compensated)
        self._exact = keep_as_reference(self, levels, self._depth)

    def picture(self, video_format: VideoFormat, *, truncate_chroma: bool, shown: Any = None) -> Picture:
        """Returns the picture of the last decoded frame, which is the source."""
        assert self._exact is not None, "no frame was decoded yet"
        return self._exact


def _split(payload: bytes) -> tuple[bytes, bytes]:
    """Splits a payload into (the bytes of the layer, the rest)."""
    reader = ByteReader(payload)
    layer = reader.take(reader.uv())
    return layer, payload[reader.offset :]
