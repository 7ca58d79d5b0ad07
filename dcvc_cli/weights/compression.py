"""Compact storage of parameters and probability tables: integers with a step a channel, frequencies in 16 bits."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dcvc_cli.entropy.tables import CdfTable, TableError
from dcvc_cli.weights.stored_arrays import ESTIMATOR_PREFIX, STEP_SUFFIX, TABLE_PREFIX, Arrays

NARROW_LIMIT, WIDE_LIMIT = 127, 32767
"""Largest magnitude of a stored weight of 8 and of 16 bits."""
PRIOR_PREFIXES = ("hyper_", "y_", "temporal_prior")
"""Beginnings of the names of layers that only predict symbols."""


def table_arrays(table: CdfTable, prefix: str = TABLE_PREFIX) -> Arrays:
    """Makes arrays of the z table, as it is stored: frequencies (every one below 65536, 0 = unused) and the offset of
    each row."""
    widths = np.diff(table.cdf, axis=1)
    used = np.arange(widths.shape[1]) < (table.cdf_length - 1)[:, None]
    return {
        f"{prefix}.frequency": np.where(used, widths, 0).astype(np.uint16),
        f"{prefix}.offset": table.offset.astype(np.int8),
    }


def read_table(arrays: Mapping[str, NDArray[Any]], prefix: str) -> CdfTable:
    """Inverts table_arrays. TableError if the arrays are no table."""
    names = [f"{prefix}.frequency", f"{prefix}.offset"]
    if any(name not in arrays for name in names):
        raise TableError("its arrays are missing")
    frequency, offset = (arrays[name] for name in names)
    if frequency.ndim != 2 or frequency.dtype != np.uint16 or offset.dtype != np.int8:
        raise TableError("its arrays have the wrong shape or type")
    length = (frequency > 0).sum(axis=1) + 1
    cdf = np.zeros((frequency.shape[0], frequency.shape[1] + 1), np.int32)
    cdf[:, 1:] = np.cumsum(frequency, axis=1, dtype=np.int64)
    cdf[np.arange(cdf.shape[1]) >= length[:, None]] = 0
    return CdfTable(cdf, length.astype(np.int32), offset.astype(np.int32))


def carries_signal(name: str) -> bool:
    """Returns whether a layer carries the picture itself. Residual branches correct it, the direct path adds detail to
    it, priors only predict symbols: these do not. In the few layers that carry the picture, rounding to 8 bits is
    visible, so their weights are stored, and run in the exact profile, with 16 bits
    (docs/decisions/0011-exact-weight-widths.md)."""
    return not ({"dc", "ffn", "direct"} & set(name.split("."))) and not name.startswith(PRIOR_PREFIXES)


def _signal_limit(name: str) -> int:
    """Returns the largest integer of a layer with 16 bits. An encoder's layers run in bfloat16 and need no more than 12
    bits, which compress better."""
    return 2047 if name.startswith(("enc.", "encoder.")) else WIDE_LIMIT


def compress_parameters(parameters: Mapping[str, NDArray[np.float32]]) -> Arrays:
    """Stores convolution weights as int8 or int16 with one step per output channel and the rest in float32, without the
    bit estimator."""
    arrays: Arrays = {}
    for key, value in parameters.items():
        if key.startswith(ESTIMATOR_PREFIX):
            continue
        if not key.endswith(".weight"):
            arrays[key] = value.astype(np.float32)
            continue
        arrays |= integers_and_steps(
            key, value, *((_signal_limit(key), np.int16) if carries_signal(key) else (127, np.int8))
        )
    return arrays


def integers_and_steps(key: str, value: NDArray[np.float32], limit: int, kind: type) -> Arrays:
    """Splits a convolution weight into integers up to `limit`, and its steps."""
    flat = value.reshape(value.shape[0], -1).astype(np.float64)
    step = np.maximum(np.abs(flat).max(axis=1), 1e-12) / limit
    return {
        key: np.rint(flat / step[:, None]).astype(kind).reshape(value.shape),
        key + STEP_SUFFIX: step.astype(np.float32),
    }
