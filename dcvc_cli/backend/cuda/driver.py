"""A GPU through the CUDA driver: memory, copies, launches, graphs. This file and pinned.py alone call the driver. No
GPU has run this yet: tests use a driver that only records its calls. Calls and constants are those of `cuda-bindings`,
which PyTorch's CUDA builds from 2.10 on bring along.
"""

import ctypes
import importlib
import sys
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dcvc_cli.backend.cuda import pinned
from dcvc_cli.backend.cuda.compiler import SMALLEST_CAPABILITY, cubins_for, origin_of_cubins
from dcvc_cli.backend.cuda.engine import CudaEngine, Launch
from dcvc_cli.backend.cuda.kernels import KERNELS
from dcvc_cli.errors import EnvironmentFault

if TYPE_CHECKING:
    import torch

Bindings = Any
"""The module of `cuda-bindings`, or what stands for it in tests. It ships no types."""
Handle = Any
"""A value of the bindings that names something of the driver: a device, a library, a function, a graph."""
STATIC_SHARED_LIMIT = 48 << 10
"""Shared memory that a kernel may use without asking for more."""
MAX_GRAPHS = 256


def driver_module() -> Bindings:
    """Imports the bindings of the CUDA driver.

    Raises:
        EnvironmentFault: they are not installed.
    """
    try:
        return importlib.import_module("cuda.bindings.driver")
    except ImportError as error:
        raise EnvironmentFault("the package cuda-bindings is missing", "pip install 'dcvc[cuda]'") from error


class Calls:
    """Driver calls whose errors are EnvironmentFault.

    Args:
        driver: the bindings; None takes those that are installed.
    """

    def __init__(self, driver: Bindings | None = None) -> None:
        self.cu = driver if driver is not None else driver_module()

    def start(self) -> None:
        """Starts the driver. Raises EnvironmentFault without a driver, or with one that finds no GPU."""
        try:
            code = self.cu.cuInit(0)[0]
        except RuntimeError as error:  # the bindings find no driver library
            raise EnvironmentFault("no CUDA driver is installed", "use --device cpu") from error
        if int(code) != 0:
            raise EnvironmentFault(f"the CUDA driver does not start ({self.name(code)})", "use --device cpu")

    def name(self, code: Handle) -> str:
        """Returns the driver's name of an error code."""
        found = self.cu.cuGetErrorName(self.cu.CUresult(int(code)))
        return found[1].decode() if int(found[0]) == 0 else str(int(code))

    def do(self, result: tuple[Any, ...]) -> Any:
        """Returns the value of a driver call, from what the bindings return: (error code, values...)."""
        code, *values = result
        if int(code) != 0:
            raise EnvironmentFault(f"the CUDA driver reports {self.name(code)}", "try --device cpu")
        return values[0] if values else None


@dataclass(frozen=True)
class Gpu:
    """A GPU as the driver describes it.

    Attributes:
        handle: the driver's.
        name: of the product.
        capability: compute capability (major, minor).
        num_multiprocessors: of the GPU.
        driver_major: largest major version of CUDA that the driver knows.
    """

    handle: Handle
    name: str
    capability: tuple[int, int]
    num_multiprocessors: int
    driver_major: int


