"""The family `toy`: 16x16 cells of each plane as a few latents, three pictures a unit. Nobody's idea of compression."""

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dcvc_cli.backend.operations import Operations, Tensor
from dcvc_cli.bitstream.faults import Rule, UnsupportedStreamError
from dcvc_cli.bitstream.limits import FrameLimits
from dcvc_cli.bitstream.nal import NalType
from dcvc_cli.bitstream.picture_header import PictureHeader
from dcvc_cli.bitstream.sps import Precision, Sps
from dcvc_cli.bitstream.units import FrameUnit
from dcvc_cli.codec.choices import NO_ORDER, CodingChoices, PictureOrder
from dcvc_cli.codec.networks import CodecNetworks
from dcvc_cli.codec.pictures import check_picture, padded_size, picture_from_frame, values_from_picture, video_format_of
from dcvc_cli.entropy.tables import CdfTable
from dcvc_cli.errors import StreamError
from dcvc_cli.families.base import CodedUnit, Family, Model, PictureDecoder, PictureEncoder
from dcvc_cli.format.entropy_format import EntropyFormat
from dcvc_cli.format.types import Picture, PictureSize
from dcvc_cli.graph.blocks import Conv, Shape, decoder_shapes, layer_shapes
from dcvc_cli.stages import ANALYSIS, ENTROPY, SYNTHESIS, timed

NUM_QPS, LATENTS, CHUNK, CELL = 8, 12, 3, 8
MAX_BYTE = 255


