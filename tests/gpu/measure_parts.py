"""The parts of tests/gpu/measure.py."""

import hashlib
import platform
import statistics
import subprocess
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from dcvc_cli.backend.cuda.arguments import SOURCES
from dcvc_cli.backend.cuda.driver import CudaDevice
from dcvc_cli.backend.cuda.engine import CudaEngine, Launch
from dcvc_cli.backend.exact_cuda import ExactCuda
from dcvc_cli.backend.exact_network import ExactNetwork
from dcvc_cli.graph.blocks import Conv, DepthConvBlock, Depthwise
from tests.gpu import primitives
from tests.support.random_layers import random_conv, random_network

ROOT = Path(__file__).resolve().parents[2]


class Bench:
    """The device of a run, real or emulated; shapes are tiny where it is emulated.

    Args:
        index: of the GPU.
        emulator: the library of tests/cuda/emulator, None for a real GPU.
    """

    def __init__(self, index: int, emulator: Path | None) -> None:
        self.is_real = emulator is None
        if emulator is None:
            self.device = CudaDevice(index)
        else:
            from tests.cuda.emulated import EmulatedDevice
            from tests.cuda.emulated_driver import EmulatedDriver

            cubins = {source: source.encode() for source in SOURCES}
            self.device = CudaDevice(0, EmulatedDriver(EmulatedDevice(emulator)), cubins)
        self.engine = CudaEngine(self.device)

    def pick(self, real: Any, tiny: Any) -> Any:
        return real if self.is_real else tiny

    def median_us(self, launches: list[Launch]) -> tuple[float, float]:
        """(median, spread) in microseconds of a group of launches, by the GPU's clock."""
        repeats, rounds = self.pick((20, 7), (1, 2))
        seconds = [1e6 * s for s in self.device.seconds_of(launches, repeats, rounds)]
        return statistics.median(seconds), max(seconds) - min(seconds)

    def launches_of(self, run: Callable[[], Any]) -> tuple[list[Launch], Any]:
        """The launches that `run` asks for, after it ran once (weights are there then), and what keeps its memory."""
        run()
        self.engine.flush()
        kept = run()
        launches = self.engine.pending
        self.engine.flush()
        return launches, kept


def facts(bench: Bench) -> dict[str, Any]:
    """The machine and the software."""
    import torch

    commit = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False
    ).stdout.strip()
    row = {"gpu": bench.device.name, "multiprocessors": bench.device.num_multiprocessors, "commit": commit[:12]}
    row |= {"python": platform.python_version(), "torch": torch.__version__, "cuda of torch": torch.version.cuda}
    return {"rows": [row]}


def check_primitives(bench: Bench) -> dict[str, Any]:
    """Every primitive on random operands."""
    rounds = bench.pick(200, 3)
    for seed in range(rounds):
        words = primitives.random_words(np.random.default_rng(seed))
        found, wanted = primitives.run_probe(bench.engine, words), primitives.expected(words)
        wrong = sorted({int(word) for word in np.argwhere(found != wanted)[:, 1]})
        assert not wrong, f"seed {seed}: output words {wrong} differ, see kernels/cuda/primitives.cu"
    return {"rows": [{"rounds": rounds}]}


