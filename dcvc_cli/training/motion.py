"""Motion compensation of training batches, with the codec's own search, prices and filters."""

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F

from dcvc_cli.motion.blocks import BLOCK, SAMPLE_BITS, FieldCoder, compensate, luma_samples


def compensated(frame: torch.Tensor, x: torch.Tensor, qp: torch.Tensor, coders: Sequence[FieldCoder]) -> torch.Tensor:
    """Predicts x (N, 3, h, w) in 0..1 from reference pictures of that shape with vectors found at rows qp (N).

    The value is the codec's. The gradient that reaches the reference pictures is that of bilinear sampling at the vectors, so that a frame
    learns what its errors cost the frames after it. Every sample's coder goes on with its vectors.
    """
    scale = float(1 << SAMPLE_BITS)
    frames = torch.round(frame.detach().float() * scale).to(torch.int16).cpu().contiguous().numpy()
    lumas = luma_samples(torch.round(x[:, 0].float() * scale).to(torch.int16).cpu().contiguous().numpy())
    predicted, fields = [], []
    for samples, luma, row, coder in zip(frames, lumas, qp.tolist(), coders, strict=True):
        field = coder.search(luma, samples, row)
        coder.encode(field)
        predicted.append(compensate(samples, field))
        fields.append(field)
    exact = torch.from_numpy(np.stack(predicted)).to(frame.device).float() / scale
    if not (frame.requires_grad and torch.is_grad_enabled()):
        return exact
    smooth = _sampled_at(frame.float(), torch.from_numpy(np.stack(fields)).to(frame.device))
    return exact + (smooth - smooth.detach())


def _sampled_at(frame: torch.Tensor, fields: torch.Tensor) -> torch.Tensor:
    """frame (N, 3, h, w) read bilinearly where the vectors (N, h / 8, w / 8, 2), in quarter samples, point to; edges repeated."""
    height, width = frame.shape[-2:]
    vectors = fields.float().div(4).repeat_interleave(BLOCK, 1).repeat_interleave(BLOCK, 2)
    x = (torch.arange(width, device=frame.device) + vectors[..., 0]) * (2 / (width - 1)) - 1
    y = (torch.arange(height, device=frame.device)[:, None] + vectors[..., 1]) * (2 / (height - 1)) - 1
    return F.grid_sample(frame, torch.stack([x, y], dim=-1), mode="bilinear", padding_mode="border", align_corners=True)
