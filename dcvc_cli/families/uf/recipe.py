"""The recipe of a unit. Encoder, decoder and calibration run these functions, each with a side of its own.

A side is one side of a unit's symbols. An encoder's side makes them of pictures, a decoder's side reads them, and the
side in calibration makes and drops them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from dcvc_cli.backend.operations import Operations, Tensor
from dcvc_cli.families.uf.image import UfImageModel
from dcvc_cli.families.uf.latents import UnitLatentCoder
from dcvc_cli.families.uf.video import UfVideoModel

Analysis = Callable[[Operations, Tensor], Tensor]


class UnitSide(UnitLatentCoder, Protocol):
    """One side of the symbols of one unit."""

    @property
    def latent_size(self) -> tuple[int, int]:
        """Returns (height, width) of y."""

    def hyper_latents(self, analysis: Analysis, hyper_analysis: Analysis, scaled: Analysis, qp: Any) -> Tensor:
        """Codes z at row `qp` and returns it for the networks.

        An encoder's side runs `analysis`, samples in 0..1 -> y, then `hyper_analysis`, y -> z, then `scaled`, y -> y in
        the domain of the symbols. A decoder's side reads z and runs none of them.
        """

    def for_analysis(self, context: Tensor) -> Tensor:
        """Turns a value of the decoder's half into the arithmetic of the analysis."""

    def finish(self) -> None:
        """Ends the symbols.

        Raises:
            StreamError: bytes of a decoder are left.
        """


@dataclass(frozen=True)
class Memory:
    """What the next unit is predicted from: `pending`, 192 x Hp/8 x Wp/8, or memory and feature, both feature x Hp/8 x
    Wp/8."""

    pending: Tensor | None = None
    memory: Tensor | None = None
    feature: Tensor | None = None


def code_i_frame(model: UfImageModel, ops: Operations, side: UnitSide, qp: Any) -> Tensor:
    """Codes an I frame. Returns the decoder's picture, 3 x Hp x Wp in -0.5..0.5."""
    z_hat = side.hyper_latents(
        lambda own, x: model.analysis(own, own.centre(x), qp),
        model.hyper_analysis,
        lambda own, y: model.scaled_latents(own, y, qp),
        qp,
    )
    parameters = model.prior_parameters(ops, z_hat, side.latent_size)
    y_hat = model.code_latents(ops, parameters, side, qp)
    side.finish()
    return model.synthesis(ops, y_hat, qp)


def memory_after_picture(ops: Operations, picture: Tensor) -> Memory:
    """Returns the memory after an I frame."""
    return Memory(pending=ops.pixel_unshuffle(picture, 8))


@dataclass(frozen=True)
class Contexts:
    """The contexts of a unit: memory and ctx, both feature x Hp/8 x Wp/8."""

    memory: Tensor
    ctx: Tensor


def next_contexts(model: UfVideoModel, ops: Operations, kept: Memory) -> Contexts:
    """Computes the contexts of the next unit. `kept` is the memory after the last one."""
    if kept.pending is not None:
        memory = model.memory_from_pending(ops, kept.pending)
    else:
        memory = model.next_memory(ops, kept.memory, kept.feature)
    return Contexts(memory, model.context(ops, memory))


def code_p_unit(model: UfVideoModel, ops: Operations, side: UnitSide, contexts: Contexts, qp: Any) -> Tensor:
    """Codes the pictures of a P unit. Returns the feature that the heads make pictures of."""
    ops.start(contexts.ctx)  # a device computes while a decoder's host reads z
    z_hat = side.hyper_latents(
        lambda own, x: model.analysis(own, own.centre(x), side.for_analysis(contexts.ctx), qp),
        model.hyper_analysis,
        lambda own, y: y,
        qp,
    )
    temporal = model.temporal_prior(ops, contexts.memory, qp)
    parameters = model.prior_parameters(ops, z_hat, temporal, side.latent_size)
    y_hat = model.code_latents(ops, parameters, side)
    side.finish()
    return model.synthesis(ops, y_hat, contexts.ctx, qp)


def memory_after_unit(
    model: UfVideoModel, ops: Operations, contexts: Contexts, feature: Tensor, *, reset: bool
) -> Memory:
    """Returns the memory after a P unit. After a reset, it is the unit's last picture alone, not clamped."""
    if reset:
        return Memory(pending=model.reconstruction(ops, feature, model.sizes.pictures - 1))
    return Memory(memory=contexts.memory, feature=feature)