class ToyNetwork:
    """One convolution to latents on the 1/8 grid, one back to samples of the cell."""

    encoder_only: tuple[str, ...] = ("down",)
    num_qps, num_z_channels = NUM_QPS, 1

    def __init__(self) -> None:
        self.down = Conv("down", 3 * CELL * CELL, LATENTS)
        self.up = Conv("up", LATENTS, 3 * CELL * CELL)

    def shapes(self) -> Iterator[tuple[str, Shape]]:
        """Names and shapes of the state dict."""
        return layer_shapes(self)

    def decoder_shapes(self) -> Iterator[tuple[str, Shape]]:
        """Returns the part that a decoder uses."""
        return decoder_shapes(self)

    @timed(ANALYSIS)
    def analysis(self, ops: Operations, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Maps float32 (3, Hp, Wp) in 0..1 -> latents (LATENTS, Hp / 8, Wp / 8)."""
        return ops.to_float(self.down(ops, ops.pixel_unshuffle(ops.frame_from_values(values), CELL)))

    @timed(SYNTHESIS)
    def synthesis(self, ops: Operations, latents: NDArray[np.float32]) -> Tensor:
        """Latents -> picture 3 x Hp x Wp in 0..1."""
        return ops.clamp_unit(ops.pixel_shuffle(self.up(ops, ops.from_float(latents)), CELL))


def step_size(qp: int) -> float:
    """Returns the step size of the quantiser: finer the higher the QP."""
    return float(0.4 * 2.0 ** (-qp / 2))


class ToyEncoder(PictureEncoder):
    """Codes chunks of three pictures; a chunk at the end of the sequence may hold fewer."""

    def __init__(self, network: ToyNetwork, networks: CodecNetworks, sps: Sps, choices: CodingChoices) -> None:
        self.network, self.ops, self.sps, self.choices = network, networks["only"].synthesis, sps, choices
        self.video_format = video_format_of(sps)
        self.waiting: list[Picture] = []
        self.latents: NDArray[np.int16] = np.empty(0, np.int16)
        self.qp = min(choices.qp_i, NUM_QPS - 1)

    def push(self, picture: Picture, order: PictureOrder = NO_ORDER) -> Iterator[CodedUnit]:
        """Gives out a unit with every third picture. All are I frames, so only the QP of an order counts."""
        check_picture(picture, self.video_format)
        if order.qp_i is not None and not self.waiting:
            self.qp = min(order.qp_i, NUM_QPS - 1)
        self.waiting.append(picture)
        return self.flush() if len(self.waiting) == CHUNK else iter(())

    def flush(self) -> Iterator[CodedUnit]:
        """Codes what waits."""
        pictures, self.waiting = self.waiting, []
        if pictures:
            yield self._unit(pictures)

    def _unit(self, pictures: Sequence[Picture]) -> CodedUnit:
        values = [
            self.network.analysis(self.ops, values_from_picture(picture, self.video_format)) for picture in pictures
        ]
        self.latents = np.rint(np.stack(values) / step_size(self.qp)).clip(-32768, 32767).astype(np.int16)
        return CodedUnit(NalType.I, self.qp, False, self.payload(), PictureHeader(len(pictures)))

    @timed(ENTROPY)
    def payload(self) -> bytes:
        """Makes little-endian integers of all latents."""
        return self.latents.astype("<i2").tobytes()

    def reconstruction(self) -> Sequence[Picture]:
        """Returns the pictures of the unit that came last."""
        return pictures_of(self.network, self.ops, self.latents, self.qp, self.sps)


def pictures_of(network: ToyNetwork, ops: Operations, latents: NDArray[np.int16], qp: int, sps: Sps) -> list[Picture]:
    """Makes what both ends have of latents (pictures, LATENTS, h, w)."""
    frames = [network.synthesis(ops, one.astype(np.float32) * np.float32(step_size(qp))) for one in latents]
    return [picture_from_frame(ops, frame, video_format_of(sps), truncate_chroma=False) for frame in frames]


class ToyDecoder(PictureDecoder):
    """Decodes chunks."""

    def __init__(self, network: ToyNetwork, networks: CodecNetworks, sps: Sps) -> None:
        self.network, self.ops = network, networks["only"].synthesis

    def push(self, unit: FrameUnit) -> Sequence[Picture]:
        """Returns as many pictures as the unit's header says."""
        height, width = (side // CELL for side in padded_size(video_format_of(unit.sps).size))
        shape = (unit.pictures.num_pictures, LATENTS, height, width)
        if len(unit.payload) != 2 * int(np.prod(shape)):
            raise StreamError(f"a unit has {len(unit.payload)} bytes, expected {2 * int(np.prod(shape))}")
        latents = np.frombuffer(unit.payload, "<i2").reshape(shape).astype(np.int16)
        return pictures_of(self.network, self.ops, latents, unit.qp, unit.sps)


class ToyModel(Model):
    """The only size."""

    name, max_pictures, max_side = "toy-small", CHUNK, 256
    entropy_formats = (EntropyFormat.FAMILY,)
    stages = (ANALYSIS, ENTROPY, SYNTHESIS, "colour and export", "other")

    def __init__(self) -> None:
        self.network = ToyNetwork()
        self.networks = {"only": self.network}

    def limits(self, sps: Sps) -> FrameLimits:
        """Returns eight QPs; two bytes a latent."""
        height, width = (side // CELL for side in padded_size(PictureSize(sps.width, sps.height)))
        return FrameLimits(NUM_QPS - 1, 0, 16 + 2 * CHUNK * LATENTS * height * width)

    def sps_fields(self, size: PictureSize, choices: CodingChoices) -> Mapping[str, Any]:
        """Returns the fields for bytes of its own."""
        return {"entropy_format": EntropyFormat.FAMILY, "family_block": b"toy", "reset_interval": 0, "qp_offsets": ()}

    def encoder(self, networks: CodecNetworks, sps: Sps, choices: CodingChoices) -> PictureEncoder:
        """Makes an encoder at the start of a sequence."""
        return ToyEncoder(self.network, networks, sps, choices)

    def decoder(self, networks: CodecNetworks, sps: Sps) -> PictureDecoder:
        """Makes a decoder at the start of a sequence."""
        if sps.family_block != b"toy":
            raise UnsupportedStreamError(Rule.UNSUPPORTED, "a toy stream of another kind")
        return ToyDecoder(self.network, networks, sps)

    def z_table(self, network: str, state: Mapping[str, NDArray[np.float32]]) -> CdfTable:
        """It has no z: rows of one symbol."""
        cdf = np.tile(np.array([0, 32768, 65536], np.int32), (NUM_QPS, 1))
        return CdfTable(cdf, np.full(NUM_QPS, 3, np.int32), np.zeros(NUM_QPS, np.int32))

    def random_parameters(self, network: str) -> Mapping[str, NDArray[np.float32]]:
        """Makes an orthonormal map to means of planes and a few frequencies, and back."""
        size = CELL * CELL
        rows = np.arange(CELL)
        basis = np.cos(np.pi * (2 * rows[None] + 1) * rows[:, None] / (2 * CELL)) * np.sqrt(2 / CELL)
        basis[0] /= np.sqrt(2)
        cells = [(plane, u, v) for u, v in ((0, 0), (0, 1), (1, 0), (1, 1)) for plane in range(3)]
        down = np.zeros((LATENTS, 3 * size), np.float32)
        for row, (plane, u, v) in enumerate(cells):
            down[row, plane * size : (plane + 1) * size] = np.outer(basis[u], basis[v]).reshape(-1)
        zeros = {"down.bias": np.zeros(LATENTS, np.float32), "up.bias": np.zeros(3 * size, np.float32)}
        up = np.ascontiguousarray(down.T)[:, :, None, None]
        return {"down.weight": down[:, :, None, None], "up.weight": up, **zeros}


class ToyFamily(Family):
    """One model."""

    name = "toy"
    precisions = (Precision.FLOAT32, Precision.FLOAT64)

    @cached_property
    def models(self) -> Mapping[str, Model]:
        """Returns the models by name."""
        return {"toy-small": ToyModel()}
