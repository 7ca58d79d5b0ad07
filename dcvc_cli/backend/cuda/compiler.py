"""Machine code of the kernels: shipped cubins, or NVRTC at first use and a cache in the user's folder.

NVRTC is found where PyPI's wheels put it (torch's CUDA builds bring one), or as a library of the system. It needs no
GPU and no driver.
"""

import ctypes
import functools
import hashlib
import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from dcvc_cli.backend.cuda.arguments import HEADERS_FOLDER, SOURCES, kernel_folder, kernel_sources
from dcvc_cli.errors import EnvironmentFault

SMALLEST_CAPABILITY = (8, 0)
SHIPPED_TARGETS = ("sm_80", "sm_90", "sm_100", "sm_120")
"""A cubin runs on later chips of its major number too."""
SHIPPED_VERSION = 13, 5
"""Of the compiler that makes shipped cubins. A driver loads them whose major version is as late."""
OPTIONS = ("--std=c++17", "--no-source-include", "--fmad=false")
_NVRTC_NAMES = ("libnvrtc.so.13", "libnvrtc.so.12", "nvrtc64_130_0.dll", "nvrtc64_120_0.dll")


@dataclass(frozen=True)
class CompiledSource:
    """One source for one target: the cubin, and what the compiler said (with `-v` registers and spills)."""

    cubin: bytes
    log: str


class Nvrtc:
    """The compiler's library. Use `find_nvrtc`."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self._library = library

    @property
    def version(self) -> tuple[int, int]:
        major, minor = ctypes.c_int(), ctypes.c_int()
        self._call("nvrtcVersion", ctypes.byref(major), ctypes.byref(minor))
        return major.value, minor.value

    def compile(
        self, name: str, headers: Mapping[str, str], target: str, options: Sequence[str] = OPTIONS
    ) -> CompiledSource:
        """Compiles one of the texts for a target such as "sm_90"; the others are its headers.

        Raises:
            EnvironmentFault: it does not compile.
        """
        others = {key: text for key, text in headers.items() if key != name}
        program = ctypes.c_void_p()
        texts = (ctypes.c_char_p * len(others))(*(text.encode() for text in others.values()))
        names = (ctypes.c_char_p * len(others))(*(key.encode() for key in others))
        source = headers[name].encode()
        self._call("nvrtcCreateProgram", ctypes.byref(program), source, name.encode(), len(others), texts, names)
        try:
            arguments = [f"--gpu-architecture={target}", *options]
            given = (ctypes.c_char_p * len(arguments))(*(argument.encode() for argument in arguments))
            code = self._library.nvrtcCompileProgram(program, len(arguments), given)
            log = self._text("nvrtcGetProgramLog", program).decode(errors="replace").strip("\0\n")
            if code != 0:
                raise EnvironmentFault(f"the CUDA kernels do not compile for {target}: {log[-1500:]}")
            return CompiledSource(self._text("nvrtcGetCUBIN", program), log)
        finally:
            self._library.nvrtcDestroyProgram(ctypes.byref(program))

    def _text(self, name: str, program: ctypes.c_void_p) -> bytes:
        size = ctypes.c_size_t()
        self._call(f"{name}Size", program, ctypes.byref(size))
        buffer = ctypes.create_string_buffer(size.value)
        self._call(name, program, buffer)
        return buffer.raw

    def _call(self, name: str, *arguments: object) -> None:
        code = getattr(self._library, name)(*arguments)
        if code != 0:
            raise EnvironmentFault(f"{name} of the CUDA compiler NVRTC failed with code {code}")


@functools.cache
def find_nvrtc(max_major: int = 99) -> Nvrtc:
    """Loads the compiler.

    Args:
        max_major: of its version; a driver loads no code of a later one than its own.

    Raises:
        EnvironmentFault: there is none.
    """
    for path in (*_in_wheels(), *_NVRTC_NAMES):
        try:
            if isinstance(path, Path):  # some versions do not find their other half by themselves
                for beside in sorted(path.parent.glob("libnvrtc-builtins.so*")):
                    ctypes.CDLL(str(beside), mode=ctypes.RTLD_GLOBAL)
            compiler = Nvrtc(ctypes.CDLL(str(path)))
        except OSError:
            continue
        if compiler.version[0] <= max_major:
            return compiler
    wanted = "" if max_major == 99 else f" of version {max_major} or earlier, as the driver is"
    raise EnvironmentFault(
        f"the CUDA compiler NVRTC{wanted} is missing", "pip install 'dcvc[cuda]', or use --device cpu"
    )


def _in_wheels() -> list[Path]:
    """Lists where PyPI's packages put NVRTC, the newest first."""
    found: list[Path] = []
    for distribution in ("nvidia-cuda-nvrtc", "nvidia-cuda-nvrtc-cu12"):
        try:
            files = metadata.files(distribution) or []
        except metadata.PackageNotFoundError:
            continue
        paths = [Path(str(file.locate())) for file in files if file.name.startswith(("libnvrtc.so", "nvrtc64"))]
        found += sorted(path for path in paths if "alt" not in path.name)
    return found


