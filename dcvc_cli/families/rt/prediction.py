"""The prediction of the P frames in a training batch: the pictures before them, unchanged."""

from typing import Any, Protocol

from dcvc_cli.graph.blocks import Qp

Batch = Any
"""Tensors (N, 3, h, w) in 0..1."""


class BatchMemory(Protocol):
    """The memory of one sample between its P frames."""

    def stored(self) -> dict[str, Any]:
        """Returns the memory for a checkpoint, on the CPU."""


class BatchPrediction:
    """Predicts the P frames of a batch one after the other."""

    def predict(self, frame: Batch, x: Batch, qp: Qp) -> Batch:
        """Predicts the pictures x at rows qp (N) from the pictures before them, `frame`."""
        return frame

    def memories(self) -> list[Any]:
        """Returns the memory of each sample for the P frames that follow; empty if there is none."""
        return []
