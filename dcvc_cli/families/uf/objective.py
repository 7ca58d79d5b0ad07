"""What a training step of DCVC-UF minimises: rate and distortion of pictures through the image network, or of the units
of a clip.

Source: DCVC-UF (2026). As in its training, nothing is clamped, every element is coded, and the rate is that of latents
with uniform noise while the networks see rounded ones.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import torch
from torch.utils.checkpoint import checkpoint

from dcvc_cli.families.uf.image import UfImageModel
from dcvc_cli.families.uf.recipe import (
    Analysis,
    Memory,
    code_i_frame,
    code_p_unit,
    memory_after_picture,
    next_contexts,
)
from dcvc_cli.families.uf.tables import PREFIX
from dcvc_cli.families.uf.video import UfVideoModel
from dcvc_cli.graph.latent_steps import CodingStep
from dcvc_cli.learning.losses import (
    EstimatingLatentCoder,
    RoundingLatentCoder,
    TrainingOperations,
    factorised_bits,
    gaussian_bits,
    lambda_of_qp,
    luma_psnr,
    round_straight_through,
)
from dcvc_cli.learning.trainee import BatchLoss, State

PICTURE_WEIGHTS = (0.52, 1.33, 0.52, 0.83, 0.52, 0.83, 0.52, 0.83)
"""Distortion weight of a P frame of LD by the number of frames since the I frame, modulo 8: good frames are learnt from
it alone."""
CHUNK_WEIGHTS = (0.16, 0.4, 0.16, 0.4, 0.16, 0.4, 0.16, 1.5)
"""Distortion weights of the pictures of a chunk; their errors are summed."""
ERROR_FLOOR = 1e-6
"""Smallest mean squared error of a plane, so that its logarithm exists."""
YCC_SHARE, RGB_SHARE = 0.8, 0.2
LUMA_EXPONENT, CHROMA_EXPONENT = 0.833, 0.0833
"""Exponents of the planes' errors: 10 : 1 : 1, in the rounded values of the source."""


def distortion(x: torch.Tensor, x_hat: torch.Tensor) -> torch.Tensor:
    """Measures the error of pictures (N, 3, h, w), Y Cb Cr 4:4:4 of range 1 -> (N).

    Three times the weighted geometric mean of the planes' mean squared errors, and the sum of those of R, G and B
    (BT.709).
    """
    difference = (x_hat - x).float()
    luma, blue, red = difference.unbind(1)
    errors = difference.square().mean(dim=(2, 3)).clamp_min(ERROR_FLOOR).log()
    ycc = 3 * torch.exp(LUMA_EXPONENT * errors[:, 0] + CHROMA_EXPONENT * (errors[:, 1] + errors[:, 2]))
    green = luma - 0.0722 * 1.8556 / 0.7152 * blue - 0.2126 * 1.5748 / 0.7152 * red
    rgb = sum(plane.square().mean(dim=(1, 2)) for plane in (luma + 1.5748 * red, green, luma + 1.8556 * blue))
    return YCC_SHARE * ycc + RGB_SHARE * rgb


class UnclampedOperations(TrainingOperations):
    """Leaves pictures unclamped, so that samples beyond the range keep a gradient and the next unit sees them."""

    def clamp_centred(self, x: torch.Tensor) -> torch.Tensor:
        return x


class NoisyLatentCoder(RoundingLatentCoder):
    """Estimates bits of latents with uniform noise, and quantises beside it.

    `bits` (N); scales, means and latents all learn from the noise.
    """

    def __init__(self, ops: TrainingOperations, y: torch.Tensor) -> None:
        super().__init__(ops, y)
        self.bits = torch.zeros(y.shape[0], device=y.device)

    def _count(self, scales: torch.Tensor, means: torch.Tensor, symbols: torch.Tensor, mask: torch.Tensor) -> None:
        residual = self.y - means
        noisy = gaussian_bits(residual + self.ops.share.noise_like(residual), scales)
        self.bits = self.bits + (noisy * mask).sum(dim=(1, 2, 3))


Coder = TypeVar("Coder", bound=RoundingLatentCoder)


