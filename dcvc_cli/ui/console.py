"""Writes messages to standard error, so that standard output stays free for streams, pictures and results."""

import sys
from contextlib import suppress
from functools import cache

from rich.console import Console

from dcvc_cli.ui.log_file import log
from dcvc_cli.ui.text import one_line


class _MessageConsole(Console):
    """A console that falls silent when its reader goes away; rich's own would end the program and redirect standard
    output."""

    def on_broken_pipe(self) -> None:
        self.quiet = True


@cache
def stderr_console() -> Console:
    """Returns the console for messages to people. It colours on a terminal only, and obeys NO_COLOR."""
    return _MessageConsole(stderr=True, highlight=False)


def stdout_console() -> Console:
    """Returns a console on standard output as it is now, for a command whose result is a text. Lines to a pipe are
    neither wrapped nor cut."""
    width = None if sys.stdout.isatty() else 10_000
    return Console(file=sys.stdout, highlight=False, width=width)


def say(text: str) -> None:
    """Writes one message to standard error, in one line whatever a file name holds. Square brackets are no markup.

    Where standard error is closed or full, the message is lost and the command goes on.
    """
    log(text)
    if sys.stderr is None:
        return
    with suppress(OSError, ValueError):
        stderr_console().print(one_line(text), markup=False, soft_wrap=True)
