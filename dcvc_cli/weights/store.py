"""Finds weights by name or by the fingerprints that a stream names: those in the box first, then the user's own.

The user's folder is $DCVC_HOME/weights, else $XDG_DATA_HOME/dcvc/weights, else ~/.local/share/dcvc/weights.
"""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from dcvc_cli.errors import EnvironmentFault
from dcvc_cli.families.base import Model
from dcvc_cli.weights.file import ModelWeights, read_header, read_weights
from dcvc_cli.weights.safetensors_reader import COMPRESSED_SUFFIX

SUFFIX = ".safetensors"


def presets_folder() -> Path:
    """Returns the folder with presets and shipped weights: inside the installed package, or beside it in a source
    tree."""
    # Not importlib.resources: an editable install spreads the package over two folders.
    package = Path(__file__).resolve().parents[1]
    return package / "presets" if (package / "presets").is_dir() else package.parent / "presets"


def user_folder() -> Path:
    """Returns the folder that `dcvc models add` puts weights into."""
    home = os.environ.get("DCVC_HOME")
    if home:
        return Path(home) / "weights"
    # Not Path.home(): that fails where the user has no home, as in a container.
    data = os.environ.get("XDG_DATA_HOME") or os.path.expanduser("~/.local/share")
    return Path(data) / "dcvc" / "weights"


def weight_files() -> Iterator[Path]:
    """Lists every weights file that can be found: shipped files first, each folder in the order of names."""
    for folder in (presets_folder() / "weights", user_folder()):
        yield from (folder / name for name in sorted(filter(is_weights_name, _names_in(folder))))


def _names_in(folder: Path) -> list[str]:
    """Names of the files of a folder. None where it is missing, unreadable or no folder: weights elsewhere still
    work."""
    try:
        return os.listdir(folder)
    except OSError:
        return []


def is_weights_name(name: str) -> bool:
    """Returns whether a file of this name can hold weights. Shipped weights are compressed."""
    return name.endswith((SUFFIX, SUFFIX + COMPRESSED_SUFFIX)) and not name.startswith(".")


def weights_name(path: Path) -> str:
    """Returns the name of the weights in this file."""
    return path.name.removesuffix(COMPRESSED_SUFFIX).removesuffix(SUFFIX)


def weights_by_name(name: str) -> ModelWeights:
    """Reads the weights called `name` (file name without suffix), or the file at that path; EnvironmentFault lists what
    there is."""
    if is_weights_name(Path(name).name):
        return read_weights(Path(name))
    known = list(weight_files())
    for candidate in known:
        if weights_name(candidate) == name:
            return read_weights(candidate)
    listed = ", ".join(map(weights_name, known)) or "none"
    raise EnvironmentFault(
        f"there are no weights called {name!r}; found: {listed}", "add published checkpoints with `dcvc models add`"
    )


def weights_by_fingerprints(fingerprints: Sequence[int], model: Model) -> ModelWeights:
    """Finds the weights that a stream names. The search reads headers only; the file that it finds is read and checked
    whole.

    Args:
        fingerprints: of the model's networks, in its order.

    Raises:
        EnvironmentFault: no weights on this machine have these fingerprints.
    """
    unreadable = []
    for candidate in weight_files():
        try:
            if not read_header(candidate).may_match(fingerprints):
                continue
            weights = read_weights(candidate)
        except EnvironmentFault as fault:
            unreadable.append(fault.message)
            continue
        if weights.fingerprints == tuple(fingerprints):
            return weights
    also = f"; also, {unreadable[0]}" if unreadable else ""
    listed = " and ".join(f"{value:016x} ({name})" for name, value in zip(model.networks, fingerprints, strict=True))
    raise EnvironmentFault(
        f"the stream needs weights {model.name!r} with fingerprints {listed}, which are not here{also}",
        "add them with `dcvc models add IMAGE.pth.tar VIDEO.pth.tar`, or upgrade dcvc; `dcvc models list` shows what "
        "there is",
    )
