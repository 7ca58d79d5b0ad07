"""Sequence encoder and decoder: pictures to coded frames and back, under one SPS."""

from collections.abc import Sequence
from dataclasses import dataclass

from dcvc_cli.bitstream.faults import Rule, UnsupportedStreamError
from dcvc_cli.bitstream.limits import MAX_QP_I, MAX_QP_P
from dcvc_cli.bitstream.nal import NalType
from dcvc_cli.bitstream.sps import Precision, Sps, quantise_skip_threshold
from dcvc_cli.bitstream.units import FrameUnit
from dcvc_cli.codec.networks import CodecNetworks
from dcvc_cli.codec.pictures import padded_size, picture_from_frame, picture_from_planes, values_from_picture
from dcvc_cli.errors import InputError, StreamError
from dcvc_cli.families.rt.frames import FramePayloadDecoder, FramePayloadEncoder
from dcvc_cli.families.rt.gop import FramePlan, GopPlanner
from dcvc_cli.families.rt.sizes import ModelSpec
from dcvc_cli.format.entropy_format import EntropyFormat
from dcvc_cli.format.types import ChromaFormat, ColourDescription, Picture, PictureSize, Rational, VideoFormat
from dcvc_cli.weights.file import ModelWeights

MAX_CODED_SIDE = 8192
"""The format allows 16384; the networks are run up to this."""
MAX_COMPACT_SAMPLES = 1280 * 720
"""Padded luma samples up to which streams are compact: decoding their symbols takes a small share of the networks' time, and the bytes saved are
a share worth having. Beyond, partitions decode several times as fast (docs/decisions/0014-compact-payloads.md)."""


_CHROMA_FORMATS = {chroma.value for chroma in ChromaFormat}


def entropy_format_for(size: PictureSize) -> EntropyFormat:
    """The entropy format that an encoder takes where it is told none: the compact one as long as its speed does not matter."""
    height, width = padded_size(size)
    return EntropyFormat.COMPACT if height * width <= MAX_COMPACT_SAMPLES else EntropyFormat.PARTITIONED


def family_of(spec: ModelSpec) -> str:
    """The model family that streams name: `lite` is every model with block motion."""
    return "lite" if spec.video.motion else "dcvc-rt"


def sps_for(
    video_format: VideoFormat,
    weights: ModelWeights,
    precision: Precision,
    *,
    skip_threshold: float | None,
    reset_interval: int,
    entropy_format: EntropyFormat | None = None,
    **others: int,
) -> Sps:
    """The SPS of a new stream; an entropy format of None is chosen by the picture size. InputError for pictures larger than 8192 on a side."""
    size = video_format.size
    entropy_format = entropy_format or entropy_format_for(size)
    if max(size.width, size.height) > MAX_CODED_SIDE:
        raise InputError(f"pictures of {size} are larger than {MAX_CODED_SIDE}x{MAX_CODED_SIDE}, the largest that is coded")
    colour, rate, aspect = video_format.colour, video_format.frame_rate, video_format.sample_aspect_ratio
    return Sps(
        width=size.width,
        height=size.height,
        precision=precision,
        model_family=family_of(weights.spec),
        model_variant=weights.spec.name,
        fingerprints=(weights.image.fingerprint, weights.video.fingerprint),
        chroma_format=video_format.chroma.value,
        colour_primaries=colour.primaries,
        transfer=colour.transfer,
        matrix=colour.matrix,
        full_range=colour.full_range,
        chroma_location=video_format.chroma_location,
        interlacing=video_format.interlacing,
        mastering_display=video_format.mastering_display,
        content_light=video_format.content_light,
        frame_rate_num=rate.num if rate.den else 0,
        frame_rate_den=rate.den if rate.num else 0,
        sar_num=aspect.num if aspect.den else 0,
        sar_den=aspect.den if aspect.num else 0,
        skip_threshold_millionths=quantise_skip_threshold(skip_threshold),
        entropy_format=entropy_format,
        # A stream in the reference's byte formats is made to be remuxed for its decoder, whose file writer truncates.
        truncate_chroma=entropy_format.is_reference,
        reset_interval=reset_interval,
        qp_offsets=weights.spec.qp_offsets,
        **others,  # type: ignore[arg-type]
    )


