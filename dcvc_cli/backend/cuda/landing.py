"""Arrays that kernels write into pinned memory of the host, and that the host reads later.

Places repeat: the same request gets one of two places by turns. The graph of a frame therefore repeats too, and one
frame's arrays may wait for the host while the kernels of the next frame write theirs. A place is given out again only
when its arrays were copied or dropped.
"""

import threading
import weakref
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from dcvc_cli.backend.cuda.engine import CudaEngine

PLACES = 2
"""The frame whose symbols are coded, and the frame that is computed."""
Fields = Sequence[tuple[int, type[np.generic]]]
"""(number of elements, type) of each array of a place."""
Choose = Callable[[list[NDArray[Any]]], list[NDArray[Any]]]
Mark = object
"""A point in the work of a device."""


class HostMemory(Protocol):
    """Memory of the host that kernels can write.

    Attributes:
        address: for kernels.
        array: the same memory for the host.
    """

    @property
    def address(self) -> int: ...

    @property
    def array(self) -> NDArray[Any]: ...


class Landing:
    """Arrays that kernels write, valid once `take` returns.

    Args:
        engine: its launches write the arrays.
        memories: one for each array.
        choose: cuts what the kernels wrote out of the arrays.

    Attributes:
        addresses: of the arrays, for kernels.
    """

    def __init__(self, engine: "CudaEngine", memories: Sequence[HostMemory], choose: Choose) -> None:
        self.addresses = [memory.address for memory in memories]
        self.mark: Mark | None = None
        """The point behind the launches that write; None until they are handed to the device."""
        self._engine, self._memories, self._choose = engine, memories, choose
        self._lock = threading.Lock()
        self._taken: list[NDArray[Any]] | None = None

    def take(self) -> list[NDArray[Any]]:
        """Waits for the kernels and copies what they wrote. Later calls return the same copies.

        Any thread may call it once the launches were handed to the device; before that, only the engine's thread.
        """
        with self._lock:
            if self._taken is None:
                if self.mark is None:
                    self._engine.flush()
                assert self.mark is not None, "nobody told that its launches were added"
                self._engine.device.wait_for(self.mark)
                self._taken = [array.copy() for array in self._choose([memory.array for memory in self._memories])]
                self._memories = ()
            return self._taken


class LandingPlaces:
    """Gives out places for arrays.

    Args:
        engine: its launches write the arrays.
    """

    def __init__(self, engine: "CudaEngine") -> None:
        self._engine = engine
        self._places: dict[Any, list[tuple[Sequence[HostMemory], Callable[[], Landing | None]]]] = {}
        self._turns: dict[Any, int] = {}
        self._unmarked: list[Callable[[], Landing | None]] = []

    def land(self, key: Any, fields: Fields, choose: Choose = list) -> Landing:
        """Arrays for launches that are added next; `launched` comes after them.

        Args:
            key: tells requests of a frame apart.
            fields: of the arrays.
            choose: cuts what the kernels wrote out of the arrays; they write all of them without it.
        """
        whole = key, tuple(fields)
        places, turn = self._places.setdefault(whole, []), self._turns.get(whole, 0)
        self._turns[whole] = (turn + 1) % PLACES
        if turn == len(places):
            device = self._engine.device
            places.append(([device.host_memory(count, kind) for count, kind in fields], lambda: None))
        memories, occupant = places[turn]
        before = occupant()
        if before is not None:
            before.take()
        landing = Landing(self._engine, memories, choose)
        places[turn] = memories, weakref.ref(landing)
        return landing

    def launched(self, landing: Landing) -> None:
        """Tells that all launches that write the arrays were added. A group may have ended among them."""
        self._unmarked.append(weakref.ref(landing))

    def after_work(self) -> None:
        """Marks what the device got so far as the work that writes the arrays of `launched`."""
        waiting = [landing for landing in (reference() for reference in self._unmarked) if landing is not None]
        self._unmarked.clear()
        if waiting:
            mark = self._engine.device.mark()
            for landing in waiting:
                landing.mark = mark
