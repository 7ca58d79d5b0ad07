"""Speed of the integer kernels: multiply-accumulates a second against the machine's peak, and whole frames against
float32 PyTorch.

    python tests/bench/bench_kernels.py [--threads 2] [--width 416 --height 240] [--frames 5]

Peaks are products of 16-bit inputs by 16-bit (wide) or 8-bit (narrow) weights a cycle and core, at the clock measured
before the runs. Frames are decoded from symbols: entropy coding and file access are not counted. Both sides of a
comparison run in turn; printed are medians, with the spread from the fastest to the slowest run. Weights are random:
time does not depend on them.
"""

import argparse
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2]))

from dcvc_cli import _kernels
from dcvc_cli.backend.exact_native import ExactNative, make_engine
from dcvc_cli.backend.exact_network import ExactNetwork, ExactValue
from dcvc_cli.graph.blocks import Conv, DepthConvBlock, Depthwise
from tests.support.exact_frames import CodedFrame, FramePair, ReplayingCoder, invent
from tests.support.models import SPECS, graphs
from tests.support.random_layers import random_conv, random_network, random_values

PRODUCTS_A_CYCLE = {"avx2": (32, 32), "avx512": (64, 64), "amx": (256, 512)}
"""Wide and narrow: two 256-bit pair products; two 512-bit ones (VNNI); a tile product of 1024 bytes, 4 or 2 of them for
a product."""


def clock_hertz() -> float:
    """Cycles a second of one core, measured by clock.cpp; without a compiler 2.1e9."""
    compiler = shutil.which("c++")
    if compiler is None:
        return 2.1e9
    with tempfile.TemporaryDirectory() as folder:
        program = str(Path(folder) / "clock")
        subprocess.run(
            [compiler, "-std=c++17", "-O2", "-o", program, str(Path(__file__).with_name("clock.cpp"))], check=True
        )
        return float(subprocess.run([program], capture_output=True, text=True, check=True).stdout)


def times_of(runs: dict[str, Callable[[], object]], num_runs: int) -> dict[str, list[float]]:
    """Seconds of every run, candidates in turn, after one warm-up each."""
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for run in runs.values():
        run()
    for _ in range(num_runs):
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - start)
    return seconds


def spread(seconds: list[float]) -> str:
    return f"{statistics.median(seconds) * 1e3:8.2f} ms ({min(seconds) * 1e3:.2f}..{max(seconds) * 1e3:.2f})"


def kernel_cases(height: int, width: int) -> list[tuple[str, object, dict[str, object], int, int]]:
    """(name, layer, numbers, input channels, multiply-accumulates) of layers as `lite` has them on the 1/8 grid."""
    rng = np.random.default_rng(0)
    positions = height * width
    cases: list[tuple[str, object, dict[str, object], int, int]] = []
    for cin, cout, kind in (
        (128, 128, "narrow"),
        (128, 512, "narrow"),
        (128, 512, "wide"),
        (256, 128, "narrow"),
        (368, 1472, "wide"),
    ):
        layer = Conv("layer", cin, cout)
        cases.append(
            (
                f"1x1 {cin}->{cout} {kind}",
                layer,
                {"layer": random_conv(rng, (cout, cin, 1, 1), kind)},
                cin,
                cin * cout * positions,
            )
        )
    layer = Conv("layer", 128, 512, kernel=3, padding=1)
    cases.append(
        (
            "3x3 128->512 narrow",
            layer,
            {"layer": random_conv(rng, (512, 128, 3, 3), "narrow")},
            128,
            9 * 128 * 512 * positions,
        )
    )
    cases.append(
        (
            "depthwise 128",
            Depthwise("layer", 128),
            {"layer": random_conv(rng, (128, 1, 3, 3), "wide")},
            128,
            9 * 128 * positions,
        )
    )
    for c, kind in ((128, "narrow"), (128, "wide"), (192, "narrow"), (256, "wide"), (368, "wide")):
        block = DepthConvBlock("block", c, c)
        shapes = {
            "dc.0": (c, c, 1, 1),
            "dc.2": (c, 1, 3, 3),
            "dc.3": (c, c, 1, 1),
            "ffn.0": (4 * c, c, 1, 1),
            "ffn.2": (c, 2 * c, 1, 1),
        }
        numbers: dict[str, object] = {f"block.{key}": random_conv(rng, shape, kind) for key, shape in shapes.items()}
        cases.append((f"block {c} {kind}", block, numbers, c, (8 * c * c + 9 * c) * positions))
    return cases


