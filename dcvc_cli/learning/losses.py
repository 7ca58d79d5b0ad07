"""Rate and distortion of a training batch: lambda per QP, distortion over planes, likelihoods of latents.

Reconstruction uses rounding with a straight-through gradient (Minnen and Singh, "Channel-wise autoregressive entropy
models for learned image compression", ICIP 2020). For the rate, predicted scales and means learn from the coded
symbols, and latents learn from additive uniform noise. Noise for both would overstate the rate by half at low QPs,
where nearly every symbol is 0, and would teach scales that are too wide.
"""

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F

from dcvc_cli.backend.float_torch import FloatOperations
from dcvc_cli.entropy.scale_index import SCALE_MAX, SCALE_MIN
from dcvc_cli.format.constants import MAX_BASE_QP
from dcvc_cli.graph.latent_steps import CodingStep
from dcvc_cli.learning.share import WHOLE_BATCH, BatchShare

if TYPE_CHECKING:
    from dcvc_cli.graph.blocks import Conv, DepthConvBlock, FourfoldBlock

LIKELIHOOD_FLOOR = 1e-6
PLAIN_FRAME_WEIGHT, WEIGHT_OF_8_QPS = 0.52, 1.33 / 0.52
"""Distortion weight of P frames by their QP offset: 0.52 at 0, 1.33 at 8, geometric between them (0.83 at 4). The
weights make the offsets pay."""


def lambda_of_qp(qp: torch.Tensor, first: float, last: float) -> torch.Tensor:
    """Returns lambda, or another weight, of QPs: geometric from `first` at QP 0 to `last` at QP 63, in bits per pixel
    per unit of distortion."""
    return torch.exp(math.log(first) + (math.log(last) - math.log(first)) * qp.float() / MAX_BASE_QP)


def frame_weight(qp_offset: int) -> float:
    """Returns the distortion weight of a P frame whose QP is so much above the sequence's."""
    return float(PLAIN_FRAME_WEIGHT * WEIGHT_OF_8_QPS ** (qp_offset / 8))


CHROMA_WEIGHTS = (6.0, 4.0)
"""Weight of chroma's squared error beside its share in (6 Y + U + V) / 8, at QP 0 and at QP 63; geometric between them,
as lambda is. Quality is a mean of decibels, so a plane's error counts by its inverse. Chroma's error is a ninth of
luma's at QP 0 and a third at QP 63."""
FULL_RESOLUTION_CHROMA_WEIGHT = 0.25
"""Weight of the full-resolution chroma error beside the error of 2x2 means. Without it, a 4:2:0 codec would lose RGB
coding."""


def distortion(
    x: torch.Tensor, x_hat: torch.Tensor, qp: torch.Tensor, chroma_weights: tuple[float, float] = CHROMA_WEIGHTS
) -> torch.Tensor:
    """Returns the mean squared error (6 Y + w Cb + w Cr) / 8 of each picture.

    The chroma error is that of 2x2 means, as in 4:2:0 output, plus a share of the full-resolution error.

    Args:
        x, x_hat: pictures (N, 3, h, w) in 0..1.
        qp: base QPs (N).
        chroma_weights: w at QP 0 and at QP 63.
    """
    luma = (x[:, :1] - x_hat[:, :1]).square().mean(dim=(1, 2, 3))
    difference = x[:, 1:] - x_hat[:, 1:]
    chroma = F.avg_pool2d(difference, 2).square().mean(dim=(1, 2, 3))
    chroma = chroma + FULL_RESOLUTION_CHROMA_WEIGHT * difference.square().mean(dim=(1, 2, 3))
    return (6 * luma + 2 * lambda_of_qp(qp, *chroma_weights) * chroma) / 8


def luma_psnr(x: torch.Tensor, x_hat: torch.Tensor) -> torch.Tensor:
    """Returns the luma PSNR of each picture in dB, for logs."""
    return -10 * torch.log10((x[:, :1] - x_hat[:, :1].clamp(0, 1)).square().mean(dim=(1, 2, 3)).clamp_min(1e-10))


USUAL_COST = 0.25
"""Usual lambda * D + R of a training crop, times relative_weight."""
FAIR_RANGE = 30.0
"""Limit on how many times more or less than usual a sample counts for its cost, since crops of one colour cost next to
nothing."""


def relative_weight(rate_weight: torch.Tensor) -> torch.Tensor:
    """Returns the loss weight with which all QPs count alike in relative terms, since lambda * D + R grows about as
    lambda ** 0.4."""
    return (rate_weight / 1000.0) ** -0.4


def relative_loss(cost: torch.Tensor, rate_weight: torch.Tensor, cost_exponent: float = 0.0) -> torch.Tensor:
    """Returns the mean of the samples' costs lambda * D + R (N), each weighted by its lambda and by its own cost
    (TrainConfig.cost_exponent)."""
    even = relative_weight(rate_weight) * cost
    if not cost_exponent:
        return even.mean()
    return (even * (even.detach() / USUAL_COST).clamp(1 / FAIR_RANGE, FAIR_RANGE) ** -cost_exponent).mean()


