"""Rate and distortion of a training batch: lambda per QP, distortion over planes, likelihoods of latents.

Reconstruction uses rounding with a straight-through gradient (Minnen and Singh, "Channel-wise autoregressive entropy
models for learned image compression", ICIP 2020). Rate: the predicted scales and means learn from the symbols that are
really coded, and the latents learn from additive uniform noise. Noise for both overstates the rate by half at low QPs,
where nearly every symbol is zero, and teaches scales that are too wide.
"""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F

from dcvc_cli.backend.float_torch import FloatOperations
from dcvc_cli.entropy.scale_index import SCALE_MAX, SCALE_MIN
from dcvc_cli.graph.latent_steps import CodingStep
from dcvc_cli.learning.share import WHOLE_BATCH, BatchShare

if TYPE_CHECKING:
    from dcvc_cli.graph.blocks import Conv, DepthConvBlock

LIKELIHOOD_FLOOR = 1e-6
PLAIN_FRAME_WEIGHT, WEIGHT_OF_8_QPS = 0.52, 1.33 / 0.52
"""Distortion weight of P frames by their QP offset: 0.52 at 0, 1.33 at 8, geometric between (0.83 at 4). What makes the
offsets pay."""


def lambda_of_qp(qp: torch.Tensor, first: float, last: float) -> torch.Tensor:
    """Geometric lambda(qp), or another weight, between `first` at QP 0 and `last` at QP 63: bits per pixel per unit of
    distortion."""
    return torch.exp(math.log(first) + (math.log(last) - math.log(first)) * qp.float() / 63)


def frame_weight(qp_offset: int) -> float:
    """Distortion weight of a P frame that is coded so many QPs above the sequence's."""
    return float(PLAIN_FRAME_WEIGHT * WEIGHT_OF_8_QPS ** (qp_offset / 8))


CHROMA_WEIGHTS = (6.0, 4.0)
"""Of chroma's squared error beside its share in (6 Y + U + V) / 8, at QP 0 and at QP 63. Quality is a mean of decibels,
so a plane's error counts by its inverse: chroma's is a ninth of luma's at QP 0 and a third at QP 63. Between the two,
like lambda."""
FULL_RESOLUTION_CHROMA_WEIGHT = 0.25
"""Weight of the full-resolution chroma error beside that of 2x2 means: keeps RGB coding alive in a 4:2:0 codec."""


def distortion(
    x: torch.Tensor, x_hat: torch.Tensor, qp: torch.Tensor, chroma_weights: tuple[float, float] = CHROMA_WEIGHTS
) -> torch.Tensor:
    """(6 Y + w Cb + w Cr) / 8 mean squared error of samples in 0..1, one value per picture of (N, 3, h, w) coded at the
    base QPs qp (N).

    Chroma errors are those of 2x2 means, as 4:2:0 output has them, plus a share of the full-resolution error.
    chroma_weights: w at QP 0 and QP 63.
    """
    luma = (x[:, :1] - x_hat[:, :1]).square().mean(dim=(1, 2, 3))
    difference = x[:, 1:] - x_hat[:, 1:]
    chroma = F.avg_pool2d(difference, 2).square().mean(dim=(1, 2, 3))
    chroma = chroma + FULL_RESOLUTION_CHROMA_WEIGHT * difference.square().mean(dim=(1, 2, 3))
    return (6 * luma + 2 * lambda_of_qp(qp, *chroma_weights) * chroma) / 8


def luma_psnr(x: torch.Tensor, x_hat: torch.Tensor) -> torch.Tensor:
    """Luma PSNR in dB of each picture, for logs."""
    return -10 * torch.log10((x[:, :1] - x_hat[:, :1].clamp(0, 1)).square().mean(dim=(1, 2, 3)).clamp_min(1e-10))


USUAL_COST = 0.25
"""lambda * D + R of a training crop, times relative_weight."""
FAIR_RANGE = 30.0
"""No sample counts so many times more or less than usual for its cost: crops of one colour cost next to nothing."""


def relative_weight(rate_weight: torch.Tensor) -> torch.Tensor:
    """Loss weight that makes every QP count alike in relative terms: lambda * D + R grows about as lambda ** 0.4."""
    return (rate_weight / 1000.0) ** -0.4


def relative_loss(cost: torch.Tensor, rate_weight: torch.Tensor, cost_exponent: float = 0.0) -> torch.Tensor:
    """Mean of the samples' costs lambda * D + R (N), each weighted by its lambda and by its own cost
    (TrainConfig.cost_exponent)."""
    even = relative_weight(rate_weight) * cost
    if not cost_exponent:
        return even.mean()
    return (even * (even.detach() / USUAL_COST).clamp(1 / FAIR_RANGE, FAIR_RANGE) ** -cost_exponent).mean()


