"""Endings of file names and the formats that they promise. Nothing is written under the ending of another format."""

from pathlib import PurePath

from dcvc_cli.errors import UsageError
from dcvc_cli.media.output import STANDARD_OUTPUT_NAMES
from dcvc_cli.media.probe import CONTAINER_SUFFIXES, RAW_SUFFIXES

STREAM = "a .dcvc stream"
ELEMENTARY_STREAM = "an elementary stream"
Y4M, RAW, PNG = "y4m pictures", "raw yuv pictures", "PNG pictures"
CSV, JSON, HTML, WEIGHTS, TEXT = "CSV", "JSON", "an HTML page", "a weights file", "text"
_VIDEO = "a video file of another codec"

_PROMISES = {
    ".dcvc": STREAM,
    ".bin": ELEMENTARY_STREAM,
    ".y4m": Y4M,
    **dict.fromkeys(RAW_SUFFIXES, RAW),
    ".png": PNG,
    ".csv": CSV,
    ".json": JSON,
    ".txt": TEXT,
    **dict.fromkeys((".html", ".htm"), HTML),
    ".safetensors": WEIGHTS,
    **dict.fromkeys(CONTAINER_SUFFIXES, _VIDEO),
    **dict.fromkeys((".266", ".h266", ".vvc", ".avc", ".av1", ".m1v", ".f4v", ".apng"), _VIDEO),
    **dict.fromkeys((".bmp", ".tif", ".tiff", ".ppm", ".svg", ".exr", ".jxl", ".heic"), "a picture of another format"),
    **dict.fromkeys((".wav", ".mp3", ".m4a", ".aac", ".flac", ".opus"), "sound"),
    **dict.fromkeys((".yaml", ".yml", ".md", ".pdf"), "a document"),
    **dict.fromkeys((".zip", ".gz", ".xz", ".zst", ".7z", ".tar"), "an archive"),
}
_ENDINGS = {
    STREAM: ".dcvc",
    ELEMENTARY_STREAM: ".bin",
    CSV: ".csv",
    JSON: ".json",
    TEXT: ".txt",
    HTML: ".html",
    WEIGHTS: ".safetensors",
}
_ENDINGS |= {Y4M: ".y4m", RAW: ".yuv", PNG: ".png"}


def check_ending(option: str, target: str | None, written: str) -> None:
    """Checks that the ending of a name promises no other format than the one that is written. Unknown endings promise
    nothing.

    Args:
        option: the option that gave the name, for messages.
        target: a path, `-`, or None where the option was not given.
        written: one of this module's formats.

    Raises:
        UsageError: the name promises something else.
    """
    if target is None or target in STANDARD_OUTPUT_NAMES:
        return
    path = PurePath(target)
    promised = _PROMISES.get(path.suffix.lower())
    if promised is None or promised == written:
        return
    right_name = str(path.with_suffix(_ENDINGS[written]))
    hint = f"{option} {right_name}"
    if written == STREAM and promised == _VIDEO:
        hint += f", then dcvc decode {right_name} -o - | ffmpeg -i - {target} makes one"
    elif written == STREAM and promised in (Y4M, RAW, PNG):
        hint += f", then dcvc decode {right_name} -o {target} makes them"
    elif written in (Y4M, RAW) and promised == _VIDEO:
        hint = f"dcvc decode IN.dcvc -o - | ffmpeg -i - {target} makes one"
    raise UsageError(f"{option} {target} is the name of {promised}, and {written} would be written there", hint)
