"""Reads files of torch.save with torch's safe loader, after a check that nothing in a file makes it take memory or time
out of proportion to the file's length."""

import pickletools
import zipfile
from pathlib import Path
from typing import IO, Any

from dcvc_cli.errors import shown

MAX_PICKLE_BYTES = 4 << 20
"""Names and shapes, without the values: 0.2 MB in the published checkpoints."""
MAX_TUPLES_AGAIN = 20
"""Largest number of tuples that a file takes from the loader's memory once more. A key of n such tuples, each in the
next, takes 2^n steps to hash."""


class TorchFileError(Exception):
    """A file that is unreadable, is no file of torch.save, or would take far more memory or time than any checkpoint.
    The text is the reason, without the file's name."""


def load_torch_file(path: Path) -> Any:
    """Loads the contents of a file of torch.save, with tensors on the CPU. No code in the file can run.

    Raises:
        TorchFileError: the file cannot be read, is none of torch.save, or holds something other than tensors and plain
            values.
    """
    import torch

    try:
        _refuse_bombs(path)
        return torch.load(path, map_location="cpu", weights_only=True)
    except TorchFileError:
        raise
    except Exception as error:  # damage makes torch raise errors of any kind
        # torch's own words advise to load without its protection. Text taken for a pickle fails anywhere in the loader,
        # with words like "105", so only those of the system and of torch's reader say more.
        reason = "it holds something other than tensors and plain values, or is no checkpoint"
        if isinstance(error, OSError | RuntimeError | MemoryError) and str(error).strip():
            reason = str(error).strip().splitlines()[0]
        raise TorchFileError(reason) from error


def _refuse_bombs(path: Path) -> None:
    """Checks a file before torch reads it. torch itself checks sizes only after reading, and hashes keys while
    reading."""
    if not path.is_file():
        raise TorchFileError("it is not a file")
    if not zipfile.is_zipfile(path):
        with path.open("rb") as file:
            _refuse_nested_keys(file)
        return
    with zipfile.ZipFile(path) as archive:
        parts, size = archive.infolist(), path.stat().st_size
        for part in parts:
            # torch stores its files as they are.
            if part.compress_type != zipfile.ZIP_STORED:
                raise TorchFileError(
                    f"it is compressed inside, which no checkpoint of torch is: {shown(part.filename)}"
                )
            if part.filename.endswith(".pkl") and part.file_size > MAX_PICKLE_BYTES:
                raise TorchFileError(f"it has {part.file_size} bytes of names, expected {MAX_PICKLE_BYTES} at most")
        if sum(part.file_size for part in parts) > size:
            raise TorchFileError(f"its parts overlap: together they are longer than the file, {size} bytes")
        for part in parts:
            if part.filename.endswith(".pkl"):
                with archive.open(part) as file:
                    _refuse_nested_keys(file)


def _refuse_nested_keys(file: IO[bytes]) -> None:
    tuples: set[object] = set()
    is_tuple, num_again = False, 0
    try:
        for opcode, argument, _ in pickletools.genops(file):
            if opcode.name.endswith("BINPUT"):
                # A number may be assigned anew.
                if is_tuple:
                    tuples.add(argument)
                else:
                    tuples.discard(argument)
                continue
            is_again = opcode.name.endswith("BINGET") and argument in tuples
            is_tuple = is_again or opcode.name.startswith("TUPLE")
            num_again += is_again
            if num_again > MAX_TUPLES_AGAIN:
                raise TorchFileError("its names are tuples within tuples")
    except ValueError:
        return  # no pickle, or one that is damaged: torch says so
