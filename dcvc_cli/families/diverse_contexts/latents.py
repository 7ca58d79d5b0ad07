"""Latents coded in four steps, and the encoder's and the decoder's side of them. Source: DCVC-DC (CVPR 2023).

In each step, each channel group codes one position of every 2x2 square. The latents coded so far predict the next
step's scales and means.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from dcvc_cli.backend.operations import Tensor
from dcvc_cli.entropy.tables import CdfTable
from dcvc_cli.entropy.wide import MAX_SYMBOL, WideDecoder, WideEncoder
from dcvc_cli.errors import DcvcError, EnvironmentFault, StreamError
from dcvc_cli.families.wide_latents.sides import channel_rows
from dcvc_cli.families.wide_latents.tables import ScaleTable
from dcvc_cli.graph.latent_steps import IMAGE_STEPS, CodingStep
from dcvc_cli.stages import PRIORS, timed

if TYPE_CHECKING:
    from dcvc_cli.backend.float_torch import FloatOperations

STEPS = IMAGE_STEPS


class FrameSide(ABC):
    """One side of a frame, the encoder's or the decoder's: hyper-latents and planes of symbols, in the recipe's order.

    Args:
        ops: operations of the network, on a float backend.
        scales: the table of y.
    """

    def __init__(self, ops: "FloatOperations", scales: ScaleTable) -> None:
        self.ops, self.scales = ops, scales

    @abstractmethod
    def analysed(self, make: Callable[[Tensor], Tensor]) -> Tensor | None:
        """Runs `make` on the picture (3 x Hp x Wp). A decoder's side has no picture and returns None."""

    @abstractmethod
    def hyper(self, make: Callable[[], Tensor], table: CdfTable | None, size: tuple[int, int]) -> Tensor:
        """Codes z and returns z_hat, channels x size. Each channel has one row of the table.

        Args:
            make: makes z before rounding; a decoder's side does not call it.
        """

    @abstractmethod
    def step(self, step: CodingStep, y: Tensor | None, scales: Tensor, means: Tensor) -> Tensor:
        """Codes one step. Returns its part of y_hat, C x h x w, which is 0 where other steps code.

        Args:
            y: the encoder's latents, divided by their step size; None in a decoder.
        """

    @abstractmethod
    def fault(self, message: str) -> DcvcError:
        """Makes the error for networks that give no usable numbers. In an encoder the weights are at fault, in a
        decoder the stream."""

    def _mask(self, step: CodingStep, like: Tensor) -> Tensor:
        return self.ops.mask(step, like.shape[1], self.ops.size(like), like)

    def _rows(self, step: CodingStep, scales: Tensor) -> NDArray[np.uint8]:
        """Returns the table rows of a step's plane, (C / 4, h, w)."""
        return self.scales.rows(_plane(scales * self._mask(step, scales)).cpu().numpy())

    def _restored(self, step: CodingStep, symbols: NDArray[np.int16], means: Tensor) -> Tensor:
        """Makes a step's part of y_hat of its symbols. Both sides run the same operations, so the results have the same
        bits."""
        import torch

        values = torch.from_numpy(symbols.astype(np.int32)).to(means.device, means.dtype)
        return (values.repeat(step.num_groups, 1, 1)[None] + means) * self._mask(step, means)

    def _hyper_from(self, symbols: NDArray[np.int16]) -> Tensor:
        import torch

        return torch.from_numpy(symbols.astype(np.int32)).to(self.ops.device, self.ops.dtype)[None]


