"""Option lists that several commands share: a dataclass whose fields are options, so that each is written once."""

import dataclasses
import inspect
from collections.abc import Callable
from typing import Any, get_type_hints


def takes_options(command: Callable[..., None]) -> Callable[..., None]:
    """Gives a command the options of every dataclass among its parameters.

    A parameter whose annotation is a dataclass stands for the fields of that dataclass, at its own place: their
    annotations are Typer's, and a field without a default is a required option. The command gets a value of the
    dataclass.
    """
    hints = get_type_hints(command, include_extras=True)
    lists: dict[str, tuple[type, list[str]]] = {}
    parameters: list[inspect.Parameter] = []
    for name, parameter in inspect.signature(command).parameters.items():
        kind = hints[name]
        if isinstance(kind, type) and dataclasses.is_dataclass(kind):
            fields = _fields_as_parameters(kind)
            lists[name] = kind, [field.name for field in fields]
            parameters += fields
        else:
            parameters.append(parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY, annotation=kind))

    def call(**values: Any) -> None:
        made = {name: kind(**{field: values.pop(field) for field in fields}) for name, (kind, fields) in lists.items()}
        command(**made, **values)

    call.__name__, call.__doc__ = command.__name__, command.__doc__
    call.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    call.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return call


def _fields_as_parameters(kind: type) -> list[inspect.Parameter]:
    hints = get_type_hints(kind, include_extras=True)
    return [
        inspect.Parameter(
            field.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=inspect.Parameter.empty if field.default is dataclasses.MISSING else field.default,
            annotation=hints[field.name],
        )
        for field in dataclasses.fields(kind)
    ]
