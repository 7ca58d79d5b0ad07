"""The recipe of a frame. Encoder and decoder run it, each with a side of its own. Source: DCVC-DC (CVPR 2023)."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dcvc_cli.backend.operations import Tensor
from dcvc_cli.entropy.tables import CdfTable
from dcvc_cli.families.diverse_contexts.latents import FrameSide, code_four_steps
from dcvc_cli.families.diverse_contexts.video import Prior, VideoNetwork
from dcvc_cli.graph.blocks import Qp, Sequence, Shape, decoder_shapes, layer_shapes
from dcvc_cli.stages import HYPER, timed

if TYPE_CHECKING:
    from dcvc_cli.backend.float_torch import FloatOperations

LATENT_GRID, HYPER_GRID = 16, 64
"""Samples of the picture for one latent and for one hyper-latent, in each direction."""


@dataclass(frozen=True)
class Reference:
    """What the next P frame is predicted from. After an I frame, only the picture is not None.

    Attributes:
        frame: the picture, 3 x Hp x Wp in 0..1.
        feature: 48 x Hp x Wp.
        motion_feature: 64 x Hp/4 x Wp/4.
        y, mv_y: latents, multiplied by their step size.
    """

    frame: Tensor
    feature: Tensor | None = None
    motion_feature: Tensor | None = None
    y: Tensor | None = None
    mv_y: Tensor | None = None


@dataclass(frozen=True)
class ImageParameters:
    """The parameters that predict the latents of an I frame. All but `common` are C x h x w.

    Attributes:
        inverse: inverse of the step size.
        common: input of the later steps' prior beside the latents.
    """

    inverse: Tensor
    step_size: Tensor
    scales: Tensor
    means: Tensor
    common: Tensor


class ImageNetwork(ABC):
    """The graph of an image network.

    Attributes:
        num_z: channels of z.
        hyper_enc: y -> z.
        adaptors, spatial: the spatial prior of the later coding steps; each step has an adaptor.
    """

    encoder_only: tuple[str, ...] = ("enc.", "hyper_enc.")
    num_z: int
    hyper_enc: Sequence
    adaptors: Sequence
    spatial: Sequence

    @property
    @abstractmethod
    def num_qps(self) -> int:
        """Returns the number of qualities: the table of z has rows for each."""

    @property
    def num_z_channels(self) -> int:
        """Channels of z."""
        return self.num_z

    def shapes(self) -> Iterator[tuple[str, Shape]]:
        """Yields names and shapes of the state dict."""
        return layer_shapes(self)

    def decoder_shapes(self) -> Iterator[tuple[str, Shape]]:
        """Yields the part of `shapes` that a decoder uses."""
        return decoder_shapes(self)

    @abstractmethod
    def analysis(self, ops: "FloatOperations", picture: Tensor, quality: Qp) -> Tensor:
        """Maps picture 3 x Hp x Wp in 0..1 -> y: C x Hp/16 x Wp/16. Encoder only."""

    @timed(HYPER)
    def hyper_analysis(self, ops: "FloatOperations", y: Tensor) -> Tensor:
        """Maps y -> z before rounding: num_z x ceil(h/4) x ceil(w/4) for y of h x w. Encoder only."""
        return self.hyper_enc(ops, ops.pad_replicate(y, 4))

    @abstractmethod
    def parameters(self, ops: "FloatOperations", z_hat: Tensor, latent_size: tuple[int, int]) -> ImageParameters:
        """Predicts the latents' parameters from z_hat."""

    def predictor(self, ops: "FloatOperations", common: Tensor) -> Callable[[int, Tensor], Tensor]:
        """Returns a function (step 1..3, latents coded so far) -> scales and means: 2 C x h x w."""

        def predict(step: int, so_far: Tensor) -> Tensor:
            return self.spatial(ops, self.adaptors.blocks[step - 1](ops, ops.concat(so_far, common)))

        return predict

    @abstractmethod
    def synthesis(self, ops: "FloatOperations", y_hat: Tensor, quality: Qp) -> Tensor:
        """Maps y_hat -> picture 3 x Hp x Wp, limited to 0..1."""


