"""Compiles the CUDA kernels for every target and records registers, shared memory and instructions in
docs/results/cuda_kernels.json and in docs/cuda.md. Needs the packages of `pip install 'dcvc[test]'` and no GPU.

    python tools/make_cuda_page.py
"""

import json
import os
import re
import subprocess
import tempfile
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from dcvc_cli.backend.cuda.arguments import HEADERS_FOLDER, SOURCES, kernel_sources
from dcvc_cli.backend.cuda.compiler import OPTIONS, find_nvrtc
from dcvc_cli.backend.cuda.kernels import KERNELS

ROOT = Path(__file__).resolve().parents[1]
RECORD, PAGE = ROOT / "docs" / "results" / "cuda_kernels.json", ROOT / "docs" / "cuda.md"
TARGETS = ("sm_80", "sm_89", "sm_90", "sm_100", "sm_120")
BEGIN, END = "<!-- kernels: made by tools/make_cuda_page.py -->", "<!-- end of kernels -->"
_USAGE = re.compile(
    r"entry function '(\w+)'.*?(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads"
    r".*?Used (\d+) registers",
    re.S,
)
_INSTRUCTION = re.compile(r"^\s+/\*[0-9a-f]{4,5}\*/\s+(?:@!?U?P\w+\s+)?([A-Z0-9_.]+)", re.M)


def disassembler() -> Path:
    """Finds nvdisasm of its PyPI package; FileNotFoundError without."""
    spec = find_spec("nvidia")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        for path in Path(folder).glob("cu*/bin/nvdisasm*"):
            return path
    raise FileNotFoundError("nvdisasm: pip install nvidia-cuda-nvdisasm")


def facts_of(targets: tuple[str, ...] = TARGETS) -> dict[str, dict[str, dict[str, Any]]]:
    """Collects, by target and kernel, what the compiler and the disassembler say: registers, stack, spills,
    instructions by name, warnings. All targets together, so that every core has work until the end."""
    texts, program, compiler = kernel_sources(), disassembler(), find_nvrtc()

    def compiled(source: str, target: str) -> dict[str, dict[str, Any]]:
        options = (*OPTIONS, "--ptxas-options=-v")
        return _facts(compiler.compile(f"{HEADERS_FOLDER}/{source}", texts, target, options), program)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        jobs = [(target, pool.submit(compiled, source, target)) for source in SOURCES for target in targets]
    facts: dict[str, dict[str, dict[str, Any]]] = {target: {} for target in targets}
    for target, job in jobs:
        facts[target] |= job.result()
    return facts


def _facts(compiled: Any, program: Path) -> dict[str, dict[str, Any]]:
    """Collects those of one source."""
    facts: dict[str, dict[str, Any]] = {}
    odd = [line for line in compiled.log.splitlines() if re.search(r"warning|error|C7\d\d\d", line)]
    for kernel, stack, stores, loads, registers in _USAGE.findall(compiled.log):
        facts[kernel] = {
            "registers": int(registers),
            "stack": int(stack),
            "spills": int(stores) + int(loads),
            "odd": odd,
        }
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(compiled.cubin)
        file.flush()
        text = subprocess.run(
            [program, "-c", file.name], capture_output=True, text=True, check=True, timeout=120
        ).stdout
    for part in re.split(r"\n\s*\.section\s+\.text\.", text)[1:]:
        found = re.match(r"\w+", part)
        assert found is not None
        facts[found[0]]["instructions"] = dict(Counter(_INSTRUCTION.findall(part)))
    return facts


def record() -> dict[str, Any]:
    """Makes the document to keep: by kernel shared bytes and threads, and by target registers and number of
    instructions."""
    kernels: dict[str, Any] = {
        name: {"threads": kernel.threads, "shared_bytes": kernel.shared_bytes, "targets": {}}
        for name, kernel in KERNELS.items()
    }
    for target, found in facts_of().items():
        for name, facts in found.items():
            count = sum(facts["instructions"].values())
            kernels[name]["targets"][target] = {"registers": facts["registers"], "instructions": count}
    return {"nvrtc": ".".join(map(str, find_nvrtc().version)), "options": list(OPTIONS), "kernels": kernels}


def table(document: dict[str, Any]) -> str:
    """Writes the record as Markdown."""
    columns = " / ".join(target[3:] for target in TARGETS)
    lines = [
        f"NVRTC {document['nvrtc']}; registers and instructions of sm_ {columns}. No kernel has a stack or spills.",
        "",
    ]
    lines += ["| kernel | threads | shared bytes | registers | instructions |", "|---|--:|--:|---|---|"]
    for name, kernel in document["kernels"].items():
        of = kernel["targets"]
        cells = [" / ".join(str(of[target][key]) for target in TARGETS) for key in ("registers", "instructions")]
        lines.append(f"| `{name}` | {kernel['threads']} | {kernel['shared_bytes']} | {cells[0]} | {cells[1]} |")
    return "\n".join(lines)


def page_with(text: str, document: dict[str, Any]) -> str:
    """Makes a page with its table renewed; ValueError if it has no place for one."""
    before, rest = text.split(BEGIN)
    return f"{before}{BEGIN}\n\n{table(document)}\n\n{END}{rest.split(END)[1]}"


def main() -> None:
    document = record()
    RECORD.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    PAGE.write_text(page_with(PAGE.read_text(encoding="utf-8"), document), encoding="utf-8")


if __name__ == "__main__":
    main()
