"""What a stream holds, without decoding it."""

import os
from typing import Any

from dcvc_cli.coding.inspect import inspect_stream, stream_values
from dcvc_cli.coding.stream_source import StreamSource, naming
from dcvc_cli.format.limits import Limits


def info(source: str | os.PathLike[str], *, frames: bool = True, limits: Limits | None = None) -> dict[str, Any]:
    """Makes the document of `dcvc info --json` as Python values.

    Args:
        source: a path, or "-" for standard input.
        frames: list every frame unit under "frames".
        limits: what the stream may ask for, None for what the environment says.

    Raises:
        InputError: the source cannot be read.
        StreamError: no stream, or one that holds no frame. Damage of others stands under "faults".
    """
    with StreamSource(os.fspath(source)) as stream, naming(stream.name):
        facts = inspect_stream(stream.name, stream, Limits.from_environment() if limits is None else limits)
        return stream_values(facts, frames=frames)
