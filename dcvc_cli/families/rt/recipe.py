"""The recipe of a frame. Encoder, decoder, training and calibration run it, each with a side of its own.

A side is one side of a frame's symbols. An encoder's side makes them of the picture, a decoder's side reads them, and
training's side estimates their bits.
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
    """One side of the symbols of one frame."""

    @property
    def latent_size(self) -> tuple[int, int]:
        """Returns (height, width) of y."""

    def hyper_latents(self, analysis: Analysis, hyper_analysis: Analysis, qp: Tensor) -> Tensor:
        """Returns z_hat at row `qp`.

        An encoder's side runs `analysis`, picture -> y, and `hyper_analysis`, y -> z. A decoder's side runs neither and
        reads z.
        """

    def for_analysis(self, context: Tensor) -> Tensor:
        """Returns a value of the decoder's half in the arithmetic of the analysis."""

    def finish(self) -> None:
        """Ends the symbols.

        Raises:
            StreamError: a decoder has bytes left.
        """


def code_i_frame(model: ImageModel, ops: Operations, side: FrameSide, qp: Tensor) -> Tensor:
    """Codes an I frame and returns the decoder's picture: 3 x Hp x Wp in 0..1."""
    z_hat = side.hyper_latents(lambda own, x: model.analysis(own, x, qp), model.hyper_analysis, qp)
    parameters = model.prior_parameters(ops, z_hat, side.latent_size)
    y_hat = model.code_latents(ops, parameters, side)
    side.finish()
    return model.synthesis(ops, y_hat, qp)


@dataclass(frozen=True)
class CodedFeature:
    """A P frame before its picture is made.

    Attributes:
        feature: the next reference feature, feature x Hp/8 x Wp/8.
        y_hat: its latents.
    """

    feature: Tensor
    y_hat: Tensor


def code_p_frame(model: VideoModel, ops: Operations, side: FrameSide, adapted: Tensor, qp: Tensor) -> CodedFeature:
    """Codes a P frame. `adapted` is its reference after VideoModel.adapt."""
    ctx, ctx_t = model.contexts(ops, adapted, qp)
    ops.start(ctx, ctx_t)  # a device computes while a decoder's host reads z
    z_hat = side.hyper_latents(
        lambda own, x: model.analysis(own, x, side.for_analysis(ctx), qp), model.hyper_analysis, qp
    )
    parameters = model.prior_parameters(ops, z_hat, ctx_t, side.latent_size)
    y_hat = model.code_latents(ops, parameters, side)
    side.finish()
    return CodedFeature(model.synthesis(ops, y_hat, ctx, qp), y_hat)
