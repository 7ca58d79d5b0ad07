"""Checkpoints on disk: written whole or not at all, whenever the process is killed."""

import os
from pathlib import Path
from typing import Any

import torch

from dcvc_cli.errors import InputError
from dcvc_cli.staged_files import StagedFile
from dcvc_cli.weights.torch_files import TorchFileError, load_torch_file

CHECKPOINT_NAME = "checkpoint.pt"


def write_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Writes a checkpoint. A kill at any moment leaves the old or the new checkpoint, whole, and nothing beside it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    staged = StagedFile(path)
    try:
        torch.save(state, staged.stream)
        staged.put(overwrite=True)
    except BaseException:
        staged.drop()
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Reads a checkpoint. Tensors of the state are on the CPU.

    Raises:
        InputError: the file is no checkpoint.
    """
    try:
        state = load_torch_file(path)
    except TorchFileError as error:
        raise InputError(f"{path} is not a training checkpoint: {error}") from error
    missing = {"parameters", "average", "optimiser", "step", "elapsed_seconds"} - set(
        state if isinstance(state, dict) else ()
    )
    if missing:
        raise InputError(f"{path} is not a training checkpoint: it has no {', '.join(sorted(missing))}")
    return dict(state)


def on_cpu(value: Any) -> Any:
    """Returns a nested state with its tensors on the CPU."""
    if isinstance(value, torch.Tensor):
        return value.detach().cpu()
    if isinstance(value, dict):
        return {key: on_cpu(part) for key, part in value.items()}
    return [on_cpu(part) for part in value] if isinstance(value, list) else value
