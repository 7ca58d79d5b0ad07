"""Checkpoints on disk: written whole or not at all, whenever the process is killed."""

import os
import pickle
from pathlib import Path
from typing import Any

import torch

from dcvc_cli.errors import InputError

CHECKPOINT_NAME = "checkpoint.pt"


def write_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Writes beside the place and renames: a kill at any moment leaves the old checkpoint or the new one, whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    staged = path.with_suffix(".partial")
    with staged.open("wb") as file:
        torch.save(state, file)
        file.flush()
        os.fsync(file.fileno())
    staged.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def read_checkpoint(path: Path) -> dict[str, Any]:
    """The state, its tensors on the CPU. InputError if the file is no checkpoint."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, ValueError, EOFError, pickle.UnpicklingError) as error:
        reason = (str(error).splitlines() or ["damaged"])[0]
        raise InputError(f"{path} is not a training checkpoint: {reason}") from error
    missing = {"parameters", "average", "optimiser", "step", "elapsed_seconds"} - set(state if isinstance(state, dict) else ())
    if missing:
        raise InputError(f"{path} is not a training checkpoint: it has no {', '.join(sorted(missing))}")
    return dict(state)
