"""The command tree. This file alone turns errors and signals into exit codes and one line on standard error.

Signals become an exception in the main thread, so that every output under way is removed; the exit code is 128 + the
signal's number. Where the reader closes its pipe, the program ends quietly with 141, the code that a shell sees of any
program that SIGPIPE ends.
"""

import difflib
import os
import signal
import sys
import threading
import traceback
from collections.abc import Sequence
from contextlib import suppress
from types import FrameType
from typing import Annotated, Any, NoReturn

import typer

from dcvc_cli import __version__
from dcvc_cli.commands import farm, models, train
from dcvc_cli.commands.bench import bench
from dcvc_cli.commands.compare import compare
from dcvc_cli.commands.concat import concat
from dcvc_cli.commands.conformance import conformance
from dcvc_cli.commands.decode import decode
from dcvc_cli.commands.doctor import doctor
from dcvc_cli.commands.encode import encode
from dcvc_cli.commands.evaluate import evaluate
from dcvc_cli.commands.info import info
from dcvc_cli.commands.plan import plan
from dcvc_cli.commands.play import play
from dcvc_cli.commands.remux import remux
from dcvc_cli.errors import DcvcError, ExitCode
from dcvc_cli.ui.log_file import log, open_log
from dcvc_cli.ui.standard_streams import drop_standard_output, prepare_standard_streams
from dcvc_cli.ui.text import one_line

EXIT_CODES = (
    "Exit codes: 0 done; 1 internal error; 2 usage; 3 input unreadable or inconsistent, or output not writable; "
    "4 stream damaged, hash mismatch or desync; 5 environment (weights, device, fingerprint); 6 batch finished with "
    "failures; "
    "128 + N ended by signal N (130 Ctrl-C, 143 SIGTERM, 141 the reader of a pipe went away)."
)
COMPLETION_VARIABLE = "_DCVC_COMPLETE"
"""Set by the shell functions that `dcvc --install-completion` installs."""
_DISTRIBUTIONS = {"PIL": "pillow", "yaml": "pyyaml", "torch": "'dcvc[torch]'", "ray": "'dcvc[farm]'"}
"""Names under which packages are installed, by the name under which they are imported."""
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
# Typer carries its own copy of Click in newer versions: the base of its errors is found through one that it has always
# had.
_ClickException: type[Exception] = typer.BadParameter.__mro__[2]

app = typer.Typer(name="dcvc", epilog=EXIT_CODES, context_settings={"help_option_names": ["-h", "--help"]})


