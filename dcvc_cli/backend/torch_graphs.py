"""Sections of networks that PyTorch repeats on a GPU as CUDA graphs: one launch instead of hundreds from Python.

A section is recorded before its first result is taken. Every result of a stream therefore comes from a recording, and
nothing depends on how often a section ran before. A section that cannot be recorded never is: all its results come from
operations that are launched one by one. No GPU has run this yet: tests run it with a recorder for the CPU.
"""

import sys
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch

MAX_SECTIONS = 64
"""Number of recordings that are kept. The one whose last use is longest ago is dropped."""
Outputs = torch.Tensor | tuple[torch.Tensor, ...]


class Recorder(Protocol):
    """Records operations of PyTorch."""

    def record(self, run: Callable[[], Outputs]) -> tuple[Callable[[], None], Outputs]:
        """Returns (a function that repeats the operations, the outputs that it fills anew)."""


class CudaRecorder:
    """Records CUDA graphs that share their memory: outputs are valid until another recording is replayed."""

    def __init__(self) -> None:
        self._pool = torch.cuda.graph_pool_handle()

    def record(self, run: Callable[[], Outputs]) -> tuple[Callable[[], None], Outputs]:
        beside = torch.cuda.Stream()
        beside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(beside):
            run()  # libraries choose their algorithms and take their memory before the recording
        torch.cuda.current_stream().wait_stream(beside)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self._pool, capture_error_mode="thread_local"):
            outputs = run()
        return graph.replay, outputs


@dataclass(frozen=True)
class _Section:
    """A recording, and the tensors that it reads and fills. Without `replay` the section is not recorded."""

    inputs: Sequence[torch.Tensor] = ()
    replay: Callable[[], None] | None = None
    outputs: Outputs = ()


class RepeatedSections:
    """Runs functions of tensors by recordings, one for every shape and layout of the tensors and every other
    argument."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._sections: OrderedDict[Any, _Section] = OrderedDict()
        self._is_recording = False
        self._has_told = False

    def run(self, key: Any, function: Callable[..., Outputs], arguments: Sequence[Any]) -> Outputs:
        """Returns `function(*arguments)`.

        Args:
            key: tells functions apart; the same key means the same function.
            arguments: tensors, and hashable values that the function's operations may depend on.
        """
        if self._is_recording:  # a section inside another one
            return function(*arguments)
        kind = key, tuple(map(_kind_of, arguments))
        section = self._sections.get(kind)
        if section is None:
            section = self._sections[kind] = self._recorded(function, arguments)
            if len(self._sections) > MAX_SECTIONS:
                self._sections.popitem(last=False)
        self._sections.move_to_end(kind)
        if section.replay is None:
            return function(*arguments)
        for kept, given in zip(section.inputs, filter(torch.is_tensor, arguments), strict=True):
            kept.copy_(given)
        section.replay()
        outputs = section.outputs
        return outputs.clone() if isinstance(outputs, torch.Tensor) else tuple(output.clone() for output in outputs)

    def _recorded(self, function: Callable[..., Outputs], arguments: Sequence[Any]) -> _Section:
        own = [
            torch.empty_strided(x.shape, x.stride(), dtype=x.dtype, device=x.device).copy_(x)
            if isinstance(x, torch.Tensor)
            else x
            for x in arguments
        ]
        self._is_recording = True
        try:
            replay, outputs = self._recorder.record(lambda: function(*own))
        except RuntimeError as error:  # PyTorch or the driver refuses an operation inside a recording
            self._tell(error)
            return _Section()
        finally:
            self._is_recording = False
        return _Section([x for x in own if isinstance(x, torch.Tensor)], replay, outputs)

    def _tell(self, error: RuntimeError) -> None:
        if not self._has_told:
            reason = str(error).partition("\n")[0]
            print(f"dcvc: a part of a network runs without a CUDA graph: {reason}", file=sys.stderr)
        self._has_told = True


def _kind_of(argument: Any) -> Any:
    """Returns the key of a recording: everything that it depends on."""
    if isinstance(argument, torch.Tensor):
        return tuple(argument.shape), argument.stride(), argument.dtype, argument.device
    return argument
