"""The video model of `lite`: the video model of `rt` with direct latents beside the networks. It codes the difference
between the picture and the compensated frame (docs/motion.md).

compensated frame + reference feature -> adaptor -> ...
x, here the difference -> encoder.direct, added to y
y_hat -> decoder.direct, added to the compensated frame; the networks' output from the feature is added as well
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from dcvc_cli.families.lite.sizes import LiteVideoSpec
from dcvc_cli.families.rt import video as rt
from dcvc_cli.families.rt.prediction import BatchMemory, BatchPrediction
from dcvc_cli.families.rt.sizes import SOURCE_CHANNELS
from dcvc_cli.graph.blocks import Conv, Qp, SubPixelConv, Tensor
from dcvc_cli.graph.sections import repeatable
from dcvc_cli.stages import RECONSTRUCTION, timed

if TYPE_CHECKING:
    import torch

    from dcvc_cli.backend.operations import Operations


class VideoModel(rt.VideoModel):
    """Graph of the video model with the widths and depths of `spec`."""

    predicts_pictures = True

    def __init__(self, spec: LiteVideoSpec) -> None:
        super().__init__(spec)
        self.encoder_direct = (
            Conv("encoder.direct", SOURCE_CHANNELS, spec.latent, kernel=2, stride=2) if spec.direct else None
        )
        self.decoder_direct = (
            SubPixelConv("decoder.direct.conv.0", spec.latent, SOURCE_CHANNELS) if spec.direct else None
        )

    def adapt(self, ops: "Operations", frame: Tensor, feature: Tensor) -> Tensor:
        """Turns the compensated frame into the networks' input, feature x Hp/8 x Wp/8. If there is a reference feature,
        it is added."""
        adapted = self.adapt_frame(ops, frame)
        return adapted if feature is None else ops.add(adapted, self.adapt_feature(ops, feature))

    def _latents_of_cells(self, ops: "Operations", cells: Tensor, ctx: Tensor, qp: Qp) -> Tensor:
        y = super()._latents_of_cells(ops, cells, ctx, qp)
        return y if self.encoder_direct is None else ops.add(y, self.encoder_direct(ops, cells))

    def add_direct(self, ops: "Operations", predicted: Tensor, y_hat: Tensor) -> Tensor:
        """Adds the direct path's output to the compensated frame `predicted`, 3 x Hp x Wp, without clamping."""
        if self.decoder_direct is None:
            return predicted
        return ops.add(ops.pixel_shuffle(self.decoder_direct(ops, y_hat), 8), predicted)

    def what_is_left(self, x: Tensor, predicted: Tensor) -> Tensor:
        """Returns the difference between the picture and the compensated frame."""
        return x - predicted

    def picture_of(self, ops: "Operations", feature: Tensor, y_hat: Tensor, qp: Qp, predicted: Tensor) -> Tensor:
        """Makes the picture of a coded P frame: the compensated frame plus the outputs of direct path and networks."""
        return self.reconstruct_on(ops, feature, qp, self.add_direct(ops, predicted, y_hat))

    def new_memory(self) -> BatchMemory:
        """Makes the memory before the first P frame: a coder of vectors that has learned nothing, and no long-term
        reference."""
        from dcvc_cli.families.lite.prediction import MotionMemory

        return MotionMemory()

    def restored_memory(self, stored: Mapping[str, Any], device: "torch.device") -> BatchMemory:
        """Inverts MotionMemory.stored."""
        from dcvc_cli.families.lite.prediction import MotionMemory

        return MotionMemory.restored(stored, device)

    def batch_prediction(self, memories: list[Any]) -> BatchPrediction:
        """Makes a prediction by motion compensation with the codec's own search."""
        from dcvc_cli.families.lite.prediction import MotionPrediction

        return MotionPrediction(memories)

    @timed(RECONSTRUCTION)
    @repeatable
    def reconstruct_on(self, ops: "Operations", feature: Tensor, qp: Qp, predicted: Tensor) -> Tensor:
        """Makes x_hat, 3 x Hp x Wp, clamped to [0, 1]: the networks' output from the feature, added to `predicted`.

        Args:
            predicted: the compensated frame after add_direct.
        """
        return ops.clamp_unit(ops.add(self._picture_of_feature(ops, feature, qp), predicted))
