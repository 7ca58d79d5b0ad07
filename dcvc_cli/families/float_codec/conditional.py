"""What DCVC and DCVC-TCM share: a P frame's motion is coded first, then its picture, on the condition of contexts that
the motion leads to. Source: DCVC (2021), DCVC-TCM (2022)."""

from abc import ABC, abstractmethod
from typing import Any

from dcvc_cli.codec.networks import CodecNetworks
from dcvc_cli.entropy.tables import CdfTable
from dcvc_cli.families.float_codec.anchor import AnchorNetwork
from dcvc_cli.families.float_codec.coder import WordTable
from dcvc_cli.families.float_codec.hyperprior import HyperpriorNetwork
from dcvc_cli.families.float_codec.layers import FloatNetwork, Ops, Tensor
from dcvc_cli.families.float_codec.motion import MotionEstimation
from dcvc_cli.families.float_codec.sequences import FrameRecipe
from dcvc_cli.families.float_codec.sides import Side
from dcvc_cli.graph.blocks import Sequence
from dcvc_cli.stages import ANALYSIS, HYPER, PRIORS, timed


class ConditionalNetwork(FloatNetwork, ABC):
    """A video network. Its v-channel motion latents and m-channel latents lie on the 1/16 grid, z on the 1/64 grid..

    mv_z and z have as many channels. The stored table has the rows of mv_z first.
    """

    optic_flow: MotionEstimation
    mv_encoder: Sequence
    mv_hyper_encoder: Sequence
    mv_hyper_decoder: Sequence
    hyper_encoder: Sequence

    @timed(ANALYSIS)
    def motion_analysis(self, ops: Ops, flow: Tensor) -> Tensor:
        """Maps flow -> mv_y: v x Hp/16 x Wp/16."""
        return self.mv_encoder(ops, flow)

    @timed(HYPER)
    def motion_hyper_analysis(self, ops: Ops, mv_y: Tensor) -> Tensor:
        """Maps mv_y -> mv_z: n x Hp/64 x Wp/64."""
        return self.mv_hyper_encoder(ops, mv_y)

    @timed(PRIORS)
    def motion_prior(self, ops: Ops, mv_z_hat: Tensor) -> Tensor:
        """Maps mv_z -> prior of mv_y: 2v x Hp/16 x Wp/16."""
        return self.mv_hyper_decoder(ops, mv_z_hat)

    @abstractmethod
    def flow(self, ops: Ops, mv_y_hat: Tensor, picture: Tensor) -> Tensor:
        """Maps mv_y, picture before -> flow: 2 x Hp x Wp."""

    @abstractmethod
    def contexts(self, ops: Ops, flow: Tensor, *kept: Any) -> Any:
        """Maps flow, what the frame before left -> what the picture is coded on the condition of."""

    @abstractmethod
    def analysis(self, ops: Ops, values: Tensor, contexts: Any) -> Tensor:
        """Maps picture -> y: m x Hp/16 x Wp/16."""

    @timed(HYPER)
    def hyper_analysis(self, ops: Ops, y: Tensor) -> Tensor:
        """Maps y -> z: n x Hp/64 x Wp/64."""
        return self.hyper_encoder(ops, y)

    @abstractmethod
    def prior(self, ops: Ops, z_hat: Tensor, contexts: Any) -> Tensor:
        """Maps z and contexts -> prior of y: 2m x Hp/16 x Wp/16."""

    @abstractmethod
    def synthesis(self, ops: Ops, y_hat: Tensor, contexts: Any) -> tuple[Tensor, ...]:
        """Maps y and contexts -> what the next frame is predicted from: the picture in 0..1, then other tensors."""


class ConditionalRecipe(FrameRecipe):
    """The recipe of frames of a ConditionalNetwork."""

    def __init__(self, image: AnchorNetwork | HyperpriorNetwork, video: ConditionalNetwork) -> None:
        self.image, self.video = image, video

    @abstractmethod
    def latent(self, side: Side, name: str, prior: Tensor, values: Tensor | None) -> Tensor:
        """Codes a latent, `mv_y` or `y`, with what its prior predicts. Returns its value in the decoder."""

    def image_of(self, networks: CodecNetworks, side: Side, values: Tensor | None, z_size: tuple[int, int]) -> Tensor:
        """Codes an I frame. Returns its picture."""
        table = WordTable.of_rows(networks["image"].z_table, 0, self.image.n)
        return self.image.code(side.ops, side, values, table, z_size)

    def motion(
        self, side: Side, z_table: WordTable | None, values: Tensor | None, z_size: tuple[int, int], kept: Any
    ) -> Tensor:
        """Codes the motion from the picture before."""
        video, ops, picture = self.video, side.ops, kept[0]
        mv_y = side.analysis(lambda: video.motion_analysis(ops, video.optic_flow(ops, values, picture)))
        mv_z = side.analysis(lambda: video.motion_hyper_analysis(ops, mv_y))
        mv_z_hat = side.hyper("mv_z", z_table, mv_z, z_size)
        return video.flow(ops, self.latent(side, "mv_y", video.motion_prior(ops, mv_z_hat), mv_y), picture)

    def picture(
        self,
        side: Side,
        z_table: WordTable | None,
        values: Tensor | None,
        z_size: tuple[int, int],
        kept: Any,
        flow: Tensor,
    ) -> Any:
        """Codes the picture on the condition of the contexts."""
        video, ops = self.video, side.ops
        contexts = video.contexts(ops, flow, *kept)
        y = side.analysis(lambda: video.analysis(ops, values, contexts))
        z = side.analysis(lambda: video.hyper_analysis(ops, y))
        z_hat = side.hyper("z", z_table, z, z_size)
        return video.synthesis(ops, self.latent(side, "y", video.prior(ops, z_hat, contexts), y), contexts)

    def z_tables(self, stored: CdfTable) -> tuple[WordTable, WordTable]:
        """Splits the stored table into the tables of mv_z and of z."""
        count = self.video.num_z_channels // 2
        return WordTable.of_rows(stored, 0, count), WordTable.of_rows(stored, count, count)
