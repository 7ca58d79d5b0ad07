"""The family `lite`, the default: smaller networks of `dcvc-rt`, with block motion, a floor and an output filter."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from dcvc_cli.bitstream.faults import Rule, UnsupportedStreamError
from dcvc_cli.bitstream.limits import MAX_QP_I, MAX_QP_P
from dcvc_cli.bitstream.sps import Precision, Sps
from dcvc_cli.codec.calibration import CalibrationSide
from dcvc_cli.codec.choices import CodingChoices
from dcvc_cli.codec.networks import CodecNetworks
from dcvc_cli.codec.pictures import has_halved_chroma, padded_size, video_format_of
from dcvc_cli.families.base import Family, Model, PictureDecoder, PictureEncoder
from dcvc_cli.families.elementary_form import ElementaryForm
from dcvc_cli.families.lite.frame_encoder import FramePayloadEncoder
from dcvc_cli.families.lite.frames import FramePayloadDecoder
from dcvc_cli.families.lite.image import ImageModel
from dcvc_cli.families.lite.lossless.frames import FORMATS, LosslessFrameDecoder, LosslessFrameEncoder
from dcvc_cli.families.lite.motion.field import FieldCoder, compensate_squares, in_lines, luma_of_values
from dcvc_cli.families.lite.sequences import LiteEncoder
from dcvc_cli.families.lite.sizes import LITE, TINY_LITE, LiteSpec
from dcvc_cli.families.lite.video import VideoModel
from dcvc_cli.families.rt.gop import gop_rule
from dcvc_cli.families.rt.model import RtModel
from dcvc_cli.families.rt.recipe import code_p_frame
from dcvc_cli.families.rt.sequences import FrameByFrameDecoder
from dcvc_cli.format.types import PictureSize

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


FLOOR_SYNTAX = 2
"""From this version of the payload syntax on, payloads have floors (docs/floor.md)."""
LOSSLESS_SYNTAX = 3
"""Payloads of this version have a lossless layer (docs/lossless.md)."""
BRIGHTNESS_SYNTAX = 4
"""Payloads of this version have no lossless layer. Their P frames may change the brightness of references
(docs/motion.md)."""


class LiteModel(RtModel):
    """A size of the two networks. The order of frames and the weights files are those of `dcvc-rt`; motion, floor and
    output filter are `lite`'s own."""

    image: ImageModel
    video: VideoModel
    relative_width = 1.0
    has_lossless = True

    def __init__(self, spec: LiteSpec, *, is_for_tests: bool = False) -> None:
        super().__init__(spec, ImageModel(spec.image), VideoModel(spec.video), is_for_tests=is_for_tests)

    def sps_fields(self, size: PictureSize, choices: CodingChoices) -> Mapping[str, Any]:
        """Adds the syntax to the fields of `dcvc-rt`."""
        syntax = LOSSLESS_SYNTAX if choices.lossless else BRIGHTNESS_SYNTAX
        return {**super().sps_fields(size, choices), "syntax": syntax}

    def encoder(self, networks: CodecNetworks, sps: Sps, choices: CodingChoices) -> PictureEncoder:
        """Makes an encoder that gives one unit a picture."""
        video_format = video_format_of(sps)
        coding = self.image, self.video, networks, sps.entropy_format, sps.skip_threshold
        if choices.lossless:
            frames: FramePayloadEncoder = LosslessFrameEncoder(*coding, video_format)
        else:
            targets = choices.qp_i, choices.qp_p
            halve_chroma = has_halved_chroma(video_format)
            frames = FramePayloadEncoder(*coding, halve_chroma, targets, sps.bit_depth, has_brightness=True)
        # The floor alone keeps a quality that does not follow the QP, so lower QPs would not make such a frame fit a
        # buffer.
        frames.may_code_alone = choices.vbv is None
        return LiteEncoder(frames, sps, gop_rule(choices, self.spec).plans_from())

    def decoder(self, networks: CodecNetworks, sps: Sps) -> PictureDecoder:
        """Makes a decoder that gives one picture a unit."""
        self.check_sps(sps)
        video_format = video_format_of(sps)
        coding = self.image, self.video, networks, sps.entropy_format, sps.skip_threshold
        if sps.syntax == LOSSLESS_SYNTAX:
            if sps.precision is not Precision.EXACT or video_format.chroma not in FORMATS:
                told = f"{sps.precision.name.lower()}, {sps.chroma_format}"
                message = f"a stream without loss is exact, 4:2:0 or 4:4:4, and this one is {told}"
                raise UnsupportedStreamError(Rule.UNSUPPORTED, message)
            frames: FramePayloadDecoder = LosslessFrameDecoder(*coding, video_format)
        else:
            padded, halve_chroma = padded_size(video_format.size), has_halved_chroma(video_format)
            has_floor, has_brightness = sps.syntax >= FLOOR_SYNTAX, sps.syntax >= BRIGHTNESS_SYNTAX
            frames = FramePayloadDecoder(
                *coding, padded, halve_chroma, has_floor, sps.bit_depth, has_brightness=has_brightness
            )
        return FrameByFrameDecoder(frames, sps, MAX_QP_I, MAX_QP_P)

    def calibrate_p_frames(
        self, ops: Any, frame: Any, pictures: Sequence["NDArray[np.float32]"], qps: Sequence[int]
    ) -> None:
        """Codes P frames after a recorded reference frame. The codec's search finds the motion of each."""
        feature, coder, long_term = None, FieldCoder(), None
        for values, qp in zip(pictures, qps, strict=True):
            samples = ops.samples_from_frame(frame)
            keeps_reference = coder.keeps_reference
            motion = coder.search(
                luma_of_values(values),
                in_lines(samples[:1]),
                qp,
                None if long_term is None else in_lines(long_term[:1]),
            )
            coder.encode(motion)
            predicted = ops.frame_from_samples(compensate_squares(samples, motion, long_term))
            side = CalibrationSide(ops, values - ops.to_float(predicted))
            coded = code_p_frame(self.video, ops, side, self.video.adapt(ops, predicted, feature), qp)
            feature = coded.feature
            frame = self.video.reconstruct_on(ops, feature, qp, self.video.add_direct(ops, predicted, coded.y_hat))
            long_term = samples if keeps_reference else long_term


class LiteFamily(Family):
    """Models `lite` and, for tests, `tiny-lite`."""

    name = "lite"
    syntax = BRIGHTNESS_SYNTAX

    @cached_property
    def models(self) -> Mapping[str, Model]:
        """Returns the default model and the model for tests."""
        return {"lite": LiteModel(LITE), "tiny-lite": LiteModel(TINY_LITE, is_for_tests=True)}

    def elementary_form(self) -> ElementaryForm:
        """Returns the form of DCVC-RT: without motion, filter and floor, the payload syntax is the same."""
        from dcvc_cli.families.rt.remux import RtElementaryForm

        return RtElementaryForm()
