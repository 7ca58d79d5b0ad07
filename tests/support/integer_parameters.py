"""Parameters of a network made from integers: the same bits on every machine, whatever its mathematical library."""

import zlib

import numpy as np

from dcvc_cli.preparing.calibration_material import hashed


def integer_parameters(shapes, seed: int) -> dict[str, np.ndarray]:
    """Returns float32 arrays for (name, shape) pairs: about -1 / sqrt(inputs)..1 / sqrt(inputs) for weights, 0.5..1.5
    for vectors, -0.5..0.5 for the rest."""
    state = {}
    for name, shape in shapes:
        numbers = (
            hashed(int(np.prod(shape)), zlib.crc32(f"{seed} {name}".encode()) & 0xFFFF).reshape(shape) / 65536 - 0.5
        )
        if name.endswith(".weight"):
            inputs = int(np.prod(shape[1:]))
            numbers *= 2.0 ** (1 - inputs.bit_length() // 2)
        elif name.startswith("q_"):
            numbers += 1
        state[name] = numbers.astype(np.float32)
    return state
