"""Finds what this machine offers (processor, packages, devices, kernels, weights), what dcvc uses of it, and why not
something faster."""

import os
import platform
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from importlib import import_module, metadata
from pathlib import Path
from typing import Any

from dcvc_cli import __version__
from dcvc_cli.errors import DcvcError
from dcvc_cli.evaluating.encoders import ENCODERS, ConventionalCodec, program_with, versions
from dcvc_cli.format.native import ISA_VARIABLE, load_native
from dcvc_cli.metrics.ffmpeg_scores import FILTERS, program_for

OPTIONAL_PACKAGES = (
    ("torch", "torch", "float precisions, published checkpoints and training", "torch"),
    ("av", "av", "mp4 and mkv input", "video"),
    ("matplotlib", "matplotlib", "plots", "eval"),
    ("bjontegaard", "bjontegaard", "BD-rates of dcvc compare", "eval"),
    ("pytorch_msssim", "pytorch-msssim", "a second opinion on MS-SSIM", "eval"),
    ("accelerate", "accelerate", "training on several GPUs", "train"),
    ("tensorboard", "tensorboard", "training logs for TensorBoard", "train"),
)
"""(module, distribution, purpose, extra that installs it)."""
REQUIRED_PACKAGES = ("numpy", "safetensors", "pillow", "pyyaml", "typer", "rich")
INTERESTING_FLAGS = (
    "avx2",
    "fma",
    "avx512f",
    "avx512bw",
    "avx512vl",
    "avx512_vnni",
    "avx_vnni",
    "avx512_bf16",
    "amx_tile",
    "amx_int8",
    "asimd",
    "sve",
)
BEST_ISA = "amx"
CPU_FREQUENCY = Path("/sys/devices/system/cpu/cpu0/cpufreq")


class Status(Enum):
    """What a finding means for the user.

    Attributes:
        OK: all is well.
        SLOW: it works, but something faster is not used; the remark says why.
        ABSENT: something optional is not there.
        MISSING: something that coding needs is not there.
    """

    OK = "ok"
    SLOW = "slow"
    ABSENT = "absent"
    MISSING = "MISSING"


@dataclass(frozen=True)
class Finding:
    """One line of the report."""

    section: str
    name: str
    value: str
    status: Status = Status.OK
    remark: str = ""


def diagnose() -> list[Finding]:
    """Makes every finding, in the order to show them. What is missing is reported, and nothing raises for it."""
    sections: tuple[Callable[[], Iterator[Finding]], ...] = (_machine, _packages, _devices, _kernels, _weights, _choice)
    return [finding for section in sections for finding in section()]


def _machine() -> Iterator[Finding]:
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    model, flags = processor()
    yield Finding("machine", "system", f"{platform.system()} {platform.release()} {platform.machine()}")
    yield Finding("machine", "processor", f"{model}, {usable} of {os.cpu_count()} threads usable")
    shown = " ".join(flag for flag in INTERESTING_FLAGS if flag in flags)
    yield Finding("machine", "instruction sets", shown or "unknown")
    yield _governor(CPU_FREQUENCY)
    memory = _memory_bytes()
    if memory:
        yield Finding("machine", "memory", f"{memory / 2**30:.1f} GiB")


def _governor(folder: Path) -> Finding:
    """Finds what sets the processor's clock, and what a slow choice costs."""

    def read(name: str) -> str:
        try:
            return (folder / name).read_text(encoding="ascii", errors="replace").strip()
        except OSError:
            return ""

    name, driver = read("scaling_governor"), read("scaling_driver")
    if not name:
        return Finding("machine", "clock governor", "not told by this system", remark="")
    low, high = (int(text) if text.isdigit() else 0 for text in (read("scaling_min_freq"), read("cpuinfo_max_freq")))
    # Drivers of Intel and AMD raise the clock under "powersave" too.
    is_slow = name == "powersave" and not driver.startswith(("intel_pstate", "amd-pstate"))
    if not is_slow:
        return Finding("machine", "clock governor", f"{name} ({driver or 'unknown driver'})")
    cost = (
        f"runs at {low // 1000} of {high // 1000} MHz: {high / low:.1f} times slower" if low and high else "runs slowly"
    )
    hint = "cpupower frequency-set -g performance"
    return Finding("machine", "clock governor", name, Status.SLOW, f"the processor {cost}; {hint}")


