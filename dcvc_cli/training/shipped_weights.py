"""Weights as they ship: the grid of 8 bits, with a gradient."""

from collections.abc import Mapping

import torch

from dcvc_cli.weights.compression import carries_signal


def quantised_weights(parameters: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Rounds the weights that ship with 8 bits to their grid, with a straight-through gradient. Other parameters do not
    change."""
    return {name: _on_grid(value) if has_8_bits(name) else value for name, value in parameters.items()}


def has_8_bits(name: str) -> bool:
    """Returns whether a parameter ships with 8 bits."""
    return name.endswith(".weight") and not carries_signal(name)


def _on_grid(weight: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        step = weight.abs().amax(dim=(1, 2, 3), keepdim=True).clamp_min(1e-12) / 127
        error = torch.round(weight / step) * step - weight
    return weight + error