def find_gpu(calls: Calls, index: int) -> Gpu:
    """Describes a GPU without opening it.

    Raises:
        EnvironmentFault: no driver, no such GPU, or one that is too old.
    """
    calls.start()
    cu, do = calls.cu, calls.do
    count = do(cu.cuDeviceGetCount())
    if index >= count:
        raise EnvironmentFault(f"there is no GPU {index}, the driver knows {count}", "use --device cpu")
    handle = do(cu.cuDeviceGet(index))
    kinds = cu.CUdevice_attribute
    wanted = ("COMPUTE_CAPABILITY_MAJOR", "COMPUTE_CAPABILITY_MINOR", "MULTIPROCESSOR_COUNT")
    major, minor, multiprocessors = (
        int(do(cu.cuDeviceGetAttribute(getattr(kinds, f"CU_DEVICE_ATTRIBUTE_{name}"), handle))) for name in wanted
    )
    if (major, minor) < SMALLEST_CAPABILITY:
        raise EnvironmentFault(f"GPU {index} has compute capability {major}.{minor}, 8.0 is needed", "use --device cpu")
    name = do(cu.cuDeviceGetName(256, handle)).split(b"\0")[0].decode()
    return Gpu(handle, name, (major, minor), multiprocessors, do(cu.cuDriverGetVersion()) // 1000)


def describe_gpu(index: int = 0, driver: Bindings | None = None) -> str:
    """Describes the GPU, and says where the kernels' machine code comes from.

    Raises:
        EnvironmentFault: the exact profile cannot run there; the message says what is missing.
    """
    gpu = find_gpu(Calls(driver), index)
    origin = origin_of_cubins(gpu.capability, gpu.driver_major)
    return f"{gpu.name}, compute capability {gpu.capability[0]}.{gpu.capability[1]}, kernels {origin}"


class CudaDevice:
    """One GPU with its own stream.

    Launches of a group that was seen before run as a CUDA graph. A group is known by all bytes of its launches. Its
    graph is made the second time that the group comes, since the first frames of a stream do not repeat. Where the
    driver makes no graph, launches start one by one.

    Args:
        index: of the GPU, as the driver counts.
        driver: the bindings; None takes those that are installed.
        cubins: machine code by source; None finds or makes it.

    Raises:
        EnvironmentFault: as find_gpu, or no machine code and no compiler.
    """

    def __init__(self, index: int = 0, driver: Bindings | None = None, cubins: dict[str, bytes] | None = None) -> None:
        calls = Calls(driver)
        self._cu, self._do, self._name, self._index = calls.cu, calls.do, calls.name, index
        gpu = find_gpu(calls, index)
        self.name, self.num_multiprocessors = gpu.name, gpu.num_multiprocessors
        cu, do = self._cu, self._do
        cubins = cubins or cubins_for(gpu.capability, gpu.driver_major)
        # The primary context is the one that PyTorch uses.
        self._context = do(cu.cuDevicePrimaryCtxRetain(gpu.handle))
        self._enter()
        self._stream = do(cu.cuStreamCreate(cu.CUstream_flags.CU_STREAM_NON_BLOCKING.value))
        self._libraries: list[Handle] = []
        self._functions = self._load(cubins, gpu.handle)
        self._calls, self._staging = calls, pinned.Staging(calls, self._stream)
        self._landing = int(do(cu.cuMemHostAlloc(pinned.STAGING_BYTES, 0)))
        self._free_events: list[Handle] = []
        self._graphs: OrderedDict[bytes, Handle | None] = OrderedDict()
        self._records = True

    def _enter(self) -> None:
        self._do(self._cu.cuCtxSetCurrent(self._context))

    def _load(self, cubins: dict[str, bytes], device: Handle) -> dict[str, Handle]:
        cu, functions = self._cu, {}
        loaded = {}
        for source, cubin in cubins.items():
            loaded[source] = self._do(cu.cuLibraryLoadData(cubin, [], [], 0, [], [], 0))
            self._libraries.append(loaded[source])
        largest = cu.CUfunction_attribute.CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES
        for name, kernel in KERNELS.items():
            handle = self._do(cu.cuLibraryGetKernel(loaded[kernel.source], name.encode()))
            if kernel.shared_bytes > STATIC_SHARED_LIMIT:
                self._do(cu.cuKernelSetAttribute(largest, kernel.shared_bytes, handle, device))
            functions[name] = handle
        return functions

    # ---- memory

    def allocate(self, size_bytes: int, cell_bytes: int) -> int:
        self._enter()
        code, address = self._cu.cuMemAlloc(max(size_bytes, 1))
        if int(code) != 0:
            raise EnvironmentFault(
                f"the GPU has no {size_bytes} bytes of memory left ({self._name(code)})", "use --device cpu"
            )
        return int(address)

    def free(self, address: int) -> None:
        self._enter()
        self.wait()
        self._do(self._cu.cuMemFree(address))

    def wait(self) -> None:
        """Waits until all work is done."""
        self._do(self._cu.cuStreamSynchronize(self._stream))

    def upload(self, address: int, array: NDArray[Any]) -> None:
        self._enter()
        data = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
        for first in range(0, len(data), pinned.STAGING_BYTES):
            piece = data[first : first + pinned.STAGING_BYTES]
            place = self._staging.place(len(piece))
            ctypes.memmove(place, piece.ctypes.data, len(piece))
            self._do(self._cu.cuMemcpyHtoDAsync(address + first, place, len(piece), self._stream))

    def download(self, array: NDArray[Any], address: int) -> None:
        self._enter()
        for first in range(0, array.nbytes, pinned.STAGING_BYTES):
            size = min(pinned.STAGING_BYTES, array.nbytes - first)
            self._do(self._cu.cuMemcpyDtoHAsync(self._landing, address + first, size, self._stream))
            self.wait()
            ctypes.memmove(array.ctypes.data + first, self._landing, size)

    def host_memory(self, count: int, kind: type[np.generic]) -> pinned.MappedMemory:
        self._enter()
        return pinned.mapped_memory(self._calls, count, kind)

    def mark(self) -> pinned.Mark:
        self._enter()
        return pinned.Mark(self._calls, self._stream, self._free_events)

    def wait_for(self, mark: pinned.Mark) -> None:
        self._enter()  # a thread has the context only once it entered it
        mark.wait()

    # ---- PyTorch on the same GPU, where it has CUDA

    @property
    def shares_with_torch(self) -> bool:
        torch = sys.modules.get("torch")  # who has tensors has loaded it
        return torch is not None and bool(torch.cuda.is_available())

    def read_tensor(self, address: int, count: int) -> "torch.Tensor":
        with self._torch_in_order():
            return self._view(address, count, "<i2").clone()

    def write_tensor(self, address: int, tensor: "torch.Tensor") -> None:
        with self._torch_in_order():
            self._view(address, tensor.numel(), "<f4").copy_(tensor.reshape(-1))

    @contextmanager
    def _torch_in_order(self) -> Iterator[None]:
        """Orders PyTorch's work inside the block after the work so far and before the work to come; the host does not
        wait."""
        import torch

        own = torch.cuda.ExternalStream(int(self._stream), device=f"cuda:{self._index}")
        others = torch.cuda.current_stream(f"cuda:{self._index}")
        others.wait_stream(own)
        yield
        own.wait_stream(others)

    def _view(self, address: int, count: int, kind: str) -> "torch.Tensor":
        """Shows device memory as a tensor of PyTorch, of numbers in NumPy's name `kind`."""
        import torch

        fields = {"shape": (count,), "typestr": kind, "data": (address, False), "version": 3}
        place = SimpleNamespace(__cuda_array_interface__=fields)
        return torch.as_tensor(place, device=f"cuda:{self._index}")

    # ---- work

    def run(self, launches: Sequence[Launch]) -> None:
        self._enter()
        key = b"".join(b"%s%r" % (launch.kernel.name.encode(), launch.grid) + launch.arguments for launch in launches)
        graph = self._graphs.get(key)
        if graph is None and key in self._graphs and self._records:
            graph = self._graphs[key] = self._graph_or_none(launches)
        if graph is not None:
            self._graphs.move_to_end(key)
            self._do(self._cu.cuGraphLaunch(graph, self._stream))
            return
        self._graphs[key] = None
        if len(self._graphs) > MAX_GRAPHS:
            _, oldest = self._graphs.popitem(last=False)
            if oldest is not None:
                self.wait()
                self._do(self._cu.cuGraphExecDestroy(oldest))
        for launch in launches:
            self._launch(launch)

    def _launch(self, launch: Launch) -> None:
        kernel, cu = launch.kernel, self._cu
        arguments = ctypes.create_string_buffer(launch.arguments, len(launch.arguments))
        pointers = (ctypes.c_void_p * 1)(ctypes.addressof(arguments))
        function = cu.CUfunction(int(self._functions[kernel.name]))
        block = kernel.threads, 1, 1
        self._do(
            cu.cuLaunchKernel(
                function, *launch.grid, *block, kernel.shared_bytes, self._stream, ctypes.addressof(pointers), 0
            )
        )

    def _graph_or_none(self, launches: Sequence[Launch]) -> Handle | None:
        """A graph; None where the driver makes none. Launches one by one compute the same, so the stream goes on."""
        try:
            return self._graph_of(launches)
        except EnvironmentFault as fault:
            self._records = False
            print(f"dcvc: kernels start one by one, not as CUDA graphs: {fault}", file=sys.stderr)
            return None

    def _graph_of(self, launches: Sequence[Launch]) -> Handle:
        """Records the launches, one after the other, as a graph; nothing runs."""
        cu = self._cu
        self._do(cu.cuStreamBeginCapture(self._stream, cu.CUstreamCaptureMode.CU_STREAM_CAPTURE_MODE_THREAD_LOCAL))
        try:
            for launch in launches:
                self._launch(launch)
        except EnvironmentFault:
            cu.cuStreamEndCapture(self._stream)  # the first fault is told, not what comes of it
            raise
        graph = self._do(cu.cuStreamEndCapture(self._stream))
        made = self._do(cu.cuGraphInstantiate(graph, 0))
        self._do(cu.cuGraphDestroy(graph))
        return made

    def seconds_of(self, launches: Sequence[Launch], repeats: int, rounds: int = 5) -> list[float]:
        """Seconds of a group on the GPU's clock: for every round, the mean over `repeats` runs of the group's graph.
        One run before the rounds warms up."""
        self._enter()
        cu, do = self._cu, self._do
        graph = self._graph_of(launches)
        begin, end = (do(cu.cuEventCreate(0)) for _ in range(2))
        do(cu.cuGraphLaunch(graph, self._stream))
        seconds = []
        for _ in range(rounds):
            do(cu.cuEventRecord(begin, self._stream))
            for _ in range(repeats):
                do(cu.cuGraphLaunch(graph, self._stream))
            do(cu.cuEventRecord(end, self._stream))
            do(cu.cuEventSynchronize(end))
            seconds.append(float(do(cu.cuEventElapsedTime(begin, end))) / 1e3 / repeats)
        do(cu.cuGraphExecDestroy(graph))
        for event in (begin, end):
            do(cu.cuEventDestroy(event))
        return seconds


def open_engine(name: str) -> CudaEngine:
    """Opens an engine on the GPU that `cuda` or `cuda:N` names.

    Raises:
        EnvironmentFault: as CudaDevice, or no bindings, or no machine code and no compiler.
    """
    return CudaEngine(CudaDevice(int(name.partition(":")[2] or 0)))
