"""Collects launches and hands them to a device in groups; owns device memory, uploads and downloads.

A group ends where the host needs a value or brings one. Its launches depend on addresses alone. Values that change from
frame to frame without changing addresses (the QP row, the skip threshold) stand in slots of device memory. Groups
therefore repeat, and a device may keep a graph of each.
"""

import ctypes
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from dcvc_cli.backend.cuda.arena import Arena, Memory
from dcvc_cli.backend.cuda.kernels import KERNELS, Kernel
from dcvc_cli.backend.cuda.landing import HostMemory, LandingPlaces, Mark
from dcvc_cli.backend.cuda.packing import round_up
from dcvc_cli.errors import EnvironmentFault

if TYPE_CHECKING:
    import torch

NUM_SLOTS = 64
MAX_ELEMENTS = (1 << 31) - 1024
"""Of a tensor. Kernels count elements in 32 bits, and the last block's threads count on beyond the end."""
MAX_BLOCKS = (1 << 31) - 1, 65535, 65535
"""Of a launch in x, y and z, on every GPU."""
T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Launch:
    """One kernel, ready to run.

    Attributes:
        grid: blocks in x, y, z.
        arguments: the bytes of its structure.
    """

    kernel: Kernel
    grid: tuple[int, int, int]
    arguments: bytes


@dataclass(frozen=True, eq=False)
class Prepared:
    """A launch without its addresses: kernel, blocks, and a structure that `launch_prepared` fills in and copies."""

    kernel: Kernel
    grid: tuple[int, int, int]
    arguments: ctypes.Structure


class Device(Protocol):
    """Runs kernels: a GPU, or the emulator of the tests. Work is done in the order of the calls."""

    num_multiprocessors: int

    @property
    def shares_with_torch(self) -> bool:
        """Returns whether PyTorch works on this device too; else nobody calls `read_tensor` and `write_tensor`."""

    def read_tensor(self, address: int, count: int) -> "torch.Tensor":
        """Makes a tensor of PyTorch with count int16, after all work before."""

    def write_tensor(self, address: int, tensor: "torch.Tensor") -> None:
        """Makes memory that holds a tensor of PyTorch."""

    def allocate(self, size_bytes: int, cell_bytes: int) -> int:
        """Address of new memory for elements of cell_bytes."""

    def free(self, address: int) -> None:
        """Gives memory back; the device may still work on it."""

    def upload(self, address: int, array: NDArray[Any]) -> None:
        """Copies a contiguous array; it may change as soon as this returns."""

    def download(self, array: NDArray[Any], address: int) -> None:
        """Reads an array of device memory, after the launches so far."""

    def run(self, launches: Sequence[Launch]) -> None:
        """Starts a group of launches."""

    def host_memory(self, count: int, kind: type[np.generic]) -> HostMemory:
        """Memory of the host for count numbers, which kernels can write; it stays as long as the device."""

    def mark(self) -> Mark:
        """The point behind all work so far."""

    def wait_for(self, mark: Any) -> None:
        """Waits until the work before a mark is done and the host sees what it wrote. Any thread may call it."""


@dataclass(frozen=True, eq=False)
class DeviceTensor:
    """int16 (height, width, channels) in device memory, channels last.

    Attributes:
        address: of the first channel of the first position.
        pitch: channels from one position to the next.
        owner: keeps the memory handed out.
        first_channel: of the pitch, that the address stands at.
    """

    address: int
    height: int
    width: int
    channels: int
    pitch: int
    owner: object
    first_channel: int = 0

    @property
    def positions(self) -> int:
        return self.height * self.width

    @property
    def is_aligned(self) -> bool:
        """Returns whether the channels can be read 8 at a time, the last of them beyond the end."""
        has_room = round_up(self.channels, 8) <= self.pitch - self.first_channel
        return self.address % 16 == 0 and self.pitch % 8 == 0 and has_room

    def channels_from(self, first: int, channels: int) -> "DeviceTensor":
        """Returns consecutive channels, of the same memory."""
        return replace(
            self, address=self.address + 2 * first, channels=channels, first_channel=self.first_channel + first
        )

    def with_channels(self, channels: int) -> "DeviceTensor":
        """Makes a tensor at the same place with another number of channels."""
        return replace(self, channels=channels)


