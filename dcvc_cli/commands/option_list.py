"""Option lists that several commands share: a frozen dataclass whose fields are the options, each written once."""

import dataclasses
import inspect
from collections.abc import Callable
from typing import Any, get_type_hints


def takes_options(options_type: type) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Gives a command the fields of a dataclass as options, before its own parameters.

    Args:
        options_type: a dataclass whose annotations are Typer options. A field without a default is required.

    The command gets them as one value of that type, its parameter `options`.
    """
    hints = get_type_hints(options_type, include_extras=True)
    shared = [
        inspect.Parameter(
            field.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=inspect.Parameter.empty if field.default is dataclasses.MISSING else field.default,
            annotation=hints[field.name],
        )
        for field in dataclasses.fields(options_type)
    ]

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        def call(**values: Any) -> None:
            options = options_type(**{parameter.name: values.pop(parameter.name) for parameter in shared})
            command(options=options, **values)

        signature = inspect.signature(command)
        own = [parameter for parameter in signature.parameters.values() if parameter.name != "options"]
        merged = [*shared, *own]
        call.__name__, call.__doc__ = command.__name__, command.__doc__
        call.__annotations__ = {parameter.name: parameter.annotation for parameter in merged}
        call.__signature__ = inspect.Signature(merged)  # type: ignore[attr-defined]
        return call

    return decorate
