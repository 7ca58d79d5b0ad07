"""How a frame is coded, once for all who do it: encoder, decoder, training and calibration run these functions with
another side each.

A side stands at one end of a frame's symbols. An encoder's makes them from the picture, a decoder's reads them,
training's estimates what they cost.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from dcvc_cli.backend.operations import Operations, Tensor
from dcvc_cli.families.rt.image import ImageModel
from dcvc_cli.families.rt.video import VideoModel
from dcvc_cli.graph.latent_steps import LatentCoder

Analysis = Callable[[Operations, Tensor], Tensor]


class FrameSide(LatentCoder, Protocol):
    """One end of the symbols of one frame."""

    @property
    def latent_size(self) -> tuple[int, int]:
        """(height, width) of y."""

    def hyper_latents(self, analysis: Analysis, hyper_analysis: Analysis, qp: Tensor) -> Tensor:
        """z at row `qp` as the networks go on from it. An encoder's runs `analysis`, picture -> y, and
        `hyper_analysis`, y -> z; a decoder's reads z and runs neither."""

    def for_analysis(self, context: Tensor) -> Tensor:
        """A value of the decoder's half as the analysis takes it."""

    def finish(self) -> None:
        """After the last symbol. StreamError where a decoder's bytes are not used up."""


def code_i_frame(model: ImageModel, ops: Operations, side: FrameSide, qp: Tensor) -> Tensor:
    """One I frame -> what a decoder has: 3 x Hp x Wp in 0..1."""
    z_hat = side.hyper_latents(lambda own, x: model.analysis(own, x, qp), model.hyper_analysis, qp)
    parameters = model.prior_parameters(ops, z_hat, side.latent_size)
    y_hat = model.code_latents(ops, parameters, side)
    side.finish()
    return model.synthesis(ops, y_hat, qp)


@dataclass(frozen=True)
class CodedFeature:
    """A P frame without its picture: the feature that follows it, feature x Hp/8 x Wp/8, and its latents."""

    feature: Tensor
    y_hat: Tensor


def code_p_frame(model: VideoModel, ops: Operations, side: FrameSide, adapted: Tensor, qp: Tensor) -> CodedFeature:
    """One P frame from what the networks make of its reference (VideoModel.adapt)."""
    ctx, ctx_t = model.contexts(ops, adapted, qp)
    ops.start(ctx, ctx_t)  # a decoder's host reads z beside them
    z_hat = side.hyper_latents(
        lambda own, x: model.analysis(own, x, side.for_analysis(ctx), qp), model.hyper_analysis, qp
    )
    parameters = model.prior_parameters(ops, z_hat, ctx_t, side.latent_size)
    y_hat = model.code_latents(ops, parameters, side)
    side.finish()
    return CodedFeature(model.synthesis(ops, y_hat, ctx, qp), y_hat)
