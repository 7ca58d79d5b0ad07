"""Random layers on the emulated GPU against the exact reference."""

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dcvc_cli.backend.cuda.engine import CudaEngine
from dcvc_cli.backend.exact_cuda import CudaValue, ExactCuda
from dcvc_cli.backend.exact_network import ExactNetwork, ExactScale, ExactValue
from dcvc_cli.backend.exact_twin import ExactTwin
from dcvc_cli.graph.blocks import Conv, Depthwise, ScaleVector
from tests.cuda.emulated import EmulatedDevice, SeparateMemory
from tests.support.random_layers import CHANNELS, KINDS, SIZES, VALUES, first_mismatch, random_conv, random_values

EXPONENT = 8


def engine_on(library: Any, *options: Any) -> CudaEngine:
    """An engine on the emulator (options as EmulatedDevice has them), every value in memory of its own."""
    device = EmulatedDevice(library, *options)
    return CudaEngine(device, SeparateMemory(device))


def engines_of_all_orders(library: Any) -> list[CudaEngine]:
    """In order and at random, asynchronous copies late and early, small tiles and large ones."""
    orders = ((0, True, 132), (0, False, 1), (1, True, 1), (2, False, 132))
    return [engine_on(library, *order) for order in orders]


def on_device(ops: ExactCuda, x: NDArray[np.int16], exponent: int = EXPONENT) -> CudaValue:
    """(c, h, w) -> a value of the backend."""
    return CudaValue(ops.layers, exponent, ops.engine.upload_tensor(np.ascontiguousarray(x.transpose(1, 2, 0))))


def data_of(ops: ExactCuda, value: CudaValue) -> NDArray[np.int16]:
    """The value as (c, h, w)."""
    return ops.engine.download_tensor(value.tensor).transpose(2, 0, 1)


def random_size(rng: np.random.Generator, least: int) -> tuple[int, int]:
    height, width = SIZES[rng.integers(len(SIZES))]
    return max(height, least), max(width, least)


