"""Every CUDA kernel, run by the emulator, against the exact reference: bit for bit, and without a fault in any order of
the threads."""

import os

import numpy as np
import pytest

from dcvc_cli.backend import exact_rules as rules
from dcvc_cli.backend.cuda.kernels import KERNELS
from dcvc_cli.backend.exact_analysis import AnalysisNetwork
from dcvc_cli.backend.exact_cuda import ExactCuda
from dcvc_cli.backend.exact_native import ExactNative
from dcvc_cli.backend.exact_network import ExactConv, ExactNetwork, ExactValue
from dcvc_cli.backend.exact_twin import ExactTwin
from dcvc_cli.graph.blocks import Conv, DepthConvBlock
from dcvc_cli.graph.latent_steps import IMAGE_STEPS, VIDEO_STEPS
from tests.cuda.emulated import ROOT, EmulatedDevice
from tests.cuda.layer_checks import VALUES, check_layers, data_of, engine_on, engines_of_all_orders, on_device
from tests.support.random_layers import assert_same, random_conv, random_values

NUM_RANDOM_LAYERS = 120


@pytest.fixture(scope="module")
def engines(emulator):
    return engines_of_all_orders(emulator)


def test_the_table_of_kernels_is_that_of_the_sources(emulator):
    """Block sizes, shared memory, and the size of every argument structure as Python makes it."""
    compiled = EmulatedDevice(emulator).kernels()
    assert set(compiled) == set(KERNELS)
    for name, kernel in KERNELS.items():
        assert compiled[name] == (kernel.threads, kernel.shared_bytes, len(bytes(kernel.structure()))), name


def test_random_layers_agree(engines):
    check_layers(range(NUM_RANDOM_LAYERS), engines)


@pytest.mark.slow
@pytest.mark.skipif(
    "DCVC_RANDOM_LAYERS" not in os.environ, reason="long run: set DCVC_RANDOM_LAYERS to the number of layers"
)
@pytest.mark.timeout(0)
def test_many_random_layers_agree(engines):
    check_layers(range(NUM_RANDOM_LAYERS, NUM_RANDOM_LAYERS + int(os.environ["DCVC_RANDOM_LAYERS"])), engines)


@pytest.mark.parametrize("channels", [192, 368, 514])
def test_wide_layers_agree(channels, engines):
    rng = np.random.default_rng(channels)
    for kind, engine in zip(("narrow", "wide", "longest"), engines, strict=False):
        layer, x = Conv("layer", channels, 70), random_values(rng, (channels, 5, 14), "full")
        network = ExactNetwork({"layer": random_conv(rng, (70, channels, 1, 1), kind)}, 8)
        ops = ExactCuda(network, engine)
        expected = ExactTwin(network).conv(layer, ExactValue(x, 8))
        assert_same(expected.data, data_of(ops, ops.conv(layer, on_device(ops, x))), f"{channels} {kind}")


