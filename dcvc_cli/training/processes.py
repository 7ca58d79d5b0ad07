"""The processes of a training run: one, or several that Hugging Face Accelerate has started on GPUs and machines.

Every process takes its share of each batch, gradients are summed over all of them, and each makes the same update. The
parameters are plain tensors that functions read, so there is no module to wrap: Accelerate finds the peers, the devices
and the transport. Validation is shared too: each clip at each QP is a job of one process.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from operator import itemgetter
from typing import Any

import torch

from dcvc_cli.backend.float_torch import keep_freed_memory
from dcvc_cli.errors import EnvironmentFault, InputError, UsageError
from dcvc_cli.learning.share import BatchShare


def set_up_arithmetic(num_threads: int | None = None) -> None:
    """Makes the settings of this process with which training on a CPU is faster. None: PyTorch chooses the threads."""
    if num_threads:
        torch.set_num_threads(num_threads)
    # Tiny gradients of untouched weights would make every multiplication with them slow.
    torch.set_flush_denormal(True)
    keep_freed_memory()


class TrainingProcesses:
    """A run of one process; the base of a run of several.

    Args:
        device: the device of this process.
        index: number of this process in the run.
        count: number of processes.
    """

    def __init__(self, device: str | torch.device = "cpu", index: int = 0, count: int = 1) -> None:
        self.device, self.index, self.count = torch.device(device), index, count

    @property
    def is_main(self) -> bool:
        """Returns whether this process writes checkpoints and logs and talks to the user."""
        return self.index == 0

    def share(self, batch: int) -> BatchShare:
        """Returns this process's part of a batch of so many samples. Parts differ by one sample at most.

        Raises:
            UsageError: there are more processes than samples.
        """
        if batch < self.count:
            raise UsageError(
                f"a batch of {batch} cannot be shared by {self.count} processes",
                "raise the batch to one sample a process",
            )
        first, end = (batch * number // self.count for number in (self.index, self.index + 1))
        return BatchShare(first, batch - end)

    def sum_gradients(self, parameters: Iterable[torch.Tensor]) -> None:
        """Replaces every gradient by its sum over the processes. All processes get the same bits."""

    def sum_values(self, values: Sequence[float]) -> list[float]:
        """Returns the sums over the processes."""
        return list(values)

    def from_main(self, value: Any) -> Any:
        """Returns the main process's value on every process, with tensors on the CPU."""
        return value

    def gather(self, values: list[Any]) -> list[Any]:
        """Returns the lists of all processes, joined, on every process, with tensors on the CPU."""
        return values

    def shared(self, jobs: Sequence[Callable[[], Any]]) -> list[Any]:
        """Runs each job on one process. Returns all results in the order of the jobs, on every process."""
        own = [(number, jobs[number]()) for number in range(self.index, len(jobs), self.count)]
        return [result for _, result in sorted(self.gather(own), key=itemgetter(0))]

    def any_of(self, flag: bool) -> bool:
        """Returns whether `flag` holds on any process. All processes get the same answer."""
        return self.sum_values([float(flag)])[0] > 0

    def check_alike(self, what: str, value: str) -> None:
        """Checks that a value is the same on all processes.

        Raises:
            InputError: it differs.
        """

    @contextmanager
    def one_a_machine_first(self) -> Iterator[None]:
        """One process of each machine runs the block before the others of that machine."""
        yield

    def close(self) -> None:
        """Waits for the other processes and leaves them."""


class _AcceleratedProcesses(TrainingProcesses):
    """Several processes, connected by Accelerate."""

    def __init__(self, device_name: str) -> None:
        try:
            from accelerate import PartialState
        except ImportError as error:
            raise EnvironmentFault("a run of several processes needs Accelerate", "pip install dcvc[train]") from error
        self._state = PartialState(cpu=device_name == "cpu" or not torch.cuda.is_available())
        super().__init__(self._state.device, self._state.process_index, self._state.num_processes)

    def sum_gradients(self, parameters: Iterable[torch.Tensor]) -> None:
        from accelerate.utils import reduce

        gradients = [value.grad for value in parameters if value.grad is not None]
        # All gradients go in one message: hundreds of small messages would take longer than the step.
        together = reduce(torch.cat([gradient.reshape(-1) for gradient in gradients]), "sum")
        for gradient, part in zip(gradients, together.split([gradient.numel() for gradient in gradients]), strict=True):
            gradient.copy_(part.view(gradient.shape))

    def sum_values(self, values: Sequence[float]) -> list[float]:
        from accelerate.utils import reduce

        return reduce(torch.tensor(values, dtype=torch.float64, device=self.device), "sum").tolist()

    def from_main(self, value: Any) -> Any:
        from accelerate.utils import broadcast_object_list

        return broadcast_object_list([value])[0]

    def gather(self, values: list[Any]) -> list[Any]:
        from accelerate.utils import gather_object

        gathered: list[Any] = gather_object(values)
        return gathered

    def check_alike(self, what: str, value: str) -> None:
        from accelerate.utils import gather_object

        for index, other in enumerate(gather_object([value])):
            if other != value:
                raise InputError(
                    f"process {self.index} has {what} {value}, process {index} has {other}",
                    "all processes need the same inputs",
                )

    @contextmanager
    def one_a_machine_first(self) -> Iterator[None]:
        with self._state.local_main_process_first():
            yield

    def close(self) -> None:
        self._state.wait_for_everyone()
        self._state.destroy_process_group()


def num_launched() -> int:
    """Returns the number of processes of this launch: WORLD_SIZE, which `accelerate launch` and torchrun set."""
    text = os.environ.get("WORLD_SIZE") or "1"
    if not text.isdigit() or int(text) < 1:
        raise EnvironmentFault(f"WORLD_SIZE is {text!r}, expected the number of processes")
    return int(text)


def join_processes(device_name: str) -> TrainingProcesses:
    """Joins the other processes of this launch. Each takes the GPU of its local number, or the CPU.

    Args:
        device_name: auto or cpu.

    Raises:
        EnvironmentFault: Accelerate is missing, or does not find the other processes.
        UsageError: the device is one GPU for all processes.
    """
    if device_name not in ("auto", "cpu"):
        raise UsageError(
            f"--device {device_name} with {num_launched()} processes",
            "leave it out: each process takes a GPU of its own",
        )
    processes = _AcceleratedProcesses(device_name)
    if processes.count != num_launched():
        raise EnvironmentFault(
            f"launched as one of {num_launched()} processes, found {processes.count}",
            "use accelerate launch or torchrun",
        )
    return processes
