"""Pinned memory of the host: pieces of uploads under way, arrays that kernels write, marks in the work of a stream.

No GPU has run this yet: tests use a driver that only records its calls.
"""

import ctypes
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from dcvc_cli.backend.cuda.driver import Calls, Handle

STAGING_BYTES = 8 << 20
"""Of one piece of an upload or a download. Larger arrays go in pieces."""
NUM_STAGES = 4
"""Pieces of uploads that may be under way."""


class Staging:
    """Hands out places for uploads. The host waits for the copy that still reads the place it needs, and not for the
    work behind that copy.

    Args:
        stream: does the copies, in the order of the requests.
    """

    def __init__(self, calls: "Calls", stream: "Handle") -> None:
        self._calls, self._stream = calls, stream
        self._stages: list[tuple[int, Handle]] = []
        self._is_read: list[bool] = []
        self._current, self._used = 0, 0

    def place(self, size: int) -> int:
        """Address of memory for at most STAGING_BYTES that no copy reads any more. The copy from it comes next."""
        if not self._stages:
            self._add_stage()
        elif self._used + size > STAGING_BYTES:
            self._next_stage()
        place = self._stages[self._current][0] + self._used
        self._used += -(-size // 256) * 256
        return place

    def _add_stage(self) -> None:
        cu, do = self._calls.cu, self._calls.do
        event = do(cu.cuEventCreate(cu.CUevent_flags.CU_EVENT_DISABLE_TIMING.value))
        self._stages.append((int(do(cu.cuMemHostAlloc(STAGING_BYTES, 0))), event))
        self._is_read.append(False)

    def _next_stage(self) -> None:
        cu, do = self._calls.cu, self._calls.do
        do(cu.cuEventRecord(self._stages[self._current][1], self._stream))
        self._is_read[self._current] = True
        self._current, self._used = (self._current + 1) % NUM_STAGES, 0
        if self._current == len(self._stages):
            self._add_stage()
        elif self._is_read[self._current]:
            do(cu.cuEventSynchronize(self._stages[self._current][1]))
            self._is_read[self._current] = False


@dataclass(frozen=True, eq=False)
class MappedMemory:
    """Memory of the host that kernels can write.

    Attributes:
        address: for kernels.
        array: the same memory for the host.
    """

    address: int
    array: NDArray[Any]


def mapped_memory(calls: "Calls", count: int, kind: type[np.generic]) -> MappedMemory:
    """Memory for count numbers. It stays until the process ends."""
    cu, do = calls.cu, calls.do
    size = max(count, 1) * np.dtype(kind).itemsize
    place = int(do(cu.cuMemHostAlloc(size, cu.CU_MEMHOSTALLOC_DEVICEMAP)))
    address = int(do(cu.cuMemHostGetDevicePointer(place, 0)))
    return MappedMemory(address, array_at(place, count, kind))


def array_at(place: int, count: int, kind: type[np.generic]) -> NDArray[Any]:
    """Memory of the host as an array, which does not keep it."""
    size = max(count, 1) * np.dtype(kind).itemsize
    return np.ctypeslib.as_array((ctypes.c_uint8 * size).from_address(place)).view(kind)[:count]


class Mark:
    """A point in the work of a stream. Its event is used again when nobody refers to the mark any more.

    Args:
        free: events that no mark has.
    """

    def __init__(self, calls: "Calls", stream: "Handle", free: list["Handle"]) -> None:
        cu = calls.cu
        flags = cu.CUevent_flags
        kinds = flags.CU_EVENT_DISABLE_TIMING.value | flags.CU_EVENT_BLOCKING_SYNC.value
        self._calls, self._free = calls, free
        self._event = free.pop() if free else calls.do(cu.cuEventCreate(kinds))
        calls.do(cu.cuEventRecord(self._event, stream))

    def wait(self) -> None:
        """Waits until the work before the mark is done."""
        self._calls.do(self._calls.cu.cuEventSynchronize(self._event))

    def __del__(self) -> None:
        if hasattr(self, "_event"):  # else it could not be had
            self._free.append(self._event)
