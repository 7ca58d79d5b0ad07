"""Options that several commands share, so that their help texts are the same everywhere, and the checks of their
values."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from pathlib import Path
from typing import Annotated

import typer

from dcvc_cli.errors import UsageError
from dcvc_cli.format.constants import MAX_SIDE
from dcvc_cli.format.limits import DEFAULT_MAX_PIXELS, Limits, parse_memory
from dcvc_cli.format.types import PictureSize, Rational
from dcvc_cli.ui.progress import ProgressMode

PLOT_FORMATS = ("png", "svg")


class PictureFormat(StrEnum):
    """Formats that `dcvc decode` writes pictures in."""

    Y4M = "y4m"
    YUV = "yuv"
    PNG = "png"
    MKV = "mkv"
    MP4 = "mp4"
    NUT = "nut"


Overwrite = Annotated[
    bool,
    typer.Option("--overwrite", "-y", help="Replace existing output; without this option, an existing file is kept."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of text.")]
ModelName = Annotated[
    str, typer.Argument(metavar="NAME", help="A name that `dcvc models list` shows, or a weights file.")
]
WeightsOutput = Annotated[
    Path, typer.Option("-o", "--output", metavar="F.safetensors", help="The weights file to write.")
]
STREAM_HELP = "The stream; - is standard input."
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print errors only.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Print details.")]
ProgressOption = Annotated[
    ProgressMode,
    typer.Option(
        "--progress",
        help="auto: a bar if standard error is a terminal, else a line a minute. json: one JSON line a second on "
        "standard error; -q leaves it.",
    ),
]
Device = Annotated[
    str | None, typer.Option("--device", metavar="auto|cpu|cuda:N", help="Where the networks run.", show_default="auto")
]
Threads = Annotated[
    int | None,
    typer.Option("--threads", min=1, max=1024, metavar="N", help="CPU threads of the arithmetic. Default: all cores."),
]
Jobs = Annotated[
    int,
    typer.Option("--jobs", min=1, max=64, metavar="N", help="With several inputs: how many to work on at once."),
]
SkipExisting = Annotated[
    bool,
    typer.Option(
        "--skip-existing",
        help="With several inputs or --chunk: leave out those whose output is there, whole and checked; replace other "
        "outputs.",
    ),
]
Seek = Annotated[
    str,
    typer.Option(
        "--seek", metavar="N|TIME", help="Skip the first N frames, or all before a time such as 1:23.5 or 83s."
    ),
]
Frames = Annotated[
    str | None,
    typer.Option("--frames", metavar="N|TIME", help="Take at most N frames, or those of a time. Default: all."),
]


@dataclass(frozen=True, kw_only=True)
class LimitOptions:
    """Limits of what is read, which the environment may set too."""

    max_pixels: Annotated[
        int | None,
        typer.Option(
            "--max-pixels",
            min=1,
            metavar="N",
            help="Refuse pictures of more pixels, before anything is allocated; also DCVC_MAX_PIXELS.",
            show_default=f"{DEFAULT_MAX_PIXELS}, as of 8192x4352",
            rich_help_panel="Limits",
        ),
    ] = None
    max_frames: Annotated[
        int | None,
        typer.Option(
            "--max-frames",
            min=1,
            metavar="N",
            help="Refuse clips and streams of more frames; also DCVC_MAX_FRAMES. Default: no limit.",
            rich_help_panel="Limits",
        ),
    ] = None
    max_memory: Annotated[
        str | None,
        typer.Option(
            "--max-memory",
            metavar="BYTES",
            help="Refuse what needs more memory by the estimate of `dcvc info`, such as 800M or 2G; also "
            "DCVC_MAX_MEMORY. Default: no limit.",
            rich_help_panel="Limits",
        ),
    ] = None

    def limits(self) -> Limits:
        """Returns the limits of the command line, and those of the environment where the command line sets none."""
        limits = Limits.from_environment()
        return Limits(
            limits.max_pixels if self.max_pixels is None else self.max_pixels,
            limits.max_frames if self.max_frames is None else self.max_frames,
            limits.max_memory if self.max_memory is None else parse_memory(self.max_memory, "--max-memory"),
        )


def plot_format(option: str, target: str | None) -> str | None:
    """Returns the format of a plot by the ending of its name: "png" or "svg", None for no name. UsageError for any
    other ending."""
    if target is None:
        return None
    suffix = Path(target).suffix.lower().removeprefix(".")
    if suffix not in PLOT_FORMATS:
        raise UsageError(f"{option} {target}: expected a name that ends in .png or .svg")
    return suffix


def parse_size(text: str, option: str) -> PictureSize:
    """Reads a size from `WxH`; UsageError for anything else."""
    width, separator, height = text.lower().partition("x")
    if not separator or not (
        width.isascii() and width.isdigit() and height.isascii() and height.isdigit() and len(width) + len(height) <= 10
    ):
        raise UsageError(f"{option} {text}: expected WxH", f"{option} 1920x1080")
    try:
        return PictureSize(int(width), int(height))
    except ValueError as error:
        raise UsageError(f"{option} {text}: expected 1x1..{MAX_SIDE}x{MAX_SIDE}") from error


def parse_frame_rate(text: str) -> Rational:
    """Reads a frame rate from `25`, `30000/1001` or `23.976`; UsageError for anything else."""
    num, _, den = text.partition("/")
    if num.isascii() and num.isdigit() and len(num) <= 10 and den.isascii() and den.isdigit() and len(den) <= 10:
        # Kept as written: 50/2 stays 50/2.
        rate = Rational(int(num), int(den))
    else:
        try:
            value = Fraction(text) if len(text) <= 20 and "/" not in text and "e" not in text.lower() else Fraction(0)
        except ValueError:
            value = Fraction(0)
        rate = Rational(value.numerator, value.denominator)
    if not (0 < rate.num < 1 << 32 and 0 < rate.den < 1 << 32):
        raise UsageError(f"--fps {text}: expected a number above 0 or a fraction", "--fps 30000/1001")
    return rate


def check_places(inputs: Sequence[str], outputs: Mapping[str, str | None]) -> None:
    """Checks that no output is an input or another output.

    Args:
        inputs: names of inputs.
        outputs: name of each output by its option, None where the option was not given.

    Raises:
        UsageError: two names are one place.
    """
    given = [(option, name) for option, name in outputs.items() if name is not None]
    for position, (option, name) in enumerate(given):
        for other_option, other in given[:position]:
            if _same_place(name, other):
                what = "standard output" if name == "-" else name
                raise UsageError(f"{other_option} and {option} both write {what}, expected different places")
        for source in inputs:
            if name != "-" and source != "-" and _same_place(name, source):
                raise UsageError(f"{option} {name} is the input, expected another place")


def _same_place(first: str, second: str) -> bool:
    if "-" in (first, second):
        return first == second
    if "\0" in first + second:
        return False
    # A device such as /dev/null may be named twice.
    ordinary = all(os.path.isfile(name) or os.path.isdir(name) or not os.path.exists(name) for name in (first, second))
    return ordinary and os.path.realpath(first) == os.path.realpath(second)
