"""The integer rules of the exact profile: constants, tables and single steps. Source: docs/exact-arithmetic.md.

A value v with exponent e stands for v / 2^e. Every function here is bit-exact everywhere: NumPy int64 in, no float
anywhere.
"""

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Int64: TypeAlias = NDArray[np.int64]

ARITHMETIC_LEVEL = 1
SHIFT = 32
"""Every rescale is (acc * M + R) >> 32."""
MAX_ROW_SUM = 65535
"""Bound of sum |w| of a row of weights: 65535 * 32768 < 2^31, so a sum over int16 inputs fits 32 bits in any order."""
MAX_MULTIPLIER = (1 << 31) - 1
MAX_ADDEND = 1 << 62
MAX_EXPONENT = 15
WSILU_EXPONENTS = range(5, 14)
Z_EXPONENT = 8
"""Exponent of the hyper-latent: its symbols times 256 fill the 16 bits."""
FRAME_EXPONENT = 13
"""Exponent of pictures: samples in 0..1 are 0..8192."""
HALF_SAMPLE = 1 << (FRAME_EXPONENT - 1)
"""0.5 of a picture: samples around 0, in -0.5..0.5, are -4096..4096."""
PICTURE_CELL = 8
"""Side of the squares that engines keep pictures in, in samples."""
STEP_SIZE_EXPONENT = 13
"""Exponent of the image network's step sizes: 0.5..2 is 4096..16384."""
MILLIONTHS = 1_000_000

# fmt: off
WSILU_NODES = (
    0, 3872, 7204, 10040, 12399, 14307, 15793, 16893, 17645, 18087, 18258, 18198, 17943, 17528, 16985, 16343, 15627,
    14860, 14061, 13246, 12428, 11619, 10828, 10060, 9322, 8617, 7948, 7316, 6721, 6164, 5645, 5161, 4713, 4298, 3915,
    3563, 3239, 2941, 2669, 2419, 2192, 1984, 1795, 1623, 1466, 1324, 1195, 1078, 972, 876, 789, 710, 639, 575, 517,
    465, 418, 375, 337, 303, 272, 244, 219, 196, 0,
)
"""g(u) = u * sigmoid(-4 u) at u = i / 32, exponent 18, each raised by half the error of the chord; the last node ends g
at 2."""
HALF_TO_TWO_NODES = (
    0, 384, 764, 1139, 1505, 1860, 2202, 2529, 2839, 3132, 3407, 3664, 3902, 4122, 4325, 4510, 4679, 4833, 4972, 5098,
    5212, 5314, 5406, 5488, 5561, 5627, 5685, 5737, 5784, 5825, 5862, 5894, 5923, 5949, 5971, 5991, 6009, 6025, 6039,
    6051, 6062, 6071, 6080, 6087, 6094, 6100, 6105, 6110, 6114, 6117, 6120, 6123, 6126, 6128, 6130, 6131, 6133, 6134,
    6135, 6136, 6137, 6138, 6139, 6139, 6144,
)
"""1.5 * (sigmoid(u) - 0.5) at u = i / 8, exponent 13."""
SCALE_THRESHOLDS = (
    115343, 119956, 124753, 129742, 134930, 140326, 145938, 151774, 157844, 164156, 170721, 177548, 184648, 192032,
    199712, 207698, 216004, 224642, 233626, 242969, 252685, 262790, 273299, 284228, 295595, 307416, 319710, 332495,
    345792, 359620, 374001, 388958, 404512, 420689, 437512, 455009, 473205, 492128, 511809, 532276, 553562, 575700,
    598722, 622665, 647566, 673462, 700394, 728403, 757533, 787827, 819332, 852098, 886173, 921612, 958468, 996797,
    1036659, 1078116, 1121230, 1166069, 1212700, 1261197, 1311633, 1364085, 1418636, 1475368, 1534368, 1595728, 1659542,
    1725908, 1794928, 1866708, 1941358, 2018994, 2099735, 2183704, 2271031, 2361851, 2456302, 2554531, 2656688, 2762930,
    2873421, 2988330, 3107835, 3232118, 3361372, 3495795, 3635593, 3780982, 3932185, 4089435, 4252974, 4423052, 4599932,
    4783885, 4975195, 5174155, 5381072, 5596263, 5820060, 6052807, 6294861, 6546596, 6808397, 7080668, 7363827, 7658310,
    7964569, 8283075, 8614319, 8958810, 9317077, 9689671, 10077165, 10480155, 10899261, 11335127, 11788424, 12259849,
    12750125, 13260009, 13790282, 14341762, 14915295, 15511764, 16132087, 16777216,
)
"""Lower ends of the 128 scale ranges, exponent 20."""
# fmt: on


