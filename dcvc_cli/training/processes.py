"""The processes of a training run: one, or several that Hugging Face Accelerate has started on GPUs and machines.

Every process takes its share of each batch, gradients are summed over all of them, and each makes the same update. The
parameters are plain tensors that functions read, so there is no module to wrap: Accelerate finds the peers, the devices
and the transport.
"""

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch

from dcvc_cli.backend.float_torch import keep_freed_memory
from dcvc_cli.errors import EnvironmentFault, InputError, UsageError
from dcvc_cli.learning.share import BatchShare


def set_up_arithmetic(num_threads: int | None = None) -> None:
    """Settings of this process that make training on a CPU faster; None is PyTorch's choice of threads."""
    if num_threads:
        torch.set_num_threads(num_threads)
    # Tiny gradients of untouched weights would make every multiplication with them slow.
    torch.set_flush_denormal(True)
    keep_freed_memory()


class TrainingProcesses:
    """A run of one process; the base of a run of several.

    Args:
        device: where this process computes.
        index, count: its number among those of the run.
    """

    def __init__(self, device: str | torch.device = "cpu", index: int = 0, count: int = 1) -> None:
        self.device, self.index, self.count = torch.device(device), index, count

    @property
    def is_main(self) -> bool:
        """Whether this process writes checkpoints and logs and talks to the user."""
        return self.index == 0

    def share(self, batch: int) -> BatchShare:
        """This process's part of a batch of so many samples; parts differ by one sample at most.

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
        """Replaces every gradient by its sum over the processes; the same bits on all of them."""

    def sum_values(self, values: Sequence[float]) -> list[float]:
        """Sums over the processes."""
        return list(values)

    def from_main(self, value: Any) -> Any:
        """The main process's value (tensors on the CPU), on every process."""
        return value

    def gather(self, values: list[Any]) -> list[Any]:
        """The lists of all processes in a row (tensors on the CPU), on every process."""
        return values

    def any_of(self, flag: bool) -> bool:
        """Whether `flag` holds on any process; the same answer on all of them."""
        return self.sum_values([float(flag)])[0] > 0

    def check_alike(self, what: str, value: str) -> None:
        """InputError if `value` is not the same everywhere."""

    @contextmanager
    def one_a_machine_first(self) -> Iterator[None]:
        """One process of each machine runs the block before the others of that machine."""
        yield

    def close(self) -> None:
        """Waits for the others and parts from them."""


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
        # One message: sending hundreds of small tensors one by one would cost more than the step.
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
    """How many processes this one was launched among: WORLD_SIZE, as `accelerate launch` and torchrun set it."""
    text = os.environ.get("WORLD_SIZE") or "1"
    if not text.isdigit() or int(text) < 1:
        raise EnvironmentFault(f"WORLD_SIZE is {text!r}, expected the number of processes")
    return int(text)


def join_processes(device_name: str) -> TrainingProcesses:
    """Meets the other processes of this launch; each takes the GPU of its local number, or the CPU.

    Args:
        device_name: auto or cpu.

    Raises:
        EnvironmentFault: Accelerate is missing, or does not find the others. UsageError: one GPU named for all of them.
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
