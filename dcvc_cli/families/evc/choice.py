"""The choice of a scalable encoder: the candidate with the smallest rate-distortion cost. Source: EVC (ICLR 2023),
residual representation learning.

Continuous Gaussians estimate the bits of y. The table of z gives the bits of z, since weights files keep the table in
place of the density.
"""

import math

import numpy as np
from numpy.typing import NDArray

from dcvc_cli.backend.operations import Tensor
from dcvc_cli.entropy.scale_index import SCALE_MIN
from dcvc_cli.entropy.tables import PROBABILITY_SCALE
from dcvc_cli.entropy.wide import WidePart
from dcvc_cli.families.wide_latents.sides import WideEncodingSide
from dcvc_cli.families.wide_latents.tables import ADDED_PROBABILITY

LAMBDAS = (0.0022, 0.0050, 0.012, 0.027)
"""Weights of the distortion for each rate, the coarsest first. Errors are those of samples in 0..255."""
DISTORTION_UNIT = 255.0**2


def cost_of(picture: Tensor, frame: Tensor, side: WideEncodingSide, rate: int) -> float:
    """Returns lambda * distortion + bits, a padded pixel. The distortion is the squared error of all three planes
    before the picture is clamped to 0..1."""
    num_pixels = picture.shape[-2] * picture.shape[-1]
    distortion = float(((picture - frame) ** 2).sum()) / num_pixels
    return LAMBDAS[rate] * DISTORTION_UNIT * distortion + estimated_bits(side) / num_pixels


def estimated_bits(side: WideEncodingSide) -> float:
    """Estimates the bits of a picture's symbols."""
    z, *planes = side.encoder.parts
    return table_bits(z) + sum(
        gaussian_bits(part.symbols, scales) for part, scales in zip(planes, side.scale_planes, strict=True)
    )


def gaussian_bits(symbols: NDArray[np.int16], scales: NDArray[np.floating]) -> float:
    """Estimates the bits of symbols under Gaussians of their scales. Scales below 0.11 count as 0.11."""
    import torch

    values = torch.from_numpy(symbols.astype(np.float64))
    spread = torch.from_numpy(np.maximum(scales, SCALE_MIN).astype(np.float64)) * math.sqrt(2)
    probability = (torch.erf((values + 0.5) / spread) - torch.erf((values - 0.5) / spread)) / 2
    return float((-torch.log2(probability + ADDED_PROBABILITY)).clamp_min(0).sum())


def table_bits(part: WidePart) -> float:
    """Estimates the bits of symbols from the frequencies of their table rows. Symbols that a row does not name count as
    escapes."""
    table, rows = part.table, part.rows.astype(np.int64)
    escape = table.cdf_length[rows] - 2
    entry = part.symbols - table.offset[rows]
    entry = np.where((entry < 0) | (entry >= escape), escape, entry)
    share = (table.cdf[rows, entry + 1] - table.cdf[rows, entry]) / PROBABILITY_SCALE
    return float(np.maximum(-np.log2(share + ADDED_PROBABILITY), 0).sum())
