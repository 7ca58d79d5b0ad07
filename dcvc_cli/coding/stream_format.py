"""Makes the SPS of a new stream."""

from dcvc_cli.bitstream.sps import Precision, Sps, quantise_skip_threshold
from dcvc_cli.bitstream.sps_blocks import TimeBase
from dcvc_cli.codec.choices import CodingChoices
from dcvc_cli.errors import InputError, UsageError
from dcvc_cli.families.registry import family_of
from dcvc_cli.format.types import ChromaFormat, VideoFormat
from dcvc_cli.weights.file import ModelWeights


def sps_for(
    video_format: VideoFormat,
    weights: ModelWeights,
    precision: Precision,
    choices: CodingChoices,
) -> Sps:
    """Makes the SPS of a new stream.

    Raises:
        InputError: the pictures are larger than the model codes.
        UsageError: the model cannot code these pictures, or not with these choices.
    """
    size, model = video_format.size, weights.model
    if max(size.width, size.height) > model.max_side:
        raise InputError(
            f"pictures of {size} are larger than {model.max_side}x{model.max_side}, the largest that is coded"
        )
    if not model.codes(video_format):
        message = f"the pictures are {video_format.sampling}, and model {model.name} codes 8-bit 4:2:0 and RGB"
        pix_fmt = "rgb24" if video_format.chroma is ChromaFormat.RGB else "yuv420p"
        raise UsageError(message, f"--model lite, or ffmpeg -i IN -pix_fmt {pix_fmt} OUT converts it")
    if choices.lossless:
        _check_lossless(video_format, weights, precision)
    family = family_of(model)
    colour, rate, aspect = video_format.colour, video_format.frame_rate, video_format.sample_aspect_ratio
    ticks = video_format.time_base
    return Sps(
        width=size.width,
        height=size.height,
        precision=precision,
        model_family=family.name,
        model_variant=model.name,
        fingerprints=weights.fingerprints,
        bit_depth=video_format.bit_depth,
        chroma_format=video_format.chroma.value,
        colour_primaries=colour.primaries,
        transfer=colour.transfer,
        matrix=colour.matrix,
        full_range=colour.full_range,
        chroma_location=video_format.chroma_location,
        mastering_display=video_format.mastering_display,
        content_light=video_format.content_light,
        interlacing=video_format.interlacing,
        frame_rate_num=rate.num if rate.den else 0,
        frame_rate_den=rate.den if rate.num else 0,
        sar_num=aspect.num if aspect.den else 0,
        sar_den=aspect.den if aspect.num else 0,
        time_base=None if ticks is None else TimeBase(ticks.num, ticks.den),
        skip_threshold_millionths=quantise_skip_threshold(choices.skip_threshold),
        hash_kind=choices.hash_kind,
        vbv=choices.vbv,
        max_pictures=model.max_pictures,
        **({"syntax": family.syntax} | dict(model.sps_fields(size, choices))),
    )


def _check_lossless(video_format: VideoFormat, weights: ModelWeights, precision: Precision) -> None:
    if not weights.model.has_lossless:
        raise UsageError(f"--lossless: weights {weights.name!r} have no coding without loss", "--model lite")
    if precision is not Precision.EXACT:
        raise UsageError("--lossless: float arithmetic differs from machine to machine", "--precision exact")
    if video_format.chroma not in (ChromaFormat.YUV420, ChromaFormat.YUV444):
        raise InputError(
            f"--lossless codes 4:2:0 and 4:4:4, and the pictures are {video_format.sampling}",
            "--lossy codes them as they are; ffmpeg -i IN -pix_fmt yuv444p OUT.y4m makes 4:4:4 of them",
        )
