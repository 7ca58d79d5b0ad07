"""The factors by which a quality of DCVC-DC multiplies features: a scalar of the quality times a vector of channels.
Source: DCVC-DC (CVPR 2023)."""

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from dcvc_cli.families.diverse_contexts.blocks import Factors
from dcvc_cli.families.wide_latents.quality import NUM_ANCHORS
from dcvc_cli.format.constants import NUM_QPS
from dcvc_cli.graph.blocks import Qp, Sequence

if TYPE_CHECKING:
    from dcvc_cli.backend.float_torch import FloatOperations

NUM_FINE = NUM_QPS
"""Qualities 0..63 lie evenly in the logarithm between the first and the last anchor; 64..67 are the anchors
themselves."""


def quality_factors(prefix: str, side: str, channels: int) -> Sequence:
    """Makes the parameters `PREFIXq_basic_SIDE` and `PREFIXq_scale_SIDE`."""
    return Sequence(
        Factors(f"{prefix}q_basic_{side}", 1, channels, 1, 1), Factors(f"{prefix}q_scale_{side}", NUM_ANCHORS, 1, 1, 1)
    )


def scalar(anchors: Any, quality: int) -> float:
    """Returns the scalar of a quality 0..67.

    Args:
        anchors: the four values above 0 of a `q_scale` parameter.
    """
    values = np.asarray(anchors, np.float32).reshape(NUM_ANCHORS)
    if quality >= NUM_FINE:
        return float(values[quality - NUM_FINE])
    first, last = float(np.log(values[0])), float(np.log(values[-1]))
    if quality == NUM_FINE - 1:
        return math.exp(last)
    return math.exp(first + quality * ((last - first) / (NUM_FINE - 1)))


def factor(ops: "FloatOperations", prefix: str, side: str, quality: Qp) -> Any:
    """Returns the factors of features, 1 x channels x 1 x 1."""
    if not isinstance(quality, int):
        return ops.parameters[f"{prefix}q_basic_{side}"] * ops.parameters[f"{prefix}q_scale_{side}"][quality]
    anchors = ops.parameters[f"{prefix}q_scale_{side}"].float().cpu().numpy()
    return ops.parameters[f"{prefix}q_basic_{side}"] * scalar(anchors, quality)
