"""Measure speed on this machine, and make docs/speed.md from what was measured.

    python tools/make_speed_page.py measure [--threads 2]     runs `dcvc bench`, writes docs/results/bench/*.json
    python tools/make_speed_page.py                           makes the page from these files

`measure` wants a clean checkout, since every row names its commit. The page refuses rows of weights that no longer
ship: measure again. Rows of one run share a machine and a minute; only ratios inside a row compare.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dcvc_cli.errors import EnvironmentFault
from dcvc_cli.format.constants import DEFAULT_MODEL
from dcvc_cli.measuring.diagnosis import processor
from dcvc_cli.weights.store import weights_by_name

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "docs" / "results" / "bench"
PAGE = ROOT / "docs" / "speed.md"
RUNS: dict[str, list[str]] = {
    "lite_416x240": ["--model", "lite", "--size", "416x240", "--frames", "17", "--vs", "fp32"],
    "lite_1280x720": ["--model", "lite", "--size", "1280x720", "--frames", "9", "--vs", "fp32"],
    "rt_416x240": ["--model", "rt", "--size", "416x240", "--frames", "9", "--vs", "fp32"],
}
ISAS = ("avx2", "avx512", "amx")
"""Instruction sets that are measured where the processor has them; each forced with DCVC_CPU_ISA."""


def shipped_fingerprints() -> tuple[str, str]:
    """Returns those of the default weights, as `dcvc bench --json` writes them."""
    weights = weights_by_name(DEFAULT_MODEL)
    first, second = weights.fingerprints
    return f"{first:016x}", f"{second:016x}"


def measure(threads: int) -> None:
    """Runs every benchmark with every instruction set of this processor; a file each."""
    if subprocess.run(["git", "status", "--porcelain"], cwd=ROOT, capture_output=True, text=True, check=True).stdout:
        raise SystemExit("the checkout has changes that are not committed, so no commit names what would be measured")
    commit = subprocess.run(
        ["git", "rev-parse", "--short=10", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.strip()
    FOLDER.mkdir(parents=True, exist_ok=True)
    for isa in ISAS:
        for name, options in RUNS.items():
            document = run_bench([*options, "--threads", str(threads)], isa)
            if document is None:
                print(f"{isa}: not on this processor", file=sys.stderr)
                break
            row = {
                "commit": commit,
                "date": datetime.now(UTC).date().isoformat(),
                "machine": f"{threads} threads, {processor()[0]}, {platform.system()}",
                "isa": isa,
                "command": f"DCVC_CPU_ISA={isa} dcvc bench {' '.join(options)} --threads {threads}",
                "bench": document,
            }
            path = FOLDER / f"{name}_{isa}.json"
            path.write_text(json.dumps(row, indent=1) + "\n")
            print(path.relative_to(ROOT), file=sys.stderr)


def run_bench(options: list[str], isa: str) -> dict[str, Any] | None:
    """Returns what `dcvc bench --json` says; None where this processor lacks the instruction set."""
    environment = {**os.environ, "DCVC_CPU_ISA": isa}
    command = [sys.executable, "-m", "dcvc_cli", "bench", *options, "--json"]
    result = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    if result.returncode == EnvironmentFault.exit_code:
        return None
    if result.returncode:
        raise SystemExit(result.stderr)
    document: dict[str, Any] = json.loads(result.stdout)
    return document


def rows_of(folder: Path) -> list[dict[str, Any]]:
    """Returns the measured rows, by name. SystemExit where one was made with weights that no longer ship."""
    rows = [json.loads(path.read_text()) | {"name": path.stem} for path in sorted(folder.glob("*.json"))]
    shipped = shipped_fingerprints()
    for row in rows:
        for result in row["bench"]["results"]:
            found = (result["image_fingerprint"], result["video_fingerprint"])
            if result["model"] == DEFAULT_MODEL and found != shipped:
                raise SystemExit(
                    f"{row['name']}.json was measured with weights {found}, these ship: {shipped}; measure again"
                )
    return rows


def line(row: dict[str, Any]) -> str:
    """Makes one line of the table: both sides of a run."""
    bench = row["bench"]
    exact, other = bench["results"][0], bench["results"][1]
    cells = [
        f"`{exact['model']}`{' (random parameters)' if exact['weights_are_random'] else ''}",
        f"{bench['width']}x{bench['height']}",
        row["isa"],
    ]
    for direction in ("encode", "decode"):
        times = [result[direction]["P"]["median_ms"] for result in (exact, other)]
        cells += [f"{times[0]:.1f} ms", f"{times[1]:.1f} ms", f"{times[1] / times[0]:.2f}"]
    cells += [f"{exact[direction]['frames_per_second']:.1f}" for direction in ("encode", "decode")]
    fingerprint = (
        "-" if exact["weights_are_random"] else f"{exact['image_fingerprint'][:6]}, {exact['video_fingerprint'][:6]}"
    )
    return "| " + " | ".join([*cells, row["commit"], row["date"], fingerprint]) + " |"


def stage_lines(row: dict[str, Any]) -> list[str]:
    """Tells where the time of a P frame goes, both directions."""
    exact = row["bench"]["results"][0]
    stages = list(dict.fromkeys(stage for way in ("encode", "decode") for stage in exact[way]["P"]["stage_ms"]))
    lines = [f"### `{exact['model']}` {row['bench']['width']}x{row['bench']['height']}, {row['isa']}", ""]
    lines += ["| stage, median ms of a P frame | encode | decode |", "|---|--:|--:|"]
    for stage in stages:
        times = [exact[way]["P"]["stage_ms"].get(stage) for way in ("encode", "decode")]
        lines.append(f"| {stage} | " + " | ".join("" if time is None else f"{time:.1f}" for time in times) + " |")
    return [*lines, ""]


def page(rows: list[dict[str, Any]]) -> str:
    """Makes the whole of docs/speed.md."""
    machines = sorted({row["machine"] for row in rows})
    text = [
        "# Speed on the CPU",
        "",
        "<!-- Made by tools/make_speed_page.py from docs/results/bench; changes by hand are lost. -->",
        "",
        "`dcvc bench` codes the frames of a clip in memory with both sides of a comparison in turn, so what else the "
        "machine",
        "does hits both alike. Entropy coding is counted; file access and picture hashes are not. Two frames of "
        "warm-up are",
        "left out. Times are medians. Machines vary by a quarter from run to run: only the ratios inside a row "
        "compare.",
        "",
        f"Measured on: {'; '.join(machines)}.",
        "",
        "| model | size | instructions | encode P, exact | float32 | ratio | decode P, exact | float32 | ratio "
        "| encoded frames/s | decoded frames/s | commit | date | weights |",
        "|---|---|---|--:|--:|--:|--:|--:|--:|--:|--:|---|---|---|",
        *map(line, rows),
        "",
        "The float32 side is the product's own: tensors channels-last, freed memory kept by the process. `rt` runs on "
        "random",
        "parameters in 16-bit integers, prepared as a published checkpoint is.",
        "",
        "## Where the time goes",
        "",
    ]
    for row in rows:
        text += stage_lines(row)
    text += ["## Commands", "", "```", *(row["command"] for row in rows), "```", ""]
    text += [
        "`DCVC_CPU_ISA=scalar|sse2|avx2|avx512|amx` forces an instruction set (on Arm `scalar|neon`); pictures are the "
        "same with",
        "all of them. `tests/bench/bench_kernels.py` measures single layers against the peak of the processor. What "
        "was",
        "measured on earlier weights and other machines: `docs/notebook/2026-11-26-speed.md`. The speed of commit "
        "b6ebd34",
        "beside that of this build: `docs/notebook/2026-11-28-speed-after-the-move.md`.",
        "",
        "Registers, shared memory and predicted times of the CUDA kernels: `docs/cuda.md`. No GPU has run them yet.",
        "",
    ]
    return "\n".join(text)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", nargs="?", choices=["measure", "page"], default="page")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    if arguments.action == "measure":
        measure(arguments.threads)
    PAGE.write_text(page(rows_of(FOLDER)))


if __name__ == "__main__":
    main()
