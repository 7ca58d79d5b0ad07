"""Start values of parameters, and parameters that learn."""

import math
from collections.abc import Mapping

import torch

from dcvc_cli.graph.network import Network

Parameters = dict[str, torch.Tensor]


def random_parameters(model: Network, seed: int) -> Parameters:
    """Makes start values: Xavier-uniform weights, biases of 0, scale vectors of 1, and blocks that are the identity
    (the last layer of each branch is 0)."""
    generator = torch.Generator().manual_seed(seed)
    parameters: Parameters = {}
    for name, shape in model.shapes():
        if name.startswith("bit_estimator_z"):
            value = torch.randn(shape, generator=generator) * 0.01
        elif name.startswith("q_"):
            value = torch.ones(shape)
        elif name.endswith((".bias", ".dc.3.weight", ".ffn.2.weight")):
            value = torch.zeros(shape)
        else:
            fan_in, fan_out = math.prod(shape[1:]), shape[0] * math.prod(shape[2:])
            bound = math.sqrt(6 / (fan_in + fan_out))
            value = (torch.rand(shape, generator=generator) * 2 - 1) * bound
        parameters[name] = value
    return parameters


def as_parameters(state: Mapping[str, torch.Tensor]) -> dict[str, torch.nn.Parameter]:
    """Copies a state as trainable parameters in float32."""
    return {name: torch.nn.Parameter(value.detach().clone().float()) for name, value in state.items()}
