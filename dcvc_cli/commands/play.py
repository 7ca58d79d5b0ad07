"""`dcvc play`: shows a stream in mpv or ffplay, whichever is there."""

import os
import shutil
import subprocess
from contextlib import suppress
from typing import Annotated

import typer

from dcvc_cli.commands.option_list import takes_options
from dcvc_cli.commands.options import STREAM_HELP, Device, Frames, LimitOptions, Seek, Threads
from dcvc_cli.commands.positions import position_of
from dcvc_cli.errors import EnvironmentFault, InputError

PLAYERS = {
    "mpv": ("--force-seekable=no", "--keep-open=no", "--title={name}", "-"),
    "ffplay": ("-loglevel", "warning", "-autoexit", "-window_title", "{name}", "-i", "-"),
}
"""Players in the order of the search, with their arguments."""


@takes_options
def play(
    *,
    source: Annotated[str, typer.Argument(metavar="IN.dcvc", help=STREAM_HELP)],
    seek: Seek = "0",
    frames: Frames = None,
    player: Annotated[
        str | None,
        typer.Option(metavar="PROGRAM", help="mpv or ffplay, by name or path.", show_default="mpv or ffplay"),
    ] = None,
    device: Device = None,
    threads: Threads = None,
    limit: LimitOptions,
) -> None:
    """Play a .dcvc stream, with the sound and subtitles that it carries, in mpv or ffplay.

    Pictures go to the player as they are decoded: a machine that decodes too slowly shows them late. Closing the player
    ends the command.
    """
    limits = limit.limits()
    program, arguments = _player(player)

    from dcvc_cli.commands.decode_stream import DecodeChoices, Reports, decode_stream
    from dcvc_cli.ui.progress import ProgressMode

    command = [program, *(argument.format(name=os.path.basename(source)) for argument in arguments)]
    reading, writing = os.pipe()
    started: list[subprocess.Popen[bytes]] = []

    def start_player() -> None:
        try:
            started.append(subprocess.Popen(command, stdin=reading))
        except OSError as error:
            raise EnvironmentFault(f"cannot start {program}: {error.strerror or error}") from error
        os.close(reading)  # so that the pipe ends with the player

    choices = DecodeChoices(
        output_format="nut",
        codec="rawvideo",
        seek=position_of(seek, "--seek", 0),
        frames=None if frames is None else position_of(frames, "--frames", 1),
        device=device or "auto",
        threads=threads,
        limits=limits,
        progress=ProgressMode.NONE,
        quiet=True,
    )
    try:
        # A player that the user closes ends the decode without an error.
        with suppress(BrokenPipeError):
            decode_stream(source, f"/dev/fd/{writing}", choices, Reports(), start_player)
    except BaseException:
        os.close(writing)
        if not started:
            os.close(reading)
        for process in started:
            process.terminate()
            process.wait()
        raise
    os.close(writing)
    code = started[0].wait()
    if code:
        raise InputError(f"{program} ended with exit code {code}")


def _player(wanted: str | None) -> tuple[str, tuple[str, ...]]:
    """Finds (path of the player, its arguments); EnvironmentFault where there is none."""
    for name in (wanted,) if wanted is not None else tuple(PLAYERS):
        path = shutil.which(name)
        if path is not None:
            return path, PLAYERS.get(os.path.basename(name), ("-",))
    missing = "neither mpv nor ffplay is" if wanted is None else f"{wanted} is not"
    raise EnvironmentFault(f"{missing} on this machine", "dcvc decode IN.dcvc -o OUT.mkv writes a file for any player")
