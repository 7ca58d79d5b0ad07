"""How published checkpoints are held against a model: names and shapes of every parameter."""

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
    """What a model makes of published checkpoints.

    Attributes:
        states: parameters of each network under the network's own names; what they hold counts only without problems.
        problems: every key that is missing, extra or misshapen, one sentence each; none: the checkpoints are the
            model's.
        order: which network each file is of, where the files are right and only their order is wrong; else empty.
    """

    states: Mapping[str, "State"] = field(default_factory=dict)
    problems: tuple[str, ...] = ()
    order: tuple[str, ...] = ()


def match_in_order(networks: Mapping[str, Network], states: Sequence["State"]) -> CheckpointMatch | None:
    """Checkpoints that hold one network each, in the model's order and under its names; None for another number."""
    if len(networks) != len(states):
        return None
    named = dict(zip(networks, states, strict=True))
    problems = tuple(
        f"{name}: {problem}" for name, state in named.items() for problem in state_problems(networks[name], state)
    )
    return CheckpointMatch(named, problems, _fitting_order(networks, states) if problems else ())


def state_problems(network: Network, state: Mapping[str, "NDArray[Any]"]) -> list[str]:
    """Every missing, extra or misshapen key, one sentence each; strict, the bit estimator included.

    A network may have a pattern `without_parameters`: keys of constants, masks and tables that its published
    checkpoints hold and that are made anew. They are no problem.
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
    """The network of each state, where every network has its own; else nothing."""
    order = [
        next((name for name, network in networks.items() if not state_problems(network, state)), "") for state in states
    ]
    return tuple(order) if sorted(order) == sorted(networks) else ()