class TrainingSide(Generic[Coder]):
    """Training's end of a unit's symbols.

    Args:
        x: what is coded (N, 3 planes a picture, h, w), samples in 0..1.
        coder: the latent coder to make.
    """

    coder: Coder
    z: torch.Tensor
    latent_size: tuple[int, int]

    def __init__(
        self, ops: TrainingOperations, x: torch.Tensor, coder: Callable[[TrainingOperations, torch.Tensor], Coder]
    ) -> None:
        self._ops, self._x, self._make_coder = ops, x, coder

    def hyper_latents(self, analysis: Analysis, hyper_analysis: Analysis, scaled: Analysis, qp: Any) -> torch.Tensor:
        """Analyses the pictures."""
        y = analysis(self._ops, self._x)
        self.z = hyper_analysis(self._ops, y).float()
        self.coder = self._make_coder(self._ops, scaled(self._ops, y))
        self.latent_size = self._ops.size(y)
        return round_straight_through(self.z)

    def for_analysis(self, context: torch.Tensor) -> torch.Tensor:
        """Returns the context itself: one arithmetic serves all."""
        return context

    def begin(self, step_size_inverse: torch.Tensor) -> None:
        """Scales the latents."""
        self.coder.begin(step_size_inverse)

    def share_scales(self, steps: Sequence[CodingStep], scales: torch.Tensor) -> None:
        """Every step is told its scales again."""

    def step(self, step: CodingStep, scales: torch.Tensor, means: torch.Tensor) -> torch.Tensor:
        """Quantises one step."""
        return self.coder.step(step, scales, means)

    def finish(self) -> None:
        """Does nothing: no bytes were made."""


def hyper_bits(parameters: State, z: torch.Tensor, qp: torch.Tensor) -> torch.Tensor:
    """Computes the bits of z (N, c, h, w) under the density of row qp (N), elementwise, float32."""
    rows = {
        f"{PREFIX}.f{stage + 1}.{kind}": parameters[f"{PREFIX}.{kind}"][:, :, stage, None, None]
        for kind, num_stages in (("h", 4), ("b", 4), ("a", 3))
        for stage in range(num_stages)
    }
    return factorised_bits(rows, z, qp)


CountingSide = TrainingSide[NoisyLatentCoder] | TrainingSide[EstimatingLatentCoder]
"""A side that estimates bits."""


@dataclass(frozen=True)
class Estimator:
    """How rates are estimated.

    Attributes:
        rounds: of the rounded latents, as a stream has them; else of latents with noise.
    """

    rounds: bool = False

    def side(self, ops: TrainingOperations, x: torch.Tensor) -> "CountingSide":
        """Makes a side that counts."""
        return TrainingSide(ops, x, EstimatingLatentCoder) if self.rounds else TrainingSide(ops, x, NoisyLatentCoder)

    def bits_per_pixel(self, ops: TrainingOperations, side: "CountingSide", qp: torch.Tensor) -> torch.Tensor:
        """Returns (N), by the area of one picture."""
        z = torch.round(side.z) if self.rounds else side.z + ops.share.noise_like(side.z)
        bits = side.coder.bits + hyper_bits(ops.parameters, z, qp).sum(dim=(1, 2, 3))
        return bits / (side._x.shape[-2] * side._x.shape[-1])


def image_loss(
    model: UfImageModel,
    ops: TrainingOperations,
    x: torch.Tensor,
    qp: torch.Tensor,
    lambdas: tuple[float, float],
    estimator: Estimator,
) -> BatchLoss:
    """Computes the loss of pictures x (N, 3, h, w) in 0..1 at QPs qp (N)."""
    side = estimator.side(ops, x)
    x_hat = ops.from_centre(code_i_frame(model, ops, side, qp)).float()
    bpp = estimator.bits_per_pixel(ops, side, qp)
    cost = (lambda_of_qp(qp, *lambdas) * distortion(x, x_hat) + bpp).mean()
    return BatchLoss(cost, cost.item(), bpp.mean().item(), luma_psnr(x, x_hat).mean().item())


@torch.no_grad()
def pending_picture(model: UfImageModel, parameters: State, x: torch.Tensor, qp: torch.Tensor) -> Memory:
    """Returns what a frozen image network leaves to the first P unit: its picture of x (N, 3, h, w) in 0..1, not
    clamped."""
    ops = UnclampedOperations(parameters)
    picture = code_i_frame(model, ops, TrainingSide(ops, x, RoundingLatentCoder), qp)
    return memory_after_picture(ops, picture)


def pending_source(x: torch.Tensor) -> Memory:
    """Returns the source picture in place of a coded one."""
    return Memory(pending=torch.nn.functional.pixel_unshuffle(x - 0.5, 8))


