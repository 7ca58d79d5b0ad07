"""Estimates how much memory coding takes, from picture size, model and arithmetic. docs/robustness.md says how it was
measured."""

import math

from dcvc_cli.bitstream.sps import Precision, Sps
from dcvc_cli.coding.opened_models import OpenedModel
from dcvc_cli.families.base import Model
from dcvc_cli.families.registry import models
from dcvc_cli.format.types import PictureSize
from dcvc_cli.weights.stored_arrays import coding_shapes

_EXACT_BASE, _FLOAT_BASE = 140 << 20, 400 << 20
"""Bytes that a process takes for a small picture: with the integer kernels alone, and with PyTorch."""
_EXACT_DECODING, _FLOAT_DECODING, _EXACT_ENCODING, _FLOAT_ENCODING = (105, 10), (280, 6), (180, 14), (320, 8)
"""Bytes a pixel that the networks of `lite` take, and bytes a parameter of what a model has beyond `lite`."""
_LITE_PARAMETERS = 12_075_010
_UNKNOWN_WIDTH, _UNKNOWN_PARAMETERS = 3.0, 66_151_282
"""Assumed for a model that this dcvc does not know: memory a pixel relative to `lite`, and the parameters of `rt`."""


def _memory(num_pixels: int, variant: str, base: int, each: tuple[int, int]) -> int:
    bytes_a_pixel, bytes_a_parameter = each
    model = models().get(variant)
    width = _UNKNOWN_WIDTH if model is None else model.relative_width
    kept = 0 if model is None else model.kept_memory
    num_parameters = _UNKNOWN_PARAMETERS if model is None else _num_parameters(model)
    beyond_lite = max(0, num_parameters - _LITE_PARAMETERS)
    return base + kept + beyond_lite * bytes_a_parameter + round(num_pixels * bytes_a_pixel * width)


def _num_parameters(model: Model) -> int:
    return sum(math.prod(shape) for graph in model.networks.values() for shape in coding_shapes(graph).values())


def decoding_memory(sps: Sps) -> int:
    """Estimates the bytes that decoding pictures of this SPS takes."""
    is_exact = sps.precision is Precision.EXACT
    base, each = (_EXACT_BASE, _EXACT_DECODING) if is_exact else (_FLOAT_BASE, _FLOAT_DECODING)
    return _memory(sps.width * sps.height, sps.model_variant, base, each)


def encoding_memory(model: OpenedModel, size: PictureSize) -> int:
    """Estimates the bytes that encoding pictures of this size takes."""
    # The encoder's half of exact coding runs in PyTorch too.
    each = _EXACT_ENCODING if model.precision is Precision.EXACT else _FLOAT_ENCODING
    return _memory(size.num_pixels, model.weights.model.name, _FLOAT_BASE, each)