def saturate16(values: Any) -> Int64:
    """Limits to -32768..32767."""
    return np.clip(np.asarray(values, np.int64), -32768, 32767)


def rescale(accumulator: Int64, multiplier: Any, addend: Any) -> Int64:
    """Computes sat16((acc * M + R) >> 32); the half that rounds (ties toward plus infinity) is part of R."""
    return saturate16((accumulator * np.asarray(multiplier, np.int64) + np.asarray(addend, np.int64)) >> SHIFT)


def shift_round(values: Int64, bits: int) -> Int64:
    """Computes values / 2^bits, ties toward plus infinity; negative bits shift left."""
    return values << -bits if bits <= 0 else (values + (1 << (bits - 1))) >> bits


def wsilu(x: Int64, exponent: int) -> Int64:
    """Computes x * sigmoid(4 x) as max(x, 0) - g(|x|), g by 64 linear pieces; input and output share the exponent,
    5..13."""
    nodes = np.array(WSILU_NODES, np.int64)
    magnitude = np.minimum(np.abs(x), (2 << exponent) - 1)
    piece = magnitude >> (exponent - 5)
    within = (magnitude - (piece << (exponent - 5))) << (20 - exponent)
    g = nodes[piece] + shift_round((nodes[piece + 1] - nodes[piece]) * within, 15)
    return np.maximum(x, 0) - shift_round(g, 18 - exponent)


def half_to_two(x: Int64, exponent: int) -> Int64:
    """Computes sigmoid(x) * 1.5 + 0.5 with exponent 13, odd around 1.25, by 64 linear pieces on [0, 8)."""
    nodes = np.array(HALF_TO_TWO_NODES, np.int64)
    magnitude = np.minimum(np.abs(x) << (15 - exponent), (8 << 15) - 1)
    piece, within = magnitude >> 12, magnitude & 4095
    distance = nodes[piece] + shift_round((nodes[piece + 1] - nodes[piece]) * within, 12)
    return (5 << 11) + np.where(x < 0, -distance, distance)


def smallest_step_size(exponent: int) -> int:
    """Returns 0.5: the lower clamp of the video model's step size; 1 where the exponent cannot express it."""
    return max((1 << exponent) >> 1, 1)


def row_of_scale(exponent: int) -> NDArray[np.uint8]:
    """Returns the table row of every int16 scale with this exponent: (65536,), indexed by the scale's 16 bits as an
    unsigned number."""
    signed = np.arange(65536, dtype=np.int64)
    signed[32768:] -= 65536
    rows = np.searchsorted(np.array(SCALE_THRESHOLDS, np.int64), signed << (20 - exponent), side="right")
    return (np.maximum(rows, 1) - 1).astype(np.uint8)


def largest_skipped(skip_threshold: float | None, exponent: int) -> int:
    """Returns the largest int16 scale that is not coded: coded means scale * 10^6 > T * 2^exponent, T the stream's
    integer of millionths. Without a threshold everything is coded: -32769."""
    if skip_threshold is None:
        return -32769
    return min((round(skip_threshold * MILLIONTHS) << exponent) // MILLIONTHS, 32767)


def samples_from_sum(total: Int64, count_bits: int, *, truncate: bool) -> NDArray[np.uint8]:
    """Computes 8-bit samples from sums of 2^count_bits picture values: 255 * mean, rounded half up or truncated."""
    bits = FRAME_EXPONENT + count_bits
    return ((total * 255 + (0 if truncate else 1 << (bits - 1))) >> bits).astype(np.uint8)