@dataclass(frozen=True)
class UnitLoss:
    """One unit's part of the loss, and what it leaves.

    Attributes:
        cost: lambda D + R of each sample (N).
        bpp: (N), bits by the area of one picture.
        psnr: luma PSNR in dB (N), mean of its pictures.
        kept: what the next unit is predicted from.
    """

    cost: torch.Tensor
    bpp: torch.Tensor
    psnr: torch.Tensor
    kept: Memory


class UnitLosses:
    """Codes the units of a clip one after the other.

    Args:
        model: the video network.
        ops: its operations.
        clip: (N, 1 + frames, 3, h, w) in 0..1; frame 0 is what `kept` was made of.
        qp: (N).
        weight: lambda of each sample (N).
        estimator: how rates are estimated.
        recomputes: whether a unit is computed a second time on the way back, so that only what units leave is kept.
    """

    def __init__(
        self,
        model: UfVideoModel,
        ops: TrainingOperations,
        clip: torch.Tensor,
        qp: torch.Tensor,
        weight: torch.Tensor,
        estimator: Estimator,
        *,
        recomputes: bool = False,
    ) -> None:
        self.model, self.ops, self.clip, self.qp, self.weight = model, ops, clip, qp, weight
        self.estimator, self.recomputes = estimator, recomputes

    @property
    def num_units(self) -> int:
        """Counts the whole units of the clip."""
        return (self.clip.shape[1] - 1) // self.model.sizes.pictures

    def code(self, number: int, kept: Memory) -> UnitLoss:
        """Codes unit `number` from what the one before left."""
        state = kept.pending, kept.memory, kept.feature
        if self.recomputes:
            results = checkpoint(self._code, number, *state, use_reentrant=False)
        else:
            results = self._code(number, *state)
        cost, bpp, psnr, memory, feature = results
        return UnitLoss(cost, bpp, psnr, Memory(memory=memory, feature=feature))

    def _code(
        self,
        number: int,
        pending: torch.Tensor | None,
        memory: torch.Tensor | None,
        feature: torch.Tensor | None,
    ) -> tuple[torch.Tensor, ...]:
        model, ops, pictures = self.model, self.ops, self.model.sizes.pictures
        frames = self.clip[:, 1 + number * pictures : 1 + (number + 1) * pictures]
        contexts = next_contexts(model, ops, Memory(pending, memory, feature))
        side = self.estimator.side(ops, frames.flatten(1, 2))
        coded = code_p_unit(model, ops, side, contexts, self.qp)
        bpp = self.estimator.bits_per_pixel(ops, side, self.qp)
        error, psnr = torch.zeros_like(bpp), torch.zeros_like(bpp)
        for index, picture in enumerate(_pictures(model, ops, coded)):
            x, x_hat = frames[:, index], ops.from_centre(picture).float()
            error = error + self._picture_weight(number, index) * distortion(x, x_hat)
            psnr = psnr + luma_psnr(x, x_hat.detach()) / pictures
        return self.weight * error + bpp, bpp, psnr, contexts.memory, coded

    def _picture_weight(self, number: int, index: int) -> float:
        if self.model.sizes.pictures > 1:
            return CHUNK_WEIGHTS[index]
        return PICTURE_WEIGHTS[(number + 1) % len(PICTURE_WEIGHTS)]


def _pictures(model: UfVideoModel, ops: TrainingOperations, feature: torch.Tensor) -> list[torch.Tensor]:
    """Returns the pictures of a unit, (N, 3, h, w) in -0.5..0.5 and beyond."""
    if not model.sizes.pair_heads:
        return [model.picture(ops, feature, index) for index in range(model.sizes.pictures)]
    pairs = [model.pair(ops, feature, number) for number in range(model.sizes.pictures // 2)]
    return [model.picture_of_pair(ops, pairs[index // 2], index) for index in range(model.sizes.pictures)]


def initial_parameters(model: UfImageModel | UfVideoModel, seed: int) -> dict[str, torch.Tensor]:
    """Makes Xavier-normal weights, zero biases, QP vectors of one, densities near zero."""
    generator = torch.Generator().manual_seed(seed)
    parameters: dict[str, torch.Tensor] = {}
    for name, shape in model.shapes():
        if name.startswith(PREFIX):
            parameters[name] = torch.randn(shape, generator=generator) * 0.01
        elif name.startswith("q_"):
            parameters[name] = torch.ones(shape)
        elif name.endswith(".bias"):
            parameters[name] = torch.zeros(shape)
        else:
            fan_in, fan_out = math.prod(shape[1:]), shape[0] * math.prod(shape[2:])
            parameters[name] = torch.randn(shape, generator=generator) * math.sqrt(2 / (fan_in + fan_out))
    return parameters