def bench_kernels(threads: int, height: int, width: int, num_runs: int) -> None:
    hertz = clock_hertz() * threads
    told = ", ".join(
        f"{isa} {wide * hertz / 1e9:.0f} wide {narrow * hertz / 1e9:.0f} narrow"
        for isa, (wide, narrow) in PRODUCTS_A_CYCLE.items()
    )
    print(f"layers on {width}x{height} positions, {threads} thread(s), 1 warm-up, {num_runs} runs in turn")
    print(f"peaks in GMAC/s at {hertz / threads / 1e9:.2f} GHz: {told}")
    isas = [isa for isa in _kernels.usable_isas() if isa in PRODUCTS_A_CYCLE]
    engines = {isa: make_engine(threads, isa) for isa in isas}
    for name, layer, numbers, channels, macs in kernel_cases(height, width):
        x = ExactValue(random_values(np.random.default_rng(1), (height, width, channels), "small"), 8)
        network = ExactNetwork(numbers, 8)  # type: ignore[arg-type]
        ops = {isa: ExactNative(network, engine) for isa, engine in engines.items()}
        seconds = times_of({isa: lambda one=one, layer=layer, x=x: layer(one, x) for isa, one in ops.items()}, num_runs)  # type: ignore[operator,misc]
        peaks = {isa: hertz * PRODUCTS_A_CYCLE[isa]["narrow" in name] for isa in isas}
        cells = [
            f"{isa} {macs / min(s) / 1e9:6.1f} GMAC/s ({100 * macs / min(s) / peaks[isa]:3.0f} %)"
            for isa, s in seconds.items()
        ]
        print(f"  {name:24s} {macs / 1e6:8.1f} MMAC  best: " + "  ".join(cells))


def bench_frames(name: str, threads: int, height: int, width: int, num_frames: int, num_sequences: int) -> None:
    import torch

    from dcvc_cli.backend.float_torch import InferenceOperations
    from dcvc_cli.learning.parameters import random_parameters

    torch.set_grad_enabled(False)
    torch.set_num_threads(threads)
    image, video = graphs(SPECS[name])
    networks = random_network(image, 1), random_network(video, 2)
    size = (-(-height // 16), -(-width // 16))
    states = [
        {key: value.contiguous() for key, value in random_parameters(model, 3).items()} for model in (image, video)
    ]
    pairs = {"float32": FramePair(image, video, *(InferenceOperations(s) for s in states))}
    for isa in _kernels.usable_isas()[1:]:
        engine = make_engine(threads, isa)
        pairs[f"exact {isa}"] = FramePair(image, video, *(ExactNative(n, engine) for n in networks))
    print(
        f"{name} {width}x{height}, {threads} thread(s), I and {num_frames} P frames, 1 warm-up sequence, from "
        "symbols to 8-bit planes, in turn"
    )
    coded = {key: invent(pair, size, num_frames + 1, 30, 0, reset_at=-1)[0] for key, pair in pairs.items()}
    seconds: dict[str, list[FrameTime]] = {key: [] for key in pairs}
    for repeat in range(num_sequences + 1):
        for key, pair in pairs.items():
            times = frame_times(pair, coded[key])
            if repeat:
                seconds[key] += times
    for key, times in seconds.items():
        cells = []
        for kind, chosen in (("I", [t for t in times if t.is_intra]), ("P", [t for t in times if not t.is_intra])):
            cells.append(
                f"{kind} {spread([t.wall for t in chosen])}, processor "
                f"{statistics.median(t.processor for t in chosen) * 1e3:.2f} ms"
            )
        print(f"  {key:24s} " + "   ".join(cells))


@dataclass(frozen=True)
class FrameTime:
    """Seconds of one frame: on the clock, and of all threads on the processor, which a busy machine disturbs less."""

    is_intra: bool
    wall: float
    processor: float


def frame_times(pair: FramePair, coded: list[CodedFrame]) -> list[FrameTime]:
    """Decodes a sequence frame by frame."""
    times = []
    for k, frame in enumerate(coded):
        wall, processor = time.perf_counter(), time.process_time()
        ops = pair.video_ops if k else pair.image_ops
        coder = ReplayingCoder(ops, frame.steps)
        if k:
            pair.inter(frame.z, frame.latent_size, coder, 30, pair.contexts(30, False))
        else:
            pair.intra(frame.z, frame.latent_size, coder, 30)
        times.append(FrameTime(k == 0, time.perf_counter() - wall, time.process_time() - processor))
    return times


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--width", type=int, default=416)
    parser.add_argument("--height", type=int, default=240)
    parser.add_argument("--frames", type=int, default=3)
    parser.add_argument("--sequences", type=int, default=5)
    parser.add_argument("--runs", type=int, default=15)
    parser.add_argument("--model", default="lite")
    parser.add_argument("--kernels-only", action="store_true")
    arguments = parser.parse_args()
    bench_kernels(arguments.threads, arguments.height // 8, arguments.width // 8, arguments.runs)
    if not arguments.kernels_only:
        bench_frames(
            arguments.model, arguments.threads, arguments.height, arguments.width, arguments.frames, arguments.sequences
        )


if __name__ == "__main__":
    main()
