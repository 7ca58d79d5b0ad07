"""The two latent coders of the codec: one quantises and collects symbols, one reads them. The networks drive both alike."""

from typing import Any

from dcvc_cli.backend.operations import Operations, Tensor
from dcvc_cli.entropy.coder import FrameDecoder, FrameEncoder
from dcvc_cli.entropy.tables import CdfTable
from dcvc_cli.families.lite.dead_zone import zero_below
from dcvc_cli.graph.latent_steps import CodingStep


class EncodingLatents:
    """Quantises the analysis latents against the predicted means and hands the symbols to the entropy encoder.

    Args:
        y: analysis latents, in the form that `ops.quantise_step` takes.
        skip_threshold: elements whose predicted scale is not above it are predicted, not coded; None codes all.
        dead_zone: of the quantiser (families.lite.dead_zone).
    """

    def __init__(self, ops: Operations, encoder: FrameEncoder, table: CdfTable, y: Any, skip_threshold: float | None, dead_zone: float = 0.0) -> None:
        self.ops, self.encoder, self.table, self.y, self.skip_threshold = ops, encoder, table, y, skip_threshold
        self.zero_below = zero_below(dead_zone)

    def begin(self, step_size_inverse: Any) -> None:
        self.y = self.y * step_size_inverse

    def step(self, step: CodingStep, scales: Tensor, means: Tensor) -> Tensor:
        part, symbols, index, coded = self.ops.quantise_step(step, self.y, scales, means, self.skip_threshold, self.zero_below)
        self.encoder.add_y(symbols[coded], index[coded], self.table)
        return part


class DecodingLatents:
    """Reads the symbols of each step once the step's scales are known."""

    def __init__(self, ops: Operations, decoder: FrameDecoder, table: CdfTable, skip_threshold: float | None) -> None:
        self.ops, self.decoder, self.table, self.skip_threshold = ops, decoder, table, skip_threshold

    def begin(self, step_size_inverse: Any) -> None:
        """A decoder has nothing to scale."""

    def step(self, step: CodingStep, scales: Tensor, means: Tensor) -> Tensor:
        rows, coded = self.ops.coded_rows(step, scales, self.skip_threshold)
        return self.ops.restore_coded(step, self.decoder.decode_y(rows, self.table), coded, means)