class _LowerBound(torch.autograd.Function):
    """max(x, bound) whose gradient still lets x come back up from below the bound."""

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
    """Bits of a residual on the unit grid under a zero-mean Gaussian, elementwise, float32."""
    inverse = 1 / (lower_bound(scale, SCALE_MIN).clamp_max(SCALE_MAX) * math.sqrt(2))
    magnitude = residual.abs()
    upper = torch.erfc((magnitude - 0.5) * inverse)
    lower = torch.erfc((magnitude + 0.5) * inverse)
    return -torch.log2(lower_bound(0.5 * (upper - lower), LIKELIHOOD_FLOOR))


def factorised_bits(parameters: Mapping[str, torch.Tensor], z: torch.Tensor, qp: torch.Tensor) -> torch.Tensor:
    """Bits of z (N, c, h, w) under the bit estimator's density of row qp, elementwise, float32."""
    rows = {key: parameters[f"bit_estimator_z.{key}"][qp].float() for key in BIT_ESTIMATOR_KEYS}

    def cumulative(x: torch.Tensor) -> torch.Tensor:
        for stage in ("f1", "f2", "f3"):
            x = x * F.softplus(rows[f"{stage}.h"]) + rows[f"{stage}.b"]
            x = x + torch.tanh(x) * torch.tanh(rows[f"{stage}.a"])
        return torch.sigmoid(x * F.softplus(rows["f4.h"]) + rows["f4.b"])

    return -torch.log2(lower_bound(cumulative(z + 0.5) - cumulative(z - 0.5), LIKELIHOOD_FLOOR))


BIT_ESTIMATOR_KEYS = ("f1.h", "f1.b", "f1.a", "f2.h", "f2.b", "f2.a", "f3.h", "f3.b", "f3.a", "f4.h", "f4.b")


@torch.no_grad()
def zero_below(scales: torch.Tensor, dead_zones: torch.Tensor) -> torch.Tensor:
    """families.lite.dead_zone.zero_below for scales (N, c, h, w) and the dead zones of N samples."""
    distance = 1 / (scales.clamp(SCALE_MIN, SCALE_MAX) * math.sqrt(2))
    inner, outer = torch.erfc(0.5 * distance), torch.erfc(1.5 * distance)
    extra_bits = torch.log2((1 - inner) / (0.5 * (inner - outer)).clamp_min(LIKELIHOOD_FLOOR))
    return 0.5 + 0.5 * dead_zones[:, None, None, None] * extra_bits.clamp_min(0)


class RoundingLatentCoder:
    """A LatentCoder that only quantises, with a straight-through gradient: for a frame whose rate nobody asks for.

    y: analysis latents (N, c, h, w). dead_zones: of each sample (N), families.lite.dead_zone; None rounds to the
        nearest.
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
        """What a step's symbols cost."""


class EstimatingLatentCoder(RoundingLatentCoder):
    """Estimates bits beside quantising.

    `bits` (N) has the value of the coded symbols' bits; its gradient reaches scales and means through those symbols,
    and the analysis latents through noise.
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
    """Float operations whose step-size floor has the come-back gradient and whose activation costs no pass of its own.

    wsilu(x) = silu(4 x) / 4: the layer before takes weights times 4 and the linear layer after it weights divided by 4,
    powers of two that change no rounding. A training step is bound by such passes over feature maps.

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

    def depth_conv_block(self, block: "DepthConvBlock", x: torch.Tensor) -> torch.Tensor:
        if block.adaptor is not None:
            x = self.conv(block.adaptor, x)
        spatial = block.dc_spatial
        weight, bias = self.parameters[spatial.name + ".weight"] * 0.25, self.parameters[spatial.name + ".bias"]
        t = F.conv2d(
            F.silu(self._scaled_conv(block.dc_in, x, 4.0, 4.0)), weight, bias, padding=1, groups=spatial.channels
        )
        t = self.conv(block.dc_out, t) + x
        wide = self.chunk_add(F.silu(self._scaled_conv(block.ffn_in, t, 4.0, 4.0)))
        out = self._scaled_conv(block.ffn_out, wide, 0.25, 1.0) + t
        return out + x if block.shortcut else out

    def pixel_unshuffle(self, x: torch.Tensor, factor: int) -> torch.Tensor:
        """Channels-last: nearly all layers after it are 1x1, whose weights do not tell PyTorch a layout, and the other
        one copies every map."""
        return super().pixel_unshuffle(x, factor).contiguous(memory_format=torch.channels_last)

    def clamp_step_size(self, x: torch.Tensor) -> torch.Tensor:
        return lower_bound(x, 0.5)