def hyper_size(padded: tuple[int, int]) -> tuple[int, int]:
    """Returns (height, width) of the hyper-latents of a picture of (Hp, Wp)."""
    return -(-padded[0] // HYPER_GRID), -(-padded[1] // HYPER_GRID)


def latent_size(padded: tuple[int, int]) -> tuple[int, int]:
    """Returns (height, width) of the latents of a picture of (Hp, Wp)."""
    return padded[0] // LATENT_GRID, padded[1] // LATENT_GRID


def code_i_frame(
    network: ImageNetwork, side: FrameSide, z_rows: CdfTable | None, padded: tuple[int, int], quality: Qp
) -> Reference:
    """Codes an I frame.

    Args:
        z_rows: the table's rows of z for this quality.
    """
    ops: FloatOperations = side.ops
    y = side.analysed(lambda picture: network.analysis(ops, picture, quality))
    z_hat = side.hyper(lambda: network.hyper_analysis(ops, y), z_rows, hyper_size(padded))
    found = network.parameters(ops, z_hat, latent_size(padded))
    scaled = None if y is None else y * found.inverse
    coded = code_four_steps(ops, side, scaled, found.scales, found.means, network.predictor(ops, found.common))
    return Reference(network.synthesis(ops, coded * found.step_size, quality))


def code_p_frame(
    network: VideoNetwork,
    side: FrameSide,
    z_tables: tuple[CdfTable, CdfTable],
    reference: Reference,
    quality: Qp,
    adaptor: int,
) -> Reference:
    """Codes a P frame.

    Args:
        z_tables: tables of the motion's z and of z.
        adaptor: 0..2, number of the feature adaptor; without effect if the reference has no feature.
    """
    motion = code_motion(network, side, z_tables[0], reference, quality)
    return code_picture(network, side, z_tables[1], reference, motion, quality, adaptor)


@dataclass(frozen=True)
class Motion:
    """The motion of a P frame.

    Attributes:
        field: (N, 2, Hp, Wp).
        feature: the motion feature.
        y: latents, multiplied by their step size.
    """

    field: Tensor
    feature: Tensor
    y: Tensor


def code_motion(
    network: VideoNetwork, side: FrameSide, z_table: CdfTable | None, reference: Reference, quality: Qp
) -> Motion:
    """Codes the motion of a P frame. A side without symbols needs no table."""
    ops: FloatOperations = side.ops
    padded = ops.size(reference.frame)
    mv_y = side.analysed(
        lambda picture: network.motion_analysis(ops, picture, reference.frame, reference.motion_feature, quality)
    )
    mv_z_hat = side.hyper(lambda: network.motion_hyper_analysis(ops, mv_y), z_table, hyper_size(padded))
    known = ops.crop(network.mv_hyper_decoder(ops, mv_z_hat), latent_size(padded))
    mv_y_hat = _code(network.motion_prior, side, mv_y, known, reference.mv_y)
    field, motion_feature = network.motion_synthesis(ops, mv_y_hat, quality)
    return Motion(field, motion_feature, mv_y_hat)


def code_picture(
    network: VideoNetwork,
    side: FrameSide,
    z_table: CdfTable | None,
    reference: Reference,
    motion: Motion,
    quality: Qp,
    adaptor: int,
) -> Reference:
    """Codes the rest of a P frame. A side without symbols needs no table."""
    ops: FloatOperations = side.ops
    padded = ops.size(reference.frame)
    size = latent_size(padded)
    contexts = network.contexts(ops, reference.frame, reference.feature, adaptor, motion.field)
    y = side.analysed(lambda picture: network.analysis(ops, picture, contexts, quality))
    z_hat = side.hyper(lambda: network.hyper_analysis(ops, y), z_table, hyper_size(padded))
    known = ops.concat(
        network.temporal_prior_encoder(ops, contexts.quarter), ops.crop(network.hyper_decoder(ops, z_hat), size)
    )
    y_hat = _code(network.prior, side, y, known, reference.y)
    feature = network.synthesis(ops, y_hat, contexts, quality)
    return Reference(network.picture(ops, feature), feature, motion.feature, y_hat, motion.y)


def _code(prior: Prior, side: FrameSide, y: Tensor | None, known: Tensor, reference: Tensor | None) -> Tensor:
    """Codes latents through `side`. Returns y_hat, C x h x w, multiplied by the step size."""
    ops = side.ops
    parameters = prior.parameters(ops, known, reference)
    step_size, scales, means = parameters.chunk(3, dim=1)
    step_size = ops.clamp_step_size(step_size)
    scaled = None if y is None else y * ops.reciprocal(step_size)
    return code_four_steps(ops, side, scaled, scales, means, prior.predictor(ops, parameters)) * step_size


def split_z_tables(table: CdfTable, network: VideoNetwork) -> tuple[CdfTable, CdfTable]:
    """Splits the stored table of a video network into (the table of the motion's z, the table of z)."""
    return table.rows(network.num_z, network.sizes.motion), table.rows(0, network.num_z)