def parity(bench: Bench) -> dict[str, Any]:
    """Random layers, steps, pictures, motion and filters: what the tests run on the emulator, here on the device."""
    from tests.cuda import layer_checks, test_emulated_layers, test_emulated_pictures

    engines, layers = [bench.engine] * 4, bench.pick(3000, 12)
    poison(bench)
    layer_checks.check_layers(range(layers), engines)
    checks: list[tuple[str, Callable[[], Any]]] = [
        ("longest sums", lambda: test_emulated_layers.test_longest_sums_do_not_wrap(engines)),
        ("coding steps", lambda: test_emulated_layers.test_coding_steps_agree(engines)),
    ]
    if bench.is_real:
        ops = [ExactCuda(ExactNetwork({}, 6), bench.engine)] * 4
        checks += [
            (f"activation {e}", lambda e=e: test_emulated_layers.test_activation_of_every_value(e, engines))
            for e in range(5, 14)
        ]
        checks += [
            (f"width {c}", lambda c=c: test_emulated_layers.test_wide_layers_agree(c, engines)) for c in (192, 368, 514)
        ]
        checks += [
            ("values", lambda: test_emulated_layers.test_values_agree(engines)),
            ("segments", lambda: test_emulated_layers.test_many_segments_keep_the_stream_order(engines)),
            ("samples", lambda: test_emulated_pictures.test_output_samples_agree(ops)),
            ("motion", lambda: test_emulated_pictures.test_compensation_agrees((4, 4), 60, ops)),
            ("choice", lambda: test_emulated_layers.test_the_encoders_choice_agrees(engines)),
            ("float latents", lambda: test_emulated_layers.test_float_latents_on_the_device_agree(engines)),
            ("z", lambda: test_emulated_layers.test_the_encoders_hyper_latents_agree((-128, 127), engines)),
            ("formats", lambda: test_emulated_pictures.test_output_of_every_format_agrees(False, ops)),
            ("floor", lambda: test_emulated_pictures.test_the_floor_agrees(True, 8, ops)),
            ("floor, 10 bits", lambda: test_emulated_pictures.test_the_floor_agrees(True, 10, ops)),
            ("floor, full chroma", lambda: test_emulated_pictures.test_the_floor_agrees(False, 8, ops)),
            ("filter", lambda: test_emulated_pictures.test_the_output_filter_agrees(True, ops)),
            ("filter, full chroma", lambda: test_emulated_pictures.test_the_output_filter_agrees(False, ops)),
        ]
    for _, check in checks:
        check()
    return {"rows": [{"layers": layers, "other checks": len(checks)}]}


def poison(bench: Bench) -> None:
    """Fills free memory, so that an output that nobody writes is seen."""
    tensors = [bench.engine.tensor(64, 64, 64) for _ in range(bench.pick(32, 1))]
    for tensor in tensors:
        bench.engine.upload(tensor.address, np.full(64 * 64 * 64, -23131, np.int16))


def stream(bench: Bench) -> dict[str, Any]:
    """Streams of every model: what the CPU codes decodes here to the same hash, and the reverse."""
    names = bench.pick(("lite", "rt", "uf-ld"), ("tiny-exact", "tiny-uf-ld"))
    return {"rows": [stream_of(bench, name) for name in names]}


def stream_of(bench: Bench, name: str) -> dict[str, Any]:
    """The same stream from both sides, byte for byte, and its hash."""
    from dcvc_cli.backend.cuda import driver
    from dcvc_cli.bitstream.sps import Precision
    from dcvc_cli.codec.backends import open_networks
    from tests.gpu.stream_check import code_frames, coded_on, decoded_hash, weights_for

    real_open, driver.open_engine = driver.open_engine, lambda name: bench.engine
    try:
        weights, pictures = weights_for(name), code_frames(bench.pick((176, 144, 10), (32, 32, 3)))
        cpu, gpu = (open_networks(weights.networks, Precision.EXACT, place) for place in ("cpu", "cuda"))
        units = coded_on(cpu, weights, pictures)
        assert coded_on(gpu, weights, pictures) == units, f"{name}: the GPU codes another stream"
        expected, found = (decoded_hash(networks, weights, pictures, units) for networks in (cpu, gpu))
    finally:
        driver.open_engine = real_open
    assert found == expected, f"{name}: the GPU decodes to {found}, the CPU to {expected}"
    size = sum(len(unit.payload) for unit in units)
    return {"model": name, "frames": len(pictures[1]), "bytes": size, "hash": expected[:16]}


