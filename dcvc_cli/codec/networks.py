"""What a frame encoder or decoder works with: the backends and the probability table of each network of a model."""

from collections.abc import Mapping
from dataclasses import dataclass

from dcvc_cli.backend.operations import Operations
from dcvc_cli.entropy.tables import CdfTable
from dcvc_cli.format.entropy_format import EntropyFormat


@dataclass(frozen=True)
class CodecNetwork:
    """One network ready to run.

    Attributes:
        synthesis: backend of everything that a decoder computes; the encoder runs it too.
        analysis: backend of what only the encoder computes; the same object where the precision is one.
        z_table: rows qp * hyper channels + channel.
        published_z_table: the same for the published codec's own entropy format; None where it is no other.
    """

    synthesis: Operations
    analysis: Operations
    z_table: CdfTable
    published_z_table: CdfTable | None = None

    def table_of_z(self, entropy_format: EntropyFormat) -> CdfTable:
        """The table that z is coded with in this format."""
        published = self.published_z_table if entropy_format.is_published else None
        return self.z_table if published is None else published


@dataclass(frozen=True)
class CodecNetworks:
    """The networks of one set of weights.

    Attributes:
        by_name: in the family's order.
        threads: of what an encoder does beside them.
    """

    by_name: Mapping[str, CodecNetwork]
    threads: int = 1

    def __getitem__(self, name: str) -> CodecNetwork:
        return self.by_name[name]
