"""Random weights for measurements of the speed of a model without weights on this machine. The arithmetic is that of
trained ones; pictures mean nothing."""

from functools import cache

import numpy as np

from dcvc_cli.codec.pictures import values_from_picture
from dcvc_cli.families.registry import find_model
from dcvc_cli.media.synthetic_clip import synthetic_format, synthetic_pictures
from dcvc_cli.preparing.quantise import ALL_WIDE, Clip, prepare_exact
from dcvc_cli.weights.compression import table_arrays
from dcvc_cli.weights.file import ModelWeights, NetworkWeights
from dcvc_cli.weights.stored_arrays import coding_shapes

CALIBRATION_SIDE, CALIBRATION_PICTURES = 128, 3


@cache
def random_weights(name: str, *, exact: bool) -> ModelWeights:
    """Makes random weights of a model.

    Args:
        exact: adds the integer form, with 16-bit weights in every layer, calibrated on a few pictures of the synthetic
            clip.
    """
    model = find_model(name)
    networks = {}
    for part, graph in model.networks.items():
        parameters = model.random_parameters(part)
        arrays = {key: parameters[key] for key in coding_shapes(graph)}
        networks[part] = NetworkWeights(graph, arrays | table_arrays(model.z_table(part, parameters)))
    weights = ModelWeights(model, networks, model.name, "random parameters")
    return prepare_exact(weights, [_calibration_clip()], policy=ALL_WIDE) if exact else weights


def _calibration_clip() -> Clip:
    video_format = synthetic_format(CALIBRATION_SIDE, CALIBRATION_SIDE)
    return [
        np.asarray(values_from_picture(picture, video_format))
        for picture in synthetic_pictures(video_format, CALIBRATION_PICTURES)
    ]