def ceilings(bench: Bench) -> dict[str, Any]:
    """What this machine can do at most, by other people's code where PyTorch has CUDA, and by the largest products
    here."""
    rows = []
    positions, channels = bench.pick((1 << 17, 4096), (64, 64))
    layer = Conv("layer", channels, bench.pick(1024, 64))
    weight = np.random.default_rng(0).integers(-15, 16, (layer.cout, channels, 1, 1)).astype(np.int16)
    numbers = random_conv(np.random.default_rng(0), (layer.cout, 8, 1, 1), "narrow")
    numbers = type(numbers)(weight, np.full(layer.cout, 1 << 16, np.int32), numbers.addend, 8, 8)
    ops = ExactCuda(ExactNetwork({"layer": numbers}, 8), bench.engine)
    x = random_tensor(bench, positions // 64, 64, channels)
    launches, _ = bench.launches_of(lambda: ops.conv(layer, value(ops, x)).tensor)
    median, _ = bench.median_us(launches)
    operations = 4 * positions * channels * layer.cout
    rows.append({"largest product, int8 TOP/s": round(operations / median / 1e6, 1)})
    first, second = (random_tensor(bench, bench.pick(4096, 4), 128, 512) for _ in range(2))
    launches, _ = bench.launches_of(lambda: ops.add(value(ops, first), value(ops, second)).tensor)
    median, _ = bench.median_us(launches)
    rows.append({"sum of two tensors, GB/s": round(6 * first.positions * 512 / median / 1e3, 1)})
    return {"rows": rows + torch_ceilings(bench)}


def torch_ceilings(bench: Bench) -> list[dict[str, Any]]:
    """A large copy and two large products by PyTorch, where it has CUDA; under the emulator small ones on the CPU."""
    import torch

    if bench.is_real and not torch.cuda.is_available():
        return [{"torch": "has no CUDA"}]
    device, side, count = bench.pick(("cuda", 8192, 1 << 28), ("cpu", 64, 1 << 10))
    a, b = (torch.randn(side, side, device=device, dtype=torch.float16) for _ in range(2))
    c, d = (torch.randint(-100, 100, (side, side), device=device, dtype=torch.int8) for _ in range(2))
    source = torch.randint(0, 100, (count,), device=device, dtype=torch.int32)
    target = torch.empty_like(source)
    runs = {
        "torch fp16 product, TFLOP/s": (lambda: a @ b, 2 * side**3 / 1e12),
        "torch int8 product, TOP/s": (lambda: torch._int_mm(c, d), 2 * side**3 / 1e12),
        "torch copy, GB/s": (lambda: target.copy_(source), 2 * 4 * count / 1e9),
    }
    clock = torch_seconds if bench.is_real else host_seconds
    return [{name: round(amount / clock(run), 1)} for name, (run, amount) in runs.items()]


def torch_seconds(run: Callable[[], Any], rounds: int = 10) -> float:
    """Median seconds by CUDA events."""
    import torch

    run()
    seconds = []
    for _ in range(rounds):
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        run()
        end.record()
        end.synchronize()
        seconds.append(begin.elapsed_time(end) / 1e3)
    return statistics.median(seconds)


def host_seconds(run: Callable[[], Any]) -> float:
    """Seconds of one run by the host's clock."""
    begin = time.perf_counter()
    run()
    return time.perf_counter() - begin


def random_tensor(bench: Bench, height: int, width: int, channels: int) -> Any:
    return bench.engine.upload_tensor(
        np.random.default_rng(1).integers(-3000, 3000, (height, width, channels)).astype(np.int16)
    )


def value(ops: ExactCuda, tensor: Any) -> Any:
    from dcvc_cli.backend.exact_cuda import CudaValue

    return CudaValue(ops.layers, 8, tensor)


def kernels(bench: Bench) -> dict[str, Any]:
    """Layers and blocks at the shapes of 1080p, with how many bytes and products they must take at least."""
    rows = []
    for name, grid, layer, shapes in kernel_cases(bench):
        rng = np.random.default_rng(2)
        exponents = (8, 8)
        layers = {key: random_conv(rng, shape, "narrow", exponents) for key, shape in shapes.items()}
        ops = ExactCuda(ExactNetwork(layers, 8), bench.engine)
        channels = layer.channels if isinstance(layer, Depthwise) else layer.cin
        x = random_tensor(bench, *grid, channels)
        launches, kept = bench.launches_of(lambda ops=ops, layer=layer, x=x: layer(ops, value(ops, x)).tensor)
        median, spread = bench.median_us(launches)
        macs = sum(int(np.prod(shape)) for shape in shapes.values()) * kept.positions
        rows.append(
            {
                "kernel": name,
                "us": round(median, 2),
                "spread": round(spread, 2),
                "int8 TOP/s": round(4 * macs / median / 1e6, 1),
            }
        )
    return {"rows": rows}


def kernel_cases(bench: Bench) -> Iterable[tuple[str, tuple[int, int], Any, dict[str, tuple[int, ...]]]]:
    """(name, grid, layer, shapes of its weights): those of rt and lite on the grids of 1080p."""
    eighth, sixteenth = bench.pick(((136, 240), (68, 120)), ((4, 4), (2, 2)))
    for grid, cin, cout in bench.pick(
        (
            (eighth, 256, 256),
            (eighth, 256, 1024),
            (eighth, 512, 256),
            (eighth, 128, 512),
            (sixteenth, 384, 1536),
            (sixteenth, 384, 384),
        ),
        ((eighth, 24, 24),),
    ):
        yield f"1x1 {cin}->{cout} on {grid[1]}x{grid[0]}", grid, Conv("layer", cin, cout), {"layer": (cout, cin, 1, 1)}
    for grid, c in bench.pick(((eighth, 256), (eighth, 128), (sixteenth, 384)), ((eighth, 24),)):
        yield f"depthwise {c} on {grid[1]}x{grid[0]}", grid, Depthwise("layer", c), {"layer": (c, 1, 3, 3)}
    for grid, c in bench.pick(
        (
            (eighth, 128),
            (eighth, 256),
            (eighth, 320),
            (eighth, 368),
            (sixteenth, 192),
            (sixteenth, 384),
            (sixteenth, 512),
        ),
        ((eighth, 24),),
    ):
        shapes = {
            "dc.0": (c, c, 1, 1),
            "dc.2": (c, 1, 3, 3),
            "dc.3": (c, c, 1, 1),
            "ffn.0": (4 * c, c, 1, 1),
            "ffn.2": (c, 2 * c, 1, 1),
        }
        named = {f"block.{key}": shape for key, shape in shapes.items()}
        yield f"block {c} on {grid[1]}x{grid[0]}", grid, DepthConvBlock("block", c, c), named


def frames(bench: Bench) -> dict[str, Any]:
    """Whole P frames decoded, without the entropy coder: every launch of a frame on the GPU's clock, beside PyTorch in
    float16."""
    from tests.gpu.frame_check import exact_frame_us, graphs_of, torch_frame_us

    rows = []
    for name in bench.pick(("lite", "rt", "uf-ld"), ("tiny", "tiny-uf-ld")):
        size = bench.pick((68, 120), (2, 2))
        image, video = graphs_of(name)
        networks = random_network(image, 1), random_network(video, 2)
        gpu_us, wall_us, num_launches = exact_frame_us(bench, image, video, networks, size)
        row = {
            "model": name,
            "exact GPU us": round(gpu_us, 1),
            "exact wall us": round(wall_us, 1),
            "launches": num_launches,
        }
        for key, is_recorded in (("fp16 wall us", True), ("fp16 without graphs us", False)):
            row[key] = round(torch_frame_us(bench, image, video, size, is_recorded), 1)
        rows.append(row)
    return {"rows": rows}


def sha256(planes: Iterable[np.ndarray[Any, Any]]) -> str:
    digest = hashlib.sha256()
    for plane in planes:
        digest.update(np.ascontiguousarray(plane).tobytes())
    return digest.hexdigest()


PARTS: dict[str, Callable[[Bench], dict[str, Any]]] = {
    "facts": facts,
    "primitives": check_primitives,
    "parity": parity,
    "stream": stream,
    "ceilings": ceilings,
    "kernels": kernels,
    "frames": frames,
}
PLANNED_SECONDS = {
    "facts": 10,
    "primitives": 10,
    "parity": 120,
    "stream": 150,
    "ceilings": 30,
    "kernels": 60,
    "frames": 150,
}
"""What a part may take on a GPU. A guess: no GPU has run them."""
