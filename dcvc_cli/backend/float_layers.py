"""Layers that only networks in floating point have: activations, pooling, resampling and warping in PyTorch."""

import torch
import torch.nn.functional as F


class FloatLayers:
    """Operations on (N, c, h, w) torch tensors that need no parameters."""

    def leaky_relu(self, x: torch.Tensor, slope: float) -> torch.Tensor:
        """Returns x where it is not negative, slope * x below. A slope of 0 is ReLU."""
        return F.leaky_relu(x, slope) if slope else F.relu(x)

    def relu(self, x: torch.Tensor) -> torch.Tensor:
        """Computes max(x, 0)."""
        return F.relu(x)

    def at_least(self, x: torch.Tensor, bound: float) -> torch.Tensor:
        """Computes max(x, bound)."""
        return x.clamp_min(bound)

    def max_pool(self, x: torch.Tensor) -> torch.Tensor:
        """Takes the largest of each aligned 2x2 square: c x h x w -> c x h/2 x w/2."""
        return F.max_pool2d(x, 2)

    def plane_means(self, x: torch.Tensor) -> torch.Tensor:
        """Takes the mean of each channel: (N, c, h, w) -> (N, c)."""
        return x.mean(dim=(2, 3))

    def halved(self, x: torch.Tensor) -> torch.Tensor:
        """Takes the mean of each aligned 2x2 square: c x h x w -> c x h/2 x w/2."""
        return F.avg_pool2d(x, 2)

    def doubled(self, x: torch.Tensor) -> torch.Tensor:
        """Doubles the size, bilinear, half-sample centres, edges repeated: c x h x w -> c x 2h x 2w."""
        return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)

    def warp(self, x: torch.Tensor, flow: torch.Tensor) -> torch.Tensor:
        """Reads x at the places that a flow points to, as `at_places` does.

        As in the published codecs, places are scaled to -1..1 and back. In float32 this moves them by up to 1e-4
        sample.

        Args:
            flow: (N, 2, h, w), right and down, in samples of x.
        """
        height, width = x.shape[-2:]
        columns = torch.linspace(-1.0, 1.0, width, dtype=x.dtype, device=x.device).view(1, 1, width)
        rows = torch.linspace(-1.0, 1.0, height, dtype=x.dtype, device=x.device).view(1, height, 1)
        across = columns + flow[:, 0] / ((width - 1) / 2)
        down = rows + flow[:, 1] / ((height - 1) / 2)
        return self.at_places(x, across, down)

    def at_places(self, x: torch.Tensor, across: torch.Tensor, down: torch.Tensor) -> torch.Tensor:
        """Reads x bilinearly at places. Outside, the border is repeated.

        Args:
            across, down: places (N, h, w), from -1 to 1 between the centres of the outer samples.
        """
        grid = torch.stack((across, down), dim=-1)
        if torch.is_grad_enabled():  # PyTorch reads beyond its memory on the way back from places that are no numbers
            grid = grid.nan_to_num()
        return F.grid_sample(x, grid, mode="bilinear", padding_mode="border", align_corners=True)
