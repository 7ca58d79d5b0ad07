"""A CUDA driver whose one GPU is the emulator: the driver's calls as `cuda-bindings` has them, with that package's own
constants."""

import ctypes
import importlib
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from dcvc_cli.backend.cuda.engine import Launch
from dcvc_cli.backend.cuda.kernels import KERNELS
from tests.cuda.emulated import EmulatedDevice

OK = 0
HANDLE = 1000


class EmulatedDriver:
    """Answers like the driver module; what it does not have itself (types, constants) comes from the real one.

    Args:
        device: runs the kernels.
        capability: of the GPU that this is.
        is_late: work is done when the host waits for it, as late as a GPU may do it. Copies read the host's memory
            then, and kernels write it then.
    """

    def __init__(self, device: EmulatedDevice, capability: tuple[int, int] = (9, 0), *, is_late: bool = False) -> None:
        self._is_late, self._lock = is_late, threading.Lock()
        self._waiting: deque[Callable[[], Any]] = deque()
        self.num_stream_waits = 0
        self._real = importlib.import_module("cuda.bindings.driver")
        self._device, self._capability = device, capability
        self._names = list(KERNELS)
        self._allowed: dict[int, int] = {}
        self._hosts: dict[int, Any] = {}
        self._mapped: set[int] = set()
        self._captured: list[Launch] | None = None
        self._graphs: dict[int, list[Launch]] = {}
        self.num_graph_launches = self.num_launches = self.num_allocations = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def cuInit(self, flags: int) -> tuple[int]:  # noqa: N802
        return (OK,)

    def cuGetErrorName(self, code: Any) -> tuple[int, bytes]:  # noqa: N802
        return OK, self._real.CUresult(int(code)).name.encode()

    def cuDriverGetVersion(self) -> tuple[int, int]:  # noqa: N802
        return OK, 13000

    def cuDeviceGetCount(self) -> tuple[int, int]:  # noqa: N802
        return OK, 1

    def cuDeviceGet(self, index: int) -> tuple[int, int]:  # noqa: N802
        return OK, index

    def cuDeviceGetName(self, length: int, device: int) -> tuple[int, bytes]:  # noqa: N802
        return OK, b"emulator\0\0"

    def cuDeviceGetAttribute(self, attribute: Any, device: int) -> tuple[int, int]:  # noqa: N802
        kinds = self._real.CUdevice_attribute
        values = {
            kinds.CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR: self._capability[0],
            kinds.CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR: self._capability[1],
            kinds.CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT: self._device.num_multiprocessors,
        }
        return OK, values[attribute]

    def cuDevicePrimaryCtxRetain(self, device: int) -> tuple[int, int]:  # noqa: N802
        return OK, HANDLE

    def cuCtxSetCurrent(self, context: int) -> tuple[int]:  # noqa: N802
        assert context == HANDLE
        return (OK,)

    def cuStreamCreate(self, flags: int) -> tuple[int, int]:  # noqa: N802
        assert flags == self._real.CUstream_flags.CU_STREAM_NON_BLOCKING.value
        return OK, HANDLE

    def cuStreamSynchronize(self, stream: int) -> tuple[int]:  # noqa: N802
        assert self._captured is None, "the host may not wait while a graph is recorded"
        self.num_stream_waits += 1
        self._work_until(lambda: not self._waiting)
        return (OK,)

    def _do_in_order(self, work: Callable[[], Any]) -> None:
        if self._is_late:
            self._waiting.append(work)
        else:
            work()

    def _work_until(self, is_done: Callable[[], bool]) -> None:
        with self._lock:
            while not is_done():
                self._waiting.popleft()()

    def cuLibraryLoadData(self, code: bytes, *options: Any) -> tuple[int, str]:  # noqa: N802
        assert options == ([], [], 0, [], [], 0)
        return OK, code.decode()

    def cuLibraryGetKernel(self, library: str, name: bytes) -> tuple[int, int]:  # noqa: N802
        assert KERNELS[name.decode()].source == library, "the kernel is in another source"
        return OK, self._names.index(name.decode())

    def cuKernelSetAttribute(self, attribute: Any, value: int, kernel: int, device: int) -> tuple[int]:  # noqa: N802
        assert attribute == self._real.CUfunction_attribute.CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES
        self._allowed[kernel] = value
        return (OK,)

    def cuMemAlloc(self, size: int) -> tuple[int, int]:  # noqa: N802
        assert size > 0
        self.num_allocations += 1
        return OK, self._device.allocate(size, 1)

    def cuMemFree(self, address: int) -> tuple[int]:  # noqa: N802
        assert not self._waiting, "work that may use the memory is under way"
        self._device.free(address)
        return (OK,)

    def cuMemHostGetDevicePointer(self, place: int, flags: int) -> tuple[int, int]:  # noqa: N802
        assert place in self._mapped, "kernels may not write this memory"
        return OK, place

    def cuMemHostAlloc(self, size: int, flags: int) -> tuple[int, int]:  # noqa: N802
        if flags == self._real.CU_MEMHOSTALLOC_DEVICEMAP:
            self._mapped.add(place := self._device.allocate(size, 1))
            return OK, place
        assert flags == 0
        memory = ctypes.create_string_buffer(size)
        self._hosts[ctypes.addressof(memory)] = memory
        return OK, ctypes.addressof(memory)

    def cuMemcpyHtoDAsync(self, to: int, source: int, size: int, stream: int) -> tuple[int]:  # noqa: N802
        assert self._is_pinned(source, size)
        self._do_in_order(lambda: self._device.upload_bytes(to, source, size))
        return (OK,)

    def cuMemcpyDtoHAsync(self, to: int, source: int, size: int, stream: int) -> tuple[int]:  # noqa: N802
        assert self._is_pinned(to, size)
        self._do_in_order(lambda: ctypes.memmove(to, source, size))
        return (OK,)

    def _is_pinned(self, place: int, size: int) -> bool:
        return any(start <= place and place + size <= start + len(m) for start, m in self._hosts.items())

    def cuLaunchKernel(self, function: Any, *rest: Any) -> tuple[int]:  # noqa: N802
        grid, block, (shared, stream, pointers, extra) = rest[:3], rest[3:6], rest[6:]
        kernel = KERNELS[self._names[int(function)]]
        assert (block, stream, extra) == ((kernel.threads, 1, 1), HANDLE, 0)
        assert shared <= max(self._allowed.get(int(function), 0), 48 << 10), "more shared memory than was asked for"
        first = ctypes.c_void_p.from_address(pointers).value
        assert first is not None
        launch = Launch(kernel, grid, ctypes.string_at(first, ctypes.sizeof(kernel.structure)))
        if self._captured is not None:
            self._captured.append(launch)
        else:
            self.num_launches += 1
            self._do_in_order(lambda: self._device.run([launch]))
        return (OK,)

    def cuStreamBeginCapture(self, stream: int, mode: Any) -> tuple[int]:  # noqa: N802
        assert self._captured is None
        self._captured = []
        return (OK,)

    def cuStreamEndCapture(self, stream: int) -> tuple[int, int]:  # noqa: N802
        assert self._captured is not None
        self._graphs[len(self._graphs)] = self._captured
        self._captured = None
        return OK, len(self._graphs) - 1

    def cuGraphInstantiate(self, graph: int, flags: int) -> tuple[int, int]:  # noqa: N802
        return OK, graph

    def cuEventCreate(self, flags: int) -> tuple[int, list[float]]:  # noqa: N802
        return OK, [0.0, 0, 0]

    def cuEventRecord(self, event: list[float], stream: int) -> tuple[int]:  # noqa: N802
        """An event is its time, how often it was recorded, and how often the work came to it."""
        assert self._captured is None, "an event inside a graph marks no work"
        event[0] = time.perf_counter()
        event[1] += 1
        self._do_in_order(lambda: event.__setitem__(2, event[2] + 1))
        return (OK,)

    def cuEventSynchronize(self, event: list[float]) -> tuple[int]:  # noqa: N802
        self._work_until(lambda: event[2] == event[1])
        return (OK,)

    def cuEventElapsedTime(self, begin: list[float], end: list[float]) -> tuple[int, float]:  # noqa: N802
        return OK, 1e3 * (end[0] - begin[0])

    def cuEventDestroy(self, event: list[float]) -> tuple[int]:  # noqa: N802
        return (OK,)

    def cuGraphExecDestroy(self, graph: int) -> tuple[int]:  # noqa: N802
        return (OK,)

    def cuGraphDestroy(self, graph: int) -> tuple[int]:  # noqa: N802
        return (OK,)

    def cuGraphLaunch(self, graph: int, stream: int) -> tuple[int]:  # noqa: N802
        self.num_graph_launches += 1
        self._do_in_order(lambda: self._device.run(self._graphs[graph]))
        return (OK,)
