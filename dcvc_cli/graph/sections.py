"""Sections of a network that a backend may record and play back."""

import functools
from collections.abc import Callable
from typing import Any, TypeVar, cast

F = TypeVar("F", bound=Callable[..., Any])


def repeatable(method: F) -> F:
    """Marks a method (self, ops, arguments) of a network. Its result depends on the parameters and arguments alone and
    is a value or a tuple of values. The method needs no value on the host."""

    @functools.wraps(method)
    def run(self: Any, ops: Any, *arguments: Any) -> Any:
        return ops.repeat(method, self, *arguments)

    return cast(F, run)
