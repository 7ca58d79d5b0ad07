"""Reads what commands have written: units of streams, pictures of y4m files."""

from pathlib import Path

from dcvc_cli.bitstream.stream_reader import StreamReader
from dcvc_cli.bitstream.units import FrameUnit


def units_of(path: Path) -> list[FrameUnit]:
    """Returns the frame units of a .dcvc stream."""
    with path.open("rb") as stream:
        return [unit for unit in StreamReader(stream) if isinstance(unit, FrameUnit)]


def pictures_of(path: Path) -> list[bytes]:
    """Returns the samples of each picture of a y4m file."""
    return path.read_bytes().split(b"FRAME\n")[1:]
