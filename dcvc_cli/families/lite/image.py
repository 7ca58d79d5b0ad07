"""The image model of `lite`: the image model of `rt` with direct latents beside the networks
(docs/decisions/0015-direct-latents.md).

x -> enc.direct, added to y; y_hat -> dec.direct, added to x_hat
"""

from typing import TYPE_CHECKING

from dcvc_cli.families.lite.sizes import LiteImageSpec
from dcvc_cli.families.rt import image as rt
from dcvc_cli.families.rt.sizes import SOURCE_CHANNELS
from dcvc_cli.graph.blocks import Conv, Qp, ScaleVector, SubPixelConv, Tensor

if TYPE_CHECKING:
    from dcvc_cli.backend.operations import Operations


class ImageModel(rt.ImageModel):
    """Graph of the image model with the widths and depths of `spec`."""

    encoder_only: tuple[str, ...] = ("enc.", "hyper_enc.", "q_scale_enc", "q_direct_enc")

    def __init__(self, spec: LiteImageSpec) -> None:
        super().__init__(spec)
        self.has_direct_path = spec.direct > 0
        if self.has_direct_path:
            self.q_direct_enc = ScaleVector("q_direct_enc", spec.num_qps, spec.latent)
            self.q_direct_dec = ScaleVector("q_direct_dec", spec.num_qps, spec.latent)
            self.enc_direct = Conv("enc.direct", SOURCE_CHANNELS, spec.latent, kernel=2, stride=2)
            self.dec_direct = SubPixelConv("dec.direct.conv.0", spec.latent, SOURCE_CHANNELS)

    def _latents_of_cells(self, ops: "Operations", cells: Tensor, qp: Qp) -> Tensor:
        y = super()._latents_of_cells(ops, cells, qp)
        return ops.add(y, self.q_direct_enc(ops, self.enc_direct(ops, cells), qp)) if self.has_direct_path else y

    def _cells_of_latents(self, ops: "Operations", y_hat: Tensor, qp: Qp) -> Tensor:
        cells = super()._cells_of_latents(ops, y_hat, qp)
        if not self.has_direct_path:
            return cells
        return ops.add(cells, self.dec_direct(ops, self.q_direct_dec(ops, y_hat, qp)))
