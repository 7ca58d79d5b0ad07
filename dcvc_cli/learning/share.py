"""The samples of a batch that one process trains on, and the random numbers that belong to them."""

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class BatchShare:
    """This process's samples of a batch.

    Each process draws the random numbers of the whole batch from torch's generator, which all seed alike, and takes the
    part of its own samples. So a step gives the same result on one process and on several.

    Attributes:
        num_before: samples of other processes before the own ones.
        num_after: samples of other processes behind the own ones.
    """

    num_before: int = 0
    num_after: int = 0

    def _own(self, drawn: torch.Tensor) -> torch.Tensor:
        return drawn[self.num_before : drawn.shape[0] - self.num_after]

    def qps(self, num_samples: int, num_qps: int) -> torch.Tensor:
        """Draws a QP 0 .. num_qps - 1 for each own sample, int64 on the CPU."""
        return self._own(torch.randint(0, num_qps, (self.num_before + num_samples + self.num_after,)))

    def noise_like(self, x: torch.Tensor) -> torch.Tensor:
        """Draws uniform noise in -0.5 .. 0.5, of the shape, type and layout of own samples (N, c, h, w)."""
        layout = torch.channels_last if x.is_contiguous(memory_format=torch.channels_last) else torch.contiguous_format
        size = (self.num_before + x.shape[0] + self.num_after, *x.shape[1:])
        return self._own(torch.empty(size, dtype=x.dtype, device=x.device, memory_format=layout).uniform_(-0.5, 0.5))


WHOLE_BATCH = BatchShare()