def test_longest_sums_do_not_wrap(engines):
    """Rows of 65535 against inputs at the ends with the weights' own signs: the largest sums that there are, in 8 and
    in 16 bits."""
    rng = np.random.default_rng(7)
    for channels, limit in ((520, 127), (130, 32767)):
        weight = np.full((4, channels), min(limit, 65535 // channels), np.int64)
        weight[:, 0] += np.minimum(65535 - weight.sum(axis=1), limit - weight[:, 0])
        weight = (weight * rng.choice((-1, 1), weight.shape)).astype(np.int16).reshape(4, channels, 1, 1)
        numbers = ExactConv(
            weight, np.array([1 << 16, 1 << 30, 3, 1 << 20], np.int32), np.full(4, 1 << 31, np.int64), 8, 8
        )
        signs = np.where(weight[:, :, 0, 0].T < 0, 32767, -32768).astype(np.int16)
        x = np.concatenate([signs, -1 - signs], axis=1).reshape(channels, 1, 8)
        network, layer = ExactNetwork({"layer": numbers}, 8), Conv("layer", channels, 4)
        expected = ExactTwin(network).conv(layer, ExactValue(x, 8)).data
        for engine in engines:
            ops = ExactCuda(network, engine)
            assert_same(expected, data_of(ops, ops.conv(layer, on_device(ops, x))), f"{channels}")


@pytest.mark.parametrize(("channels", "cin", "shortcut"), [(24, 24, False), (24, 48, False), (40, 40, True)])
def test_blocks_agree(channels, cin, shortcut, engines):
    rng = np.random.default_rng(channels + cin)
    block = DepthConvBlock("block", cin, channels, shortcut=shortcut)
    c = channels
    exponents = {
        "dc.0": (8, 10),
        "dc.2": (10, 12),
        "dc.3": (12, 8),
        "ffn.0": (8, 9),
        "ffn.2": (9, 8),
        "adaptor": (8, 8),
    }
    shapes = {
        "dc.0": (c, c, 1, 1),
        "dc.2": (c, 1, 3, 3),
        "dc.3": (c, c, 1, 1),
        "ffn.0": (4 * c, c, 1, 1),
        "ffn.2": (c, 2 * c, 1, 1),
    }
    if cin != channels:
        shapes["adaptor"] = (c, cin, 1, 1)
    for kind, engine in zip(("narrow", "wide", "longest", "narrow"), engines, strict=True):
        layers = {f"block.{key}": random_conv(rng, shape, kind, exponents[key]) for key, shape in shapes.items()}
        network, x = ExactNetwork(layers, 8), random_values(rng, (cin, 9, 11), "full")
        ops = ExactCuda(network, engine)
        expected = ExactTwin(network).depth_conv_block(block, ExactValue(x, 8))
        assert_same(expected.data, data_of(ops, ops.depth_conv_block(block, on_device(ops, x))), f"{channels} {kind}")


@pytest.mark.parametrize("exponent", list(rules.WSILU_EXPONENTS))
def test_activation_of_every_value(exponent, engines):
    every = np.arange(-32768, 32768).astype(np.int16).reshape(16, 64, 64)[:: 1 + (exponent not in (5, 13)), ::2]
    ops = ExactCuda(ExactNetwork({}, 8), engines[exponent % 4])
    expected = ExactTwin(ExactNetwork({}, 8)).wsilu(ExactValue(every, exponent))
    assert_same(expected.data, data_of(ops, ops.wsilu(on_device(ops, every, exponent))), f"exponent {exponent}")


def test_values_agree(engines):
    """What no layer's epilogue does: sums, products, step sizes, limits, moves, at odd channels too."""
    for seed in range(24):
        rng = np.random.default_rng(seed)
        reference, ops = ExactTwin(ExactNetwork({}, 6)), ExactCuda(ExactNetwork({}, 6), engines[seed % 4])
        channels, size = int(rng.choice((1, 3, 8, 17, 24))), (int(rng.integers(1, 9)), int(rng.integers(1, 9)))
        exponent = int(rng.integers(0, 16))
        x, y = (random_values(rng, (4 * channels, *size), VALUES[(seed + k) % 3]) for k in range(2))
        one = random_values(rng, (1, *size), "full")
        first, second = 1 + seed % 3, 4 * channels - 2 - seed % 3
        cut = max(size[0] - 1, 1), max(size[1] - 2, 1)
        parts = (first, second, 4 * channels - first - second)
        runs = {
            "add": lambda o, a, b, s, e=exponent: o.add(a, b),
            "at least": lambda o, a, b, s: o.clamp_step_size(a),
            "half to two": lambda o, a, b, s: o.half_to_two(a),
            "multiply": lambda o, a, b, s: o.multiply_step_size(a, b),
            "multiply by one": lambda o, a, b, s: o.multiply_step_size(a, s),
            "picture": lambda o, a, b, s: o.clamp_unit(a),
            "crop": lambda o, a, b, s, cut=cut: o.crop(a, cut),
            "joined": lambda o, a, b, s: o.concat(s, b, s, a),
            "split": lambda o, a, b, s, p=parts: o.concat(*o.split(a, p)[::-1]) if min(p) > 0 else a,
            "odd sum": lambda o, a, b, s, p=parts: o.add(o.split(a, p)[1], o.split(b, p)[1]) if min(p) > 0 else a,
            "shuffle": lambda o, a, b, s: o.pixel_shuffle(a, 2),
            "there and back": lambda o, a, b, s: o.pixel_unshuffle(o.pixel_shuffle(a, 2), 2),
            "chunk-add": lambda o, a, b, s: o.chunk_add(a),
            "sums of fours": lambda o, a, b, s: o.add_fours(o.concat(a, a, b, a)),
            "padded": lambda o, a, b, s: o.pad_replicate(a, 4),
            "padded by one part": lambda o, a, b, s, p=parts: o.pad_replicate(o.split(a, p)[0], 5),
            "around zero": lambda o, a, b, s: o.from_centre(o.clamp_centred(a)),
        }
        for name, run in runs.items():
            expected = run(reference, *(ExactValue(v, exponent) for v in (x, y, one)))
            found = run(ops, *(on_device(ops, v, exponent) for v in (x, y, one)))
            assert found.exponent == expected.exponent
            assert ops.size(found) == reference.size(expected)
            assert_same(expected.data, data_of(ops, found), f"{name}, seed {seed}")


@pytest.mark.parametrize("own", [0, 6, 15])
def test_contexts_and_pictures_of_the_encoders_half_agree(own, engines):
    """Another exponent, rounded or saturated; a picture around zero has the exponent of contexts."""
    network = AnalysisNetwork({}, own)
    reference = ExactTwin(network)
    for seed, engine in enumerate(engines):
        ops = ExactCuda(network, engine)
        rng = np.random.default_rng(seed)
        for exponent in (0, 7, 15):
            x = random_values(rng, (11, 3, 5), VALUES[seed % 3])
            wanted = reference.context_from(reference, ExactValue(x, exponent))
            found = ops.context_from(ops, on_device(ops, x, exponent))
            assert (found.exponent, ops.size(found)) == (own, (3, 5))
            assert_same(wanted.data, data_of(ops, found), f"context, seed {seed}, exponent {exponent}")
        values = rng.random((3, 16, 24)).astype(np.float32)
        wanted, found = (o.centre(o.frame_from_values(values)) for o in (ExactNative(network), ops))
        assert found.exponent == wanted.exponent
        assert_same(wanted.data.transpose(2, 0, 1), data_of(ops, found), f"picture, seed {seed}")


def test_coding_steps_agree(engines):
    """Rows, flags and restored latents; the coded elements in stream order, whatever share is coded."""
    for seed in range(12):
        rng = np.random.default_rng(seed)
        step, engine = (*IMAGE_STEPS, *VIDEO_STEPS)[seed % 6], engines[seed % 4]
        size, exponent = ((1, 1), (3, 5), (17, 19))[seed % 3], int(rng.integers(5, 13))
        depth = (3, 4, 40)[seed // 4]
        scales, means = (random_values(rng, (depth * step.num_groups, *size), VALUES[(seed + k) % 3]) for k in range(2))
        reference, ops = ExactTwin(ExactNetwork({}, 6)), ExactCuda(ExactNetwork({}, 6), engine)
        at_2 = ops.split(
            on_device(ops, np.concatenate([scales[:2], scales, means]), exponent), (2, len(scales), len(means))
        )
        for threshold in (None, 0.12, 1.5):
            rows, coded = reference.step_index(step, ExactValue(scales, exponent), threshold)
            found_rows, found_coded = ops.step_index(step, at_2[1], threshold)
            assert_same(rows, found_rows, f"rows, seed {seed}")
            assert_same(coded, found_coded, f"flags, seed {seed}")
            symbols = np.where(coded, rng.integers(-128, 128, coded.shape), 0).astype(np.int8)
            wanted = reference.restore_step(step, symbols, ExactValue(means, exponent)).data
            assert_same(wanted, data_of(ops, ops.restore_step(step, symbols, at_2[2])), f"plane, seed {seed}")
            compact, places = ops.coded_rows(step, at_2[1], threshold)
            assert_same(rows[coded], compact, f"compact rows, seed {seed}")
            assert_same(
                wanted, data_of(ops, ops.restore_coded(step, symbols[coded], places, at_2[2])), f"compact, seed {seed}"
            )


def test_the_encoders_choice_agrees(engines):
    """Symbols, chosen in float32 on both sides: halves go to the even number, dead zones and limits hold."""
    for seed in range(8):
        rng = np.random.default_rng(seed)
        step, engine = (*IMAGE_STEPS, *VIDEO_STEPS)[seed % 6], engines[seed % 4]
        size, exponent, channels = ((1, 1), (3, 5), (9, 31))[seed % 3], int(rng.integers(5, 13)), 6 * step.num_groups
        scales, means = (random_values(rng, (channels, *size), VALUES[(seed + k) % 3]) for k in range(2))
        y = rng.normal(0, 40, (channels, *size)).astype(np.float32)
        y = np.where(rng.random(y.shape) < 0.5, np.round(2 * y) / 2, y).astype(np.float32)
        zero_below = None if seed % 2 else rng.uniform(0, 1, 128).astype(np.float32)
        reference, ops = ExactTwin(ExactNetwork({}, 6)), ExactCuda(ExactNetwork({}, 6), engine)
        told = f"seed {seed}"
        part, *planes = reference.quantise_step(
            step, y, ExactValue(scales, 6), ExactValue(means, exponent), 0.12, zero_below
        )
        values = on_device(ops, scales, 6), on_device(ops, means, exponent)
        found, *found_planes = ops.quantise_step(step, y, *values, 0.12, zero_below)
        assert_same(part.data, data_of(ops, found), told)
        for name, a, b in zip(("symbols", "rows", "flags"), planes, found_planes, strict=True):
            assert a.dtype == b.dtype
            assert_same(a, b, f"{name}, {told}")
        part_again, taken = ops.quantise_coded(step, y, *values, 0.12, zero_below)
        assert_same(part.data, data_of(ops, part_again), told)
        symbols, rows, coded = planes
        for name, a, b in zip(("symbols", "rows"), (symbols[coded], rows[coded]), taken(), strict=True):
            assert a.dtype == b.dtype
            assert_same(a, b, f"{name} in stream order, {told}")


def test_float_latents_on_the_device_agree(engines):
    """Integer latents become the floats of NumPy, times factors and inverse step sizes, one or one a channel."""
    for seed, engine in enumerate(engines):
        rng, exponent = np.random.default_rng(seed), (0, 5, 9, 15)[seed]
        size, channels = ((1, 1), (3, 5), (9, 31), (4, 4))[seed], 12
        step, scales = VIDEO_STEPS[seed % 2], random_values(rng, (channels, *size), "full")
        x, wide, one = (random_values(rng, (c, *size), "full") for c in (channels, channels, 1))
        wide, one = (np.where(values == 0, 1, values).astype(np.int16) for values in (wide, one))
        reference, ops = ExactTwin(ExactNetwork({}, 6)), ExactCuda(ExactNetwork({}, 6), engine)
        analysis, other = ExactTwin(ExactNetwork({}, 6)), ExactCuda(ExactNetwork({}, 6), engine)
        latents = [reference.latents_of(analysis, ExactValue(x, exponent))]
        latents += [ops.latents_of(other, on_device(ops, x, exponent))]
        results = []
        for o, y in zip((reference, ops), latents, strict=True):
            first, second, third, fourth = (
                ExactValue(v, e) if o is reference else on_device(ops, v, e)
                for v, e in ((wide, 7), (one, 13), (scales, 6), (x, 10))
            )
            scaled = y * o.encoder_factor(first) * o.reciprocal(second)
            results.append(o.quantise_coded(step, scaled, third, fourth, 0.12)[1]())
        for name, a, b in zip(("symbols", "rows"), *results, strict=True):
            assert_same(a, b, f"{name}, seed {seed}")


@pytest.mark.parametrize("limits", [(-128, 127), (-64, 63)])
def test_the_encoders_hyper_latents_agree(limits, engines):
    for seed, engine in enumerate(engines):
        z = random_values(np.random.default_rng(seed), ((1, 8, 24, 130)[seed], 3, 5), VALUES[seed % 3])
        reference, ops = ExactTwin(ExactNetwork({}, 6)), ExactCuda(ExactNetwork({}, 6), engine)
        expected, z_hat = reference.choose_z(reference, ExactValue(z, 4 * seed), limits)
        found, found_z_hat = ops.choose_z(ops, on_device(ops, z, 4 * seed), limits)
        assert_same(expected(), found(), f"symbols, seed {seed}")
        assert_same(z_hat.data, data_of(ops, found_z_hat), f"z, seed {seed}")


def test_many_segments_keep_the_stream_order(engines):
    """More segments than the scan takes in one round."""
    rng, step = np.random.default_rng(0), VIDEO_STEPS[0]
    scales = random_values(rng, (2 * 1100, 1, 2), "small")
    reference, ops = ExactTwin(ExactNetwork({}, 6)), ExactCuda(ExactNetwork({}, 6), engines[2])
    rows, coded = reference.step_index(step, ExactValue(scales, 8), 0.12)
    compact, _ = ops.coded_rows(step, on_device(ops, scales), 0.12)
    assert_same(rows[coded], compact, "compact rows")


def test_no_conflicts_at_the_banks(emulator):
    """Shared memory is laid out so that lanes which access together never wait for each other, but in tables."""
    lookups = {"arithmetic.hpp": "load_shared<uint32_t>(table_offset", "latents.hpp": "kThresholdOffset + 4 * (row"}
    tables = set()
    for name, text in lookups.items():
        lines = (ROOT / "kernels" / "cuda" / name).read_text().splitlines()
        tables |= {f"{name}:{i}" for i, line in enumerate(lines, 1) if text in line}
    assert len(tables) == 2
    block, c = DepthConvBlock("block", 40, 40), 40
    shapes = {"dc.0": (c, c, 1, 1), "dc.2": (c, 1, 3, 3), "dc.3": (c, c, 1, 1), "ffn.0": (4 * c, c, 1, 1)}
    shapes["ffn.2"] = (c, 2 * c, 1, 1)
    rng = np.random.default_rng(0)
    for kind, multiprocessors in (("narrow", 1), ("narrow", 132), ("wide", 132)):
        layers = {f"block.{key}": random_conv(rng, shape, kind) for key, shape in shapes.items()}
        engine = engine_on(emulator, 0, True, multiprocessors)
        engine.device.count_conflicts = True
        ops = ExactCuda(ExactNetwork(layers, 8), engine)
        x = random_values(rng, (c, 9, 11), "full")
        data_of(ops, ops.depth_conv_block(block, on_device(ops, x)))
        ops.coded_rows(VIDEO_STEPS[0], on_device(ops, x), 0.12)
        assert any(
            name.startswith(f"matrix_{'large' if multiprocessors == 1 else ''}") for name in engine.device.num_launches
        )
        found = {line for line, count in engine.device.conflicts().items() if count}
        assert found == tables, kind


def test_hyper_latents_agree(engines):
    for channels, engine in zip((1, 8, 24, 130), engines, strict=True):
        symbols = np.random.default_rng(channels).integers(-128, 128, (channels, 3, 5)).astype(np.int8)
        ops = ExactCuda(ExactNetwork({}, 6), engine)
        assert_same(
            ExactTwin(ExactNetwork({}, 6)).z_from_symbols(symbols).data,
            data_of(ops, ops.z_from_symbols(symbols)),
            f"{channels}",
        )


def test_a_fault_of_order_is_not_hidden_by_the_arena(emulator):
    """The engine's own memory hands parts out again; values that are read later must not be among them."""
    from dcvc_cli.backend.cuda.engine import CudaEngine

    ops = ExactCuda(ExactNetwork({}, 6), CudaEngine(EmulatedDevice(emulator)))
    x = np.random.default_rng(0).integers(-300, 300, (24, 6, 7)).astype(np.int16)
    expected, found = ExactValue(x, 8), on_device(ops, x)
    reference = ExactTwin(ExactNetwork({}, 6))
    for _ in range(5):
        expected, found = reference.add(reference.wsilu(expected), expected), ops.add(ops.wsilu(found), found)
    assert_same(expected.data, data_of(ops, found), "sums")
