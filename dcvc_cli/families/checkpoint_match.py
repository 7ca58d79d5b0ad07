"""Compares published checkpoints with a model: names and shapes of all parameters."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from dcvc_cli.errors import shown
from dcvc_cli.graph.network import Network

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    State = Mapping[str, NDArray[np.float32]]
    """Parameters of one network by name."""


@dataclass(frozen=True)
class CheckpointMatch:
    """The result of comparing published checkpoints with a model.

    Attributes:
        states: parameters of each network under the network's own names. They are usable only if there is no problem.
        problems: one sentence for each key that is missing, extra or misshapen.
        order: the network of each file, if the files are right and only their order is wrong; else empty.
    """

    states: Mapping[str, "State"] = field(default_factory=dict)
    problems: tuple[str, ...] = ()
    order: tuple[str, ...] = ()


def match_in_order(networks: Mapping[str, Network], states: Sequence["State"]) -> CheckpointMatch | None:
    """Matches checkpoints that hold one network each, in the model's order and with its names; None for another number
    of checkpoints."""
    if len(networks) != len(states):
        return None
    named = dict(zip(networks, states, strict=True))
    problems = tuple(
        f"{name}: {problem}" for name, state in named.items() for problem in state_problems(networks[name], state)
    )
    return CheckpointMatch(named, problems, _fitting_order(networks, states) if problems else ())


def state_problems(network: Network, state: Mapping[str, "NDArray[Any]"]) -> list[str]:
    """Lists every missing, extra or misshapen key, one sentence each. The keys of the bit estimator count as well.

    A network may have a pattern `without_parameters`. Keys that it matches are no problem: published checkpoints hold
    constants, masks and tables that dcvc makes itself.
    """
    expected = dict(network.shapes())
    extras = getattr(network, "without_parameters", None)
    state = {key: value for key, value in state.items() if extras is None or not extras.fullmatch(key)}
    problems = [f"{key} is missing" for key in expected if key not in state]
    problems += [f"{shown(key)} is not part of the model" for key in state if key not in expected]
    problems += [
        f"{key} has shape {state[key].shape}, expected {shape}"
        for key, shape in expected.items()
        if key in state and state[key].shape != shape
    ]
    return problems


def _fitting_order(networks: Mapping[str, Network], states: Sequence["State"]) -> tuple[str, ...]:
    """Returns the network of each state, if every network has exactly one state; else nothing."""
    order = [
        next((name for name, network in networks.items() if not state_problems(network, state)), "") for state in states
    ]
    return tuple(order) if sorted(order) == sorted(networks) else ()
