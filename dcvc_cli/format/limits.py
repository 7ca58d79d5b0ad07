"""How much a clip or a stream may ask for: checked where a size is first known, before anything of that size is made.

Any codec has small streams that are legal and ask for gigabytes. Whoever decodes what others send sets a limit once, in
the environment or by options; the default admits pictures of 8192x4352.
"""

import os
from dataclasses import dataclass

from dcvc_cli.errors import DcvcError, InputError, StreamError, UsageError

PIXELS_VARIABLE, FRAMES_VARIABLE, MEMORY_VARIABLE = "DCVC_MAX_PIXELS", "DCVC_MAX_FRAMES", "DCVC_MAX_MEMORY"
DEFAULT_MAX_PIXELS = 8192 * 4352
_UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}


@dataclass(frozen=True)
class Limits:
    """What a caller grants.

    Attributes:
        max_pixels: width times height of a picture.
        max_frames: frames of a clip or stream, skipped ones included; None for any number, since more frames take more
            bytes to ask for.
        max_memory: bytes of the estimate that `dcvc info` shows; None for any.
    """

    max_pixels: int = DEFAULT_MAX_PIXELS
    max_frames: int | None = None
    max_memory: int | None = None

    @classmethod
    def from_environment(cls) -> "Limits":
        """Reads what DCVC_MAX_PIXELS, DCVC_MAX_FRAMES and DCVC_MAX_MEMORY say; UsageError for what is no number."""
        pixels, frames = (_whole_number(name) for name in (PIXELS_VARIABLE, FRAMES_VARIABLE))
        memory = os.environ.get(MEMORY_VARIABLE)
        return cls(pixels or DEFAULT_MAX_PIXELS, frames, parse_memory(memory, MEMORY_VARIABLE) if memory else None)

    def check_input(self, name: str, width: int, height: int) -> None:
        """Raises InputError for pictures of an input that are too large."""
        if width * height > self.max_pixels:
            raise self._too_large(InputError, name, width, height)

    def check_stream(self, name: str, width: int, height: int, memory_bytes: int) -> None:
        """Raises StreamError for a stream whose pictures are too large, or take too much memory to decode."""
        if width * height > self.max_pixels:
            raise self._too_large(StreamError, name, width, height)
        self._check_memory(StreamError, name, width, height, memory_bytes)

    def check_encoding(self, name: str, width: int, height: int, memory_bytes: int) -> None:
        """Raises InputError for pictures that take too much memory to code."""
        self._check_memory(InputError, name, width, height, memory_bytes)

    def check_frames(self, name: str, num_frames: int, kind: type[DcvcError]) -> None:
        """Raises an error of the given kind for more frames than are granted."""
        if self.max_frames is not None and num_frames > self.max_frames:
            hint = "--max-frames raises the limit, --frames takes fewer"
            raise kind(f"{name} holds more than {self.max_frames} frames, the limit", hint)

    def _too_large(self, kind: type[DcvcError], name: str, width: int, height: int) -> DcvcError:
        text = f"{name} has pictures of {width}x{height}, {width * height} pixels; the limit is {self.max_pixels}"
        return kind(text, f"--max-pixels {width * height} or {PIXELS_VARIABLE} raises it")

    def _check_memory(self, kind: type[DcvcError], name: str, width: int, height: int, memory_bytes: int) -> None:
        if self.max_memory is not None and memory_bytes > self.max_memory:
            text = (
                f"{name} has pictures of {width}x{height} and needs about {memory_bytes >> 20} MiB, the limit is "
                f"{self.max_memory >> 20} MiB"
            )
            raise kind(text, f"--max-memory or {MEMORY_VARIABLE} raises it")


def _whole_number(variable: str) -> int | None:
    text = os.environ.get(variable)
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 18 and int(text) > 0):
        raise UsageError(f"{variable}={text}: expected a whole number above 0")
    return int(text)


def parse_memory(text: str, option: str) -> int:
    """Reads the bytes of `800M`, `2G` or `500000`, in powers of 1024; UsageError for anything else."""
    number, unit = text.rstrip("kKmMgGtT"), text[len(text.rstrip("kKmMgGtT")) :].lower()
    if unit not in _UNITS or not (number.isascii() and number.isdigit() and len(number) <= 18 and int(number) > 0):
        raise UsageError(f"{option} {text}: expected a number of bytes", f"{option} 2G")
    return int(number) * _UNITS[unit]
