"""A file that takes every message too, for runs that nobody watches (`dcvc --log-file`)."""

import datetime
import sys
from contextlib import suppress
from typing import TextIO

from dcvc_cli.errors import InputError
from dcvc_cli.ui.text import one_line

_files: list[TextIO] = []
"""The log of this process, if any; the last one counts."""


def open_log(path: str) -> None:
    """Appends the messages from here on to a file; InputError where it cannot be written."""
    try:
        _files.append(open(path, "a", encoding="utf-8", buffering=1))  # noqa: SIM115 - open until the process ends
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"cannot write the log {path}: {reason}") from error


def log(text: str) -> None:
    """Writes one message with the time, if there is a log.

    A log that cannot be written, as on a full disk, ends with a warning on standard error, and the run goes on.
    """
    if not _files:
        return
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    try:
        _files[-1].write(f"{now} {one_line(text)}\n")
    except (OSError, ValueError) as error:
        name, reason = _files[-1].name, getattr(error, "strerror", None) or error
        close_log()
        with suppress(OSError, ValueError):  # standard error may be full as well
            print(one_line(f"warning: the log {name} ends here: {reason}"), file=sys.stderr, flush=True)


def close_log() -> None:
    """Ends the log."""
    while _files:
        with suppress(OSError):
            _files.pop().close()
