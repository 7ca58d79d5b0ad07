"""How much is said: -q leaves errors only, -v adds details. Everything goes to standard error."""

from dataclasses import dataclass

from dcvc_cli.ui.console import say


@dataclass(frozen=True)
class Voice:
    """Says things as loudly as the user asked for."""

    quiet: bool = False
    verbose: bool = False

    def note(self, text: str) -> None:
        """What most users want to know."""
        if not self.quiet:
            say(text)

    def warn(self, text: str) -> None:
        """What may surprise."""
        if not self.quiet:
            say(f"warning: {text}")

    def detail(self, text: str) -> None:
        """What only -v shows."""
        if self.verbose and not self.quiet:
            say(text)
