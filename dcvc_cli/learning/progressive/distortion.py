"""What a lambda weighs: errors of R G B pictures in 0..1, one value a picture."""

import torch
import torch.nn.functional as F

from dcvc_cli.learning.progressive.settings import Distortion

WINDOW_SIZE, WINDOW_SIGMA = 11, 1.5
MSSSIM_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
SMALLEST_MSSSIM_SIDE = (WINDOW_SIZE - 1) * 2 ** (len(MSSSIM_WEIGHTS) - 1) + 1
"""161: the window has to fit at the fifth scale."""
C1, C2 = 0.01**2, 0.03**2
SMALLEST_SIMILARITY = 1e-6
"""A negative mean has no real power."""


def distortion(x: torch.Tensor, x_hat: torch.Tensor, kind: Distortion) -> torch.Tensor:
    """Measures the error of each picture (N, 3, h, w): (N)."""
    if kind == "ms-ssim":
        return 1 - msssim(x.float(), x_hat.float())
    error = (x.float() - x_hat.float()).square().mean(dim=(2, 3))
    return error.sum(dim=1) if kind == "mse-sum" else error.mean(dim=1)


def rgb_psnr(x: torch.Tensor, x_hat: torch.Tensor) -> torch.Tensor:
    """Measures PSNR in dB of each picture by one error over all channels, for logs."""
    error = (x.float() - x_hat.float().clamp(0, 1)).square().mean(dim=(1, 2, 3))
    return -10 * torch.log10(error.clamp_min(1e-10))


def msssim(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Measures MS-SSIM of pictures in 0..1, (N, c, h, w) with sides of 161 and more: the mean of the channels, (N).

    The differentiable twin of metrics.msssim, for five scales and even sides.
    """
    distance = torch.arange(WINDOW_SIZE, dtype=x.dtype, device=x.device) - WINDOW_SIZE // 2
    taps = torch.exp(-(distance**2) / (2 * WINDOW_SIGMA**2))
    taps = taps / taps.sum()
    value = torch.ones(x.shape[:2], dtype=x.dtype, device=x.device)
    for scale, weight in enumerate(MSSSIM_WEIGHTS):
        similarity, contrast = _similarities(x, y, taps)
        mean = similarity if scale == len(MSSSIM_WEIGHTS) - 1 else contrast
        value = value * mean.clamp_min(SMALLEST_SIMILARITY) ** weight
        x, y = F.avg_pool2d(x, 2), F.avg_pool2d(y, 2)
    return value.mean(dim=1)


def _similarities(x: torch.Tensor, y: torch.Tensor, taps: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Means of SSIM and of its contrast part, of each channel (N, c)."""
    mean_x, mean_y = _filtered(x, taps), _filtered(y, taps)
    product, energy = mean_x * mean_y, mean_x.square() + mean_y.square()
    contrast = (2 * (_filtered(x * y, taps) - product) + C2) / (_filtered(x * x + y * y, taps) - energy + C2)
    similarity = contrast * (2 * product + C1) / (energy + C1)
    return similarity.mean(dim=(2, 3)), contrast.mean(dim=(2, 3))


def _filtered(x: torch.Tensor, taps: torch.Tensor) -> torch.Tensor:
    """Applies the separable window at the positions where it fits."""
    channels = x.shape[1]
    down, across = (taps.view(1, 1, *shape).repeat(channels, 1, 1, 1) for shape in ((-1, 1), (1, -1)))
    return F.conv2d(F.conv2d(x, down, groups=channels), across, groups=channels)
