"""Shared by readers and writers of video files: loads PyAV, opens a file, puts an error of FFmpeg into words."""

from types import ModuleType
from typing import Any

from dcvc_cli.errors import EnvironmentFault, InputError
from dcvc_cli.media.container_facts import is_artwork


def import_av(path: str, verb: str = "reading") -> ModuleType:
    """Imports PyAV; EnvironmentFault where it is not installed."""
    try:
        import av
    except ImportError as error:
        raise EnvironmentFault(
            f"{verb} {path} needs PyAV, which is not installed", "pip install 'dcvc[video]'"
        ) from error
    return av


def open_av(av: ModuleType, path: str) -> Any:
    """Opens a video file for reading; InputError for a file that FFmpeg does not read. Only this file is opened."""
    try:
        # "file:" keeps names such as "concat:a|b" from meaning a protocol.
        # The whitelist does the same for what the file refers to.
        options = {"protocol_whitelist": "file"}
        return av.open(f"file:{path}", options=options, metadata_errors="replace")
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise InputError(f"cannot read {path} as a video file: {fault_text(error)}") from error


def is_film(av: ModuleType, stream: Any) -> bool:
    """Returns whether a video track is a film, not artwork."""
    return not is_artwork(stream, av.stream.Disposition)


def fault_text(error: Exception) -> str:
    """Returns FFmpeg's text of an error."""
    return getattr(error, "strerror", None) or str(error)
