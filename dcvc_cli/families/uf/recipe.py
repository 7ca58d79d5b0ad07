"""How a unit is coded, once for all who do it: encoder, decoder, training and calibration run these functions with
another side each.

A side stands at one end of a unit's symbols. An encoder's makes them from pictures, a decoder's reads them, training's
estimates what they cost.
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
    """One end of the symbols of one unit."""

    @property
    def latent_size(self) -> tuple[int, int]:
        """(height, width) of y."""

    def hyper_latents(self, analysis: Analysis, hyper_analysis: Analysis, scaled: Analysis, qp: Any) -> Tensor:
        """z at row `qp` as the networks go on from it.

        An encoder's side runs `analysis`, samples in 0..1 -> y, then `hyper_analysis`, y -> z, then `scaled`, y -> y in
        the domain of the symbols. A decoder's reads z and runs none of them.
        """

    def for_analysis(self, context: Tensor) -> Tensor:
        """A value of the decoder's half as the analysis takes it."""

    def finish(self) -> None:
        """After the last symbol. StreamError where a decoder's bytes are not used up."""


@dataclass(frozen=True)
class Memory:
    """What a unit leaves to the next one: `pending`, 192 x Hp/8 x Wp/8, or memory and feature, feature x Hp/8 x
    Wp/8."""

    pending: Tensor | None = None
    memory: Tensor | None = None
    feature: Tensor | None = None


def code_i_frame(model: UfImageModel, ops: Operations, side: UnitSide, qp: Any) -> Tensor:
    """An I frame -> its picture as a decoder has it, 3 x Hp x Wp in -0.5..0.5."""
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
    """What an I frame leaves."""
    return Memory(pending=ops.pixel_unshuffle(picture, 8))


@dataclass(frozen=True)
class Contexts:
    """What the next unit is predicted from: memory and ctx, feature x Hp/8 x Wp/8."""

    memory: Tensor
    ctx: Tensor


def next_contexts(model: UfVideoModel, ops: Operations, kept: Memory) -> Contexts:
    """The contexts of the unit after the one that left `kept`."""
    if kept.pending is not None:
        memory = model.memory_from_pending(ops, kept.pending)
    else:
        memory = model.next_memory(ops, kept.memory, kept.feature)
    return Contexts(memory, model.context(ops, memory))


def code_p_unit(model: UfVideoModel, ops: Operations, side: UnitSide, contexts: Contexts, qp: Any) -> Tensor:
    """The next picture or pictures -> the feature that they are made of."""
    ops.start(contexts.ctx)  # a decoder's host reads z beside it
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
    """What a P unit leaves: after a reset nothing but its last picture, not limited."""
    if reset:
        return Memory(pending=model.reconstruction(ops, feature, model.sizes.pictures - 1))
    return Memory(memory=contexts.memory, feature=feature)
