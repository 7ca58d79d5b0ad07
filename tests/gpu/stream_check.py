"""Short streams coded and decoded through the frame coders, for comparing a GPU with the CPU."""

from typing import Any

import numpy as np

from dcvc_cli.codec.pictures import values_from_picture
from dcvc_cli.families.rt.frames import FramePayloadDecoder, FramePayloadEncoder
from dcvc_cli.format.entropy_format import EntropyFormat
from dcvc_cli.measuring.synthetic_clip import synthetic_format, synthetic_pictures
from dcvc_cli.weights.store import weights_by_name

QP = 40


def weights_for(is_real: bool) -> Any:
    """The shipped weights on a GPU; in the emulator the test model's, which tests put into DCVC_HOME."""
    return weights_by_name("lite" if is_real else "tiny-exact")


def code_frames(shape: tuple[int, int, int]) -> list[np.ndarray[Any, Any]]:
    """Network inputs of (width, height, frames) of the built-in clip."""
    width, height, count = shape
    video_format = synthetic_format(width, height)
    return [values_from_picture(picture, video_format) for picture in synthetic_pictures(video_format, count)]


def coded_on(networks: Any, weights: Any, pictures: list[np.ndarray[Any, Any]]) -> list[bytes]:
    """The payloads of an I frame and P frames."""
    encoder = FramePayloadEncoder(networks, EntropyFormat.COMPACT, 0.12)
    return [encoder.encode_p(values, QP, False) if k else encoder.encode_i(values, QP) for k, values in enumerate(pictures)]


def decoded_hash(networks: Any, weights: Any, pictures: list[np.ndarray[Any, Any]], payloads: list[bytes]) -> str:
    """SHA-256 of all output planes."""
    from tests.gpu.measure_parts import sha256

    padded = pictures[0].shape[1], pictures[0].shape[2]
    decoder = FramePayloadDecoder(networks, EntropyFormat.COMPACT, 0.12, padded)
    planes: list[Any] = []
    for k, payload in enumerate(payloads):
        if k:
            decoder.decode_p(payload, QP, False)
        else:
            decoder.decode_i(payload, QP)
        filtered = decoder.filtered()
        options = {"halve_chroma": True, "truncate_chroma": False}
        planes += filtered if filtered is not None else decoder.output_operations.export_planes(decoder.output(), **options)
    return sha256(planes)
