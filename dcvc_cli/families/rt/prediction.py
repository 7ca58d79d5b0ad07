"""What the P frames of a training batch are predicted from: the pictures before them, as they are."""

from typing import Any, Protocol

Batch = Any
"""Tensors (N, 3, h, w) in 0..1."""


class BatchMemory(Protocol):
    """What is kept of one sample between its P frames."""

    def stored(self) -> dict[str, Any]:
        """For a checkpoint; on the CPU."""


class BatchPrediction:
    """Predicts the P frames of a batch one after the other."""

    def predict(self, frame: Batch, x: Batch, qp: Any) -> Batch:
        """The pictures x at rows qp (N), predicted from the pictures before them."""
        return frame

    def memories(self) -> list[Any]:
        """One a sample, for the P frames that follow; empty where nothing is kept."""
        return []
