"""Every fast kernel against its slow twin: random layers, ends of the ranges, all sizes, all thread counts, all
instruction sets."""

import os
import time

import numpy as np
import pytest

from dcvc_cli.backend import exact_rules as rules
from dcvc_cli.backend.exact_network import ExactConv, ExactNetwork, ExactScale, ExactValue
from dcvc_cli.backend.exact_twin import ExactTwin
from dcvc_cli.graph.blocks import Conv, DepthConvBlock, Depthwise, FourfoldBlock, ScaleVector
from dcvc_cli.graph.latent_steps import IMAGE_STEPS, VIDEO_STEPS
from tests.support.random_layers import (
    CHANNELS,
    KINDS,
    SIZES,
    VALUES,
    assert_same,
    native_value,
    random_conv,
    random_values,
)

_kernels = pytest.importorskip("dcvc_cli._kernels")
from dcvc_cli.backend.exact_native import ExactNative, make_engine  # noqa: E402

pytestmark = pytest.mark.native
ISAS = _kernels.usable_isas()
NUM_RANDOM_LAYERS = 400
WIDE_CHANNELS = (192, 256, 320, 368, 384, 512, 514)


@pytest.fixture(scope="module")
def engines():
    return {(isa, threads): make_engine(threads, isa) for isa in ISAS for threads in (1, 2, 3)}


def compare(name, numbers, run, x, engines, told, all_threads=False):
    """Runs `run(ops)` on the reference and on every engine; returns seconds spent in each."""
    network = ExactNetwork(numbers if isinstance(numbers, dict) else {name: numbers}, 8)
    start = time.perf_counter()
    expected = run(ExactTwin(network), x)
    seconds = {"reference": time.perf_counter() - start}
    for (isa, threads), engine in engines.items():
        if not all_threads and threads != 1 + (len(told) + ISAS.index(isa)) % 3:
            continue
        start = time.perf_counter()
        found = run(ExactNative(network, engine), native_value(x.data, x.exponent))
        seconds[isa] = seconds.get(isa, 0.0) + time.perf_counter() - start
        assert found.exponent == expected.exponent
        assert_same(expected.data, found.data.transpose(2, 0, 1), f"{told} isa {isa} threads {threads}")
    return seconds


def random_case(seed):
    """Makes a random convolution, depthwise layer or scale vector with an input."""
    rng = np.random.default_rng(seed)
    cin, cout = (int(c) for c in rng.choice(CHANNELS, 2))
    height, width = SIZES[rng.integers(len(SIZES))]
    kind, values = KINDS[rng.integers(3)], VALUES[rng.integers(3)]
    shape = rng.integers(6)
    if shape == 0:
        x = random_values(rng, (cin, height, width), values)
        layer = Depthwise("layer", cin)
        return layer, random_conv(rng, (cin, 1, 3, 3), kind), lambda ops, v: ops.depthwise(layer, v), x, (kind, values)
    if shape == 1:
        vector = ScaleVector("layer", 2, cin)
        factors = random_values(rng, (2, cin), values)
        numbers = ExactScale(factors, np.array([1 + seed % 30, 14], np.uint8), 8, 8)
        qp = int(rng.integers(2))
        return (
            vector,
            numbers,
            lambda ops, v: ops.scale(vector, v, qp),
            random_values(rng, (cin, height, width), values),
            ("scale", values),
        )
    kernel, stride, padding = ((1, 1, 0), (1, 1, 0), (2, 2, 0), (3, 1, 1))[shape - 2]
    layer = Conv("layer", cin, cout, kernel=kernel, stride=stride, padding=padding)
    x = random_values(rng, (cin, max(height, kernel), max(width, kernel)), values)
    return (
        layer,
        random_conv(rng, (cout, cin, kernel, kernel), kind),
        lambda ops, v: ops.conv(layer, v),
        x,
        (kind, values),
    )


def check_random_layers(seeds, engines):
    total = {}
    for seed in seeds:
        layer, numbers, run, x, kinds = random_case(seed)
        seconds = compare(
            "layer",
            numbers,
            run,
            ExactValue(x, 8),
            engines,
            f"seed {seed} {type(layer).__name__} {vars(layer)} {kinds} {x.shape}",
        )
        for isa, spent in seconds.items():
            total[isa] = total.get(isa, 0.0) + spent
    print({isa: f"{spent:.2f} s" for isa, spent in total.items()})


def test_random_layers_agree(engines):
    check_random_layers(range(NUM_RANDOM_LAYERS), engines)


