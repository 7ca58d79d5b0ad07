"""Reads settings from a YAML mapping. Each is checked against the type of its field; a sentence says what does not
fit."""

import math
from collections.abc import Mapping
from dataclasses import MISSING, Field, fields
from typing import Any, Literal, get_args, get_origin

from dcvc_cli.errors import UsageError

NUMBER_KINDS: dict[Any, str] = {int: "a whole number", float: "a number", bool: "true or false"}
FROM_ZERO = {"num_steps", "weight_decay", "ema_decay", "seed"}
"""Settings that may be 0, although their defaults are not."""


def setting_names(kind: Any) -> set[str]:
    """Returns the settings of a dataclass; None has no settings."""
    return set() if kind is None else {setting.name for setting in fields(kind) if setting.init}


def construct(kind: Any, values: object, where: str) -> Any:
    """Makes a dataclass of a mapping.

    Args:
        kind: its fields are numbers, booleans, Literals, or tuples of numbers or words.
        where: file and place, for messages.

    Raises:
        UsageError: a setting is unknown, missing, or of another type or range.
    """
    if not isinstance(values, Mapping):
        raise UsageError(f"{where}: expected a mapping, found {type(values).__name__}")
    known = setting_names(kind)
    check_names(values, known, where)
    taken = dict(values)
    for setting in fields(kind):
        if setting.name in taken:
            taken[setting.name] = _checked(setting, taken[setting.name], f"{where}: {setting.name}")
    try:
        return kind(**taken)
    except (TypeError, ValueError) as error:
        raise UsageError(f"{where}: {error}") from error


def check_names(values: Mapping[Any, Any], known: set[str], where: str) -> None:
    """Checks the names of settings.

    Raises:
        UsageError: a name is not known.
    """
    unknown = sorted(map(str, set(values) - known))
    if unknown:
        raise UsageError(f"{where}: unknown setting {', '.join(unknown)}", f"known: {', '.join(sorted(known))}")


def _checked(setting: "Field[Any]", value: Any, where: str) -> Any:
    if setting.type in NUMBER_KINDS:
        may_be_zero = setting.name in FROM_ZERO or (setting.default is not MISSING and setting.default == 0)
        check_number(where, value, setting.type, may_be_zero=may_be_zero)
    elif get_origin(setting.type) is Literal:
        if value not in get_args(setting.type):
            *first, last = get_args(setting.type)
            raise UsageError(f"{where} is {', '.join(first)} or {last}, not {value!r}")
    elif get_origin(setting.type) is tuple and setting.name != "stages":
        return _checked_list(get_args(setting.type)[0], value, where)
    return value


def _checked_list(kind: Any, value: Any, where: str) -> tuple[Any, ...]:
    if not isinstance(value, list):
        raise UsageError(f"{where}: expected a list, found {value!r}")
    for entry in value:
        if kind is str:
            if not isinstance(entry, str):
                raise UsageError(f"{where}: expected a list of words, found {entry!r}")
        else:
            check_number(where, entry, kind)
    return tuple(value)


def check_number(where: str, value: Any, kind: Any, *, may_be_zero: bool = False) -> None:
    """Checks a number.

    Raises:
        UsageError: the value is no number of this kind, or out of range.
    """
    allowed = (int, float) if kind is float else kind
    if not isinstance(value, allowed) or isinstance(value, bool) is not (kind is bool):
        raise UsageError(f"{where}: expected {NUMBER_KINDS[kind]}, found {value!r}")
    if kind is not bool and not (math.isfinite(value) and (value > 0 or (may_be_zero and value == 0))):
        raise UsageError(f"{where}: expected a number {'of 0 or more' if may_be_zero else 'above 0'}, found {value!r}")
