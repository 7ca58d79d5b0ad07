"""Coding steps on NumPy planes: the channels of a tensor that a step codes at each position."""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from dcvc_cli.graph.latent_steps import CodingStep


def plane_of(step: "CodingStep", tensor: NDArray[Any]) -> NDArray[Any]:
    """Turns (C, h, w) into (C / groups, h, w): at every position the channels of the group that the step codes
    there."""
    depth = tensor.shape[0] // step.num_groups
    plane = np.empty((depth, *tensor.shape[1:]), tensor.dtype)
    for position in range(4):
        group, rows, columns = step.group_at(position), slice(position // 2, None, 2), slice(position % 2, None, 2)
        plane[:, rows, columns] = tensor[group * depth : (group + 1) * depth, rows, columns]
    return plane


def spread_plane(step: "CodingStep", plane: NDArray[Any]) -> NDArray[Any]:
    """Inverts `plane_of`: (C / groups, h, w) -> (C, h, w), zero where the step does not code."""
    depth = plane.shape[0]
    tensor = np.zeros((depth * step.num_groups, *plane.shape[1:]), plane.dtype)
    for position in range(4):
        group, rows, columns = step.group_at(position), slice(position // 2, None, 2), slice(position % 2, None, 2)
        tensor[group * depth : (group + 1) * depth, rows, columns] = plane[:, rows, columns]
    return tensor
