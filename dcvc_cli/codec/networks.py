"""The backends and the probability table of each network of a model, for frame encoders and decoders."""

from collections.abc import Mapping
from dataclasses import dataclass

from dcvc_cli.backend.operations import Operations
from dcvc_cli.entropy.tables import CdfTable
from dcvc_cli.format.entropy_format import EntropyFormat


@dataclass(frozen=True)
class CodecNetwork:
    """One network ready to run.

    Attributes:
        synthesis: backend of what a decoder computes. The encoder runs it too.
        analysis: backend of what only the encoder computes. Where both have one precision, it is the same object.
        z_table: rows qp * hyper channels + channel.
        published_z_table: the table for the published codec's entropy formats, where they have another; else None.
    """

    synthesis: Operations
    analysis: Operations
    z_table: CdfTable
    published_z_table: CdfTable | None = None

    def table_of_z(self, entropy_format: EntropyFormat) -> CdfTable:
        """Returns the table of z in this entropy format."""
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
