"""Rate control of an encode: the target, and the pass that finds out what frames take."""

import os
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import replace
from fractions import Fraction

from dcvc_cli.bitstream.sps_blocks import Vbv
from dcvc_cli.codec.choices import CodingChoices
from dcvc_cli.coding.encode import StreamEncoder, encode_pictures
from dcvc_cli.coding.encode_settings import EncodeSettings
from dcvc_cli.coding.opened_models import OpenedModel
from dcvc_cli.control.constant import ConstantQp
from dcvc_cli.control.crf import CrfRate
from dcvc_cli.control.rate import OnePassRate, RateControl, RateTarget
from dcvc_cli.control.two_pass import CodedFrame, TwoPassRate
from dcvc_cli.errors import InputError
from dcvc_cli.format.types import Picture, VideoFormat
from dcvc_cli.media import OutputFile

FIRST_QP, NEAR_QPS = 32, 10
"""QP of a first pass, and how far from it a second pass still knows well what frames take."""
ENDLESS = Vbv(2**32 - 1, 2**32 - 1, 2**32 - 1)
"""The largest buffer there is."""
SIZE_MARGINS = {1: 4, 2: 1}
"""Per cent of a size that stay free in so many passes: a stream that is too large does not fit."""


def rate_target(
    settings: EncodeSettings,
    name: str,
    video_format: VideoFormat,
    num_frames: int | None,
    *,
    way_out: str = "--fps 25 sets it",
) -> RateTarget | None:
    """Returns the target of the settings; None where they name neither a bitrate nor a size.

    Args:
        name: of the input, for messages.
        num_frames: of the clip, None where it is not known.
        way_out: what sets a frame rate, for messages.

    Raises:
        InputError: the frame rate is not known, or for a size the number of frames.
    """
    rate, pixels = video_format.frame_rate, video_format.size.num_pixels
    if settings.target_size is not None:
        if num_frames is None:
            raise InputError(f"{name} does not say how many frames it has, which --target-size needs", "--frames")
        frame_rate = Fraction(rate.num, rate.den) if rate.num and rate.den else Fraction(25)
        bits = 8 * settings.target_size * (100 - SIZE_MARGINS[settings.passes]) // 100
        per_second = max(1, bits * frame_rate.numerator // (max(1, num_frames) * frame_rate.denominator))
        return RateTarget(per_second, frame_rate, num_frames, pixels, settings.keyint, settings.vbv)
    if settings.bitrate is None:
        return None
    if not (rate.num and rate.den):
        raise InputError(f"{name} does not say its frame rate, which --bitrate needs", way_out)
    bits = max(1, round(1000 * settings.bitrate))
    return RateTarget(bits, Fraction(rate.num, rate.den), num_frames, pixels, settings.keyint, settings.vbv)


def first_pass(
    opened: OpenedModel,
    video_format: VideoFormat,
    choices: CodingChoices,
    target: RateTarget,
    open_pictures: Callable[[], AbstractContextManager[Iterable[Picture]]],
) -> list[CodedFrame]:
    """Codes a clip at one QP and keeps what each frame took, not the stream. Where the target needs a QP that is far
    from it, the clip is coded again at that one.

    Args:
        open_pictures: opens the clip; called once or twice.
    """
    # Steering by the buffer is the second pass's matter. But frames are coded in other ways under a buffer, so the
    # first pass has one too, which nothing empties.
    free = replace(choices, vbv=None if choices.vbv is None else ENDLESS)

    def coded_at(qp: int) -> list[CodedFrame]:
        with open_pictures() as pictures, OutputFile(os.devnull, overwrite=True) as sink:
            encoder = StreamEncoder(opened, video_format, free, sink, rate=ConstantQp(qp))
            encode_pictures(encoder, pictures)
            return encoder.control.history

    frames = coded_at(FIRST_QP)
    needed = TwoPassRate(target, frames).nearest_constant()
    return frames if abs(needed - FIRST_QP) <= NEAR_QPS else coded_at(needed)


def one_pass(settings: EncodeSettings, target: RateTarget | None) -> RateControl | None:
    """Returns what chooses the QPs without a first pass; None leaves them to the settings."""
    if target is not None:
        return OnePassRate(target)
    return None if settings.crf is None else CrfRate(settings.crf)


def second_pass(target: RateTarget, frames: list[CodedFrame]) -> RateControl:
    """Meets a target by what a first pass found."""
    return TwoPassRate(target, frames)
