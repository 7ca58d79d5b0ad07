"""Motion compensation of training batches, with the codec's own search, prices and filters."""

from collections.abc import Sequence

import numpy as np
import torch

from dcvc_cli.motion.blocks import SAMPLE_BITS, FieldCoder, compensate, luma_samples


@torch.no_grad()
def compensated(frame: torch.Tensor, x: torch.Tensor, qp: torch.Tensor, coders: Sequence[FieldCoder]) -> torch.Tensor:
    """Predicts x (N, 3, h, w) in 0..1 from reference pictures of that shape with vectors found at rows qp (N).

    No gradient passes to the reference pictures. Every sample's coder goes on with its vectors.
    """
    scale = float(1 << SAMPLE_BITS)
    frames = torch.round(frame.detach().float() * scale).to(torch.int16).cpu().contiguous().numpy()
    lumas = luma_samples(torch.round(x[:, 0].float() * scale).to(torch.int16).cpu().contiguous().numpy())
    predicted = []
    for samples, luma, row, coder in zip(frames, lumas, qp.tolist(), coders, strict=True):
        field = coder.search(luma, samples, row)
        coder.encode(field)
        predicted.append(compensate(samples, field))
    return torch.from_numpy(np.stack(predicted)).to(frame.device).float() / scale
