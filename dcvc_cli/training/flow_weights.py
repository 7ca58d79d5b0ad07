"""A motion estimation (SpyNet) that was trained elsewhere, for a video network that begins untrained otherwise."""

import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch

from dcvc_cli.errors import InputError, UsageError, shown
from dcvc_cli.learning.trainee import Trainee
from dcvc_cli.preparing.checkpoints import read_checkpoint
from dcvc_cli.training.export import checkpoint_state, is_training_checkpoint

PART = "flow"
_ARRAY_NAME = re.compile(r"modelL([1-9])_F-([1-9])-(weight|bias)")
"""Files of DVC's `flow_pretrain_np`: level, convolution, kind. Levels count from 1."""
MAX_ARRAY_BYTES = 1 << 24
Arrays = Mapping[str, np.ndarray]


def flow_parameters(path: Path, trainee: Trainee, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, torch.Tensor]:
    """Reads the parameters of a network's motion estimation, under the network's names.

    Args:
        path: a folder of DVC's arrays; or a checkpoint, of dcvc or published, that holds a motion estimation of this
            form, by itself or as part of a codec.
        trainee: names the part.
        shapes: of all parameters of the network.

    Raises:
        InputError: the file cannot be read, lacks a parameter, or has one of another shape.
        UsageError: the network has no such part.
    """
    if PART not in trainee.parts:
        raise UsageError("--flow-checkpoint: the network has no motion estimation of its own")
    (beginning,) = trainee.parts[PART]
    found = _arrays(path)
    taken = {}
    for name, shape in shapes.items():
        if not name.startswith(beginning):
            continue
        own = name.removeprefix(beginning)
        keys = [key for key in found if key == own or key.endswith(f".{own}")]
        if not keys:
            raise InputError(f"{path} has no motion estimation that fits: {own} is missing", _HINT)
        if len(keys) > 1:
            raise InputError(f"{path} has several motion estimations: {', '.join(map(shown, sorted(keys)))}", _HINT)
        value = found[keys[0]]
        if value.shape != shape:
            raise InputError(f"{path}: {shown(keys[0])} has shape {value.shape}, expected {shape}", _HINT)
        if not np.isfinite(value).all():
            raise InputError(f"{path}: {shown(keys[0])} has values that are not finite")
        taken[name] = torch.from_numpy(np.array(value, np.float32))
    return taken


_HINT = "a folder with modelL1_F-1-weight.npy and the others, or a checkpoint of DCVC and its successors"


def _arrays(path: Path) -> Arrays:
    """By name: those of a folder as SpyNet's module calls them, those of a checkpoint as they are."""
    if path.is_dir():
        return _folder(path)
    return checkpoint_state(path) if path.is_file() and is_training_checkpoint(path) else read_checkpoint(path)


def _folder(path: Path) -> Arrays:
    arrays = {}
    for file in sorted(path.glob("*.npy")):
        name = _ARRAY_NAME.fullmatch(file.stem)
        if name is None:
            continue
        if file.stat().st_size > MAX_ARRAY_BYTES:
            raise InputError(f"{file} has {file.stat().st_size} bytes, expected {MAX_ARRAY_BYTES} at most")
        try:
            value = np.load(file, allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise InputError(f"{file} is no array of NumPy: {error}") from error
        if not (isinstance(value, np.ndarray) and np.issubdtype(value.dtype, np.floating)):
            raise InputError(f"{file} is no array of floating-point numbers")
        arrays[f"moduleBasic.{int(name[1]) - 1}.conv{name[2]}.{name[3]}"] = value
    if not arrays:
        raise InputError(f"{path} holds no array of a motion estimation", _HINT)
    return arrays
