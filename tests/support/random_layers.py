"""Random integer layers and networks for the parity tests: valid by the bounds of the exact profile, often at their
ends."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dcvc_cli.backend.exact_network import ExactConv, ExactLayer, ExactNetwork, ExactScale, ExactValue
from dcvc_cli.backend.exact_rules import FRAME_EXPONENT, MAX_ROW_SUM
from dcvc_cli.families.uf.sizes import CELL_CHANNELS
from dcvc_cli.graph.blocks import ScaleVector, decoder_layers

EXPONENT = 8
CHANNELS = (1, 2, 3, 8, 16, 24, 31, 34, 48, 64, 65, 96, 128, 130)
SIZES = ((1, 1), (1, 5), (2, 3), (3, 1), (5, 7), (7, 9), (9, 16), (13, 11))
KINDS = ("narrow", "wide", "longest")
VALUES = ("small", "full", "ends")


def random_weight(rng: np.random.Generator, shape: tuple[int, ...], kind: str) -> NDArray[np.int16]:
    """`kind`: narrow (8 bits), wide (16 bits), or longest (every row sums to exactly 65535)."""
    num_inputs = int(np.prod(shape[1:]))
    if kind == "longest":
        parts = rng.dirichlet(np.full(num_inputs, 0.5), shape[0]) * MAX_ROW_SUM
        weight = np.minimum(np.floor(parts), 32767)
        for row in weight:
            for place in np.argsort(row):
                row[place] += min(MAX_ROW_SUM - row.sum(), 32767 - row[place])
    else:
        limit = min(127 if kind == "narrow" else 32767, 2 * MAX_ROW_SUM // num_inputs)
        weight = rng.integers(0, limit + 1, (shape[0], num_inputs))
        over = np.maximum(weight.sum(axis=1, keepdims=True) / MAX_ROW_SUM, 1.0)
        weight = np.floor(weight / over)
    return (weight * rng.choice((-1, 1), weight.shape)).astype(np.int16).reshape(shape)


def random_conv(
    rng: np.random.Generator, shape: tuple[int, ...], kind: str, exponents: tuple[int, int] = (EXPONENT, EXPONENT)
) -> ExactConv:
    """Makes a layer whose outputs fill the 16 bits, saturating now and then."""
    weight = random_weight(rng, shape, kind)
    row_sum = np.abs(weight.astype(np.int64)).reshape(shape[0], -1).sum(axis=1)
    num_inputs = int(np.prod(shape[1:]))
    spread = 2.0 ** rng.uniform(-2, 2, shape[0])
    multiplier = np.minimum(spread * 2.0**32 * np.sqrt(num_inputs) / np.maximum(row_sum, 1), 2**31 - 1).astype(np.int32)
    room = np.iinfo(np.int64).max - (row_sum << 15) * multiplier.astype(np.int64)
    addend = np.clip(rng.integers(-(2**46), 2**46, shape[0]), -room, room) + 2**31
    return ExactConv(weight, multiplier, np.minimum(addend, 2**62), *exponents)


def random_values(rng: np.random.Generator, shape: tuple[int, ...], kind: str) -> NDArray[np.int16]:
    """`kind`: small (a few hundred), full (all 16 bits) or ends (only the largest and smallest)."""
    if kind == "ends":
        return rng.choice(np.array([-32768, 32767], np.int16), shape)
    if kind == "full":
        return rng.integers(-32768, 32768, shape).astype(np.int16)
    return rng.normal(0, 300, shape).clip(-32768, 32767).astype(np.int16)


def random_network(model: Any, seed: int, kind: str = "narrow") -> ExactNetwork:
    """Makes integer parameters for a whole decoder, checked as if read from a file; activations neither die out nor all
    saturate."""
    rng = np.random.default_rng(seed)
    layers: dict[str, ExactLayer] = {}
    # With motion the sums that make the picture are in its exponent.
    to_picture = (
        {"recon_generation_net.head", "decoder.direct.conv.0"} if getattr(model, "predicts_pictures", False) else set()
    )
    for layer in decoder_layers(model):
        # After a reset of DCVC-UF the next unit starts from what a head makes.
        is_head = layer.name.startswith("recon_head.") and getattr(layer, "cout", 0) == CELL_CHANNELS
        after = FRAME_EXPONENT if layer.name in to_picture or is_head else EXPONENT
        takes_picture = ("feature_adaptor_i.adaptor", "feature_adaptor_i.conv.0.adaptor")
        before = FRAME_EXPONENT if layer.name in takes_picture else EXPONENT
        if isinstance(layer, ScaleVector):
            factors = rng.integers(8000, 24000, (layer.num_qps, layer.channels)).astype(np.int16)
            layers[layer.name] = ExactScale(factors, np.full(layer.num_qps, 14, np.uint8), EXPONENT, EXPONENT)
            continue
        shape = (
            (layer.cout, layer.cin, layer.kernel, layer.kernel) if hasattr(layer, "cin") else (layer.channels, 1, 3, 3)
        )
        conv = random_conv(rng, shape, kind, (before, after))
        damped = (conv.multiplier >> (7 if layer.name.endswith((".dc.3", ".ffn.2")) else 5)).astype(np.int32)
        layers[layer.name] = ExactConv(conv.weight, damped, (conv.addend >> 5) + 2**31, before, after)
    return ExactNetwork.from_arrays(model, ExactNetwork(layers, EXPONENT).to_arrays())


def native_value(x: NDArray[np.int16], exponent: int = EXPONENT) -> ExactValue:
    """Maps (c, h, w) -> a value of the native backend."""
    return ExactValue(np.ascontiguousarray(x.transpose(1, 2, 0)), exponent)


def first_mismatch(expected: NDArray[Any], found: NDArray[Any]) -> str:
    """Tells where two arrays first differ, for a failure message."""
    if expected.shape != found.shape or expected.dtype != found.dtype:
        return f"{expected.dtype}{expected.shape} against {found.dtype}{found.shape}"
    places = np.argwhere(expected != found)
    place = tuple(int(i) for i in places[0])
    return (
        f"{len(places)} of {expected.size} differ, first at {place}: expected {expected[place]}, found {found[place]}"
    )


def assert_same(expected: NDArray[Any], found: NDArray[Any], told: str) -> None:
    """Asserts that two arrays are equal, and names the first place where they differ."""
    assert np.array_equal(expected, found), f"{told}: {first_mismatch(expected, found)}"
