"""Writes messages to standard error, as many as the user asked for: -q leaves errors only, -v adds details."""

from dataclasses import dataclass

from dcvc_cli.ui.console import say


@dataclass(frozen=True)
class Voice:
    """Writes notes, warnings and details, as `quiet` and `verbose` allow."""

    quiet: bool = False
    verbose: bool = False

    def note(self, text: str) -> None:
        """Writes what most users want to know."""
        if not self.quiet:
            say(text)

    def warn(self, text: str) -> None:
        """Writes what may surprise."""
        if not self.quiet:
            say(f"warning: {text}")

    def detail(self, text: str) -> None:
        """Writes what only -v shows."""
        if self.verbose and not self.quiet:
            say(text)
