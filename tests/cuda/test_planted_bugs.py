"""The emulator finds bugs: each of these, planted in a kernel, fails the kernel's parity tests, by a fault or by wrong
values."""

import os
from pathlib import Path

import pytest

from dcvc_cli.backend.exact_cuda import ExactCuda
from dcvc_cli.backend.exact_network import ExactNetwork
from tests.cuda import test_emulated_layers, test_emulated_pictures
from tests.cuda.emulated import KernelError, build_changed
from tests.cuda.layer_checks import check_layers, engines_of_all_orders


def layers(engines):
    check_layers(range(40), engines)


def motion(engines):
    all_ops = [ExactCuda(ExactNetwork({}, 6), engine) for engine in engines]
    test_emulated_pictures.test_compensation_agrees((2, 2), 60, all_ops)


def floor(engines):
    all_ops = [ExactCuda(ExactNetwork({}, 6), engine) for engine in engines]
    test_emulated_pictures.test_the_floor_agrees(True, 10, all_ops)


def hyper(engines):
    test_emulated_layers.test_the_encoders_hyper_latents_agree((-128, 127), engines)


def full_filter(engines):
    all_ops = [ExactCuda(ExactNetwork({}, 6), engine) for engine in engines]
    test_emulated_pictures.test_the_output_filter_agrees(False, all_ops)


def output_filter(engines):
    all_ops = [ExactCuda(ExactNetwork({}, 6), engine) for engine in engines]
    test_emulated_pictures.test_the_output_filter_agrees(True, all_ops)


