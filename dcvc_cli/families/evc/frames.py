"""Frame encoder and decoder of EVC. A payload in a .dcvc stream is the rate's scale in hundredths, then the published
payload of two coders, each with half of every part."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from dcvc_cli.backend.operations import Tensor
from dcvc_cli.codec.networks import CodecNetwork
from dcvc_cli.errors import StreamError
from dcvc_cli.families.evc.choice import cost_of
from dcvc_cli.families.evc.network import EvcNetwork
from dcvc_cli.families.wide_latents.payload import join_strings, split_payload
from dcvc_cli.families.wide_latents.quality import HUNDRED, NUM_ANCHORS, read_indices, scale_index, write_indices
from dcvc_cli.families.wide_latents.sides import (
    WideDecodingSide,
    WideEncodingSide,
    WideSide,
    dual_prior,
    float_operations,
)
from dcvc_cli.families.wide_latents.tables import gaussian_scales
from dcvc_cli.format.constants import MAX_BASE_QP

if TYPE_CHECKING:
    from dcvc_cli.backend.float_torch import FloatOperations

NUM_CODERS = 2


def code_latents(
    graph: EvcNetwork, network: CodecNetwork, side: WideSide, y: Tensor | None, hyper_size: tuple[int, int]
) -> Tensor:
    """Runs the recipe of a picture for encoder and decoder: codes z, then y in two steps. Returns y_hat.

    Args:
        y: the encoder's latents, divided by the rate's steps; None in a decoder.
        hyper_size: (height, width) of z.
    """
    ops = float_operations(network)
    z = None if y is None else graph.hyper_analysis(ops, y)
    z_hat = side.hyper(ops, z, (graph.num_z_channels, *hyper_size), network.z_table)
    return dual_prior(side, ops, y, graph.prediction(ops, z_hat), graph.spatial_prior, gaussian_scales())


class EvcFrameEncoder:
    """Codes pictures, each by itself.

    Args:
        num_encoders: number of encoders of a scalable model that run; None chooses the number by cost.

    Attributes:
        frame: the decoder's picture of the last frame, limited to 0..1.
        side: the symbols of the last picture.
        candidate: the number of encoders of the last picture, less 1.
        reference: None, as there are no P frames.
    """

    def __init__(self, graph: EvcNetwork, network: CodecNetwork, num_encoders: int | None = None) -> None:
        self.graph, self.network, self.num_encoders = graph, network, num_encoders
        self.frame: Tensor = None
        self.side = WideEncodingSide()
        self.candidate = 0
        self.reference = None

    def encode_i(self, values: NDArray[np.float32], qp: int) -> bytes:
        """Codes a picture, (3, Hp, Wp), at QP 0..63. Returns the payload."""
        index = scale_index(self._ops.parameters["q_scale"], qp)
        return write_indices(index) + self.encode(values, index, round(qp * (NUM_ANCHORS - 1) / MAX_BASE_QP))

    def encode_p(self, values: NDArray[np.float32], qp: int) -> bytes:
        """EVC has no P frames: nothing calls this."""
        raise NotImplementedError

    @property
    def _ops(self) -> "FloatOperations":
        return float_operations(self.network)

    def encode(self, values: NDArray[np.float32], index: int, rate: int) -> bytes:
        """Codes a picture. Returns the published payload.

        Args:
            index: the rate's scale in hundredths.
            rate: number of the rate 0..3. A scalable model weighs its candidates by it.
        """
        graph, ops = self.graph, self._ops
        picture = ops.frame_from_values(values)
        steps = graph.steps(ops, index / HUNDRED)
        hyper_size = values.shape[1] // 64, values.shape[2] // 64
        found = graph.candidates(ops, picture, self.num_encoders or graph.sizes.num_encoders)
        first = len(found) - 1 if self.num_encoders else 0
        coded = [self._coded(y, steps, hyper_size) for y in found[first:]]
        costs = [cost_of(picture, frame, side, rate) for side, frame in coded] if len(coded) > 1 else [0.0]
        best = costs.index(min(costs))
        self.candidate = first + best
        self.side, frame = coded[best]
        self.frame = ops.clamp_unit(frame)
        return join_strings(self.side.encoder.finish(NUM_CODERS))

    def _coded(self, y: Tensor, steps: Tensor, hyper_size: tuple[int, int]) -> tuple[WideEncodingSide, Tensor]:
        """Codes latents. Returns (the side with their symbols, the decoder's picture before clamping to 0..1)."""
        side = WideEncodingSide()
        scaled = side.analysed(self._ops, lambda: y / steps)
        y_hat = code_latents(self.graph, self.network, side, scaled, hyper_size)
        return side, self.graph.synthesis(self._ops, y_hat * steps)


class EvcFrameDecoder:
    """Decodes pictures.

    Args:
        padded: (Hp, Wp).

    Attributes:
        frame: the last picture, limited to 0..1.
    """

    def __init__(self, graph: EvcNetwork, network: CodecNetwork, padded: tuple[int, int]) -> None:
        self.graph, self.network = graph, network
        self.hyper_size = padded[0] // 64, padded[1] // 64
        self.frame: Tensor = None

    def decode_i(self, payload: bytes) -> None:
        """Decodes a payload of a .dcvc stream."""
        (index,), rest = read_indices(payload, 1)
        self.decode(rest, index)

    def decode_p(self, payload: bytes) -> None:
        """EVC has no P frames: nothing calls this."""
        raise StreamError("a stream of EVC has a P frame")

    def decode(self, payload: bytes, index: int) -> None:
        """Decodes a published payload at a scale in hundredths."""
        strings = split_payload(payload)
        if len(strings) != NUM_CODERS:
            raise StreamError(f"a payload has {len(strings)} coders, expected {NUM_CODERS}")
        ops = float_operations(self.network)
        side = WideDecodingSide(strings)
        y_hat = code_latents(self.graph, self.network, side, None, self.hyper_size)
        side.decoder.finish()
        self.frame = ops.clamp_unit(self.graph.synthesis(ops, y_hat * self.graph.steps(ops, index / HUNDRED)))