class EncodingSide(FrameSide):
    """Collects the symbols of a frame: all hyper-latents, then all planes.

    Args:
        values: the picture, float32 (3, Hp, Wp).

    Attributes:
        hypers: symbols of the hyper-latents, int16 (channels, h, w).
        planes: symbols of the steps and their table rows, (C / 4, h, w).
    """

    def __init__(self, ops: "FloatOperations", scales: ScaleTable, values: NDArray[np.float32]) -> None:
        super().__init__(ops, scales)
        self._picture = ops.frame_from_values(values)
        self._hyper_tables: list[CdfTable] = []
        self.hypers: list[NDArray[np.int16]] = []
        self.planes: list[tuple[NDArray[np.int16], NDArray[np.uint8]]] = []

    def analysed(self, make: Callable[[Tensor], Tensor]) -> Tensor:
        return make(self._picture)

    def hyper(self, make: Callable[[], Tensor], table: CdfTable | None, size: tuple[int, int]) -> Tensor:
        assert table is not None, "symbols have a table"
        self.hypers.append(self._symbols(make()[0]))
        self._hyper_tables.append(table)
        return self._hyper_from(self.hypers[-1])

    def step(self, step: CodingStep, y: Tensor | None, scales: Tensor, means: Tensor) -> Tensor:
        assert y is not None, "an encoder has latents"
        mask = self._mask(step, means)
        symbols = self._symbols(_plane((y - means * mask) * mask))
        self.planes.append((symbols, self._rows(step, scales)))
        return self._restored(step, symbols, means)

    def _symbols(self, values: Tensor) -> NDArray[np.int16]:
        """Rounds values half to even."""
        if not self.ops.is_finite(values):
            raise self.fault("latents are not finite")
        rounded = values.round().clamp(-MAX_SYMBOL, MAX_SYMBOL).cpu().numpy().astype(np.int16)
        return np.ascontiguousarray(rounded)

    def fault(self, message: str) -> EnvironmentFault:
        return EnvironmentFault(f"the networks give no picture: {message}", "check the weights")

    def add_to(self, encoder: WideEncoder) -> None:
        """Adds the frame's symbols in coding order."""
        for symbols, table in zip(self.hypers, self._hyper_tables, strict=True):
            encoder.add(symbols, channel_rows(symbols.shape), table)
        for symbols, rows in self.planes:
            encoder.add(symbols, rows, self.scales.table)


class DecodingSide(FrameSide):
    """Reads the symbols of a frame.

    Args:
        decoder: a decoder that stands before the frame's symbols.
        hypers: table and shape (channels, h, w) of each hyper-latent. All hyper-latents stand first in the payload, but
            the recipe needs the second one late.

    Raises:
        StreamError: the payload does not hold these symbols.
    """

    def __init__(
        self,
        ops: "FloatOperations",
        scales: ScaleTable,
        decoder: WideDecoder,
        hypers: list[tuple[CdfTable, tuple[int, int, int]]],
    ) -> None:
        super().__init__(ops, scales)
        self._decoder = decoder
        self._hypers = [self._decoder.decode(channel_rows(shape), table) for table, shape in hypers]

    def fault(self, message: str) -> StreamError:
        return StreamError(f"a frame's symbols give no picture: {message}", "the stream is damaged")

    def analysed(self, make: Callable[[Tensor], Tensor]) -> None:
        return None

    def hyper(self, make: Callable[[], Tensor], table: CdfTable | None, size: tuple[int, int]) -> Tensor:
        return self._hyper_from(self._hypers.pop(0))

    def step(self, step: CodingStep, y: Tensor | None, scales: Tensor, means: Tensor) -> Tensor:
        if not (self.ops.is_finite(scales) and self.ops.is_finite(means)):
            raise self.fault("scales or means are not finite")
        return self._restored(step, self._decoder.decode(self._rows(step, scales), self.scales.table), means)


def _plane(masked: Tensor) -> Tensor:
    """Sums the four channel groups: C x h x w -> (C / 4, h, w). At each position only one group is not 0."""
    first, second, third, fourth = masked[0].chunk(len(STEPS))
    return (first + second) + (third + fourth)


@timed(PRIORS)
def code_four_steps(
    ops: "FloatOperations",
    side: FrameSide,
    y: Tensor | None,
    scales: Tensor,
    means: Tensor,
    predict: Callable[[int, Tensor], Tensor],
) -> Tensor:
    """Codes latents through `side`. Returns y_hat, C x h x w, divided by the step size.

    Args:
        y: the encoder's latents, divided by their step size; None in a decoder.
        scales, means: scales and means of the first step, C x h x w.
        predict: (step 1..3, latents coded so far) -> scales and means of the step, 2 C x h x w.
    """
    so_far = side.step(STEPS[0], y, scales, means)
    for number, step in enumerate(STEPS[1:], 1):
        scales, means = predict(number, so_far).chunk(2, dim=1)
        so_far = so_far + side.step(step, y, scales, means)
    return so_far