@pytest.mark.slow
@pytest.mark.skipif(
    "DCVC_RANDOM_LAYERS" not in os.environ, reason="long run: set DCVC_RANDOM_LAYERS to the number of layers"
)
def test_many_random_layers_agree(engines):
    count = int(os.environ["DCVC_RANDOM_LAYERS"])
    check_random_layers(range(NUM_RANDOM_LAYERS, NUM_RANDOM_LAYERS + count), engines)


@pytest.mark.parametrize("cin", WIDE_CHANNELS)
def test_wide_layers_agree(cin, engines):
    rng = np.random.default_rng(cin)
    for kind in KINDS:
        layer = Conv("layer", cin, 96)
        x = ExactValue(random_values(rng, (cin, 7, 9), "full"), 8)
        compare(
            "layer",
            random_conv(rng, (96, cin, 1, 1), kind),
            lambda ops, v, layer=layer: ops.conv(layer, v),
            x,
            engines,
            f"{cin} {kind}",
        )


def test_longest_sums_do_not_wrap(engines):
    """Rows of 65535 against inputs at the ends with the weights' own signs: the largest sums that there are."""
    rng = np.random.default_rng(7)
    layer = Conv("layer", 130, 70)
    numbers = random_conv(rng, (70, 130, 1, 1), "longest")
    for row in range(0, 70, 7):
        signs = np.where(numbers.weight[row, :, 0, 0] < 0, 32767, -32768).astype(np.int16)
        x = np.stack([signs, np.where(signs > 0, -32768, 32767).astype(np.int16)], axis=-1).reshape(130, 1, 2)
        total = np.abs((numbers.weight[row, :, 0, 0].astype(np.int64)[:, None, None] * x).sum(axis=0))
        assert total.max() >= 65535 * 32767
        compare(
            "layer",
            numbers,
            lambda ops, v: ops.conv(layer, v),
            ExactValue(x, 8),
            engines,
            f"row {row}",
            all_threads=True,
        )


def block_numbers(rng, block, kind, dc_exponent=10, ffn_exponent=9):
    numbers = {}
    exponents = {
        "dc.0": (8, dc_exponent),
        "dc.2": (dc_exponent, 12),
        "dc.3": (12, 8),
        "ffn.0": (8, ffn_exponent),
        "ffn.2": (ffn_exponent, 8),
    }
    for name, shape in block.shapes():
        key = name.removeprefix("block.").removesuffix(".weight")
        if name.endswith(".weight"):
            numbers[f"block.{key}"] = random_conv(rng, shape, kind, exponents.get(key, (8, 8)))
    return numbers


@pytest.mark.parametrize("channels", [8, 16, 24, 64, 128, 192, 320, 368])
@pytest.mark.parametrize("shortcut", [False, True])
def test_fused_block_is_the_plain_one(channels, shortcut, engines):
    sizes = ((1, 1), (3, 5), (8, 13), (11, 10)) if channels <= 64 else ((1, 1), (3, 5), (2, 9))
    for seed, (height, width) in enumerate(sizes):
        rng = np.random.default_rng(1000 * channels + seed)
        cin = channels if shortcut or seed % 2 else int(rng.choice((16, 24, 192)))
        block = DepthConvBlock("block", cin, channels, shortcut=shortcut)
        dc_exponent, ffn_exponent = (int(e) for e in rng.integers(5, 14, 2))
        numbers = block_numbers(rng, block, KINDS[seed % 3], dc_exponent, ffn_exponent)
        x = ExactValue(random_values(rng, (cin, height, width), VALUES[seed % 3]), 8)
        told = f"seed {1000 * channels + seed} {cin}->{channels} {height}x{width}"
        seconds = compare(
            "block",
            numbers,
            lambda ops, v, block=block: ops.depth_conv_block(block, v),
            x,
            engines,
            told,
            all_threads=seed == 2,
        )
        print(told, {isa: f"{spent * 1e3:.1f} ms" for isa, spent in seconds.items()})