def cache_folder() -> Path:
    """Returns the folder that keeps compiled kernels."""
    home = os.environ.get("DCVC_HOME")
    if home:
        return Path(home) / "cuda"
    cache = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(cache) / "dcvc" / "cuda"


def source_hash(target: str) -> str:
    """Hashes everything that decides the machine code for a target."""
    digest = hashlib.sha256(repr((target, OPTIONS)).encode())
    for name, text in kernel_sources().items():
        digest.update(f"{name}\0{text}\0".encode())
    return digest.hexdigest()[:24]


def shipped_target(capability: tuple[int, int]) -> str | None:
    """Finds the best target with cubins in a wheel that a GPU of this compute capability runs; None where none fits."""
    own = [target for target in SHIPPED_TARGETS if int(target[3:]) // 10 == capability[0]]
    fitting = [target for target in own if int(target[3:]) % 10 <= capability[1]]
    return fitting[-1] if fitting else None


def shipped_folder(target: str) -> Path:
    """Where a wheel has the cubins for a target. The name has the hash of the sources, so cubins of other sources are
    never found."""
    return kernel_folder() / "cubin" / f"{target}-{source_hash(target)}"


def has_shipped(target: str) -> bool:
    """Whether the package has the cubins of its own sources for a target."""
    return _read_all(shipped_folder(target)) is not None


def _cached_folder(capability: tuple[int, int], driver_major: int) -> Path:
    target = f"sm_{capability[0]}{capability[1]}"
    return cache_folder() / f"{target}-{source_hash(target)}-{driver_major}"


def origin_of_cubins(capability: tuple[int, int], driver_major: int) -> str:
    """Names the place that `cubins_for` takes cubins from.

    Raises:
        EnvironmentFault: from nowhere.
    """
    shipped = shipped_target(capability)
    if shipped is not None and driver_major >= SHIPPED_VERSION[0] and _read_all(shipped_folder(shipped)) is not None:
        return f"compiled for {shipped}"
    if _read_all(_cached_folder(capability, driver_major)) is not None:
        return "compiled before"
    major, minor = find_nvrtc(driver_major).version
    return f"to be compiled at first use by NVRTC {major}.{minor}"


def cubins_for(capability: tuple[int, int], driver_major: int = 99) -> dict[str, bytes]:
    """Returns the cubin of every source for a GPU: shipped, from the cache, or compiled now and kept.

    Args:
        driver_major: of the CUDA version that the driver knows.

    Raises:
        EnvironmentFault: the GPU is older than the kernels need, or nothing can compile them.
    """
    if capability < SMALLEST_CAPABILITY:
        found, needed = (".".join(map(str, pair)) for pair in (capability, SMALLEST_CAPABILITY))
        raise EnvironmentFault(f"the GPU has compute capability {found}, the kernels need {needed}", "use --device cpu")
    shipped = shipped_target(capability)
    if shipped is not None and driver_major >= SHIPPED_VERSION[0]:
        cubins = _read_all(shipped_folder(shipped))
        if cubins is not None:
            return cubins
    folder = _cached_folder(capability, driver_major)
    cubins = _read_all(folder)
    if cubins is None:
        cubins = compile_all(f"sm_{capability[0]}{capability[1]}", driver_major)
        write_all(folder, cubins)
    return cubins


def compile_all(target: str, max_major: int = 99) -> dict[str, bytes]:
    """Compiles every source for a target, by a compiler of at most this version."""
    compiler, texts = find_nvrtc(max_major), kernel_sources()
    return {source: compiler.compile(f"{HEADERS_FOLDER}/{source}", texts, target).cubin for source in SOURCES}


def _read_all(folder: Path) -> dict[str, bytes] | None:
    try:
        return {source: (folder / f"{source}bin").read_bytes() for source in SOURCES}
    except OSError:
        return None


def write_all(folder: Path, cubins: Mapping[str, bytes]) -> None:
    """Writes cubins into the cache; each file appears whole. Where the folder cannot be written, the next start
    compiles again."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for source, cubin in cubins.items():
            handle, temporary = tempfile.mkstemp(dir=folder)
            with os.fdopen(handle, "wb") as file:
                file.write(cubin)
            os.replace(temporary, folder / f"{source}bin")
    except OSError as error:
        print(f"dcvc: compiled kernels are not kept: {error}", file=sys.stderr)
