"""What stands in training for rounding latents and coding their symbols: noise, or rounding with a gradient.

Masses, logarithms and exponentials are float32 whatever the networks run in.
"""

import math
from collections.abc import Callable, Mapping
from typing import Literal

import torch

from dcvc_cli.entropy.scale_index import SCALE_MIN
from dcvc_cli.learning.losses import (
    LIKELIHOOD_FLOOR,
    TrainingOperations,
    density_bits,
    lower_bound,
    round_straight_through,
)

Kind = Literal["noise", "straight-through", "mixed"]
Bits = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def laplace_bits(residual: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    """Computes the bits of a residual on the unit grid under a zero-mean Laplace distribution, elementwise, float32.

    Where the mass is too small to be computed, the density's logarithm takes its place, so that outliers keep a
    gradient.
    """
    scale = lower_bound(scale.float(), SCALE_MIN)  # a gradient may always pull a smaller scale back up
    away = residual.float().abs()
    below, upto = (0.5 - 0.5 * point.sign() * torch.expm1(-point.abs() / scale) for point in (-0.5 - away, 0.5 - away))
    mass = upto - below
    of_density = away / scale + torch.log(2 * scale)
    return torch.where(mass > LIKELIHOOD_FLOOR, -torch.log2(mass.clamp_min(LIKELIHOOD_FLOOR)), of_density / math.log(2))


class Surrogate:
    """Quantises the latents of a batch of frames and counts what they would cost.

    Args:
        ops: of the network; its share draws the noise.
        kind: noise adds uniform noise to what is decoded, and the rate is that of the same draw. straight-through
            rounds with the gradient of no rounding, and the rate is that of noise of its own. mixed rounds too; scales
            and means learn from the symbols that are coded, latents from noise, and the rate is that of the symbols.
        rounds: whether latents are rounded and the rate is that of the symbols, as a stream has them.

    Attributes:
        bits: of each sample (N), by name of the latent.
    """

    def __init__(self, ops: TrainingOperations, kind: Kind, *, rounds: bool = False) -> None:
        self.ops, self.kind, self.rounds = ops, kind, rounds
        self.bits: dict[str, torch.Tensor] = {}

    @property
    def adds_noise(self) -> bool:
        """Returns whether what is decoded has noise in place of rounding."""
        return self.kind == "noise" and not self.rounds

    def noisy(self, x: torch.Tensor) -> torch.Tensor:
        """Adds uniform noise in -0.5 .. 0.5."""
        return x + self.ops.share.noise_like(x)

    def hyper(self, name: str, z: torch.Tensor, density: str) -> torch.Tensor:
        """Quantises hyper-latents (N, c, h, w) around 0; `density` is the beginning of their density's parameters."""
        z = z.float()
        if self.rounds:
            z_hat = counted = z.round()
        elif self.kind == "noise":
            z_hat = counted = self.noisy(z)
        else:
            z_hat, counted = round_straight_through(z), self.noisy(z)
        self.count(name, density_bits(self.ops.parameters, density, counted))
        return z_hat

    def latent(
        self,
        name: str,
        y: torch.Tensor,
        scales: torch.Tensor,
        means: torch.Tensor,
        mask: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Latents (N, c, h, w) of predicted scales and means.

        Args:
            mask: 1 where this step codes; what it gives is 0 elsewhere.
        """
        y, scales, means = y.float(), scales.float(), means.float()
        residual = y - means
        if self.rounds:
            decoded = residual.round()
            bits = laplace_bits(decoded, scales)
        elif self.kind == "noise":
            decoded = self.noisy(residual)
            bits = laplace_bits(decoded, scales)
        else:
            decoded, noisy = round_straight_through(residual), self.noisy(residual)
            bits = laplace_bits(noisy, scales)
            if self.kind == "mixed":
                symbols = residual.detach().round() - (means - means.detach())
                of_noise = laplace_bits(noisy, scales.detach())
                bits = laplace_bits(symbols, scales) + of_noise - of_noise.detach()
        self.count(name, bits if mask is None else bits * mask)
        y_hat = decoded + means
        return y_hat if mask is None else y_hat * mask

    def count(self, name: str, bits: torch.Tensor) -> None:
        """Adds bits (N, c, h, w) of a latent."""
        own = bits.sum(dim=(1, 2, 3))
        self.bits[name] = self.bits[name] + own if name in self.bits else own

    def bits_per_pixel(self, num_pixels: int) -> Mapping[str, torch.Tensor]:
        """Returns the bits by name of the latent, of each sample."""
        return {name: bits / num_pixels for name, bits in self.bits.items()}
