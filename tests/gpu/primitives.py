"""What every primitive of `kernels/cuda/device.hpp` must give, in NumPy and apart from the emulator: after the PTX
manual."""

import numpy as np
from numpy.typing import NDArray

from dcvc_cli.backend.cuda.engine import CudaEngine

Words = NDArray[np.uint32]
NUM_IN, NUM_OUT = 16, 64


def run_probe(engine: CudaEngine, words: Words) -> Words:
    """The kernel's output (32, 64) for words (32, 16)."""
    given, out = engine.upload_array(words), engine.raw(4 * 32 * NUM_OUT, 4)
    engine.launch("primitives", (1,), **{"in": given.address, "out": out.address})
    return engine.download(out.address, (32, NUM_OUT), np.uint32)


def random_words(rng: np.random.Generator) -> Words:
    """Random words, some of them at the ends of their range."""
    words = rng.integers(0, 1 << 32, (32, NUM_IN), dtype=np.uint64).astype(np.uint32)
    ends = np.array([0, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0x7FFF8000, 0x80007FFF, 0x80808080, 0x7F7F7F7F], np.uint32)
    return np.where(rng.random(words.shape) < 0.2, rng.choice(ends, words.shape), words)


def expected(words: Words) -> Words:
    """The output that the primitives must give."""
    out = np.zeros((32, NUM_OUT), np.uint32)
    columns = [words[:, i] for i in range(NUM_IN)]
    signs = ((np.int8, np.int8), (np.uint8, np.int8), (np.int8, np.uint8), (np.uint8, np.uint8))
    for k, (a_type, b_type) in enumerate(signs):
        out[:, 4 * k : 4 * k + 4] = _product(words, a_type, b_type)
    copied = np.where(np.arange(32)[:, None] < 16, words[:, :4], 0).astype(np.uint32)
    rows = copied.view(np.uint16).reshape(4, 8, 8)  # matrix, row, element: lane l brought row l % 8 of matrix l / 8
    for lane in range(32):
        pairs = np.ascontiguousarray(rows[:, lane // 4, 2 * (lane % 4) : 2 * (lane % 4) + 2])
        out[lane, 16:20] = pairs.view(np.uint32)[:, 0]
    out[:, 20:24] = copied
    data = np.stack([columns[0], columns[1]], axis=1).view(np.uint8)
    out[:, 24] = np.ascontiguousarray(data[:, [1, 3, 5, 7]]).view(np.uint32)[:, 0]
    out[:, 25] = np.ascontiguousarray(data[:, [0, 2, 4, 6]]).view(np.uint32)[:, 0]
    limited = [np.clip(columns[i].view(np.int32), -32768, 32767).astype(np.int16).view(np.uint16) for i in (2, 3)]
    out[:, 26] = limited[0].astype(np.uint32) | limited[1].astype(np.uint32) << 16
    halves = [np.ascontiguousarray(columns[i]).view(np.int16).astype(np.int32) for i in (4, 5)]
    out[:, 27] = np.clip(halves[0] + halves[1], -32768, 32767).astype(np.int16).view(np.uint32)
    out[:, 28] = [_multiply_high(*(int(columns[i][lane]) for i in (6, 7, 8, 9))) for lane in range(32)]
    out[:, 29] = sum(int(flag & 1) << lane for lane, flag in enumerate(columns[10]))
    out[:, 30] = np.concatenate([columns[11][:4], columns[11][:-4]])
    out[:, 31] = [int(word).bit_count() for word in columns[12]]
    x = (columns[13].view(np.int32) >> 4).astype(np.float32)
    y = ((columns[14] & 0xFFFF) + 1).astype(np.float32)
    floats = (x - y, x * y, x / y, np.rint(x / np.float32(4096)))
    for i, values in enumerate(floats):
        out[:, 32 + i] = values.astype(np.float32).view(np.uint32)
    return out


def _product(words: Words, a_type: type, b_type: type) -> Words:
    """mma.m16n8k32 by the manual's fragments: the four sums of every lane."""
    a, b = np.zeros((16, 32), np.int64), np.zeros((32, 8), np.int64)
    for lane in range(32):
        group, thread = lane // 4, lane % 4
        for register in range(4):
            values = words[lane, register : register + 1].view(a_type)
            first = 4 * thread + (16 if register >= 2 else 0)
            a[group + 8 * (register % 2), first : first + 4] = values
        for register in range(2):
            first = 4 * thread + 16 * register
            b[first : first + 4, group] = words[lane, 4 + register : 5 + register].view(b_type)
    c = a @ b
    out = np.empty((32, 4), np.uint32)
    for lane in range(32):
        group, thread = lane // 4, lane % 4
        for i in range(4):
            total = int(c[group + 8 * (i // 2), 2 * thread + i % 2]) + int(words[lane, 8 + i])
            out[lane, i] = total % (1 << 32)
    return out


def _signed(value: int, bits: int) -> int:
    return value - (1 << bits) if value >> (bits - 1) else value


def _multiply_high(low: int, high: int, factor: int, multiplier: int) -> int:
    addend = _signed(high << 32 | low, 64) >> 2
    return ((_signed(factor, 32) >> 1) * (multiplier >> 1) + addend) >> 32 & 0xFFFFFFFF
