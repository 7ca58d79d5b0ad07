"""Options that several commands share, so that they read the same everywhere, and the checks of what they say."""

import os
from collections.abc import Mapping, Sequence
from enum import StrEnum
from fractions import Fraction
from typing import Annotated

import typer

from dcvc_cli.errors import UsageError
from dcvc_cli.format.limits import DEFAULT_MAX_PIXELS, Limits, parse_memory
from dcvc_cli.format.types import MAX_SIDE, PictureSize, Rational
from dcvc_cli.ui.progress import ProgressMode


class PictureFormat(StrEnum):
    """Formats of written pictures."""

    Y4M = "y4m"
    YUV = "yuv"
    PNG = "png"


Overwrite = Annotated[bool, typer.Option("--overwrite", "-y", help="Replace existing output; without it, an existing file is kept.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing but errors.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Say more.")]
ProgressOption = Annotated[
    ProgressMode,
    typer.Option(
        "--progress",
        help="auto: a bar where standard error is a terminal. json: one line a second there, and with -q nothing else.",
    ),
]
Device = Annotated[str | None, typer.Option("--device", metavar="auto|cpu|cuda:N", help="Where the networks run.", show_default="auto")]
Threads = Annotated[int | None, typer.Option("--threads", min=1, max=1024, metavar="N", help="CPU threads of the arithmetic. Default: all cores.")]
Seek = Annotated[int, typer.Option("--seek", min=0, metavar="N", help="Leave out the first N frames.")]
Frames = Annotated[int | None, typer.Option("--frames", min=1, metavar="N", help="At most N frames. Default: all.")]

MaxPixels = Annotated[
    int | None,
    typer.Option(
        "--max-pixels",
        min=1,
        metavar="N",
        help="Refuse larger pictures before anything is allocated; also DCVC_MAX_PIXELS.",
        show_default=f"{DEFAULT_MAX_PIXELS}, as of 8192x4352",
        rich_help_panel="Limits",
    ),
]
MaxFrames = Annotated[
    int | None,
    typer.Option(
        "--max-frames",
        min=1,
        metavar="N",
        help="Refuse longer clips and streams; also DCVC_MAX_FRAMES. Default: none.",
        rich_help_panel="Limits",
    ),
]
MaxMemory = Annotated[
    str | None,
    typer.Option(
        "--max-memory",
        metavar="BYTES",
        help="Refuse what needs more by the estimate of `dcvc info`: 800M, 2G; also DCVC_MAX_MEMORY. Default: none.",
        rich_help_panel="Limits",
    ),
]


def limits_of(max_pixels: int | None, max_frames: int | None, max_memory: str | None) -> Limits:
    """The limits of the environment with those of the command line over them."""
    limits = Limits.from_environment()
    return Limits(
        limits.max_pixels if max_pixels is None else max_pixels,
        limits.max_frames if max_frames is None else max_frames,
        limits.max_memory if max_memory is None else parse_memory(max_memory, "--max-memory"),
    )


def parse_size(text: str, option: str) -> PictureSize:
    """`WxH`; UsageError for anything else."""
    width, separator, height = text.lower().partition("x")
    if not separator or not (width.isascii() and width.isdigit() and height.isascii() and height.isdigit() and len(width) + len(height) <= 10):
        raise UsageError(f"{option} {text}: expected WxH", f"{option} 1920x1080")
    try:
        return PictureSize(int(width), int(height))
    except ValueError as error:
        raise UsageError(f"{option} {text}: expected 1x1..{MAX_SIDE}x{MAX_SIDE}") from error


def parse_frame_rate(text: str) -> Rational:
    """`25`, `30000/1001` or `23.976`; UsageError for anything else."""
    num, _, den = text.partition("/")
    if num.isascii() and num.isdigit() and len(num) <= 10 and den.isascii() and den.isdigit() and len(den) <= 10:
        # As written: 50/2 is not turned into 25/1.
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
    """That no output is an input or another output.

    Args:
        inputs: names of inputs.
        outputs: name by the option that gave it, None where it was not given.

    Raises:
        UsageError: two of them are one.
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