@pytest.mark.parametrize("channels", [8, 16, 24, 40, 128, 192, 256, 512])
@pytest.mark.parametrize("divisor", [1, 2])
def test_fused_fourfold_block_is_the_plain_one(channels, divisor, engines):
    sizes = ((1, 1), (3, 5), (8, 13), (11, 10)) if channels <= 64 else ((1, 1), (2, 9))
    for seed, (height, width) in enumerate(sizes):
        rng = np.random.default_rng(2000 * channels + 10 * divisor + seed)
        cin = channels if seed % 2 else int(rng.choice((16, 24, 192)))
        block = FourfoldBlock("block", cin, channels, channels // divisor, shortcut=divisor == 1 and cin == channels)
        dc_exponent, ffn_exponent = (int(e) for e in rng.integers(5, 14, 2))
        numbers = block_numbers(rng, block, KINDS[seed % 3], dc_exponent, ffn_exponent)
        x = ExactValue(random_values(rng, (cin, height, width), VALUES[seed % 3]), 8)
        told = f"seed {seed} {cin}->{channels} / {divisor} {height}x{width}"
        compare("block", numbers, lambda ops, v, block=block: block(ops, v), x, engines, told, all_threads=seed == 1)


@pytest.mark.parametrize(("height", "width"), [(11, 10), (3, 120)])
@pytest.mark.parametrize("cin", [8, 20])
def test_a_block_of_parts_is_one_of_their_concatenation(cin, height, width, engines):
    """Also where a row takes more pixels than threads take at once."""
    rng = np.random.default_rng(cin * width)
    channels = 20
    block = FourfoldBlock("block", cin, channels, channels // 2)
    numbers = block_numbers(rng, block, "wide")
    x = ExactValue(random_values(rng, (cin, height, width), "full"), 8)

    def run(ops, value):
        return block(ops, *ops.split(value, (6, cin - 6)))

    compare("block", numbers, run, x, engines, f"{cin}->{channels} {height}x{width}", all_threads=True)


@pytest.mark.parametrize("exponent", range(16))
def test_pictures_around_zero_agree(exponent, engines):
    every = np.arange(-32768, 32768).astype(np.int16).reshape(1, 256, 256)

    def run(ops, value):
        return ops.from_centre(ops.clamp_centred(value))

    compare("none", {}, run, ExactValue(every, exponent), engines, f"exponent {exponent}")


@pytest.mark.parametrize("channels", [4, 12, 64, 100])
def test_sums_of_four_channels_agree(channels, engines):
    for seed, kind in enumerate(VALUES):
        x = ExactValue(random_values(np.random.default_rng(seed), (channels, 5, 7), kind), 8)
        compare("none", {}, lambda ops, v: ops.add_fours(v), x, engines, f"{channels} {kind}", all_threads=True)


def test_a_convolution_of_cells_is_one_of_the_unshuffled_value(engines):
    rng = np.random.default_rng(5)
    for factor, cin, cout, (height, width) in ((2, 6, 10, (4, 6)), (2, 128, 96, (2, 10)), (4, 3, 5, (8, 4))):
        layer = Conv("layer", cin * factor**2, cout)
        numbers = random_conv(rng, (cout, cin * factor**2, 1, 1), "narrow")
        x = ExactValue(random_values(rng, (cin, height, width), "full"), 8)
        told = f"{factor} {cin}->{cout}"
        compare("layer", numbers, lambda ops, v, n=layer, f=factor: ops.conv_of_cells(n, v, f), x, engines, told)


@pytest.mark.parametrize("exponent", list(rules.WSILU_EXPONENTS))
def test_activation_of_every_value(exponent, engines):
    every = np.arange(-32768, 32768).astype(np.int16).reshape(1, 256, 256)
    compare(
        "none",
        {},
        lambda ops, v: ops.wsilu(v),
        ExactValue(every, exponent),
        engines,
        f"exponent {exponent}",
        all_threads=True,
    )
    exact = every.astype(np.float64) / 2.0**exponent
    with np.errstate(over="ignore"):
        wanted = exact / (1 + np.exp(-4 * exact))
    found = ExactTwin(ExactNetwork({}, 8)).wsilu(ExactValue(every, exponent)).data / 2.0**exponent
    assert np.abs(found - wanted).max() <= 0.5 / 2.0**exponent + 0.0004 + 0.0007 * (exponent > 8)


def test_steps_and_pictures_agree(engines):
    rng = np.random.default_rng(3)
    reference = ExactTwin(ExactNetwork({}, 6))
    for seed in range(12):
        step = (*IMAGE_STEPS, *VIDEO_STEPS)[seed % 6]
        height, width = SIZES[seed % len(SIZES)]
        exponent = int(rng.integers(5, 13))
        scales = ExactValue(random_values(rng, (16, height, width), VALUES[seed % 2]), exponent)
        means = ExactValue(random_values(rng, (16, height, width), VALUES[seed % 3]), exponent)
        symbols = rng.integers(-128, 128, (16 // step.num_groups, height, width)).astype(np.int8)
        factor = ExactValue(random_values(rng, (1 if seed % 2 else 16, height, width), "full"), 7)
        for (isa, threads), engine in engines.items():
            ops, told = ExactNative(ExactNetwork({}, 6), engine), f"seed {seed} {isa} {threads}"
            native_means = native_value(means.data, exponent)
            for threshold in (None, 0.12, 0.5):
                wanted, got = (
                    reference.step_index(step, scales, threshold),
                    ops.step_index(step, native_value(scales.data, exponent), threshold),
                )
                assert_same(wanted[0], got[0], told)
                assert_same(wanted[1], got[1], told)
            wanted = reference.restore_step(step, symbols, means)
            assert_same(wanted.data, ops.restore_step(step, symbols, native_means).data.transpose(2, 0, 1), told)
            wanted = reference.multiply_step_size(means, factor)
            assert_same(
                wanted.data,
                ops.multiply_step_size(native_means, native_value(factor.data, 7)).data.transpose(2, 0, 1),
                told,
            )
            cells = ExactValue(random_values(rng, (192, height, width), VALUES[seed % 3]), int(rng.integers(8, 16)))
            picture = reference.clamp_unit(reference.pixel_shuffle(cells, 8))
            native_picture = ops.clamp_unit(ops.pixel_shuffle(native_value(cells.data, cells.exponent), 8))
            centred = reference.clamp_centred(reference.pixel_shuffle(cells, 8))
            native_centred = ops.clamp_centred(ops.pixel_shuffle(native_value(cells.data, cells.exponent), 8))
            assert_same(
                reference.export_fine(reference.from_centre(centred)),
                ops.export_fine(ops.from_centre(native_centred)),
                told,
            )
            for halve in (False, True):
                for truncate in (False, True):
                    wanted = reference.export_planes(picture, halve_chroma=halve, truncate_chroma=truncate)
                    for a, b in zip(
                        wanted,
                        ops.export_planes(native_picture, halve_chroma=halve, truncate_chroma=truncate),
                        strict=True,
                    ):
                        assert_same(a, b, told)
            assert_same(reference.export_fine(picture), ops.export_fine(native_picture), told)
            assert_same(
                reference.pixel_unshuffle(picture, 8).data,
                ops.pixel_unshuffle(native_picture, 8).data.transpose(2, 0, 1),
                told,
            )


def test_wrong_arrays_are_refused_not_read():
    engine = make_engine(1)
    ones = np.ones(4, np.int32), np.zeros(4, np.int64)
    layer = _kernels.Conv(np.ones((4, 1, 1, 6), np.int16), *ones, 1, 0)
    for bad in (np.zeros((2, 2, 5), np.int16), np.zeros((2, 6), np.int16), np.zeros((0, 2, 6), np.int16)):
        with pytest.raises(ValueError, match=r"channels|tensor"):
            engine.conv(layer, bad)
    with pytest.raises(TypeError):
        engine.conv(layer, np.zeros((2, 2, 6), np.float32))
    with pytest.raises(ValueError, match="65535"):
        _kernels.Conv(np.full((4, 1, 1, 6), 20000, np.int16), *ones, 1, 0)
    with pytest.raises(ValueError, match="shape"):
        engine.add(np.zeros((2, 2, 6), np.int16), np.zeros((2, 3, 6), np.int16))


def test_layer_of_extreme_rescale(engines):
    """The largest multiplier and addends at 2^62: the 64-bit product comes within the bound and no further."""
    layer = Conv("layer", 4, 4)
    weight = np.array([[32767, -32767, 1, 0], [1, 0, 0, 0], [0, 0, 0, 0], [-127, 127, 127, -127]], np.int16)[
        :, :, None, None
    ]
    sums = np.abs(weight.astype(np.int64)).sum(axis=(1, 2, 3)) << 15
    multiplier = np.minimum((2**62 - 1) // np.maximum(sums, 1), 2**31 - 1).astype(np.int32)
    numbers = ExactConv(weight, multiplier, np.array([2**62, -(2**62), 2**31, -(2**62)]), 8, 8)
    x = ExactValue(random_values(np.random.default_rng(0), (4, 5, 5), "ends"), 8)
    compare("layer", numbers, lambda ops, v: ops.conv(layer, v), x, engines, "extreme", all_threads=True)
