"""Imports published checkpoints: turns torch files into one checked weights file. Source: docs/weights.md ("Published
checkpoints")."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dcvc_cli.entropy.tables import TableError
from dcvc_cli.errors import EnvironmentFault, shown
from dcvc_cli.families.base import Model
from dcvc_cli.families.checkpoint_match import CheckpointMatch, state_problems
from dcvc_cli.families.registry import family_of, models
from dcvc_cli.preparing.quantise import IMPORT_POLICY, prepare_from_box
from dcvc_cli.weights.compression import table_arrays
from dcvc_cli.weights.file import ModelWeights, NetworkWeights
from dcvc_cli.weights.store import is_weights_name, user_folder
from dcvc_cli.weights.stored_arrays import MAX_MAGNITUDE, PUBLISHED_TABLE_PREFIX, coding_shapes
from dcvc_cli.weights.torch_files import TorchFileError, load_torch_file

WRAPPERS = ("state_dict", "net")
"""Entries in which a checkpoint may wrap its parameters, the outermost first."""
KEY_PREFIX = "module."
MAX_CHECKPOINT_BYTES = 2 << 30
"""Largest size of a checkpoint. The published ones take 0.3 GB."""
MAX_ELEMENTS = 1 << 24
"""Largest number of elements of one parameter. The largest published one has 1.6 million."""
State = dict[str, NDArray[np.float32]]


class CheckpointError(EnvironmentFault):
    """A checkpoint does not fit.

    Attributes:
        problems: one sentence for each key that is wrong.
    """

    def __init__(self, message: str, hint: str | None = None, problems: Iterable[str] = ()) -> None:
        super().__init__(message, hint)
        self.problems = tuple(problems)


def read_checkpoint(path: Path) -> State:
    """Reads the parameters of a torch checkpoint as float32. It uses torch's safe loader, so no code in the file runs.

    Integers become float32 too, since some codecs store their tables beside the parameters. Each model knows the keys
    that it takes.

    Raises:
        CheckpointError: the file is unreadable, is no dictionary of tensors, or has values that are not finite.
    """
    if not path.is_file():
        raise CheckpointError(f"{path} is not a file", "give the published checkpoints of one model")
    if is_weights_name(path.name):
        hint = f"encode with --model {path}; where streams are decoded it belongs into {user_folder()}"
        raise CheckpointError(f"{path} is named as a weights file of dcvc, which needs no import", hint)
    if path.stat().st_size > MAX_CHECKPOINT_BYTES:
        raise CheckpointError(f"{path} has {path.stat().st_size} bytes, expected {MAX_CHECKPOINT_BYTES} at most")
    try:
        loaded = load_torch_file(path)
    except TorchFileError as error:
        raise CheckpointError(f"{path} cannot be read as a checkpoint by torch's safe loader: {error}") from error
    for wrapper in WRAPPERS:
        if isinstance(loaded, Mapping) and isinstance(loaded.get(wrapper), Mapping):
            loaded = loaded[wrapper]
    if not isinstance(loaded, Mapping) or not loaded:
        raise CheckpointError(f"{path} holds {type(loaded).__name__}, expected a dictionary of parameters")
    problems = [_tensor_problem(key, value) for key, value in loaded.items()]
    if not any(problems):
        # Values are checked last, because the check copies them, and a tensor with strides of 0 may claim any shape.
        problems = [_value_problem(key, value) for key, value in loaded.items()]
    if any(problems):
        wrong = [problem for problem in problems if problem]
        raise CheckpointError(f"{path}: {_first_of(wrong)}", None, wrong)
    state: State = {}
    for key, value in loaded.items():
        name = key.removeprefix(KEY_PREFIX)
        if name in state:
            raise CheckpointError(f"{path} has {shown(name)} twice, with and without {KEY_PREFIX!r} before it")
        state[name] = value.detach().float().contiguous().numpy()
    return state


def _tensor_problem(key: Any, value: Any) -> str | None:
    import torch

    if not isinstance(key, str) or not isinstance(value, torch.Tensor):
        return f"{shown(key)} holds {type(value).__name__}, expected a tensor under a name"
    is_real = not (value.is_complex() or value.is_quantized or value.dtype is torch.bool)
    if not is_real or value.layout is not torch.strided or value.device.type != "cpu":
        return f"{shown(key)} is of type {value.dtype}, expected real numbers"
    if value.numel() > MAX_ELEMENTS:
        return f"{shown(key)} has shape {tuple(value.shape)}, larger than any parameter"
    return None


def _value_problem(key: str, value: Any) -> str | None:
    import torch

    # The parameters are kept as float32, in which a large float64 becomes infinite.
    if not bool(torch.isfinite(value.to(torch.float32)).all()):
        return f"{shown(key)} has values that are not finite"
    if value.numel() and float(value.float().abs().max()) > MAX_MAGNITUDE:
        return f"{shown(key)} has values up to {float(value.float().abs().max()):g}, expected {MAX_MAGNITUDE:g} at most"
    return None


def _first_of(problems: list[str]) -> str:
    return problems[0] if len(problems) == 1 else f"{problems[0]}, and {len(problems) - 1} more"


def recognise(states: Sequence[Mapping[str, NDArray[Any]]]) -> tuple[Model, CheckpointMatch]:
    """Finds the model that the checkpoints are of.

    Raises:
        CheckpointError: they are of no model. The problems are those with the closest model.
    """
    attempts = []
    for model in models().values():
        match = model.match_checkpoints(states)
        if match is None:
            continue
        if not match.problems:
            return model, match
        attempts.append((not match.order, len(match.problems), match, model))
    if not attempts:
        raise CheckpointError(f"no known model has {len(states)} checkpoints")
    _, _, match, model = min(attempts, key=lambda attempt: attempt[:2])
    if match.order:
        found = " and ".join(f"the {place} the {name} model" for place, name in zip(_PLACES, match.order, strict=False))
        wanted = f"give them as {', '.join(model.networks)}"
        raise CheckpointError(f"the files are in another order: {found}", wanted)
    hint = "all files must come from one release of the codec" if len(states) > 1 else None
    owners = [_owner(state) for state in states]
    if len(states) == 1 and owners[0]:
        raise CheckpointError(f"the file holds the {owners[0]}", "give the checkpoints of all its networks")
    if all(owners):
        found = ", ".join(f"the {place} the {owner}" for place, owner in zip(_PLACES, owners, strict=False))
        raise CheckpointError(f"the files are of different models: {found}", hint)
    message = f"the checkpoints fit no known model; against {model.name!r}, {_keys(len(match.problems))} wrong"
    raise CheckpointError(message, hint, match.problems)


def _keys(count: int) -> str:
    return "1 key is" if count == 1 else f"{count} keys are"


_PLACES = ("first holds", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth")


def _owner(state: Mapping[str, NDArray[Any]]) -> str | None:
    """Names the network that a state is of, among all models, for a message; None if it is of none."""
    for model in models().values():
        for name, network in model.networks.items():
            if not state_problems(network, state):
                return f"{name} model of {model.name!r}"
    return None


def import_checkpoints(paths: Sequence[Path], name: str | None, *, exact: bool = True) -> ModelWeights:
    """Turns checkpoints into weights, prepared for exact arithmetic with the material in the box. The weights have the
    same bits on every machine.

    Args:
        paths: the files, in the order of the model's networks.
        name: name of the weights; None: the model's name.
        exact: False keeps the parameters in float32 instead of integers. A family without exact arithmetic always keeps
            them.

    Raises:
        CheckpointError: the files do not fit. Its `problems` say why.
    """
    states = [read_checkpoint(path) for path in paths]
    model, match = recognise(states)
    networks = {}
    for part, graph in model.networks.items():
        state = match.states[part]
        try:
            tables = table_arrays(model.z_table(part, state))
            published = model.published_z_table(part, state)
        except TableError as error:
            raise CheckpointError(
                f"the bit estimator of the {part} model gives no probability table: {error}"
            ) from error
        if published is not None:
            tables |= table_arrays(published, PUBLISHED_TABLE_PREFIX)
        networks[part] = NetworkWeights(graph, {key: state[key] for key in coding_shapes(graph)} | tables)
    weights = ModelWeights(
        model, networks, name or model.name, "imported from " + " and ".join(path.name for path in paths)
    )
    if exact and family_of(model).has_exact_arithmetic:
        return prepare_from_box(weights, policy=IMPORT_POLICY)
    return weights
