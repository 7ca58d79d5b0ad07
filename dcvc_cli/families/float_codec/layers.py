"""Layers of the float codecs, as a graph without numbers. They run on FloatOperations only.

Values are torch tensors (1, c, h, w). Source: DCVC (2021), DCVC-TCM (2022).
"""

import math
import re
from collections.abc import Iterator
from typing import Any

import numpy as np

from dcvc_cli.graph.blocks import GDN_PEDESTAL, Shape, layer_shapes

Ops = Any
Tensor = Any
SMALLEST_BETA, SMALLEST_GAMMA = math.sqrt(1e-6 + GDN_PEDESTAL), 2.0**-18
"""Smaller stored values count as these."""
STORED_SMALLEST_BETA = float(np.float32(SMALLEST_BETA))
"""SMALLEST_BETA in the networks that store it, which is in float32."""


class FloatNetwork:
    """A network of these layers.

    Attributes:
        encoder_only: prefixes of the layers that a decoder never runs.
        num_z_channels: number of rows in the stored tables of z.
        without_parameters: matches keys of a checkpoint that are no parameters. dcvc makes these masks, constants and
            tables itself.
        predictors: the layers that give means and scales, with True if the means come first, False if the scales do,
            None if there are only scales.
    """

    encoder_only: tuple[str, ...] = ()
    num_qps = 1
    num_z_channels: int
    without_parameters: re.Pattern[str] = re.compile(r"(?!)")
    predictors: tuple[tuple[str, bool | None], ...] = ()

    def shapes(self) -> Iterator[tuple[str, Shape]]:
        """Yields names and shapes of the state dict."""
        return layer_shapes(self)

    def decoder_shapes(self) -> Iterator[tuple[str, Shape]]:
        """Yields names and shapes of the parameters that a decoder uses."""
        return ((key, shape) for key, shape in self.shapes() if not key.startswith(self.encoder_only or ("\0",)))


class Deconv:
    """Transposed convolution cin x h x w -> cout x h * stride x w * stride.

    Parameters: `NAME.weight` (cin, cout, k, k), `NAME.bias` (cout).
    """

    def __init__(self, name: str, cin: int, cout: int, kernel: int = 3, stride: int = 2) -> None:
        self.name, self.cin, self.cout, self.kernel, self.stride = name, cin, cout, kernel, stride

    def shapes(self) -> Iterator[tuple[str, Shape]]:
        yield f"{self.name}.weight", (self.cin, self.cout, self.kernel, self.kernel)
        yield f"{self.name}.bias", (self.cout,)

    def __call__(self, ops: Ops, x: Tensor) -> Tensor:
        from torch.nn.functional import conv_transpose2d

        weight, bias = ops.parameters[f"{self.name}.weight"], ops.parameters[f"{self.name}.bias"]
        return conv_transpose2d(x, weight, bias, self.stride, (self.kernel - 1) // 2, self.stride - 1)


class Gdn:
    """Generalised divisive normalisation: x / sqrt(beta + gamma x^2), or its inverse, which multiplies.

    Parameters: `NAME.beta` (c), `NAME.gamma` (c, c), re-parametrised.

    Args:
        is_stored: whether the network stores the bounds in float32 and multiplies by the reciprocal, as I-frame models
            do.
    """

    def __init__(self, name: str, channels: int, *, inverse: bool = False, is_stored: bool = False) -> None:
        self.name, self.channels, self.inverse, self.is_stored = name, channels, inverse, is_stored

    def shapes(self) -> Iterator[tuple[str, Shape]]:
        yield f"{self.name}.beta", (self.channels,)
        yield f"{self.name}.gamma", (self.channels, self.channels)

    def __call__(self, ops: Ops, x: Tensor) -> Tensor:
        from torch.nn.functional import conv2d

        smallest = STORED_SMALLEST_BETA if self.is_stored else SMALLEST_BETA
        beta = ops.at_least(ops.parameters[f"{self.name}.beta"], smallest) ** 2 - GDN_PEDESTAL
        gamma = ops.at_least(ops.parameters[f"{self.name}.gamma"], SMALLEST_GAMMA) ** 2 - GDN_PEDESTAL
        norm = conv2d(x * x, gamma[:, :, None, None], beta)
        if self.inverse:
            return x * norm.sqrt()
        return x * norm.rsqrt() if self.is_stored else x / norm.sqrt()


class Density:
    """Factorised density of z in a video model: eleven parameters (1, c, 1, 1), for tables and estimates."""

    def __init__(self, name: str, channels: int) -> None:
        self.name, self.channels = name, channels

    def shapes(self) -> Iterator[tuple[str, Shape]]:
        for stage in ("f1", "f2", "f3", "f4"):
            for kind in ("h", "b") if stage == "f4" else ("h", "b", "a"):
                yield f"{self.name}.{stage}.{kind}", (1, self.channels, 1, 1)


BOTTLENECK = "entropy_bottleneck"
BOTTLENECK_WIDTHS = (1, 3, 3, 3, 3, 1)


class Bottleneck:
    """Factorised density of z in an I-frame model. Each channel has a low quantile, a median and a high quantile."""

    def __init__(self, channels: int) -> None:
        self.channels = channels

    def shapes(self) -> Iterator[tuple[str, Shape]]:
        widths = BOTTLENECK_WIDTHS
        yield f"{BOTTLENECK}.quantiles", (self.channels, 1, 3)
        for k in range(5):
            yield f"{BOTTLENECK}._matrices.{k}", (self.channels, widths[k + 1], widths[k])
            yield f"{BOTTLENECK}._biases.{k}", (self.channels, widths[k + 1], 1)
            if k < 4:
                yield f"{BOTTLENECK}._factors.{k}", (self.channels, widths[k + 1], 1)

    def medians(self, ops: Ops) -> Tensor:
        """Returns the medians, (c, 1, 1). z is rounded around them."""
        return ops.parameters[f"{BOTTLENECK}.quantiles"][:, 0, 1].reshape(-1, 1, 1)
