"""Turns training checkpoints into a weights file: int8 convolution weights, z tables, and a description of their
origin."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from dcvc_cli.errors import InputError
from dcvc_cli.families.base import Model
from dcvc_cli.families.checkpoint_match import state_problems
from dcvc_cli.families.registry import find_model
from dcvc_cli.graph.network import Network
from dcvc_cli.learning.parameters import random_parameters
from dcvc_cli.preparing.checkpoints import read_checkpoint
from dcvc_cli.training.shipped_weights import quantised_weights
from dcvc_cli.weights.compression import compress_parameters, table_arrays
from dcvc_cli.weights.file import ModelWeights, NetworkWeights
from dcvc_cli.weights.stored_arrays import ESTIMATOR_PREFIX
from dcvc_cli.weights.torch_files import TorchFileError, load_torch_file


def checkpoint_state(path: Path) -> dict[str, NDArray[np.float32]]:
    """Reads the averaged parameters of a training checkpoint.

    Raises:
        InputError: the file is no training checkpoint.
    """
    try:
        state = load_torch_file(path)
    except TorchFileError as error:
        raise InputError(f"{path} is not a training checkpoint: {error}") from error
    average = state.get("average") if isinstance(state, Mapping) else None
    if not isinstance(average, Mapping) or not all(isinstance(value, torch.Tensor) for value in average.values()):
        raise InputError(f"{path} is not a training checkpoint: it has no average of the parameters")
    return {name: value.float().contiguous().numpy() for name, value in average.items()}


def network_state(path: Path, network: Network) -> dict[str, NDArray[np.float32]]:
    """Reads the parameters of a network: the average of a training checkpoint, or a published checkpoint.

    Raises:
        InputError: the file is neither.
    """
    if not path.is_file() or is_training_checkpoint(path):
        return checkpoint_state(path)
    state = read_checkpoint(path)
    problems = state_problems(network, state)
    if problems:
        more = f", and {len(problems) - 1} more" if problems[1:] else ""
        raise InputError(f"{path} is not of this network: {problems[0]}{more}")
    return {name: state[name] for name, _ in network.shapes()}


def is_training_checkpoint(path: Path) -> bool:
    """Whether a file looks like one; a file that cannot be read does, so that reading it says why."""
    try:
        state = load_torch_file(path)
    except TorchFileError:
        return True
    return isinstance(state, Mapping) and bool({"average", "step"} & set(state))


def as_trained(state: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[np.float32]]:
    """Returns the state that the last stages of training ran: weights that ship with 8 bits are on their grid.

    The exact profile is made of this state, not of weights between the grid's points. Those are another function, which
    nobody trained. Over a hundred P frames of few bits, its small differences pile up (docs/training.md).
    """
    return {
        name: value.numpy()
        for name, value in quantised_weights({name: torch.from_numpy(value) for name, value in state.items()}).items()
    }


def network_weights(model: Model, network: str, state: Mapping[str, NDArray[Any]]) -> NetworkWeights:
    """Makes the weights of one network, compressed where they ship so, and its z table."""
    ships_rounded = all(model.trainee(name).ships_rounded for name in model.trainees)
    kept = {
        name: np.asarray(value, np.float32) for name, value in state.items() if not name.startswith(ESTIMATOR_PREFIX)
    }
    stored = compress_parameters(state) if ships_rounded else kept
    return NetworkWeights(model.networks[network], stored | table_arrays(model.z_table(network, state)))


def export_model(model_name: str, states: Mapping[str, Mapping[str, NDArray[Any]]], description: str) -> ModelWeights:
    """Makes the networks of a model, ready for write_weights.

    Raises:
        InputError: a state has other parameters than its network.
    """
    model = find_model(model_name)
    for name, network in model.networks.items():
        problems = state_problems(network, states[name])
        if problems:
            more = f", and {len(problems) - 1} more" if problems[1:] else ""
            hint = f"the checkpoints are given in this order: {', '.join(model.networks)}"
            raise InputError(
                f"the {name} checkpoint is of another network than the {name} model of {model_name}: "
                f"{problems[0]}{more}",
                hint,
            )
    networks = {name: network_weights(model, name, states[name]) for name in model.networks}
    return ModelWeights(model, networks, model_name, description)


def state_of_weights(weights: ModelWeights, model_name: str, network: str) -> dict[str, torch.Tensor]:
    """Returns parameters from which training goes on: those of a weights file, and a bit estimator fitted to the file's
    z table.

    Raises:
        InputError: the weights are of another model.
    """
    if weights.model.name != model_name:
        raise InputError(f"weights {weights.name!r} are of model {weights.model.name}, expected {model_name}")
    part = weights.networks[network]
    stored = {name: torch.from_numpy(value) for name, value in part.parameters().items()}
    fresh = random_parameters(part.model, seed=0)
    if not any(name.startswith(ESTIMATOR_PREFIX) for name in fresh):  # the file has its densities
        return stored
    estimator = weights.model.trainee(network).fitted_estimator(part.z_table, part.model.num_qps, fresh)
    return fresh | stored | estimator
