"""The context model. The parameters of a latent at a position depend on the latent's values above and to the left.

A masked 5x5 convolution runs over the coded positions; three 1x1 layers run over its output and the prior. The C++
coder computes them position by position. Only the prior's part of the first 1x1 layer is computed for all positions at
once. Source: DCVC (2021).
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dcvc_cli.entropy.tables import check_status, native
from dcvc_cli.errors import EnvironmentFault
from dcvc_cli.families.float_codec.coder import StringDecoder, WordTable
from dcvc_cli.families.float_codec.layers import Ops, Tensor
from dcvc_cli.families.float_codec.tables import stored_table
from dcvc_cli.families.wide_latents.blocks import SMALL_SLOPE, conv
from dcvc_cli.graph.blocks import Shape
from dcvc_cli.stages import ENTROPY, timed

TAPS = [(row, column) for row in range(3) for column in range(5) if (row, column) < (2, 2)]
"""The twelve taps of the kernel that read coded positions, in raster order."""
Passed = tuple[NDArray[np.int32], NDArray[np.uint8], NDArray[Any]]
"""(symbols, table rows, values), each (h * w, c)."""


class ContextNetwork:
    """The layers of a context model. The prior has 2c channels.

    Args:
        context, parameters: names of the masked convolution and of the three 1x1 layers.
        channels: c, the channels of the latent.
        means_first: whether the means are the first half of the last layer's output, else the scales.
        table: name of the stored table. Its scales decide on table rows.
        smallest: smaller scales count as this one.
    """

    def __init__(
        self, context: str, parameters: str, channels: int, *, means_first: bool, table: str, smallest: float
    ) -> None:
        self.context, self.channels, self.means_first = context, channels, means_first
        self.table, self.smallest = table, smallest
        first, second = channels * 10 // 3, channels * 8 // 3
        self.layers = (
            conv(f"{parameters}.0", 4 * channels, first, 1),
            conv(f"{parameters}.2", first, second, 1),
            conv(f"{parameters}.4", second, 2 * channels, 1),
        )

    def shapes(self) -> Iterator[tuple[str, Shape]]:
        yield f"{self.context}.weight", (2 * self.channels, self.channels, 5, 5)
        yield f"{self.context}.bias", (2 * self.channels,)
        for layer in self.layers:
            yield from layer.shapes()

    # ---- position by position

    @timed(ENTROPY)
    def encode(self, ops: Ops, prior: Tensor, y: Tensor) -> Passed:
        """Quantises y (1, c, h, w) position by position.

        Returns:
            (symbols, table rows, restored values).

        Raises:
            EnvironmentFault: y is not finite.
        """
        height, width = prior.shape[-2:]
        values = _by_position(y)
        passed: Passed | None = self._native(ops).encode(self._base(ops, prior), values, height, width)
        if passed is None:
            raise EnvironmentFault("the networks give latents that are not finite", "use other weights")
        return passed

    @timed(ENTROPY)
    def decode(self, ops: Ops, prior: Tensor, string: StringDecoder, table: WordTable) -> Passed:
        """Reads y position by position.

        Returns:
            (symbols, table rows, restored values).

        Raises:
            StreamError: the bytes are damaged.
        """
        height, width = prior.shape[-2:]
        base = self._base(ops, prior)
        status, *passed = self._native(ops).decode(base, height, width, string.native, table.native)
        check_status(status)
        return passed[0], passed[1], passed[2]

    def as_tensor(self, ops: Ops, restored: NDArray[Any], size: tuple[int, int]) -> Tensor:
        """Turns values (h * w, c) into a tensor (1, c, h, w)."""
        import torch

        planes = np.ascontiguousarray(restored.reshape(*size, -1).transpose(2, 0, 1))
        return torch.from_numpy(planes).to(ops.device, ops.dtype)[None]

    def weights(self, ops: Ops) -> dict[str, NDArray[Any]]:
        """Returns the weights for the coder, in float64 or float32."""
        own = {name: _as_array(ops.parameters[name]) for name, _ in self.shapes()}
        kernel = own[f"{self.context}.weight"]
        first, second, third = (layer.name for layer in self.layers)
        taps = np.stack([kernel[:, :, row, column] for row, column in TAPS], axis=1).reshape(2 * self.channels, -1)
        num_above = 10 * self.channels
        return {
            "above": np.ascontiguousarray(taps[:, :num_above]),
            "above_bias": own[f"{self.context}.bias"],
            "left": np.ascontiguousarray(taps[:, num_above:]),
            "first": np.ascontiguousarray(own[f"{first}.weight"][:, 2 * self.channels :, 0, 0]),
            "second": np.ascontiguousarray(own[f"{second}.weight"][:, :, 0, 0]),
            "second_bias": own[f"{second}.bias"],
            "third": np.ascontiguousarray(own[f"{third}.weight"][:, :, 0, 0]),
            "third_bias": own[f"{third}.bias"],
            "thresholds": stored_table(self.table)[1][:-1].astype(kernel.dtype),
        }

    def _native(self, ops: Ops) -> Any:
        kept: dict[str, Any] = ops.__dict__.setdefault("context_models", {})
        if self.context not in kept:
            weights = self.weights(ops)
            make = native.ContextModel64 if weights["above"].dtype == np.float64 else native.ContextModel32
            kept[self.context] = make(**weights, means_first=self.means_first, smallest_scale=self.smallest)
        return kept[self.context]

    def _base(self, ops: Ops, prior: Tensor) -> NDArray[Any]:
        """Computes the prior's part of the first 1x1 layer, (h * w, outputs)."""
        from torch.nn.functional import conv2d

        name = self.layers[0].name
        weight = ops.parameters[f"{name}.weight"][:, : 2 * self.channels]
        return _by_position(conv2d(prior.contiguous(), weight.contiguous(), ops.parameters[f"{name}.bias"]))

    # ---- all positions at once: estimates only

    def predicted(self, ops: Ops, prior: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Returns (means, scales) of all positions at once, each predicted from `values` at the positions before."""
        import torch
        from torch.nn.functional import conv2d

        weight = ops.parameters[f"{self.context}.weight"]
        mask = torch.zeros_like(weight)
        for row, column in TAPS:
            mask[:, :, row, column] = 1
        context = conv2d(values, weight * mask, ops.parameters[f"{self.context}.bias"], padding=2)
        x = torch.cat((prior, context), 1)
        for number, layer in enumerate(self.layers):
            x = layer(ops, x if number == 0 else ops.leaky_relu(x, SMALL_SLOPE))
        first, second = x.chunk(2, dim=1)
        return (first, second) if self.means_first else (second, first)


def _as_array(tensor: Tensor) -> NDArray[Any]:
    array = tensor.detach().cpu().contiguous().numpy()
    return np.ascontiguousarray(array if array.dtype == np.float64 else array.astype(np.float32))


def _by_position(values: Tensor) -> NDArray[Any]:
    """Turns (1, c, h, w) into (h * w, c) for the coder."""
    array = _as_array(values[0].float() if values.element_size() < 4 else values[0])
    return np.ascontiguousarray(array.reshape(array.shape[0], -1).T)