def processor() -> tuple[str, frozenset[str]]:
    """Reads (model name, instruction set flags) from /proc/cpuinfo; elsewhere the name that Python knows, and no
    flags."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return platform.processor() or "unknown", frozenset()
    fields = {
        key.strip().lower(): value.strip() for key, _, value in (line.partition(":") for line in text.splitlines())
    }
    flags = fields.get("flags") or fields.get("features") or ""
    return fields.get("model name") or platform.processor() or "unknown", frozenset(flags.split())


def _memory_bytes() -> int:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError, AttributeError):
        return 0


def _packages() -> Iterator[Finding]:
    yield Finding("software", "dcvc", f"{__version__} in {Path(__file__).resolve().parents[1]}")
    yield Finding("software", "python", f"{platform.python_implementation()} {platform.python_version()}")
    for name in REQUIRED_PACKAGES:
        version = _version(name)
        yield (
            Finding("software", name, version)
            if version
            else Finding("software", name, "not installed", Status.MISSING, f"pip install {name}")
        )
    for module, name, purpose, extra in OPTIONAL_PACKAGES:
        try:
            import_module(module)
            yield Finding("software", name, _version(name) or "unknown version")
        except Exception as error:  # a broken package may raise anything; it is only reported
            remark = (
                f"{purpose}: pip install 'dcvc[{extra}]'"
                if isinstance(error, ModuleNotFoundError)
                else f"{type(error).__name__}: {error}"
            )
            yield Finding("software", name, "not usable", Status.ABSENT, remark)
    for metric in FILTERS:
        program = program_for(metric)
        yield Finding(
            "software",
            metric,
            program or "not measured",
            Status.OK if program else Status.ABSENT,
            "" if program else "--target and dcvc eval: pip install 'dcvc[metrics]'",
        )
    for codec in ConventionalCodec:
        program = program_with(codec)
        if program is None:
            yield Finding(
                "software", codec, "not found", Status.ABSENT, "dcvc eval --codec: pip install 'dcvc[metrics]'"
            )
        else:
            own, ffmpeg = versions(program, codec)
            yield Finding("software", codec, f"{ENCODERS[codec].name} {own} in ffmpeg {ffmpeg}, {program}")


def _version(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def loaded_torch() -> Any:
    """Returns the module torch, or None where it does not load."""
    try:
        return import_module("torch")
    except Exception:  # a broken installation may raise anything
        return None


def _devices() -> Iterator[Finding]:
    torch = loaded_torch()
    if torch is None:
        yield Finding("devices", "cpu", "exact streams only: torch is not there or cannot be loaded")
        return
    capability = torch.backends.cpu.get_cpu_capability()
    yield Finding("devices", "cpu", f"torch uses {capability} kernels on {torch.get_num_threads()} threads")
    if torch.cuda.is_available():
        for index in range(torch.cuda.device_count()):
            facts = torch.cuda.get_device_properties(index)
            text = f"{facts.name}, {facts.total_memory / 2**30:.1f} GiB, compute capability {facts.major}.{facts.minor}"
            yield Finding("devices", f"cuda:{index}", text)
        return
    driver = Path("/proc/driver/nvidia/version").exists() or shutil.which("nvidia-smi") is not None
    if torch.version.cuda is None:
        remark = "this torch is built without CUDA" + (
            ", though an NVIDIA driver is here: install a CUDA build of torch" if driver else ""
        )
    else:
        remark = "torch finds no usable GPU" if driver else "no NVIDIA driver"
    yield Finding("devices", "cuda", "not available", Status.SLOW if driver else Status.ABSENT, remark)


def _kernels() -> Iterator[Finding]:
    for name, module in (("entropy coder", "_entropy"), ("block motion", "_motion"), ("output filter", "_filter")):
        try:
            yield Finding("kernels", name, Path(load_native(module).__file__ or "").name)
        except DcvcError as error:
            yield Finding("kernels", name, "not built", Status.MISSING, str(error))
    try:
        load_native("_kernels")
    except DcvcError as error:
        yield Finding("kernels", "exact arithmetic", "not built", Status.SLOW, str(error))
    else:
        yield from _exact_kernels()
    yield _cuda_kernels()


def _cuda_kernels() -> Finding:
    """Finds the GPU that --device cuda computes exactly on, or what it lacks."""
    from dcvc_cli.backend.cuda.driver import describe_gpu

    try:
        return Finding("kernels", "exact on a GPU", describe_gpu())
    except DcvcError as error:
        return Finding("kernels", "exact on a GPU", "not available", Status.ABSENT, str(error))


def _exact_kernels() -> Iterator[Finding]:
    from dcvc_cli import _kernels

    usable = _kernels.usable_isas()
    wanted = os.environ.get(ISA_VARIABLE, "")
    used = _kernels.isa_for(wanted)
    if used is None:
        yield Finding(
            "kernels",
            "exact arithmetic",
            "none",
            Status.MISSING,
            f"{ISA_VARIABLE}={wanted}, usable are: {', '.join(usable)}",
        )
        return
    if used != usable[-1]:
        remark = f"{ISA_VARIABLE}={wanted} forbids the faster {usable[-1]}"
        yield Finding("kernels", "exact arithmetic", used, Status.SLOW, remark)
        return
    remark = "" if used == BEST_ISA else f"the processor lacks {BEST_ISA}, the fastest instruction set with kernels"
    yield Finding("kernels", "exact arithmetic", f"{used} (usable: {', '.join(usable)})", Status.OK, remark)


def _weights() -> Iterator[Finding]:
    from dcvc_cli.format.constants import DEFAULT_MODEL
    from dcvc_cli.weights.file import read_weights
    from dcvc_cli.weights.store import user_folder, weight_files, weights_name

    seen = set()
    for path in weight_files():
        name = weights_name(path)
        seen.add(name)
        try:
            weights = read_weights(path)
        except DcvcError as error:
            status = Status.MISSING if name == DEFAULT_MODEL else Status.ABSENT
            yield Finding("weights", name, "not usable", status, error.message)
            continue
        kind = "exact and float" if weights.is_exact else "float only"
        prints = ", ".join(f"{part} {network.fingerprint:016x}" for part, network in weights.networks.items())
        yield Finding("weights", name, f"{weights.model.name}, {kind}, {prints}")
    if DEFAULT_MODEL not in seen:
        yield Finding(
            "weights", DEFAULT_MODEL, "not found", Status.MISSING, "the default weights come with dcvc: reinstall it"
        )
    yield Finding("weights", "added weights", str(user_folder()))


def _choice() -> Iterator[Finding]:
    """Tells what `dcvc encode` without options would use."""
    from dcvc_cli.bitstream.sps import Precision
    from dcvc_cli.coding.opened_models import device_for
    from dcvc_cli.format.constants import DEFAULT_MODEL
    from dcvc_cli.weights.store import weights_by_name

    try:
        weights = weights_by_name(DEFAULT_MODEL)
        device = device_for(Precision.EXACT if weights.is_exact else Precision.FLOAT32, "auto")
    except (DcvcError, ImportError) as error:
        yield Finding("in use", "encode", "cannot run", Status.MISSING, str(error))
        return
    remark = "" if weights.is_exact else "these weights have no exact form, so other machines may decode other pictures"
    precision = "exact" if weights.is_exact else "fp32"
    yield Finding(
        "in use", "encode", f"model {DEFAULT_MODEL}, precision {precision}, device {device}", Status.OK, remark
    )
