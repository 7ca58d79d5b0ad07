"""Predicts what a P frame costs on an H100, from the launches that the backend really makes, and writes the table into
docs/cuda.md.

    python tools/predict_cuda.py

Every launch takes the longer of its products and its bytes, plus a start. The constants are assumptions until a GPU was
measured (tests/gpu/measure.py); the first run is to be held against this table.
"""

import json
import sys
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from dcvc_cli.backend.cuda.engine import CudaEngine, Launch  # noqa: E402
from dcvc_cli.backend.cuda.pinned import MappedMemory  # noqa: E402
from dcvc_cli.backend.exact_cuda import ExactCuda  # noqa: E402
from tests.gpu.frame_check import frames_of, graphs_of  # noqa: E402
from tests.support.random_layers import random_network  # noqa: E402

PAGE, RECORD = ROOT / "docs" / "cuda.md", ROOT / "docs" / "results" / "cuda_prediction.json"
BEGIN, END = "<!-- prediction: made by tools/predict_cuda.py -->", "<!-- end of prediction -->"
SIZE = (68, 120)
"""Latents of a 1920x1080 picture."""
MULTIPROCESSORS = 132
BYTES_PER_SECOND = 0.85 * 3.0e12
PRODUCTS_PER_SECOND = {"large": 0.5 * 0.775e15, "small": 0.35 * 0.775e15, "wide": 0.35 * 0.775e15}
"""int8 multiply-accumulates of mma.sync: shares of the 0.775e15 that the chip does with its widest instructions."""
LAUNCH_SECONDS, ROUND_TRIP_SECONDS = 2.5e-6, 20e-6


