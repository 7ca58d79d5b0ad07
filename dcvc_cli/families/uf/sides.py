"""The two sides of a unit's symbols: the encoder's side makes them of pictures, the decoder's side reads them from a
payload."""

import numpy as np
from numpy.typing import NDArray

from dcvc_cli.backend.operations import Tensor
from dcvc_cli.codec.latents import check_finite, latent_sizes
from dcvc_cli.codec.networks import CodecNetwork
from dcvc_cli.entropy.tables import TableError
from dcvc_cli.errors import EnvironmentFault
from dcvc_cli.families.uf.coder import MAX_Z, MIN_Z, UnitDecoder, UnitEncoder
from dcvc_cli.families.uf.latents import DecodingLatents, EncodingLatents
from dcvc_cli.families.uf.recipe import Analysis
from dcvc_cli.families.uf.tables import ZigzagTable
from dcvc_cli.format.entropy_format import EntropyFormat


class UnitNetwork:
    """A network ready to run, with the table of its z in the coder's form.

    Raises:
        EnvironmentFault: the weights have a table of another order.
    """

    def __init__(self, network: CodecNetwork, num_z_channels: int, entropy_format: EntropyFormat) -> None:
        self.synthesis, self.analysis = network.synthesis, network.analysis
        self.num_z_channels = num_z_channels
        table = network.table_of_z(entropy_format)
        try:
            if table.offset.any():
                raise TableError("its rows start at symbols other than 0")
            self.z_table = ZigzagTable(table.cdf, table.cdf_length)
        except TableError as error:
            raise EnvironmentFault(f"the z table of these weights is not in zigzag order: {error}") from error

    @property
    def is_one_arithmetic(self) -> bool:
        """Returns whether the encoder's half has the arithmetic of the decoder's half."""
        return self.analysis is self.synthesis


class EncodingSide(EncodingLatents):
    """Makes the symbols of one unit.

    Args:
        values: samples of its pictures, float32 (3 a picture, Hp, Wp) in 0..1.
        skip_threshold: latents whose predicted scale is not above it are not coded; 0 or more.
    """

    def __init__(self, network: UnitNetwork, values: NDArray[np.float32], skip_threshold: float) -> None:
        super().__init__(network.synthesis, UnitEncoder(), None, skip_threshold)
        self.network, self.values = network, values
        self.latent_size = (values.shape[1] // 16, values.shape[2] // 16)

    def hyper_latents(self, analysis: Analysis, hyper_analysis: Analysis, scaled: Analysis, qp: int) -> Tensor:
        """Analyses the pictures and codes z.

        Raises:
            EnvironmentFault: the networks give latents that are not finite.
        """
        own, network = self.network.analysis, self.network
        y = analysis(own, own.frame_from_values(self.values))
        z = hyper_analysis(own, y)
        check_finite(own, y, z)
        symbols, z_hat = self.ops.choose_z(own, z, (MIN_Z, MAX_Z))
        self.encoder.add_z_later(symbols, network.z_table, qp)
        self.y = self.ops.latents_of(own, scaled(own, y))
        return z_hat

    def for_analysis(self, context: Tensor) -> Tensor:
        """Returns the context in the arithmetic of the analysis."""
        network = self.network
        return context if network.is_one_arithmetic else network.analysis.context_from(self.ops, context)

    def finish(self) -> None:
        """Does nothing: the bytes are made when the number of coders is known."""


class DecodingSide(DecodingLatents):
    """Reads the symbols of one unit.

    Args:
        padded: (Hp, Wp) of its pictures.
    """

    def __init__(
        self, network: UnitNetwork, decoder: UnitDecoder, padded: tuple[int, int], skip_threshold: float
    ) -> None:
        super().__init__(network.synthesis, decoder, skip_threshold)
        self.network = network
        self.latent_size, self.hyper_size = latent_sizes(padded)

    def hyper_latents(self, analysis: Analysis, hyper_analysis: Analysis, scaled: Analysis, qp: int) -> Tensor:
        """Reads z. A decoder has nothing to analyse."""
        channels = self.network.num_z_channels
        symbols = self.decoder.decode_z(channels, *self.hyper_size, self.network.z_table, qp * channels)
        return self.ops.z_from_symbols(symbols)

    def for_analysis(self, context: Tensor) -> Tensor:
        """A decoder has no analysis: nothing calls this."""
        raise NotImplementedError

    def finish(self) -> None:
        """Ends the symbols.

        Raises:
            StreamError: bytes of the payload are left.
        """
        self.decoder.finish()
