"""Which candidate of a scalable encoder is coded: the one of the smallest rate-distortion cost. Source: EVC (ICLR
2023), residual representation learning.

The bits of y are those of continuous Gaussians; the bits of z are those of its table, since weights files keep the
table in place of the density.
"""

import math

import numpy as np
from numpy.typing import NDArray

from dcvc_cli.backend.operations import Tensor
from dcvc_cli.entropy.tables import PROBABILITY_SCALE
from dcvc_cli.entropy.wide import WidePart
from dcvc_cli.families.wide_latents.sides import WideEncodingSide

LAMBDAS = (0.0022, 0.0050, 0.012, 0.027)
"""Weights of the distortion by rate, the coarsest first, for errors of samples in 0..255."""
DISTORTION_UNIT = 255.0**2
SMALLEST_SCALE = 0.11
LEAST_PROBABILITY = 1e-5
"""Added to every probability, as in the published estimate."""


def cost_of(picture: Tensor, frame: Tensor, side: WideEncodingSide, rate: int) -> float:
    """lambda * distortion + bits, by padded pixel: three planes' squared errors count, before limiting to 0..1."""
    num_pixels = picture.shape[-2] * picture.shape[-1]
    distortion = float(((picture - frame) ** 2).sum()) / num_pixels
    return LAMBDAS[rate] * DISTORTION_UNIT * distortion + estimated_bits(side) / num_pixels


def estimated_bits(side: WideEncodingSide) -> float:
    """Bits of a picture's symbols."""
    z, *planes = side.encoder.parts
    return table_bits(z) + sum(
        gaussian_bits(part.symbols, scales) for part, scales in zip(planes, side.scale_planes, strict=True)
    )


def gaussian_bits(symbols: NDArray[np.int16], scales: NDArray[np.floating]) -> float:
    """Bits of symbols under Gaussians of their scales, at least 0.11."""
    import torch

    values = torch.from_numpy(symbols.astype(np.float64))
    spread = torch.from_numpy(np.maximum(scales, SMALLEST_SCALE).astype(np.float64)) * math.sqrt(2)
    probability = (torch.erf((values + 0.5) / spread) - torch.erf((values - 0.5) / spread)) / 2
    return float((-torch.log2(probability + LEAST_PROBABILITY)).clamp_min(0).sum())


def table_bits(part: WidePart) -> float:
    """Bits of symbols by the frequencies of their table's rows; symbols that no row names count as escapes."""
    table, rows = part.table, part.rows.astype(np.int64)
    escape = table.cdf_length[rows] - 2
    entry = part.symbols - table.offset[rows]
    entry = np.where((entry < 0) | (entry >= escape), escape, entry)
    share = (table.cdf[rows, entry + 1] - table.cdf[rows, entry]) / PROBABILITY_SCALE
    return float(np.maximum(-np.log2(share + LEAST_PROBABILITY), 0).sum())
