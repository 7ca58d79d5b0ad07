"""The `dcvc` program, also as `python -m dcvc_cli`: takes signals first and loads the rest after that.

Loading takes up to a second. Until `app.py` is there, a signal has nothing to clean up: it ends the program at once and
in silence. Until the signals are taken, this file imports only what Python itself loads at its start. Any other module
takes milliseconds to load, in which Ctrl-C would show a traceback.
"""

import _signal  # type: ignore[import-not-found]  # `signal` wraps it and loads `enum`
import os

TYPE_CHECKING = False  # `typing` takes longer to load than all the rest
if TYPE_CHECKING:
    from types import FrameType
    from typing import NoReturn


def _end_at_once(number: int, frame: "FrameType | None") -> "NoReturn":
    os._exit(128 + number)


def _take_signals() -> None:
    for number in (_signal.SIGINT, _signal.SIGTERM, _signal.SIGHUP):
        # nohup ignores SIGHUP, and that stays so. SIGINT is taken in any case, as by other encoders: a script
        # ignores it for its background jobs.
        if number != _signal.SIGHUP or _signal.getsignal(number) != _signal.SIG_IGN:
            _signal.signal(number, _end_at_once)


def _fill_standard_streams() -> None:
    """Puts the null device in the place of closed standard streams, or the first output would be taken for one of
    them."""
    while os.open(os.devnull, os.O_RDWR) <= 2:
        pass


def main() -> "NoReturn":
    """Runs the `dcvc` program."""
    _take_signals()
    _fill_standard_streams()
    from dcvc_cli import app

    app.main()


if __name__ == "__main__":
    main()