def random_case(seed: int) -> tuple[dict[str, Any], Any, list[NDArray[np.int16]], str]:
    """(layers, what to run on operations and inputs, the inputs, what it is)."""
    rng = np.random.default_rng(seed)
    cin, cout = (int(c) for c in rng.choice(CHANNELS, 2))
    kind, values = KINDS[rng.integers(3)], VALUES[rng.integers(3)]
    told = f"seed {seed} {cin}->{cout} {kind} {values}"
    form = int(rng.integers(13))

    def inputs(*channels: int, least: int = 1) -> list[NDArray[np.int16]]:
        size = random_size(rng, least)
        return [random_values(rng, (c, *size), values) for c in channels]

    if form == 0:
        layer = Depthwise("layer", cin)
        return (
            {"layer": random_conv(rng, (cin, 1, 3, 3), kind)},
            lambda ops, x: ops.depthwise(layer, x),
            inputs(cin),
            f"depthwise {told}",
        )
    if form in (1, 2):
        kernel, stride, padding = ((2, 2, 0), (3, 1, 1), (3, 2, 1))[rng.integers(3)]
        conv = Conv("layer", cin, cout, kernel, stride, padding)
        numbers = {"layer": random_conv(rng, (cout, cin, kernel, kernel), kind)}
        return (
            numbers,
            lambda ops, x: ops.conv(conv, x),
            inputs(cin, least=kernel),
            f"{kernel}x{kernel}/{stride} {told}",
        )
    if form == 3:
        conv = Conv("layer", cin + 24, cout)
        numbers = {"layer": random_conv(rng, (cout, cin + 24, 1, 1), kind)}
        return numbers, lambda ops, x, y: ops.conv(conv, ops.concat(x, y)), inputs(cin, 24), f"two ranges {told}"
    exponents = (EXPONENT, int(rng.integers(5, 14)))
    if form == 4:
        conv = Conv("layer", cin, 2 * cout)
        numbers = {"layer": random_conv(rng, (2 * cout, cin, 1, 1), kind, exponents)}
        return numbers, lambda ops, x: chunked(ops, conv, x), inputs(cin), f"chunked {told}"
    if form == 5:
        conv = Conv("layer", cin, cout)
        numbers = {"layer": random_conv(rng, (cout, cin, 1, 1), kind, exponents)}
        return numbers, lambda ops, x: active(ops, ops.conv(conv, x)), inputs(cin), f"active {told}"
    if form == 6:
        conv = Conv("layer", cin, 4 * cout)
        numbers = {"layer": random_conv(rng, (4 * cout, cin, 1, 1), kind)}
        return numbers, lambda ops, x: ops.pixel_shuffle(ops.conv(conv, x), 2), inputs(cin), f"sub-pixel {told}"
    if form == 10:
        conv = Conv("layer", cin, 4 * cout)
        numbers = {"layer": random_conv(rng, (4 * cout, cin, 1, 1), kind, exponents)}
        return numbers, lambda ops, x: fours(ops, conv, x), inputs(cin), f"fours {told}"
    if form == 11:
        conv, factor = Conv("layer", 4 * cin, cout), 2
        height, width = random_size(rng, 1)
        x = random_values(rng, (cin, factor * height, factor * width), values)
        numbers = {"layer": random_conv(rng, (cout, 4 * cin, 1, 1), kind)}
        return numbers, lambda ops, x: ops.conv_of_cells(conv, x, factor), [x], f"of cells {told}"
    if form == 12:
        conv = Conv("layer", cin, cout)
        numbers = {"layer": random_conv(rng, (cout, cin, 1, 1), kind)}
        return numbers, lambda ops, x: ops.from_centre(ops.clamp_centred(ops.conv(conv, x))), inputs(cin), told
    conv, vector = Conv("layer", cin, cout), ScaleVector("vector", 3, cout)
    scale = ExactScale(
        random_values(rng, (3, cout), values), rng.integers(1, 31, 3).astype(np.uint8), EXPONENT, EXPONENT
    )
    numbers = {"layer": random_conv(rng, (cout, cin, 1, 1), kind), "vector": scale}
    row = int(rng.integers(3))
    if form == 7:
        return (
            numbers,
            lambda ops, x, y: ops.scale(vector, ops.add(ops.conv(conv, x), y), row),
            inputs(cin, cout),
            f"scaled {told}",
        )
    if form == 8:
        run = lambda ops, x, y, z: ops.add(ops.add(ops.conv(conv, x), y), z)  # noqa: E731
        return numbers, run, inputs(cin, cout, cout), f"two residuals {told}"
    return numbers, lambda ops, x: ops.clamp_unit(ops.conv(conv, x)), inputs(cin), f"picture {told}"


def active(ops: Any, x: Any) -> Any:
    """WSiLU, in the epilogue where the backend has one."""
    return ops.active(x) if isinstance(ops, ExactCuda) else ops.wsilu(x)


def chunked(ops: Any, conv: Conv, x: Any) -> Any:
    """Convolution, WSiLU and chunk-add."""
    y = active(ops, ops.conv(conv, x))
    return ops.chunked(y) if isinstance(ops, ExactCuda) else ops.chunk_add(y)


def fours(ops: Any, conv: Conv, x: Any) -> Any:
    """Convolution, WSiLU and sums of each four neighbouring channels."""
    y = active(ops, ops.conv(conv, x))
    return ops.folded_fours(y) if isinstance(ops, ExactCuda) else ops.add_fours(y)


def check_layers(seeds: Iterable[int], engines: list[CudaEngine]) -> None:
    """Every random layer on one of the engines; AssertionError at the first that differs or has a fault."""
    for seed in seeds:
        layers, run, inputs, told = random_case(seed)
        network = ExactNetwork(layers, EXPONENT)
        expected = run(ExactTwin(network), *(ExactValue(x, EXPONENT) for x in inputs))
        engine = engines[seed % len(engines)]
        ops = ExactCuda(network, engine)
        found = run(ops, *(on_device(ops, x) for x in inputs))
        assert found.exponent == expected.exponent, told
        data = data_of(ops, found)
        assert np.array_equal(expected.data, data), f"{told}: {first_mismatch(expected.data, data)}"
