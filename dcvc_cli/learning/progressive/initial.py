"""Parameters that an untrained network with a coded flow begins with."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch

from dcvc_cli.graph.blocks import GDN_PEDESTAL

DENSITY = re.compile(r"bit_?[eE]stimator_z(_mv)?\.f[1-4]\.[hba]")
FLOW = re.compile(
    r".*(moduleBasic\.\d\.conv5|mvDecoder_part1\.6|mvDecoder_part2\.12|mv_decoder\.(7\.0|8|dec_3\.1\.0)|conv_offset\.4)"
    r"\.(weight|bias)"
)
"""Last layers of what gives a flow or what corrects one."""
FLOW_GAIN, CARRIER_GAIN = 0.01, 0.1
COLOURS = 3
"""Channels that carry the reference."""
DENSITY_SPREAD = 2.0
"""Standard deviation of hyper-latents that densities begin with, roughly."""
DIAGONAL = 0.1
"""Of a normalisation's gamma."""


@dataclass(frozen=True)
class CopyingStart:
    """How a network begins as one that copies its reference: the first three channels carry the picture before from
    layer to layer, and everything else speaks softly.

    Attributes:
        carriers: layers whose first three outputs are three of their inputs, from this one on; None: the layer only
            speaks softly.
        branches: last layers of residual branches, which begin at 0.
        gains: of carriers whose inputs are damped.
    """

    carriers: Mapping[str, int | None]
    branches: re.Pattern[str]
    gains: Mapping[str, float] = field(default_factory=dict)


def initial_parameters(
    shapes: Mapping[str, tuple[int, ...]], seed: int, start: CopyingStart
) -> dict[str, torch.Tensor]:
    """Makes Xavier-normal weights, no biases, quantiser scales of 1; a flow near 0, pictures near the reference."""
    generator = torch.Generator().manual_seed(seed)
    parameters = {}
    for name, shape in shapes.items():
        value = _value(name, shape, generator)
        layer, _, kind = name.rpartition(".")
        if kind == "weight" and start.branches.fullmatch(layer):
            value = torch.zeros(shape)
        if kind == "weight" and layer in start.carriers:
            value = _carrying(value * CARRIER_GAIN, start.carriers[layer], start.gains.get(layer, 1.0))
        parameters[name] = value
    return parameters


def _carrying(weight: torch.Tensor, first: int | None, gain: float) -> torch.Tensor:
    """Makes a convolution (cout, cin, k, k) whose outputs 0..2 also have its inputs first..first + 2."""
    middle = weight.shape[-1] // 2
    if first is not None:
        for colour in range(COLOURS):
            weight[colour, first + colour, middle, middle] += gain
    return weight


def _value(name: str, shape: tuple[int, ...], generator: torch.Generator) -> torch.Tensor:
    if DENSITY.fullmatch(name):
        slope = (math.pi / math.sqrt(3) / DENSITY_SPREAD) ** 0.25
        return torch.full(shape, math.log(math.expm1(slope)) if name.endswith(".h") else 0.0)
    if name.endswith(".beta"):
        return torch.full(shape, math.sqrt(1 + GDN_PEDESTAL))
    if name.endswith(".gamma"):
        return (DIAGONAL * torch.eye(shape[0]) + GDN_PEDESTAL).sqrt()
    if "q_basic" in name or "q_scale" in name:
        return torch.ones(shape)
    if name.endswith(".bias"):
        return torch.zeros(shape)
    taps = math.prod(shape[2:])
    deviation = math.sqrt(2 / ((shape[0] + shape[1]) * taps))
    return torch.randn(shape, generator=generator) * deviation * (FLOW_GAIN if FLOW.fullmatch(name) else 1.0)