def video_format_of(sps: Sps) -> VideoFormat:
    """What the decoder's pictures look like. UnsupportedStreamError for pictures that no model here decodes."""
    if sps.bit_depth != 8 or sps.chroma_format not in _CHROMA_FORMATS:
        message = f"the stream's pictures are {sps.bit_depth}-bit {sps.chroma_format}, this dcvc decodes 8-bit 4:2:0 and RGB"
        raise UnsupportedStreamError(Rule.UNSUPPORTED, message, hint="decode it with a newer dcvc")
    return VideoFormat(
        size=PictureSize(sps.width, sps.height),
        chroma=ChromaFormat(sps.chroma_format),
        bit_depth=sps.bit_depth,
        frame_rate=Rational(sps.frame_rate_num, sps.frame_rate_den),
        sample_aspect_ratio=Rational(sps.sar_num, sps.sar_den),
        colour=ColourDescription(sps.colour_primaries, sps.transfer, sps.matrix, sps.full_range),
        interlacing=sps.interlacing,
        chroma_location=sps.chroma_location,
        mastering_display=sps.mastering_display,
        content_light=sps.content_light,
    )


def has_halved_chroma(video_format: VideoFormat) -> bool:
    return video_format.chroma is not ChromaFormat.RGB


def output_picture(coder: FramePayloadEncoder | FramePayloadDecoder, video_format: VideoFormat, *, truncate_chroma: bool) -> Picture:
    """What is put out of the frame coded last; truncate_chroma: of models without an output filter."""
    planes = coder.filtered()
    if planes is not None:
        return picture_from_planes(planes, video_format)
    return picture_from_frame(coder.output_operations, coder.output(), video_format, truncate_chroma=truncate_chroma)


@dataclass(frozen=True)
class CodedFrame:
    """One frame as it goes into a unit."""

    plan: FramePlan
    payload: bytes


class SequenceEncoder:
    """Codes the pictures of one format in order.

    Args:
        planner: frame types and QPs (families.rt.gop).
    """

    def __init__(self, networks: CodecNetworks, sps: Sps, planner: GopPlanner) -> None:
        self.sps, self.planner, self.video_format = sps, planner, video_format_of(sps)
        self._encoder = FramePayloadEncoder(networks, sps.entropy_format, sps.skip_threshold, has_halved_chroma(self.video_format))

    def encode(self, picture: Picture) -> CodedFrame:
        """Codes the next picture. InputError if its planes are not of the announced size."""
        shapes: Sequence[tuple[int, ...]] = [plane.shape for plane in picture.planes]
        if tuple(shapes) != self.video_format.plane_shapes:
            raise InputError(f"a picture has planes {shapes}, expected {list(self.video_format.plane_shapes)}")
        values = values_from_picture(picture, self.video_format)
        plan = self.planner.next()
        if plan.frame_type is NalType.I:
            return CodedFrame(plan, self._encoder.encode_i(values, plan.qp, plan.dead_zone))
        return CodedFrame(plan, self._encoder.encode_p(values, plan.qp, plan.reset, plan.dead_zone))

    def reconstruction(self) -> Picture:
        """What a decoder outputs for the frame coded last; computed on demand, so ask only where it is needed."""
        return output_picture(self._encoder, self.video_format, truncate_chroma=self.sps.truncate_chroma)


class SequenceDecoder:
    """Decodes the frames of one SPS in order. Two SPSs that differ only in how symbols are coded may share one decoder."""

    def __init__(self, networks: CodecNetworks, sps: Sps) -> None:
        self.sps, self.video_format = sps, video_format_of(sps)
        if max(sps.width, sps.height) > MAX_CODED_SIDE:
            raise StreamError(f"the stream's pictures are {sps.width}x{sps.height}, larger than {MAX_CODED_SIDE}x{MAX_CODED_SIDE}")
        several = sps.max_pictures > 1 or sps.max_reorder > 0
        if several or sps.family_block or sps.entropy_format is EntropyFormat.FAMILY:
            message = f"the stream's units hold what model family {sps.model_family!r} of this dcvc does not know"
            raise UnsupportedStreamError(Rule.UNSUPPORTED, message, hint="decode it with a newer dcvc")
        padded = padded_size(self.video_format.size)
        self._decoder = FramePayloadDecoder(networks, sps.entropy_format, sps.skip_threshold, padded, has_halved_chroma(self.video_format))

    def decode(self, unit: FrameUnit) -> Picture:
        """Decodes one frame; StreamError if its payload is damaged."""
        self._decoder.entropy_format = unit.sps.entropy_format
        self._decoder.skip_threshold = unit.sps.skip_threshold
        if unit.frame_type is NalType.I:
            if unit.qp > MAX_QP_I:
                raise StreamError(f"an I frame has QP {unit.qp}, expected 0..{MAX_QP_I}")
            self._decoder.decode_i(unit.payload, unit.qp)
        else:
            if unit.qp > MAX_QP_P:
                raise StreamError(f"a P frame has QP {unit.qp}, expected 0..{MAX_QP_P}")
            self._decoder.decode_p(unit.payload, unit.qp, unit.reset)
        return output_picture(self._decoder, self.video_format, truncate_chroma=unit.sps.truncate_chroma)