class _LowerBound(torch.autograd.Function):
    """max(x, bound), with a gradient that lets x rise again from below the bound."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, bound: float) -> torch.Tensor:
        ctx.save_for_backward(x)
        ctx.bound = bound
        return x.clamp_min(bound)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None]:
        (x,), (gradient,) = ctx.saved_tensors, gradients
        return torch.where((x >= ctx.bound) | (gradient < 0), gradient, torch.zeros_like(gradient)), None


def lower_bound(x: torch.Tensor, bound: float) -> torch.Tensor:
    return _LowerBound.apply(x, bound)


def round_straight_through(x: torch.Tensor) -> torch.Tensor:
    return x + (torch.round(x) - x).detach()


def gaussian_bits(residual: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    """Estimates the bits of residuals on the unit grid under zero-mean Gaussians, elementwise, in float32."""
    inverse = 1 / (lower_bound(scale, SCALE_MIN).clamp_max(SCALE_MAX) * math.sqrt(2))
    magnitude = residual.abs()
    upper = torch.erfc((magnitude - 0.5) * inverse)
    lower = torch.erfc((magnitude + 0.5) * inverse)
    return -torch.log2(lower_bound(0.5 * (upper - lower), LIKELIHOOD_FLOOR))


def factorised_bits(parameters: Mapping[str, torch.Tensor], z: torch.Tensor, qp: torch.Tensor) -> torch.Tensor:
    """Estimates the bits of z (N, c, h, w) under the bit estimator's density of row qp, elementwise, in float32."""
    return _bits_of_rows({key: parameters[f"bit_estimator_z.{key}"][qp].float() for key in BIT_ESTIMATOR_KEYS}, z)


def density_bits(parameters: Mapping[str, torch.Tensor], name: str, z: torch.Tensor) -> torch.Tensor:
    """Estimates the bits of z (N, c, h, w) under the density `name` of parameters (1, c, 1, 1), elementwise."""
    return _bits_of_rows({key: parameters[f"{name}.{key}"].float() for key in BIT_ESTIMATOR_KEYS}, z)


def _bits_of_rows(rows: Mapping[str, torch.Tensor], z: torch.Tensor) -> torch.Tensor:
    def cumulative(x: torch.Tensor) -> torch.Tensor:
        for stage in ("f1", "f2", "f3"):
            x = x * F.softplus(rows[f"{stage}.h"]) + rows[f"{stage}.b"]
            x = x + torch.tanh(x) * torch.tanh(rows[f"{stage}.a"])
        return torch.sigmoid(x * F.softplus(rows["f4.h"]) + rows["f4.b"])

    return -torch.log2(lower_bound(cumulative(z + 0.5) - cumulative(z - 0.5), LIKELIHOOD_FLOOR))


BIT_ESTIMATOR_KEYS = ("f1.h", "f1.b", "f1.a", "f2.h", "f2.b", "f2.a", "f3.h", "f3.b", "f3.a", "f4.h", "f4.b")


@torch.no_grad()
def zero_below(scales: torch.Tensor, dead_zones: torch.Tensor) -> torch.Tensor:
    """Computes families.lite.dead_zone.zero_below for scales (N, c, h, w) and the dead zones of N samples."""
    distance = 1 / (scales.clamp(SCALE_MIN, SCALE_MAX) * math.sqrt(2))
    inner, outer = torch.erfc(0.5 * distance), torch.erfc(1.5 * distance)
    extra_bits = torch.log2((1 - inner) / (0.5 * (inner - outer)).clamp_min(LIKELIHOOD_FLOOR))
    return 0.5 + 0.5 * dead_zones[:, None, None, None] * extra_bits.clamp_min(0)


class RoundingLatentCoder:
    """A LatentCoder that only quantises, with a straight-through gradient, for frames whose rate does not count.

    Args:
        y: latents of the analysis (N, c, h, w).
        dead_zones: dead zone of each sample (N), as in families.lite.dead_zone; None rounds to the nearest.
    """

    def __init__(self, ops: "TrainingOperations", y: torch.Tensor, dead_zones: torch.Tensor | None = None) -> None:
        self.ops, self.y, self.dead_zones = ops, y.float(), dead_zones

    def begin(self, step_size_inverse: torch.Tensor) -> None:
        self.y = self.y * step_size_inverse.float()

    def step(self, step: CodingStep, scales: torch.Tensor, means: torch.Tensor) -> torch.Tensor:
        scales, means = scales.float(), means.float()
        mask = self.ops.mask(step, scales.shape[1], self.ops.size(scales), scales)
        residual = self.y - means
        with torch.no_grad():
            symbols = torch.round(residual)
            if self.dead_zones is not None:
                symbols = torch.where(residual.abs() < zero_below(scales, self.dead_zones), 0.0, symbols)
        self._count(scales, means, symbols, mask)
        return ((residual + (symbols - residual).detach()).clamp(-128, 127) + means) * mask

    def _count(self, scales: torch.Tensor, means: torch.Tensor, symbols: torch.Tensor, mask: torch.Tensor) -> None:
        """Counts the bits of a step's symbols."""