class Allocation:
    """Device memory, given back when nobody refers to this object any more.

    Attributes:
        address: where it is.
    """

    __slots__ = ("_memory", "address")

    def __init__(self, memory: Memory, size_bytes: int, cell_bytes: int) -> None:
        self._memory, self.address = memory, memory.allocate(size_bytes, cell_bytes)

    def __del__(self) -> None:
        if hasattr(self, "address"):  # else its memory could not be had
            self._memory.free(self.address)


class CudaEngine:
    """Device, memory and launches that several networks share.

    Args:
        memory: hands out memory for values; None makes an Arena.
    """

    def __init__(self, device: Device, memory: Memory | None = None) -> None:
        self.device = device
        self.memory: Memory = memory if memory is not None else Arena(lambda size: device.allocate(size, 1))
        self._pending: list[Launch] = []
        self._record: list[list[Launch]] | None = None
        self._slots = Allocation(self.memory, 4 * NUM_SLOTS, 4)
        self._slot_values = np.zeros(NUM_SLOTS, np.int32)
        self._uploaded_slots: NDArray[np.int32] | None = None
        self._num_slots = 0
        self._cached: dict[object, Any] = {}  # of many types, by key
        self.places = LandingPlaces(self)

    # ---- memory

    def raw(self, size_bytes: int, cell_bytes: int) -> Allocation:
        """Allocates memory for elements of cell_bytes."""
        return Allocation(self.memory, size_bytes, cell_bytes)

    def tensor(self, height: int, width: int, channels: int) -> DeviceTensor:
        """A new tensor, its pitch the channels rounded up to 8. EnvironmentFault for more elements than kernels
        count."""
        pitch = round_up(channels, 8)
        if height * width * pitch > MAX_ELEMENTS:
            message = f"a tensor of {height} x {width} x {pitch} has too many elements for the CUDA kernels"
            raise EnvironmentFault(message, "use --device cpu")
        owner = Allocation(self.memory, 2 * height * width * pitch, 2)
        return DeviceTensor(owner.address, height, width, channels, pitch, owner)

    def constant(self, key: object, make: Callable[[], NDArray[Any]]) -> int:
        """Address of an array that is uploaded once, by key."""
        return self.cached(("constant", key), lambda: self.upload_array(make())).address

    def cached(self, key: object, make: Callable[[], T]) -> T:
        """Returns the value that `make` gave at the first call with this key. Each key has one `make`."""
        if key not in self._cached:
            self._cached[key] = make()
        made: T = self._cached[key]
        return made

    def slot(self, value: int) -> int:
        """Address of an int32 in device memory that has this value when the launches of this group run."""
        if self._num_slots == NUM_SLOTS:
            self.flush()
        self._slot_values[self._num_slots] = value
        self._num_slots += 1
        return self._slots.address + 4 * (self._num_slots - 1)

    # ---- work

    def launch(self, name: str, grid: tuple[int, ...], **values: Any) -> None:
        """Adds a launch of a kernel. Fields of its structure that are not named are 0; lists fill arrays.
        EnvironmentFault for more blocks than a GPU starts."""
        prepared = self.prepare(name, grid, **values)
        self._pending.append(Launch(prepared.kernel, prepared.grid, bytes(prepared.arguments)))

    @staticmethod
    def prepare(name: str, grid: tuple[int, ...], **values: Any) -> "Prepared":
        """Prepares a launch that is made many times with other addresses."""
        kernel = KERNELS[name]
        fields = {key: tuple(value) if isinstance(value, list) else value for key, value in values.items()}
        x, y, z = (*grid, 1, 1)[:3]
        if any(blocks > most for blocks, most in zip((x, y, z), MAX_BLOCKS, strict=True)):
            message = f"{name} needs {x} x {y} x {z} blocks of threads, more than a GPU starts"
            raise EnvironmentFault(message, "use --device cpu")
        return Prepared(kernel, (x, y, z), kernel.structure(**fields))

    def launch_prepared(self, prepared: "Prepared", **addresses: int) -> None:
        """Adds a launch that was prepared, with these fields in place of its own."""
        arguments = prepared.arguments
        for key, address in addresses.items():
            setattr(arguments, key, address)
        self._pending.append(Launch(prepared.kernel, prepared.grid, bytes(arguments)))

    @property
    def pending(self) -> list[Launch]:
        """Returns the launches that were collected since the last group."""
        return list(self._pending)

    def recorded(self, run: Callable[[], object]) -> list[list[Launch]]:
        """Returns the groups of launches that `run` adds, for measuring."""
        groups: list[list[Launch]] = []
        self._record, before = groups, self._record
        try:
            run()
            self.flush()
        finally:
            self._record = before
        return groups

    def flush(self) -> None:
        """Hands the collected launches to the device."""
        if self._pending:
            if self._num_slots:
                used = self._slot_values[: self._num_slots]
                known = self._uploaded_slots
                if known is None or len(known) < len(used) or not np.array_equal(known[: len(used)], used):
                    self._uploaded_slots = used.copy()
                    self.device.upload(self._slots.address, self._uploaded_slots)
            if self._record is not None:
                self._record.append(self._pending)
            self.device.run(self._pending)
            self._pending, self._num_slots = [], 0
            self.places.after_work()
        self.memory.after_work()

    def upload(self, address: int, array: NDArray[Any]) -> None:
        """Copies an array to the device, after the launches so far."""
        self.flush()
        self.device.upload(address, np.ascontiguousarray(array))

    def upload_array(self, array: NDArray[Any]) -> Allocation:
        """Makes memory that holds the array."""
        owner = Allocation(self.memory, array.nbytes, array.itemsize)
        self.upload(owner.address, array)
        return owner

    def download(self, address: int, shape: tuple[int, ...], dtype: type[np.generic]) -> NDArray[Any]:
        """Reads an array of device memory, after the launches so far."""
        self.flush()
        array = np.empty(shape, dtype)
        if array.size:
            self.device.download(array, address)
        return array

    def read_tensor(self, tensor: DeviceTensor) -> "torch.Tensor":
        """Reads a tensor as one of PyTorch, int16 (h, w, c), on the device."""
        self.flush()
        count = (tensor.positions - 1) * tensor.pitch + tensor.channels
        flat = self.device.read_tensor(tensor.address, count)
        return flat.as_strided(
            (tensor.height, tensor.width, tensor.channels), (tensor.width * tensor.pitch, tensor.pitch, 1)
        )

    def write_tensor(self, tensor: "torch.Tensor") -> Allocation:
        """Makes memory that holds a tensor of PyTorch."""
        self.flush()
        owner = Allocation(self.memory, tensor.numel() * tensor.element_size(), tensor.element_size())
        self.device.write_tensor(owner.address, tensor.contiguous())
        return owner

    def upload_tensor(self, values: NDArray[np.int16]) -> DeviceTensor:
        """Makes a tensor of (h, w, c)."""
        height, width, channels = values.shape
        tensor = self.tensor(height, width, channels)
        self.upload(tensor.address, np.pad(values, ((0, 0), (0, 0), (0, tensor.pitch - channels))))
        return tensor

    def download_tensor(self, tensor: DeviceTensor) -> NDArray[np.int16]:
        """Reads a tensor as (h, w, c)."""
        # From the first channel of the first position to the last one of the last.
        count = (tensor.positions - 1) * tensor.pitch + tensor.channels
        flat = self.download(tensor.address, (count,), np.int16)
        padded = np.zeros(tensor.positions * tensor.pitch, np.int16)
        padded[:count] = flat
        return np.ascontiguousarray(padded.reshape(tensor.height, tensor.width, tensor.pitch)[:, :, : tensor.channels])
