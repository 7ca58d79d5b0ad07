"""Errors that a user can cause or meet, each with its exit code. `app.py` is the one place that turns them into exit
codes."""

from enum import IntEnum

_SHOWN_CHARACTERS = 100


class ExitCode(IntEnum):
    """Process exit codes of every dcvc command; signals end with 128 + their number."""

    DONE = 0
    INTERNAL = 1
    USAGE = 2
    INPUT = 3
    STREAM = 4
    ENVIRONMENT = 5
    BATCH = 6


class DcvcError(Exception):
    """A failure that is told in one line: what went wrong, what was expected and what was found, and the way out.

    Args:
        message: the whole line, without a trailing full stop.
        hint: the way out, or None where there is none.
    """

    exit_code = ExitCode.INTERNAL

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} ({self.hint})" if self.hint else self.message


class UsageError(DcvcError):
    """An option or argument that cannot be obeyed."""

    exit_code = ExitCode.USAGE


class InputError(DcvcError):
    """Input pictures that are unreadable or inconsistent, or an output that cannot be written."""

    exit_code = ExitCode.INPUT


class StreamError(DcvcError):
    """A stream that is damaged, not ours, or does not decode to the pictures it promises."""

    exit_code = ExitCode.STREAM


class EnvironmentFault(DcvcError):  # noqa: N818 - EnvironmentError is Python's own
    """Something missing on this machine: weights, a device, an optional package."""

    exit_code = ExitCode.ENVIRONMENT


class BatchError(DcvcError):
    """A batch that ran to its end with failures in it."""

    exit_code = ExitCode.BATCH


def shown(text: object) -> str:
    """Makes a name out of a file fit for one line of a message."""
    name = text if isinstance(text, str) else type(text).__name__
    return ascii(name[:_SHOWN_CHARACTERS])[1:-1] + ("..." if len(name) > _SHOWN_CHARACTERS else "")
