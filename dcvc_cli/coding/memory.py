"""Estimates how much memory coding takes, from picture size, model and arithmetic. docs/robustness.md tells how it was
measured."""

from dcvc_cli.bitstream.sps import Precision, Sps
from dcvc_cli.coding.opened_models import OpenedModel
from dcvc_cli.families.registry import models
from dcvc_cli.format.types import PictureSize

_EXACT_BASE, _FLOAT_BASE = 140 << 20, 400 << 20
"""Bytes that a process takes for a small picture: with the integer kernels alone, and with PyTorch."""
_EXACT_DECODING, _FLOAT_DECODING, _EXACT_ENCODING, _FLOAT_ENCODING = 105, 280, 180, 320
"""Bytes a pixel that the networks of `lite` take."""
_UNKNOWN_WIDTH = 3.0
"""Width, relative to `lite`, that is assumed for a model that this dcvc does not know."""


def _memory(num_pixels: int, variant: str, base: int, bytes_a_pixel: int) -> int:
    known = models()
    width = known[variant].relative_width if variant in known else _UNKNOWN_WIDTH
    return base + round(num_pixels * bytes_a_pixel * width)


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
