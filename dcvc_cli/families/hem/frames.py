"""Frame encoder and decoder of DCVC-HEM. A payload in a .dcvc stream is the rate's scales in hundredths, then the
published payload, the string of one coder. An I frame has one scale; a P frame has the scales of motion and of y."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from dcvc_cli.backend.operations import Tensor
from dcvc_cli.codec.networks import CodecNetworks
from dcvc_cli.entropy.tables import CdfTable
from dcvc_cli.errors import StreamError
from dcvc_cli.families.hem.image import HemImageNetwork
from dcvc_cli.families.hem.video import HemVideoNetwork
from dcvc_cli.families.wide_latents.quality import HUNDRED, read_indices, scale_index, write_indices
from dcvc_cli.families.wide_latents.sides import (
    WideDecodingSide,
    WideEncodingSide,
    WideSide,
    dual_prior,
    float_operations,
)
from dcvc_cli.families.wide_latents.tables import gaussian_scales, laplace_scales

if TYPE_CHECKING:
    from dcvc_cli.backend.float_torch import FloatOperations


@dataclass(frozen=True)
class Reference:
    """What a P frame is predicted from.

    Attributes:
        frame: the picture, (1, 3, Hp, Wp) in 0..1.
        feature: the feature that a P frame leaves; None after an I frame.
        latents: y of the frame, multiplied by its steps; None after an I frame.
        motion: the latents of motion, multiplied by their steps; None after an I frame.
    """

    frame: Tensor
    feature: Tensor | None = None
    latents: Tensor | None = None
    motion: Tensor | None = None


class HemFrames:
    """The recipes of I and P frames, for encoder and decoder.

    Attributes:
        reference: what the next P frame is predicted from; None before the first frame.
    """

    def __init__(self, image: HemImageNetwork, video: HemVideoNetwork, networks: CodecNetworks) -> None:
        self.image, self.video, self.networks = image, video, networks
        rows = video.sizes.features
        self._z_table = networks["video"].z_table.rows(0, rows)
        self._motion_z_table = networks["video"].z_table.rows(rows, rows)
        self.reference: Reference | None = None

    @property
    def frame(self) -> Tensor:
        """Returns the last picture, (1, 3, Hp, Wp)."""
        assert self.reference is not None, "no frame came yet"
        return self.reference.frame

    @property
    def image_ops(self) -> "FloatOperations":
        return float_operations(self.networks["image"])

    @property
    def video_ops(self) -> "FloatOperations":
        return float_operations(self.networks["video"])

    def code_i(self, side: WideSide, picture: Tensor | None, padded: tuple[int, int], index: int) -> None:
        """Codes an I frame.

        Args:
            picture: (1, 3, Hp, Wp) in an encoder; None in a decoder.
            index: the rate's scale in hundredths.
        """
        graph, ops, table = self.image, self.image_ops, self.networks["image"].z_table
        steps = graph.steps(ops, index / HUNDRED)
        self.reference = Reference(code_image(graph, ops, side, picture, padded, steps, table))

    def code_p(self, side: WideSide, picture: Tensor | None, padded: tuple[int, int], indices: tuple[int, int]) -> None:
        """Codes a P frame.

        Args:
            picture: (1, 3, Hp, Wp) in an encoder; None in a decoder.
            indices: the rate's scales of motion and of y in hundredths.

        Raises:
            StreamError: there is no reference.
        """
        reference = self.reference
        if reference is None:
            raise StreamError("a P frame comes before the first I frame")
        graph, ops = self.video, self.video_ops
        motion_steps, steps = graph.motion_steps(ops, indices[0] / HUNDRED), graph.steps(ops, indices[1] / HUNDRED)
        motion = code_motion(graph, ops, side, picture, padded, reference, motion_steps, self._motion_z_table)
        self.reference = code_picture(graph, ops, side, picture, padded, reference, motion, steps, self._z_table)


@dataclass(frozen=True)
class Motion:
    """The motion of a P frame.

    Attributes:
        latents: multiplied by their steps.
        flow: (1, 2, Hp, Wp).
    """

    latents: Tensor
    flow: Tensor


def code_motion(
    graph: HemVideoNetwork,
    ops: "FloatOperations",
    side: WideSide,
    picture: Tensor | None,
    padded: tuple[int, int],
    reference: Reference,
    steps: Tensor,
    z_table: CdfTable | None,
) -> Motion:
    """Codes the motion of a P frame.

    Args:
        picture: (N, 3, Hp, Wp) in an encoder; None in a decoder.
        steps: quantiser steps of the motion's latents.
        z_table: of the motion's z; None where a side makes no symbols.
    """
    hyper_shape = (graph.sizes.features, padded[0] // 64, padded[1] // 64)
    y = side.analysed(ops, lambda: graph.motion_analysis(ops, picture, reference.frame) / steps)
    z = None if y is None else graph.motion_hyper_analysis(ops, y)
    z_hat = side.hyper(ops, z, hyper_shape, z_table)
    prediction = graph.motion_prediction(ops, z_hat, reference.motion)
    latents = dual_prior(side, ops, y, prediction, graph.motion_spatial_prior, laplace_scales()) * steps
    return Motion(latents, graph.flow(ops, latents))


def code_picture(
    graph: HemVideoNetwork,
    ops: "FloatOperations",
    side: WideSide,
    picture: Tensor | None,
    padded: tuple[int, int],
    reference: Reference,
    motion: Motion,
    steps: Tensor,
    z_table: CdfTable | None,
) -> Reference:
    """Codes the rest of a P frame; arguments as for code_motion. Returns what the next frame is predicted from."""
    hyper_shape = (graph.sizes.features, padded[0] // 64, padded[1] // 64)
    contexts = graph.contexts_of(ops, reference.frame, reference.feature, motion.flow)
    y = side.analysed(ops, lambda: graph.analysis(ops, picture, contexts) / steps)
    z = None if y is None else graph.hyper_analysis(ops, y)
    z_hat = side.hyper(ops, z, hyper_shape, z_table)
    prediction = graph.prediction(ops, z_hat, contexts, reference.latents)
    latents = dual_prior(side, ops, y, prediction, graph.spatial_prior, laplace_scales()) * steps
    feature = graph.synthesis(ops, latents, contexts)
    return Reference(graph.reconstruction(ops, feature), feature, latents, motion.latents)


def code_image(
    graph: HemImageNetwork,
    ops: "FloatOperations",
    side: WideSide,
    picture: Tensor | None,
    padded: tuple[int, int],
    steps: Tensor,
    z_table: CdfTable | None,
) -> Tensor:
    """Codes an I frame; arguments as for code_motion. Returns the picture (N, 3, Hp, Wp)."""
    y = side.analysed(ops, lambda: graph.analysis(ops, picture) / steps)
    z = None if y is None else graph.hyper_analysis(ops, y)
    hyper_shape = (graph.num_z_channels, padded[0] // 64, padded[1] // 64)
    z_hat = side.hyper(ops, z, hyper_shape, z_table)
    y_hat = dual_prior(side, ops, y, graph.prediction(ops, z_hat), graph.spatial_prior, gaussian_scales())
    return graph.synthesis(ops, y_hat * steps)


class HemFrameEncoder(HemFrames):
    """Codes pictures (3, Hp, Wp) one after the other.

    Attributes:
        side: the symbols of the last frame.
    """

    side: WideEncodingSide

    def encode_i(self, values: NDArray[np.float32], qp: int) -> bytes:
        """Codes an I frame at QP 0..63. Returns the payload."""
        index = scale_index(self.image_ops.parameters["q_scale"], qp)
        return write_indices(index) + self.published_i(values, index)

    def encode_p(self, values: NDArray[np.float32], qp: int) -> bytes:
        """Codes a P frame at QP 0..63. Returns the payload."""
        parameters = self.video_ops.parameters
        motion, latents = (scale_index(parameters[name], qp) for name in ("mv_y_q_scale", "y_q_scale"))
        return write_indices(motion, latents) + self.published_p(values, (motion, latents))

    def published_i(self, values: NDArray[np.float32], index: int) -> bytes:
        """Codes an I frame at a scale in hundredths. Returns the published payload."""
        self.side = WideEncodingSide()
        picture = self.image_ops.frame_from_values(values)
        self.code_i(self.side, picture, (values.shape[1], values.shape[2]), index)
        return self.side.encoder.finish()[0]

    def published_p(self, values: NDArray[np.float32], indices: tuple[int, int]) -> bytes:
        """Codes a P frame at scales of motion and of y, in hundredths. Returns the published payload."""
        self.side = WideEncodingSide()
        picture = self.video_ops.frame_from_values(values)
        self.code_p(self.side, picture, (values.shape[1], values.shape[2]), indices)
        return self.side.encoder.finish()[0]


class HemFrameDecoder(HemFrames):
    """Decodes payloads one after the other.

    Args:
        padded: (Hp, Wp).
    """

    def __init__(
        self, image: HemImageNetwork, video: HemVideoNetwork, networks: CodecNetworks, padded: tuple[int, int]
    ) -> None:
        super().__init__(image, video, networks)
        self.padded = padded

    def decode_i(self, payload: bytes) -> None:
        """Decodes an I frame of a .dcvc stream."""
        (index,), rest = read_indices(payload, 1)
        self.published_i(rest, index)

    def decode_p(self, payload: bytes) -> None:
        """Decodes a P frame of a .dcvc stream."""
        (motion, latents), rest = read_indices(payload, 2)
        self.published_p(rest, (motion, latents))

    def published_i(self, payload: bytes, index: int) -> None:
        """Decodes the published payload of an I frame."""
        side = WideDecodingSide([payload])
        self.code_i(side, None, self.padded, index)
        side.decoder.finish()

    def published_p(self, payload: bytes, indices: tuple[int, int]) -> None:
        """Decodes the published payload of a P frame."""
        side = WideDecodingSide([payload])
        self.code_p(side, None, self.padded, indices)
        side.decoder.finish()
