"""The arrays that a weights file may hold, and the values that they may have. Names, types and shapes are checked at
the header, before any array is read.

docs/weights.md ("The file") describes the arrays.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dcvc_cli.backend.exact_analysis import num_exponents
from dcvc_cli.backend.exact_network import ExactNetwork
from dcvc_cli.errors import shown
from dcvc_cli.graph.network import Network
from dcvc_cli.weights.safetensors_reader import ArrayEntry

Arrays = dict[str, NDArray[Any]]

STEP_SUFFIX = ".step"
TABLE_PREFIX = "z_table"
PUBLISHED_TABLE_PREFIX = "published_z_table"
"""Tables as the published codec makes them, in float32, on the machine that imported the weights. Only the codec's own
elementary streams need them. No fingerprint covers them."""
ANALYSIS_EXPONENTS = "analysis.exponents"
"""Exponents that turn the encoder's stored weights into integers (backend.exact_analysis). Only an encoder needs them,
so no fingerprint covers them."""
EXACT_PREFIX = "exact."
ESTIMATOR_PREFIX = "bit_estimator_z."
MAX_MAGNITUDE = float(1 << 20)
"""The largest magnitude of a parameter. Parameters of trained networks stay below 100; far larger ones overflow float32
after a few layers."""
_FLOAT_KINDS = ("f2", "f4", "f8")
_INTEGER_KINDS = ("i1", "i2")
_TABLE_WIDTHS = range(2, 258)


def coding_shapes(model: Network) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the parameters that coding needs: all but the bit estimator, whose table is stored
    instead."""
    return {key: shape for key, shape in model.shapes() if not key.startswith(ESTIMATOR_PREFIX)}


def is_companion(key: str) -> bool:
    """Returns whether an array belongs to a parameter or to the z table and is no parameter itself."""
    return (
        key.endswith(STEP_SUFFIX) or key.startswith((TABLE_PREFIX, PUBLISHED_TABLE_PREFIX)) or key == ANALYSIS_EXPONENTS
    )


def parameter_problems(model: Network, found: Mapping[str, tuple[int, ...]]) -> list[str]:
    """Lists every missing, extra or misshapen key, one sentence each. The bit estimator is left out: coding needs its
    table only."""
    expected = coding_shapes(model)
    problems = [f"{key} is missing" for key in expected if key not in found]
    problems += [f"{shown(key)} is not part of the model" for key in found if key not in expected]
    problems += [
        f"{key} has shape {tuple(found[key])}, expected {shape}"
        for key, shape in expected.items()
        if key in found and tuple(found[key]) != shape
    ]
    return problems


def entry_problems(model: Network, entries: Mapping[str, ArrayEntry]) -> list[str]:
    """Lists every array that is missing, of the wrong shape or type, or not part of the network; one sentence each.

    Args:
        entries: what a header says of one network's arrays, by key without the network's name.
    """
    exact = {key.removeprefix(EXACT_PREFIX): entry for key, entry in entries.items() if key.startswith(EXACT_PREFIX)}
    stored = {key: entry for key, entry in entries.items() if not key.startswith(EXACT_PREFIX)}
    shapes = {key: entry.shape for key, entry in stored.items() if not is_companion(key)}
    if exact:
        shapes |= {key: shape for key, shape in model.decoder_shapes() if key not in shapes}
    problems = parameter_problems(model, shapes)
    problems += _companion_problems(stored)
    num_rows = model.num_qps * model.num_z_channels
    problems += _table_problems(num_rows, stored, TABLE_PREFIX)
    if any(key.startswith(PUBLISHED_TABLE_PREFIX) for key in stored):
        problems += _table_problems(num_rows, stored, PUBLISHED_TABLE_PREFIX)
    return problems + _analysis_problems(model, stored) + (_exact_problems(model, exact) if exact else [])


def _analysis_problems(model: Network, stored: Mapping[str, ArrayEntry]) -> list[str]:
    entry = stored.get(ANALYSIS_EXPONENTS)
    if entry is None:
        return []
    found, expected = (entry.kind[1:], entry.shape), ("i1", (num_exponents(model),))
    return [] if found == expected else [f"{ANALYSIS_EXPONENTS} has {found}, expected {expected}"]


def _companion_problems(stored: Mapping[str, ArrayEntry]) -> list[str]:
    problems = []
    for key, entry in stored.items():
        if key.startswith((TABLE_PREFIX, PUBLISHED_TABLE_PREFIX)) or key == ANALYSIS_EXPONENTS:
            continue
        kind = entry.kind[1:]
        if key.endswith(STEP_SUFFIX):
            owner = stored.get(key.removesuffix(STEP_SUFFIX))
            if owner is None or owner.kind[1:] not in _INTEGER_KINDS:
                problems.append(f"{shown(key)} belongs to no integer array")
            elif kind not in _FLOAT_KINDS or entry.shape != owner.shape[:1]:
                problems.append(
                    f"{shown(key)} has type {kind} and shape {entry.shape}, expected f4 and {owner.shape[:1]}"
                )
        elif kind in _INTEGER_KINDS:
            if key + STEP_SUFFIX not in stored:
                problems.append(f"{shown(key + STEP_SUFFIX)} is missing")
        elif kind not in _FLOAT_KINDS:
            problems.append(f"{shown(key)} has type {kind}, expected one of {', '.join(_FLOAT_KINDS + _INTEGER_KINDS)}")
    return problems


def _table_problems(num_rows: int, stored: Mapping[str, ArrayEntry], prefix: str) -> list[str]:
    problems = []
    names = f"{prefix}.frequency", f"{prefix}.offset"
    for key, kind in zip(names, ("u2", "i1"), strict=True):
        entry = stored.get(key)
        if entry is None:
            problems.append(f"{key} is missing")
            continue
        fits = len(entry.shape) == 2 and entry.shape[1] in _TABLE_WIDTHS if kind == "u2" else len(entry.shape) == 1
        if entry.kind[1:] != kind or not fits or entry.shape[0] != num_rows:
            problems.append(
                f"{key} has type {entry.kind[1:]} and shape {entry.shape}, expected {kind} and {num_rows} rows"
            )
    problems += [
        f"{shown(key)} is not part of the model" for key in stored if key.startswith(prefix) and key not in names
    ]
    return problems


def _exact_problems(model: Network, exact: Mapping[str, ArrayEntry]) -> list[str]:
    expected = ExactNetwork.stored_arrays(model)
    problems = [f"{EXACT_PREFIX}{key} is missing" for key in expected if key not in exact]
    for key, entry in exact.items():
        if key not in expected:
            problems.append(f"{EXACT_PREFIX}{shown(key)} is not part of the model")
            continue
        shape, kinds = expected[key]
        if entry.shape != shape or entry.kind[1:] not in kinds:
            found = f"type {entry.kind[1:]} and shape {entry.shape}"
            problems.append(f"{EXACT_PREFIX}{key} has {found}, expected {' or '.join(kinds)} and {shape}")
    return problems


def value_problem(key: str, array: NDArray[Any]) -> str | None:
    """Finds the fault in the values of a stored float array, in one sentence; None for a sound array and for
    integers."""
    if array.dtype.kind != "f" or not array.size:
        return None
    # A comparison with NaN is False, so this finds it too.
    if bool((np.abs(array) <= MAX_MAGNITUDE).all()):
        return None
    if not bool(np.isfinite(array).all()):
        return f"{shown(key)} has values that are not finite"
    return f"{shown(key)} has values up to {np.abs(array).max():g}, expected {MAX_MAGNITUDE:g} at most"