class SignalReceived(BaseException):
    """A signal that ends the program. Not an Exception, so that nothing on the way takes it for a failure of its
    own."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def _show_version(wanted: bool) -> None:
    if wanted:
        print(f"dcvc {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def dcvc(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks of errors; anywhere on the line.")] = False,
    log_file: Annotated[
        str | None,
        typer.Option(
            "--log-file", metavar="FILE", help="Append every message to this file too, with the time; before COMMAND."
        ),
    ] = None,
) -> None:
    """A neural video codec: a small model of its own, and DCVC-RT, DCVC-UF and others in their published sizes.

    The small model comes with dcvc; `dcvc models add` imports published checkpoints of the others. Streams describe
    themselves. Streams in exact arithmetic, the default, decode to the same pictures on every machine.

    QP runs from 0 to 63, and HIGHER is better quality and a bigger file, the opposite of x264 and x265.
    """
    if log_file is not None:
        open_log(log_file)
    if context.invoked_subcommand is None:
        print(context.get_help(), file=sys.stderr)
        raise typer.Exit(ExitCode.USAGE)


for command in (encode, decode, play, info, remux, plan, concat, bench, doctor, conformance, compare):
    app.command()(command)
app.command("eval")(evaluate)
app.add_typer(farm.app)
app.add_typer(models.app)
app.add_typer(train.app)


PASSING_NO_EXCEPTIONS = "torch"
"""The package whose compiled parts call Python while they load and abort the process on an exception."""


def is_loading(package: str, frame: FrameType | None) -> bool:
    """Returns whether a module of a package is being loaded in this frame or in one that called it."""
    while frame is not None:
        if frame.f_code.co_name == "<module>" and str(frame.f_globals.get("__name__")).split(".")[0] == package:
            return True
        frame = frame.f_back
    return False


class _Signals:
    """The signals that arrived. After an ending signal, no error and no success of other work counts."""

    received: int | None = None

    def take(self) -> None:
        """Turns signals that end the program into an exception, from here on; `__main__.py` has taken them before."""
        for number in _SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self._raise)
        sys.unraisablehook = self._raise_again

    def _raise(self, number: int, frame: FrameType | None) -> None:
        if is_loading(PASSING_NO_EXCEPTIONS, frame):
            self._send_again(number)
            return
        self.received = number
        # A second signal does not wait for the clean-up of the first.
        for other in _SIGNALS:
            signal.signal(other, signal.SIG_DFL)
        raise SignalReceived(number)

    def _raise_again(self, unraisable: "sys.UnraisableHookArgs") -> None:
        """Python drops exceptions of finalisers, so a signal is sent once more. Other exceptions are reported as
        usual."""
        if not isinstance(unraisable.exc_value, SignalReceived):
            sys.__unraisablehook__(unraisable)
            return
        number = unraisable.exc_value.number
        signal.signal(number, self._raise)
        self._send_again(number)

    @staticmethod
    def _send_again(number: int) -> None:
        """Sends a signal to this process, a moment later."""
        threading.Timer(0.05, os.kill, (os.getpid(), number)).start()


_signals = _Signals()


def main() -> NoReturn:
    """Runs the `dcvc` program."""
    # Arithmetic threads that spin while they wait take the core from the one they wait for: on a busy machine twenty
    # times slower.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    prepare_standard_streams()
    try:
        _signals.take()
        code = run(sys.argv[1:])
    except SignalReceived as stopped:
        code = 128 + stopped.number
    _leave(code)


def run(arguments: Sequence[str]) -> int:
    """Runs one command line; returns its exit code. Errors are reported on standard error, one line each."""
    end = arguments.index("--") if "--" in arguments else len(arguments)
    debug = "--debug" in arguments[:end]
    arguments = [argument for position, argument in enumerate(arguments) if argument != "--debug" or position > end]
    try:
        command = typer.main.get_command(app)
        if COMPLETION_VARIABLE in os.environ:
            return _complete(command)
        # `app()` would report errors itself and end with codes of its own.
        with command.make_context("dcvc", list(arguments)) as context:
            command.invoke(context)
    except typer.Exit as leaving:
        return leaving.exit_code
    except BaseException as error:
        stopped_by = error.number if isinstance(error, SignalReceived) else _signals.received
        if stopped_by is not None:
            # Any error counts as the signal: libraries that are being loaded turn an exception into another one.
            _tell(f"stopped by {signal.Signals(stopped_by).name}")
            return 128 + stopped_by
        if isinstance(error, BrokenPipeError):
            drop_standard_output()
            return 128 + signal.SIGPIPE
        if isinstance(error, SystemExit) and isinstance(error.__context__, BrokenPipeError):
            return 128 + signal.SIGPIPE  # rich's own way out of a closed pipe
        if isinstance(error, SystemExit) and isinstance(error.code, int | None):
            return int(error.code or 0)  # how typer ends --show-completion and --install-completion
        if debug:
            traceback.print_exc()
        return _tell_error(error)
    return ExitCode.DONE


def _complete(command: Any) -> int:
    """Answers a shell that completes a command line."""
    try:
        command.main(prog_name="dcvc")
    except SystemExit as leaving:
        return int(leaving.code or 0)
    return ExitCode.DONE


def _tell_error(error: BaseException) -> int:
    if isinstance(error, DcvcError):
        _tell(f"error: {error}")
        return error.exit_code
    if isinstance(error, KeyboardInterrupt):
        return 128 + signal.SIGINT
    if isinstance(error, _ClickException):
        context = getattr(error, "ctx", None)
        path = context.command_path if context is not None else "dcvc"
        _keep_near_guesses(error)
        _tell(f"error: {error.format_message()} ({path} --help)")  # type: ignore[attr-defined]
        return ExitCode.USAGE
    if isinstance(error, ImportError) and not (error.name or "dcvc_cli").startswith("dcvc_cli"):
        package = str(error.name).partition(".")[0]
        _tell(
            f"error: {package} cannot be loaded: {error} (pip install {_DISTRIBUTIONS.get(package, package)}; `dcvc "
            "doctor` shows what is missing)"
        )
        return ExitCode.ENVIRONMENT
    if isinstance(error, OSError):
        # Readers and writers of pictures and streams report their own errors. This is mostly a full disk below standard
        # output.
        _tell(f"error: {error.filename or 'standard output'}: {error.strerror or error}")
        return ExitCode.INPUT
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        _tell("error: out of memory (smaller pictures need less, and so does fp16 on a GPU)")
        return ExitCode.ENVIRONMENT
    first_line = (str(error).splitlines() or [""])[0]
    _tell(f"internal error: {type(error).__name__}: {first_line} (--debug shows the traceback)")
    return ExitCode.INTERNAL


def _keep_near_guesses(error: BaseException) -> None:
    """Returns keeps, of the options that Click suggests, those that are spelt much like the given one."""
    guesses, name = getattr(error, "possibilities", None), getattr(error, "option_name", None)
    if guesses and name:
        error.possibilities = difflib.get_close_matches(name, guesses, cutoff=0.75)  # type: ignore[attr-defined]


def _tell(text: str) -> None:
    # Plain print works in every state of the program. The message stays one line, whatever a file name holds.
    log(f"dcvc: {text}")
    if sys.stderr is not None:  # closed: the exit code tells it
        with suppress(OSError):
            print(f"dcvc: {one_line(text)}", file=sys.stderr, flush=True)


def _leave(code: int) -> NoReturn:
    # Outputs are closed by now, so nothing is left to clean up.
    for number in _SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)
    try:
        sys.stdout.flush()
    except (OSError, ValueError) as error:
        drop_standard_output()
        if isinstance(error, BrokenPipeError):
            code = code or 128 + signal.SIGPIPE
        elif not code:
            code = _tell_error(error)
    if threading.active_count() > 1:
        # A thread that waits for standard input cannot be stopped, and the interpreter would fail on its lock.
        os._exit(code)
    sys.exit(code)
