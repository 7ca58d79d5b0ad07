"""The emulator as a device of the CUDA backend: builds the kernels for the CPU and runs them, every launch checked."""

import ctypes
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dcvc_cli.backend.cuda.arguments import SOURCES
from dcvc_cli.backend.cuda.engine import Launch
from dcvc_cli.backend.cuda.pinned import MappedMemory, array_at
from tests.support.programs import tool

ROOT = Path(__file__).resolve().parents[2]
EMULATOR = ROOT / "tests" / "cuda" / "emulator"
PARTS = ("machine.cpp", "shadow.cpp", "library.cpp", "plan.cpp")
WARNINGS = ("-Wall", "-Wextra", "-Werror")
# Fortified longjmp refuses to change stacks. Several libraries in one process must not share their statics.
COMMON = ("-std=c++17", "-fPIC", "-U_FORTIFY_SOURCE", "-D_FORTIFY_SOURCE=0", "-ffp-contract=off", "-fno-gnu-unique")
SANITIZERS = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer", "-g1")


class KernelError(AssertionError):
    """The emulator found faults in a launch."""


def build(folder: Path, *options: str) -> Path:
    """Builds the emulator with all kernels; returns its library, object files beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    own = [(EMULATOR / part, ("-O2",)) for part in PARTS]
    kernels = [(ROOT / "kernels" / "cuda" / source, ("-O1", "-x", "c++")) for source in SOURCES]
    objects = _compile(folder, [*own, *kernels], ROOT, options)
    return _link(folder, objects, options)


def build_changed(folder: Path, emulator: Path, source: str, header: str, old: str, new: str) -> Path:
    """Builds the emulator with a text of one header replaced, as one source sees it; the rest is taken from a library
    built before."""
    changed = folder / "kernels" / "cuda"
    for part in ("base", "cuda"):
        shutil.copytree(ROOT / "kernels" / part, folder / "kernels" / part)
    text = (changed / header).read_text(encoding="utf-8")
    assert text.count(old) == 1, f"{header} has {text.count(old)} times {old!r}"
    (changed / header).write_text(text.replace(old, new), encoding="utf-8")
    # Without warnings: a planted bug may leave something unused.
    made = _compile(folder, [(changed / source, ("-O1", "-x", "c++", "-w"))], folder, ())
    others = [emulator.parent / f"{Path(part).stem}.o" for part in (*PARTS, *SOURCES) if part != source]
    return _link(folder, [*made, *others], ())


def _compile(
    folder: Path, jobs: Sequence[tuple[Path, Sequence[str]]], includes: Path, options: Sequence[str]
) -> list[Path]:
    compiler = tool("g++")
    objects = [folder / f"{path.stem}.o" for path, _ in jobs]
    commands = [
        [
            compiler,
            *COMMON,
            *WARNINGS,
            *options,
            *own,
            f"-I{EMULATOR}",
            f"-I{includes}",
            "-c",
            str(path),
            "-o",
            str(made),
        ]
        for (path, own), made in zip(jobs, objects, strict=True)
    ]
    for first in range(0, len(commands), 2):  # two at a time
        running = [
            (command, subprocess.Popen(command, stderr=subprocess.PIPE, text=True))
            for command in commands[first : first + 2]
        ]
        for command, process in running:
            _, errors = process.communicate(timeout=280)
            assert process.returncode == 0, f"{' '.join(command)}\n{errors[-3000:]}"
    return objects


def _link(folder: Path, objects: Sequence[Path], options: Sequence[str]) -> Path:
    library = folder / "emulator.so"
    subprocess.run(
        [tool("g++"), "-shared", "-Wl,-Bsymbolic", *options, "-o", str(library), *map(str, objects)],
        check=True,
        timeout=120,
    )
    return library


class EmulatedDevice:
    """A device whose kernels run on this CPU; every launch that has a fault raises KernelError.

    Args:
        library: from `build`.
        seed: 0 runs threads in order, others at random.
        late_copies: asynchronous copies land when they are waited for.
        num_multiprocessors: what tiles are chosen for; many take the small ones.

    Attributes:
        shares_with_torch: as if PyTorch on the CPU were PyTorch on this device.
    """

    shares_with_torch = False

    def __init__(self, library: Path, seed: int = 0, late_copies: bool = True, num_multiprocessors: int = 132) -> None:
        self.num_multiprocessors = num_multiprocessors
        self._native = ctypes.CDLL(str(library))
        self._native.emulator_allocate.restype = ctypes.c_void_p
        self._native.emulator_allocate.argtypes = (ctypes.c_size_t, ctypes.c_size_t)
        self._native.emulator_free.argtypes = (ctypes.c_void_p,)
        self._native.emulator_upload.argtypes = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t)
        self._native.emulator_faults.restype = ctypes.c_char_p
        self._native.emulator_kernel.restype = ctypes.c_char_p
        self._native.emulator_conflicts.restype = ctypes.c_char_p
        self._launch = self._native.emulator_launch
        self._launch.argtypes = (
            ctypes.c_char_p,
            ctypes.c_char_p,
            ctypes.c_size_t,
            ctypes.c_void_p,
            ctypes.c_int,
            ctypes.c_int,
        )
        self.seed, self.late_copies = seed, late_copies
        self.num_launches: dict[str, int] = {}
        self.count_conflicts = False

    def conflicts(self) -> dict[str, int]:
        """Extra cycles at the banks of shared memory by source line, since the last call; counted while count_conflicts
        is set."""
        lines = self._native.emulator_conflicts().decode().splitlines()
        return {line: int(count) for line, count in (text.split(" ") for text in lines)}

    def kernels(self) -> Mapping[str, tuple[int, int, int]]:
        """(threads, shared bytes, argument bytes) of every kernel as compiled."""
        found = {}
        for index in range(self._native.emulator_num_kernels()):
            facts = [ctypes.c_int() for _ in range(3)]
            name = self._native.emulator_kernel(index, *(ctypes.byref(fact) for fact in facts))
            found[name.decode()] = tuple(fact.value for fact in facts)
        return found

    def allocate(self, size_bytes: int, cell_bytes: int) -> int:
        address: int | None = self._native.emulator_allocate(size_bytes, cell_bytes)
        assert address is not None
        return address

    def free(self, address: int) -> None:
        self._native.emulator_free(address)

    def host_memory(self, count: int, kind: Any) -> MappedMemory:
        """Memory that the kernels are checked on like any other."""
        size = max(count, 1) * np.dtype(kind).itemsize
        address = self.allocate(size, np.dtype(kind).itemsize)
        return MappedMemory(address, array_at(address, count, kind))

    def mark(self) -> object:
        """Work is done at once."""
        return object()

    def wait_for(self, mark: object) -> None:
        """Nothing is left to wait for."""

    def upload(self, address: int, array: NDArray[Any]) -> None:
        assert array.flags.c_contiguous
        self.upload_bytes(address, array.ctypes.data, array.nbytes)

    def upload_bytes(self, address: int, source: int, size: int) -> None:
        """Copies from the host's memory at `source`."""
        self._native.emulator_upload(address, source, size)

    def download(self, array: NDArray[Any], address: int) -> None:
        ctypes.memmove(array.ctypes.data, address, array.nbytes)

    def read_tensor(self, address: int, count: int) -> Any:
        import torch

        array = np.empty(count, np.int16)
        self.download(array, address)
        return torch.from_numpy(array)

    def write_tensor(self, address: int, tensor: Any) -> None:
        self.upload(address, tensor.numpy())

    def run(self, launches: Sequence[Launch]) -> None:
        for launch in launches:
            kernel, grid = launch.kernel, (ctypes.c_int * 3)(*launch.grid)
            self._native.emulator_order(self.seed, int(self.late_copies), int(self.count_conflicts))
            code = self._launch(
                kernel.name.encode(), launch.arguments, len(launch.arguments), grid, kernel.threads, kernel.shared_bytes
            )
            assert code == 0, (
                f"{kernel.name}: {({-1: 'no such kernel', -2: 'other arguments', -3: 'other threads or memory'})[code]}"
            )
            self.num_launches[kernel.name] = self.num_launches.get(kernel.name, 0) + 1
            faults = self._native.emulator_faults().decode()
            if faults:
                raise KernelError(f"{kernel.name} {launch.grid}:\n{faults}")


class SeparateMemory:
    """Every value in memory of its own, so that reading beyond one is found; given back after the launches that may use
    it."""

    def __init__(self, device: EmulatedDevice) -> None:
        self._device = device
        self._freed: list[int] = []

    def allocate(self, size_bytes: int, cell_bytes: int) -> int:
        return self._device.allocate(max(size_bytes, 1), cell_bytes)

    def free(self, address: int) -> None:
        self._freed.append(address)

    def after_work(self) -> None:
        for address in self._freed:
            self._device.free(address)
        self._freed.clear()
