"""Everything that a first hour on a GPU should find out, in one command under nine minutes. Parts that are done are
kept, so that a run that was cut off goes on:

    python tests/gpu/measure.py --output measured
    python tests/gpu/measure.py --output measured --only kernels,frames

In this order: facts of the machine; every primitive against NumPy; random and extreme tensors against the exact twin,
outputs poisoned; streams of every model coded on the CPU decoded to their hashes, and the reverse; ceilings of the
machine; every kernel at its 1080p shapes; whole frames of `lite`, `rt` and `uf-ld` beside PyTorch in float16. Results
go to measure.json; the table is printed last. Exit code 1: something was wrong.

`--emulator LIBRARY` runs the same parts without a GPU on tiny shapes, so that tests can hold this program to run at
all.
"""

import argparse
import json
import os
import sys
import time
import traceback
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from tests.gpu.measure_parts import PARTS, PLANNED_SECONDS, Bench  # noqa: E402

LIMIT_SECONDS = 530.0


def measure(bench: Bench, output: Path, wanted: list[str], limit: float) -> dict[str, Any]:
    """Runs the parts that are not in the output yet; every part is kept as soon as it is done. A part begins only if
    its share of the plan is left."""
    output.mkdir(parents=True, exist_ok=True)
    path = output / "measure.json"
    document: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {"parts": {}}
    start = time.monotonic()
    for name in wanted:
        if document["parts"].get(name, {}).get("ok"):
            continue
        if time.monotonic() - start + PLANNED_SECONDS[name] > limit:
            print(f"{name}: no time left, run again", flush=True)
            continue
        begun = time.monotonic()
        print(f"{name} ...", flush=True)
        try:
            part = {"ok": True, **PARTS[name](bench)}
        except Exception:  # one part that fails must not cost the others
            part = {"ok": False, "error": traceback.format_exc()}
            print(part["error"], flush=True)
        part["seconds"] = round(time.monotonic() - begun, 2)
        document["parts"][name] = part
        whole = path.with_suffix(".new")  # a run that is killed here leaves the parts before this one
        whole.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
        os.replace(whole, path)
    return document


def table(document: dict[str, Any]) -> str:
    """What was measured, a line each."""
    lines = []
    for name, part in document["parts"].items():
        lines.append(f"{name}: {'ok' if part['ok'] else 'FAILED'} ({part['seconds']} s)")
        lines += ["  " + "  ".join(f"{key} {value}" for key, value in row.items()) for row in part.get("rows", [])]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("measured"), metavar="FOLDER")
    parser.add_argument("--only", default=",".join(PARTS), metavar="PARTS", help=f"of {', '.join(PARTS)}")
    parser.add_argument("--device", type=int, default=0, metavar="N")
    parser.add_argument(
        "--seconds", type=float, default=LIMIT_SECONDS, help="no part begins that this leaves no time for"
    )
    parser.add_argument("--emulator", type=Path, metavar="LIBRARY")
    options = parser.parse_args()
    wanted = options.only.split(",")
    unknown = sorted(set(wanted) - set(PARTS))
    if unknown:
        parser.error(f"unknown parts: {', '.join(unknown)}")
    document = measure(Bench(options.device, options.emulator), options.output, wanted, options.seconds)
    print(table(document))
    sys.exit(0 if all(part["ok"] for part in document["parts"].values()) else 1)


if __name__ == "__main__":
    main()
