"""The two sides of a frame's symbols: the encoder's side quantises and codes them, the decoder's side reads them. A
family's recipe of a frame calls both in the same way."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dcvc_cli.backend.operations import Operations, Tensor
from dcvc_cli.codec.networks import CodecNetwork
from dcvc_cli.entropy.coder import FrameDecoder, FrameEncoder
from dcvc_cli.entropy.tables import CdfTable, gaussian_table, wide_gaussian_table
from dcvc_cli.errors import EnvironmentFault
from dcvc_cli.format.entropy_format import EntropyFormat
from dcvc_cli.graph.latent_steps import CodingStep

Analysis = Callable[[Operations, Tensor], Tensor]


def latent_sizes(padded: tuple[int, int]) -> tuple[tuple[int, int], tuple[int, int]]:
    """Returns ((h, w) of y, (h, w) of z) of a padded picture (Hp, Wp)."""
    height, width = padded[0] // 16, padded[1] // 16
    return (height, width), (-(-height // 4), -(-width // 4))


def latent_table(entropy_format: EntropyFormat) -> CdfTable:
    """Returns the table of y: the published codec's in its entropy formats, the wide one in our own."""
    return gaussian_table() if entropy_format.is_published else wide_gaussian_table()


def check_finite(ops: Operations, *latents: Tensor) -> None:
    """Checks what an encoder's networks give before it is coded.

    Raises:
        EnvironmentFault: values are not finite.
    """
    if not all(ops.is_finite(one) for one in latents):
        hint = "check the weights, or encode with --precision fp32"
        raise EnvironmentFault("the encoder's networks give latents that are not finite", hint)


class EncodingSide:
    """Makes the symbols of one frame.

    Args:
        network: the network that codes the frame.
        values: network input, float32 (3, Hp, Wp).
        entropy_format: one of SHARED_FORMATS.
        skip_threshold: latents whose predicted scale is not above it are not coded; None codes all.
        zero_below: by table row, the magnitude of a residual below which its symbol is 0; None rounds to the nearest.

    Attributes:
        encoder: holds the symbols.
    """

    def __init__(
        self,
        network: CodecNetwork,
        values: NDArray[np.float32],
        entropy_format: EntropyFormat,
        skip_threshold: float | None,
        zero_below: NDArray[np.float32] | None = None,
    ) -> None:
        self.network, self.values = network, values
        self.skip_threshold, self.zero_below = skip_threshold, zero_below
        self.entropy_format = entropy_format
        self.encoder = FrameEncoder(entropy_format)
        self.table = latent_table(entropy_format)
        self.latent_size = (values.shape[1] // 16, values.shape[2] // 16)
        self._y: Any = None

    def hyper_latents(self, analysis: Analysis, hyper_analysis: Analysis, qp: int) -> Tensor:
        """Analyses the picture and codes z.

        Raises:
            EnvironmentFault: the networks give latents that are not finite.
        """
        own, network = self.network.analysis, self.network
        y = analysis(own, own.frame_from_values(self.values))
        z = hyper_analysis(own, y)
        check_finite(own, y, z)
        symbols, z_hat = network.synthesis.choose_z(own, z)
        self.encoder.add_z_later(symbols, network.table_of_z(self.entropy_format), qp)
        self._y = network.synthesis.latents_of(own, y)
        return z_hat

    def for_analysis(self, context: Tensor) -> Tensor:
        """Returns the context in the arithmetic of the analysis."""
        own, synthesis = self.network.analysis, self.network.synthesis
        return context if own is synthesis else own.context_from(synthesis, context)

    def begin(self, step_size_inverse: Any) -> None:
        """Scales the latents."""
        self._y = self._y * step_size_inverse

    def step(self, step: CodingStep, scales: Tensor, means: Tensor) -> Tensor:
        """Quantises and codes the elements of one step."""
        ops = self.network.synthesis
        part, coded = ops.quantise_coded(step, self._y, scales, means, self.skip_threshold, self.zero_below)
        self.encoder.add_y_later(coded, self.table)
        return part

    def finish(self) -> None:
        """Drops the latents, so that a thread that makes the bytes later frees no memory of a device."""
        self._y = None


class DecodingSide:
    """Reads the symbols of one frame.

    Args:
        network: the network that codes the frame.
        decoder: holds the bytes.
        num_z_channels: channels of z.
        padded: (Hp, Wp) of the picture.
        entropy_format, skip_threshold: the encoder's.
    """

    def __init__(
        self,
        network: CodecNetwork,
        decoder: FrameDecoder,
        num_z_channels: int,
        padded: tuple[int, int],
        entropy_format: EntropyFormat,
        skip_threshold: float | None,
    ) -> None:
        self.network, self.decoder, self.skip_threshold = network, decoder, skip_threshold
        self.entropy_format, self.table = entropy_format, latent_table(entropy_format)
        self.num_z_channels = num_z_channels
        self.latent_size, self.hyper_size = latent_sizes(padded)

    def hyper_latents(self, analysis: Analysis, hyper_analysis: Analysis, qp: int) -> Tensor:
        """Reads z. A decoder has nothing to analyse."""
        table = self.network.table_of_z(self.entropy_format)
        symbols = self.decoder.decode_z(self.num_z_channels, *self.hyper_size, table, qp * self.num_z_channels)
        return self.network.synthesis.z_from_symbols(symbols)

    def for_analysis(self, context: Tensor) -> Tensor:
        """A decoder has no analysis: nothing calls this."""
        return context

    def begin(self, step_size_inverse: Any) -> None:
        """Does nothing: a decoder has no latents to scale yet."""

    def step(self, step: CodingStep, scales: Tensor, means: Tensor) -> Tensor:
        """Reads the elements of one step once its scales are known."""
        ops = self.network.synthesis
        rows, coded = ops.coded_rows(step, scales, self.skip_threshold)
        return ops.restore_coded(step, self.decoder.decode_y(rows, self.table), coded, means)

    def finish(self) -> None:
        """Ends the symbols.

        Raises:
            StreamError: bytes are left.
        """
        self.decoder.finish()
