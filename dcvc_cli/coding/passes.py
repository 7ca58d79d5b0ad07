"""Rate control of an encode: the target, and the pass that finds out what frames take."""

import os
from collections.abc import Iterable
from fractions import Fraction

from dcvc_cli.codec.choices import CodingChoices
from dcvc_cli.coding.encode import StreamEncoder, encode_pictures
from dcvc_cli.coding.encode_settings import EncodeSettings
from dcvc_cli.coding.opened_models import OpenedModel
from dcvc_cli.control.rate import OnePassRate, RateControl, RateTarget
from dcvc_cli.control.two_pass import CodedFrame, TwoPassRate
from dcvc_cli.errors import InputError
from dcvc_cli.format.types import Picture, VideoFormat
from dcvc_cli.media import OutputFile


def rate_target(
    settings: EncodeSettings, name: str, video_format: VideoFormat, num_frames: int | None
) -> RateTarget | None:
    """What the settings ask for; None where they name no bitrate.

    Args:
        name: of the input, for messages.
        num_frames: of the clip, None where it is not known.

    Raises:
        InputError: the frame rate is not known.
    """
    if settings.bitrate is None:
        return None
    rate = video_format.frame_rate
    if not (rate.num and rate.den):
        raise InputError(f"{name} does not say its frame rate, which --bitrate needs", "--fps 25 sets it")
    bits, pixels = max(1, round(1000 * settings.bitrate)), video_format.size.num_pixels
    return RateTarget(bits, Fraction(rate.num, rate.den), num_frames, pixels, settings.keyint, settings.vbv)


def first_pass(
    opened: OpenedModel,
    video_format: VideoFormat,
    choices: CodingChoices,
    target: RateTarget,
    pictures: Iterable[Picture],
) -> list[CodedFrame]:
    """Codes a clip in one pass and keeps what each frame took, not the stream."""
    with OutputFile(os.devnull, overwrite=True) as sink:
        encoder = StreamEncoder(opened, video_format, choices, sink, rate=OnePassRate(target))
        encode_pictures(encoder, pictures)
    return encoder.control.history


def one_pass(target: RateTarget) -> RateControl:
    """Meets a target without knowing what comes."""
    return OnePassRate(target)


def second_pass(target: RateTarget, frames: list[CodedFrame]) -> RateControl:
    """Meets a target by what a first pass found."""
    return TwoPassRate(target, frames)
