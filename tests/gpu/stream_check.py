"""Short streams coded and decoded through the frame coders, for comparing a GPU with the CPU."""

from typing import Any

from dcvc_cli.bitstream.sps import Precision
from dcvc_cli.bitstream.units import FrameUnit
from dcvc_cli.codec.choices import CodingChoices
from dcvc_cli.coding.stream_format import sps_for
from dcvc_cli.errors import EnvironmentFault
from dcvc_cli.families.base import CodedUnit
from dcvc_cli.format.types import Picture, VideoFormat
from dcvc_cli.media.synthetic_clip import synthetic_format, synthetic_pictures
from dcvc_cli.preparing.random_weights import random_weights
from dcvc_cli.weights.store import weights_by_name

CHOICES = CodingChoices(qp_i=40, qp_p=40, keyint=-1)


def weights_for(name: str) -> Any:
    """Stored weights, where DCVC_HOME or the package has them, else random ones with the model's integer form."""
    try:
        return weights_by_name(name)
    except EnvironmentFault:
        return random_weights(name, exact=True)


def code_frames(shape: tuple[int, int, int]) -> tuple[VideoFormat, list[Picture]]:
    """(format, pictures) of the built-in clip; shape is (width, height, frames)."""
    width, height, count = shape
    video_format = synthetic_format(width, height)
    return video_format, list(synthetic_pictures(video_format, count))


def coded_on(networks: Any, weights: Any, clip: tuple[VideoFormat, list[Picture]]) -> list[CodedUnit]:
    """An I frame and P frames."""
    video_format, pictures = clip
    encoder = weights.model.encoder(networks, sps_for(video_format, weights, Precision.EXACT, CHOICES), CHOICES)
    units = [unit for picture in pictures for unit in encoder.push(picture)]
    return [*units, *encoder.flush()]


def decoded_hash(networks: Any, weights: Any, clip: tuple[VideoFormat, list[Picture]], units: list[CodedUnit]) -> str:
    """SHA-256 of all output planes."""
    from tests.gpu.measure_parts import sha256

    sps = sps_for(clip[0], weights, Precision.EXACT, CHOICES)
    decoder = weights.model.decoder(networks, sps)
    planes: list[Any] = []
    for k, unit in enumerate(units):
        head = 0, len(unit.payload), unit.frame_type, 0, sps, unit.qp, unit.reset
        frame = FrameUnit(*head, unit.payload, k, k % 256, pictures=unit.pictures)
        planes += [plane for picture in decoder.push(frame) for plane in picture.planes]
    return sha256(planes)
