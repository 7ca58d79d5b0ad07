"""Motion compensation of training batches with the codec's own search, prices and interpolation filters."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from dcvc_cli.families.lite.motion.field import CoderState, FieldCoder, compensate, luma_samples
from dcvc_cli.families.lite.motion.motion import SQUARE, Motion
from dcvc_cli.families.lite.samples import MAX_SAMPLE
from dcvc_cli.families.rt.prediction import BatchPrediction


@dataclass
class MotionMemory:
    """The memory of one sample of a batch.

    Attributes:
        coder: has learned from the vectors of the sample's P frames so far.
        long_term: the long-term reference (3, h, w) in 0..1; None before the first P frame.
    """

    coder: FieldCoder = field(default_factory=FieldCoder)
    long_term: torch.Tensor | None = None

    def stored(self) -> dict[str, Any]:
        """Returns the memory for a checkpoint, on the CPU."""
        learned = [torch.from_numpy(np.asarray(part)) for part in self.coder.state()]
        # torch.save stores the whole batch with a view of it, so the view is cloned.
        return {"coder": learned, "long_term": None if self.long_term is None else self.long_term.cpu().clone()}

    @classmethod
    def restored(cls, stored: Mapping[str, Any], device: torch.device) -> "MotionMemory":
        """Inverts `stored`."""
        coder = FieldCoder()
        learned, vectors, tracks, number = (part.numpy() for part in stored["coder"])
        coder.restore(CoderState(learned, vectors, tracks, int(number)))
        long_term = stored["long_term"]
        return cls(coder, None if long_term is None else long_term.to(device))


class MotionPrediction(BatchPrediction):
    """Predicts the P frames of a batch by motion. Each sample has a memory."""

    def __init__(self, memories: Sequence[MotionMemory]) -> None:
        self._memories = memories
        self._long_term: torch.Tensor | None = None

    def predict(self, frame: torch.Tensor, x: torch.Tensor, qp: torch.Tensor) -> torch.Tensor:
        """Returns the compensated frames. Their values are the codec's; gradients reach the pictures before them."""
        if self._long_term is None:
            known = [memory.long_term for memory in self._memories]
            if any(one is not None for one in known):
                self._long_term = torch.stack(
                    [own if one is None else one for own, one in zip(frame, known, strict=True)]
                )
        coders = [memory.coder for memory in self._memories]
        predicted, self._long_term = compensated(frame, self._long_term, x, qp, coders)
        return predicted

    def memories(self) -> list[MotionMemory]:
        """Returns the memories for the P frames that follow."""
        if self._long_term is None:
            return list(self._memories)
        return [
            MotionMemory(memory.coder, one)
            for memory, one in zip(self._memories, self._long_term.detach(), strict=True)
        ]


def compensated(
    frame: torch.Tensor, long_term: torch.Tensor | None, x: torch.Tensor, qp: torch.Tensor, coders: Sequence[FieldCoder]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Predicts a batch by motion compensation.

    The values are the codec's. The gradients are those of bilinear sampling at the vectors. They reach references of
    both kinds, so that a frame learns what its errors cost the frames after it. Each coder codes its sample's vectors
    and learns from them.

    Args:
        frame: references (N, 3, h, w) in 0..1.
        long_term: long-term references of that shape. Coders without one do not look at theirs.
        x: the pictures to predict, of that shape.
        qp: QP rows (N), 0..71, which set the price of a bit.
        coders: one for each sample.

    Returns:
        (the compensated frames, the long-term references of the next frame), both of that shape.
    """
    scale = float(MAX_SAMPLE)
    long_term = frame if long_term is None else long_term
    frames, long_terms = _samples(frame), _samples(long_term)
    lumas = luma_samples(_samples(x[:, 0]))
    kept = torch.tensor([coder.keeps_reference for coder in coders], device=frame.device)[:, None, None, None]
    # Without threads, a GPU would wait for the search. No two samples share a coder.
    with ThreadPoolExecutor(torch.get_num_threads()) as pool:
        moved = list(pool.map(_moved, frames, long_terms, lumas, qp.tolist(), coders))
    predicted, motions = [samples for samples, _ in moved], [motion for _, motion in moved]
    exact = torch.from_numpy(np.stack(predicted)).to(frame.device).float() / scale
    following = torch.where(kept, frame, long_term)
    if not ((frame.requires_grad or long_term.requires_grad) and torch.is_grad_enabled()):
        return exact, following
    smooth = _sampled_at(
        frame.float(), torch.from_numpy(np.stack([motion.vectors for motion in motions])).to(frame.device)
    )
    share = torch.from_numpy(np.stack([motion.square_blends() for motion in motions])).to(frame.device).float() / 2
    if bool(share.any()):
        share = share.repeat_interleave(SQUARE, 1).repeat_interleave(SQUARE, 2)[:, None]
        smooth = (1 - share) * smooth
        if long_term.requires_grad:
            tracks = np.stack([motion.vectors if motion.tracks is None else motion.tracks for motion in motions])
            smooth = smooth + share * _sampled_at(long_term.float(), torch.from_numpy(tracks).to(frame.device))
    return exact + (smooth - smooth.detach()), following


def _moved(
    samples: NDArray[np.int16], before: NDArray[np.int16], luma: NDArray[np.uint8], row: int, coder: FieldCoder
) -> tuple[NDArray[np.int16], Motion]:
    """Returns (one sample's compensated frame, its motion)."""
    motion = coder.search(luma, samples, row, before if coder.has_long_term else None)
    coder.encode(motion)
    return compensate(samples, motion, before), motion


def _samples(values: torch.Tensor) -> NDArray[np.int16]:
    """Turns samples in 0..1 into integers 0..8192."""
    return torch.round(values.detach().float() * MAX_SAMPLE).to(torch.int16).cpu().contiguous().numpy()


def _sampled_at(frame: torch.Tensor, fields: torch.Tensor) -> torch.Tensor:
    """Reads frames (N, 3, h, w) bilinearly at the places that the vectors point to. Edges are repeated.

    Args:
        fields: vectors (N, h / 8, w / 8, 2) in quarter samples.
    """
    height, width = frame.shape[-2:]
    vectors = fields.float().div(4).repeat_interleave(SQUARE, 1).repeat_interleave(SQUARE, 2)
    x = (torch.arange(width, device=frame.device) + vectors[..., 0]) * (2 / (width - 1)) - 1
    y = (torch.arange(height, device=frame.device)[:, None] + vectors[..., 1]) * (2 / (height - 1)) - 1
    return F.grid_sample(frame, torch.stack([x, y], dim=-1), mode="bilinear", padding_mode="border", align_corners=True)