class EstimatingLatentCoder(RoundingLatentCoder):
    """A LatentCoder that quantises and estimates bits.

    Attributes:
        bits: estimated bits of the coded symbols (N). Its gradient reaches scales and means through the symbols, and
            the latents of the analysis through noise.
    """

    def __init__(self, ops: "TrainingOperations", y: torch.Tensor, dead_zones: torch.Tensor | None = None) -> None:
        super().__init__(ops, y, dead_zones)
        self.bits = torch.zeros(y.shape[0], device=y.device)

    def _count(self, scales: torch.Tensor, means: torch.Tensor, symbols: torch.Tensor, mask: torch.Tensor) -> None:
        residual = self.y - means
        coded = gaussian_bits(symbols - (means - means.detach()), scales)
        noisy = gaussian_bits(residual + self.ops.share.noise_like(residual), scales.detach())
        self.bits = self.bits + ((coded + noisy - noisy.detach()) * mask).sum(dim=(1, 2, 3))


class TrainingOperations(FloatOperations):
    """Float operations for training. Step sizes below their lower bound still have a gradient that lets them rise, and
    the activation takes no pass of its own over the feature map.

    wsilu(x) = silu(4 x) / 4. The layer before takes its weights times 4, and the linear layer behind takes its weights
    divided by 4. Powers of two change no rounding. Passes over feature maps limit the speed of a training step.

    Args:
        share: which samples of the batch the tensors hold, for the noise.
    """

    def __init__(self, parameters: Mapping[str, torch.Tensor], share: BatchShare = WHOLE_BATCH) -> None:
        super().__init__(parameters)
        self.share = share

    def _scaled_conv(self, layer: "Conv", x: torch.Tensor, weight_factor: float, bias_factor: float) -> torch.Tensor:
        weight, bias = (
            self.parameters[layer.name + ".weight"] * weight_factor,
            self.parameters[layer.name + ".bias"] * bias_factor,
        )
        return F.conv2d(x, weight, bias)

    def conv(self, layer: "Conv", x: torch.Tensor) -> torch.Tensor:
        if layer.kernel == 1 and layer.stride > 1:
            # PyTorch 2.13 writes beyond its memory on the way back through a 1x1 convolution with a stride. Taking
            # every other sample first is the same.
            weight, bias = self.parameters[layer.name + ".weight"], self.parameters.get(layer.name + ".bias")
            return F.conv2d(x[..., :: layer.stride, :: layer.stride], weight, bias)
        return super().conv(layer, x)

    def depth_conv_block(self, block: "DepthConvBlock", x: torch.Tensor) -> torch.Tensor:
        return self._block(block, x, self.chunk_add)

    def fourfold_block(self, block: "FourfoldBlock", *parts: torch.Tensor) -> torch.Tensor:
        return self._block(block, parts[0] if len(parts) == 1 else self.concat(*parts), self.add_fours)

    def _block(
        self, block: "DepthConvBlock | FourfoldBlock", x: torch.Tensor, narrow: Callable[[torch.Tensor], torch.Tensor]
    ) -> torch.Tensor:
        if block.adaptor is not None:
            x = self.conv(block.adaptor, x)
        spatial = block.dc_spatial
        weight, bias = self.parameters[spatial.name + ".weight"] * 0.25, self.parameters[spatial.name + ".bias"]
        t = F.conv2d(
            F.silu(self._scaled_conv(block.dc_in, x, 4.0, 4.0)), weight, bias, padding=1, groups=spatial.channels
        )
        t = self.conv(block.dc_out, t) + x
        wide = narrow(F.silu(self._scaled_conv(block.ffn_in, t, 4.0, 4.0)))
        out = self._scaled_conv(block.ffn_out, wide, 0.25, 1.0) + t
        return out + x if block.shortcut else out

    def pixel_unshuffle(self, x: torch.Tensor, factor: int) -> torch.Tensor:
        """Makes a channels-last tensor. Nearly all layers behind are 1x1, and their weights do not tell PyTorch a
        layout. In the other layout, every map would be copied."""
        return super().pixel_unshuffle(x, factor).contiguous(memory_format=torch.channels_last)

    def clamp_step_size(self, x: torch.Tensor) -> torch.Tensor:
        return lower_bound(x, 0.5)

    def at_least(self, x: torch.Tensor, bound: float) -> torch.Tensor:
        return lower_bound(x, bound)