CHOICE = test_emulated_layers.test_the_encoders_choice_agrees
STEPS = test_emulated_layers.test_coding_steps_agree
VALUES = test_emulated_layers.test_values_agree
SCAN = test_emulated_layers.test_many_segments_keep_the_stream_order
KERNELS = Path(__file__).resolve().parents[2] / "kernels" / "cuda"
NARROW = "gpu::mma_u8s8(sums.set[1][m][n], low[m], b.w[2 * j], b.w[2 * j + 1]);\n        }\n      }\n    }"
CASES = [
    # (name, in CI, source, header, text, planted, check, what the fault says; None: wrong values)
    (
        "no barrier before use",
        True,
        "matrix.cu",
        "matrix.hpp",
        "    gpu::sync_block();  // the stage is there",
        "    //",
        layers,
        "race",
    ),
    (
        "waits for one copy less",
        True,
        "matrix.cu",
        "matrix.hpp",
        "copy_wait<kStages - 2>",
        "copy_wait<kStages - 1>",
        layers,
        "unfinished copy",
    ),
    (
        "no barrier before the output",
        False,
        "matrix.cu",
        "matrix.hpp",
        "gpu::sync_block();  // the stages become",
        "//",
        layers,
        "race",
    ),
    (
        "loads the stage in use",
        False,
        "matrix.cu",
        "matrix.hpp",
        "next_stage = kStages - 1;",
        "next_stage = 0;",
        layers,
        "race",
    ),
    (
        "rows beyond the end",
        True,
        "matrix.cu",
        "matrix.hpp",
        "if (position >= p.positions || column",
        "if (column",
        layers,
        "bounds",
    ),
    (
        "misaligned",
        False,
        "matrix.cu",
        "matrix.hpp",
        "channel = cursor.channel + 8 * chunk;",
        "channel = cursor.channel + 8 * chunk + 1;",
        layers,
        "alignment",
    ),
    ("low bytes with sign", False, "matrix.cu", "matrix.hpp", NARROW, NARROW.replace("u8s8", "s8s8"), layers, None),
    (
        "swapped fragments",
        True,
        "matrix.cu",
        "matrix.hpp",
        "gpu::permute(r[1], r[3], 0x7531)",
        "gpu::permute(r[3], r[1], 0x7531)",
        layers,
        None,
    ),
    (
        "neighbouring weights",
        False,
        "matrix.cu",
        "matrix.hpp",
        "fragments_place(half, all % 4, lane)",
        "fragments_place(half, (all ^ 1) % 4, lane)",
        layers,
        None,
    ),
    ("no padding", False, "matrix.cu", "matrix.hpp", "&& column < p.in_width", "", layers, None),
    (
        "depthwise without wait",
        True,
        "pointwise.cu",
        "depthwise.hpp",
        "gpu::copy_wait<0>();",
        "",
        layers,
        "unfinished copy",
    ),
    (
        "depthwise without barrier",
        False,
        "pointwise.cu",
        "depthwise.hpp",
        "  gpu::sync_block();\n  if",
        "  if",
        layers,
        "race",
    ),
    (
        "elements beyond the end",
        False,
        "pointwise.cu",
        "pointwise.hpp",
        "if (piece >= p.height",
        "if (false && piece >= p.height",
        VALUES,
        "bounds",
    ),
    (
        "channels beyond the end",
        False,
        "pointwise.cu",
        "pointwise.hpp",
        "channel + i < channels) gpu::store",
        "true) gpu::store",
        VALUES,
        "bounds",
    ),
    ("ranks off by one", True, "latents.cu", "latents.hpp", "((1u << lane) - 1)", "(2u << lane) - 1", STEPS, None),
    (
        "half the elements turned",
        False,
        "latents.cu",
        "latents.hpp",
        "  gpu::sync_block();\n  for_coded(p, b, [&](int, int, int32_t",
        "  for_coded(p, b, [&](int, int, int32_t",
        STEPS,
        "race",
    ),
    (
        "scan without its last barrier",
        False,
        "latents.cu",
        "latents.hpp",
        "gpu::sync_block();  // the next round",
        "//",
        SCAN,
        "race",
    ),
    (
        "symbols in the order of the plane",
        True,
        "latents.cu",
        "latents.hpp",
        "gpu::store_global(p.coded_symbols + place, symbol);",
        "gpu::store_global(p.coded_symbols + position, symbol);",
        CHOICE,
        None,
    ),
    (
        "as many symbols as elements",
        False,
        "latents.cu",
        "latents.hpp",
        "if (!coded || !p.offsets) return;",
        "if (!p.offsets) return;",
        CHOICE,
        None,
    ),
    (
        "the number stays on the device",
        False,
        "latents.cu",
        "latents.hpp",
        "if (p.number) gpu::store_global(p.number, before);",
        "",
        CHOICE,
        None,
    ),
    (
        "hyper-latents in the order of the tensor",
        False,
        "latents.cu",
        "latents.hpp",
        "gpu::store_global(p.symbols + index, static_cast<int8_t>(symbol));",
        "gpu::store_global(p.symbols + position * p.channels + channel, static_cast<int8_t>(symbol));",
        hyper,
        None,
    ),
    (
        "flat levels of 8 bits",
        False,
        "picture.cu",
        "floor.hpp",
        "kFlatBits = 10",
        "kFlatBits = 8",
        floor,
        None,
    ),
    (
        "a pair of samples rounded down",
        False,
        "picture.cu",
        "picture.hpp",
        "gpu::load_global(from + 1) + 1) >> 1",
        "gpu::load_global(from + 1)) >> 1",
        full_filter,
        None,
    ),
    (
        "lines overwritten",
        True,
        "picture.cu",
        "motion.hpp",
        "gpu::sync_block();  // nobody reads the lines",
        "//",
        motion,
        "race",
    ),
    (
        "edge not repeated",
        False,
        "picture.cu",
        "motion.hpp",
        "limit(top + i / kWindow, 0, at.rows * kSquare - 1)",
        "top + i / kWindow",
        motion,
        "bounds",
    ),
    (
        "no barrier between the floor's two directions",
        True,
        "picture.cu",
        "floor.hpp",
        "  gpu::store_shared<int32_t>(kLinesBegin + 4 * thread, sum >> 7);\n  gpu::sync_block();",
        "  gpu::store_shared<int32_t>(kLinesBegin + 4 * thread, sum >> 7);",
        floor,
        "race",
    ),
    (
        "levels counted from the block's last part",
        False,
        "picture.cu",
        "floor.hpp",
        "coded & ((1u << part) - 1)",
        "coded >> part",
        floor,
        None,
    ),
    (
        "limit forgotten",
        False,
        "picture.cu",
        "filter.hpp",
        "limit(after, -kStepLimit, kStepLimit)",
        "after",
        output_filter,
        None,
    ),
]


@pytest.mark.parametrize(("header", "old"), [pytest.param(*c[3:5], id=c[0]) for c in CASES])
def test_every_bug_has_its_place(header, old):
    """A kernel that changed may leave a bug without the text that it replaces."""
    assert (KERNELS / header).read_text(encoding="utf-8").count(old) == 1


@pytest.mark.parametrize(
    ("source", "header", "old", "new", "check", "fault"), [pytest.param(*c[2:], id=c[0]) for c in CASES if c[1]]
)
def test_a_planted_bug_is_found(source, header, old, new, check, fault, emulator, tmp_path):
    engines = engines_of_all_orders(build_changed(tmp_path, emulator, source, header, old, new))
    with pytest.raises(KernelError if fault else AssertionError) as found:
        check(engines)
    assert fault is None or f"{fault} at " in str(found.value)


@pytest.mark.slow
@pytest.mark.skipif("DCVC_ALL_PLANTED_BUGS" not in os.environ, reason="set DCVC_ALL_PLANTED_BUGS")
@pytest.mark.parametrize(
    ("source", "header", "old", "new", "check", "fault"), [pytest.param(*c[2:], id=c[0]) for c in CASES if not c[1]]
)
def test_the_other_planted_bugs_are_found(source, header, old, new, check, fault, emulator, tmp_path):
    test_a_planted_bug_is_found(source, header, old, new, check, fault, emulator, tmp_path)
