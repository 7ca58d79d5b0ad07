"""Where words go: standard error, so that standard output stays free for streams, pictures and results."""

import sys
from contextlib import suppress
from functools import cache

from rich.console import Console

from dcvc_cli.ui.text import one_line


class _WordsConsole(Console):
    """A console whose reader may go away: rich would end the program for it, and cut off standard output before."""

    def on_broken_pipe(self) -> None:
        self.quiet = True


@cache
def stderr_console() -> Console:
    """The console for everything that is said to a person. NO_COLOR is obeyed, and nothing is coloured unless it is a terminal."""
    return _WordsConsole(stderr=True, highlight=False)


def stdout_console() -> Console:
    """A console on the present standard output, for a command whose result is a text. A pipe gets lines as long as they are, never wrapped or cut."""
    width = None if sys.stdout.isatty() else 10_000
    return Console(file=sys.stdout, highlight=False, width=width)


def say(text: str) -> None:
    """One message to standard error, taken literally (square brackets are no markup), in one line whatever a file name holds.

    A standard error that is closed or full loses the message, and never the work that it tells of.
    """
    if sys.stderr is None:
        return
    with suppress(OSError, ValueError):
        stderr_console().print(one_line(text), markup=False, soft_wrap=True)