class PaperDevice:
    """A device that computes nothing: memory is numbers, and the host reads zeros."""

    num_multiprocessors = MULTIPROCESSORS
    shares_with_torch = False

    def __init__(self) -> None:
        self._next = 1 << 30

    def allocate(self, size_bytes: int, cell_bytes: int) -> int:
        address = self._next
        self._next += -(-size_bytes // 256) * 256
        return address

    def free(self, address: int) -> None:
        """Does nothing: there is nothing to give back."""

    def upload(self, address: int, array: NDArray[Any]) -> None:
        """Nobody reads it."""

    def download(self, array: NDArray[Any], address: int) -> None:
        array[...] = 0

    def host_memory(self, count: int, kind: type[np.generic]) -> MappedMemory:
        return MappedMemory(self.allocate(count * np.dtype(kind).itemsize, 1), np.zeros(count, kind))

    def mark(self) -> object:
        return object()

    def wait_for(self, mark: object) -> None:
        """Nothing runs."""

    def run(self, launches: Sequence[Launch]) -> None:
        """Nothing runs."""


def work_of(launch: Launch) -> tuple[float, float]:
    """Returns (int8 products, bytes moved at least) of a launch."""
    a = launch.kernel.structure.from_buffer_copy(launch.arguments)
    name = launch.kernel.name
    if name.startswith("matrix_"):
        depth = a.steps * 64
        columns = a.out_columns * {"chunked": 2, "fours": 4}.get(name.split("_")[2], 1)
        planes = 2 if "wide" in name else 1
        reads = a.in_height * a.in_width * (a.channels + (a.channels2 if a.x2 else 0))
        writes = a.positions * a.out_columns * (1 + bool(a.first) + bool(a.second))
        return 2.0 * planes * a.positions * depth * columns, 2.0 * (reads + writes) + planes * depth * columns
    if name == "depthwise_3x3":
        return 0.0, 4.0 * a.height * a.width * a.channels
    if launch.kernel.arguments == "PointwiseArguments":
        return 0.0, 2.0 * a.height * a.width * (a.channels + a.out_channels + (a.channels if a.y else 0))
    if launch.kernel.arguments == "StepArguments":
        return 0.0, _bytes_of_step(name, a)
    if "rows" in dict(launch.kernel.structure._fields_):
        return 0.0, _bytes_of_picture(name, a)
    if launch.kernel.arguments == "FilterArguments":
        planes = {"filter_block_sums": 1, "filter_luma": 2, "filter_chroma": 3}[name]
        return 0.0, 2.0 * planes * a.height * a.width
    if launch.kernel.arguments == "SamplesArguments":
        return 0.0, a.height * a.width * (2.0 * (1 + a.paired) + (2 if a.deep else 1))
    if launch.kernel.arguments == "HyperArguments":
        return 0.0, 3.0 * a.positions * a.channels
    raise ValueError(f"the model has no bytes of {name}")


def _bytes_of_step(name: str, a: Any) -> float:
    """Bytes of a kernel of a coding step: int16 scales and means, uint8 rows, int8 symbols."""
    elements = float(a.height * a.width * a.depth)
    if name == "coding_scan":
        return 8.0 * a.depth * -(-a.height * a.width // 256)
    if name == "coding_restore":
        return elements * (2 * (bool(a.scales) + 1 + a.groups) + 1)
    return elements * {"coding_count": 2, "coding_rows": 3, "coding_planes": 4}[name]


def _bytes_of_picture(name: str, a: Any) -> float:
    """Bytes of a kernel that reads a picture of cells once: 384 a cell, and what it writes."""
    halved = {"picture_bytes": 96, "picture_planes": 224, "apply_floor": 384 + 3, "compensate_squares": 384 + 4}
    full = {"picture_bytes": 192, "picture_planes": 384, "apply_floor": 384 + 3, "compensate_squares": 384 + 4}
    written = (halved if getattr(a, "halved", 1) else full)[name]
    return float(a.rows * a.columns * (384 + written))


def seconds_of(launch: Launch) -> float:
    """Predicts the seconds of one launch."""
    products, size = work_of(launch)
    tile = launch.kernel.name.split("_")[1] if "matrix" in launch.kernel.name else ""
    return max(products / PRODUCTS_PER_SECOND.get(tile, 1e30), size / BYTES_PER_SECOND) + LAUNCH_SECONDS


def predict(name: str) -> dict[str, Any]:
    """Predicts the P frame of a model at 1080p with 8-bit weights, without the entropy coder."""
    image, video = graphs_of(name)
    engine = CudaEngine(PaperDevice())
    operations = [ExactCuda(random_network(model, 1), engine) for model in (image, video)]
    frames = frames_of(image, video, operations[0], operations[1], SIZE)
    for _ in range(2):
        frames.step()
    groups = engine.recorded(frames.step)
    kernels: dict[str, dict[str, float]] = defaultdict(
        lambda: {"launches": 0, "products": 0.0, "bytes": 0.0, "us": 0.0}
    )
    for launch in (launch for group in groups for launch in group):
        products, size = work_of(launch)
        row = kernels[launch.kernel.name]
        row["launches"] += 1
        row["products"] += products
        row["bytes"] += size
        row["us"] += 1e6 * seconds_of(launch)
    rows = {key: {k: round(v, 1) for k, v in row.items()} for key, row in kernels.items()}
    gpu = sum(row["us"] for row in rows.values())
    return {
        "kernels": rows,
        "groups": len(groups),
        "gpu us": round(gpu, 1),
        "wall us": round(gpu + 1e6 * ROUND_TRIP_SECONDS * len(groups), 1),
    }


def table(document: dict[str, Any]) -> str:
    """Writes the prediction as Markdown."""
    lines = []
    for name, model in document.items():
        frames = 1e6 / model["wall us"]
        total = sum(int(row["launches"]) for row in model["kernels"].values())
        lines += [
            f"`{name}`: {total} launches in {model['groups']} groups, {model['gpu us'] / 1e3:.2f} ms on the GPU, with "
            f"{1e6 * ROUND_TRIP_SECONDS:.0f} us a group for the host {model['wall us'] / 1e3:.2f} ms ({frames:.0f} a "
            "second).",
            "",
            "| kernel | launches | 10^9 int8 products | MB | predicted us |",
            "|---|--:|--:|--:|--:|",
        ]
        for kernel, row in sorted(model["kernels"].items(), key=lambda item: -item[1]["us"]):
            lines.append(
                f"| `{kernel}` | {int(row['launches'])} | {row['products'] / 1e9:.1f} | "
                f"{row['bytes'] / 1e6:.1f} | {row['us']:.1f} |"
            )
        lines.append("")
    return "\n".join(lines).rstrip()


def page_with(text: str, document: dict[str, Any]) -> str:
    """Makes a page with its tables renewed; ValueError if it has no place for them."""
    before, rest = text.split(BEGIN)
    return f"{before}{BEGIN}\n\n{table(document)}\n\n{END}{rest.split(END)[1]}"


def main() -> None:
    np.seterr(all="ignore")
    document = {name: predict(name) for name in ("lite", "rt", "uf-ld")}
    RECORD.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    PAGE.write_text(page_with(PAGE.read_text(encoding="utf-8"), document), encoding="utf-8")


if __name__ == "__main__":
    main()
