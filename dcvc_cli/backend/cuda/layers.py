"""Layers on the device, and products that wait for what follows them.

A convolution is not launched when it is asked for but when somebody reads its output. What follows until then and fits
its epilogue (activation, chunk-add, residuals, scale vector, pixel shuffle, a picture's limits) is done in the same
launch. A product that is read after something was added to it is computed again, with the same result.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from dcvc_cli.backend import exact_rules as rules
from dcvc_cli.backend.cuda.engine import CudaEngine, DeviceTensor
from dcvc_cli.backend.cuda.kernels import TILE_COLUMNS, TILE_ROWS, WIDE, choose_tile
from dcvc_cli.backend.cuda.packing import (
    chunked_columns,
    pack_matrix,
    pack_taps,
    pieces_table,
    plain_columns,
    round_up,
    sub_pixel_columns,
)
from dcvc_cli.backend.exact_network import ExactConv, ExactNetwork

if TYPE_CHECKING:
    from dcvc_cli.graph.blocks import Conv, Depthwise


@dataclass(frozen=True)
class Product:
    """A convolution with its epilogue so far, in the order of the fields.

    Attributes:
        inputs: one tensor, or two whose channels are one range.
        activation: the exponent of a WSiLU after the rescale.
        chunked: the halves of the channels are added.
        residuals: at most two, added one after the other.
        scale: name of a scale vector and row.
        is_sub_pixel: pixel shuffle by 2.
        picture_shift: from the exponent to a picture's, with its limits.
    """

    layer: "Conv"
    inputs: tuple[DeviceTensor, ...]
    activation: int | None = None
    chunked: bool = False
    residuals: tuple[DeviceTensor, ...] = ()
    scale: tuple[str, int] | None = None
    is_sub_pixel: bool = False
    picture_shift: int | None = None

    def size(self) -> tuple[int, int]:
        """(height, width) of the output."""
        layer, x = self.layer, self.inputs[0]
        height, width = ((side + 2 * layer.padding - layer.kernel) // layer.stride + 1 for side in (x.height, x.width))
        return (2 * height, 2 * width) if self.is_sub_pixel else (height, width)

    def channels(self) -> int:
        """Of the output."""
        return self.layer.cout // (2 if self.chunked else 4 if self.is_sub_pixel else 1)


@dataclass
class Layers:
    """The layers of one network on an engine."""

    network: ExactNetwork
    engine: CudaEngine
    _key: object = field(default_factory=object)

    def constant(self, name: str, make: Any) -> int:
        """Address of an array of this network, uploaded at first use."""
        return self.engine.constant((self._key, name), make)

    def activation_table(self) -> int:
        """Address of the 64 pieces of WSiLU."""
        return self.engine.constant("wsilu", lambda: pieces_table(rules.WSILU_NODES))

    def scale_rows(self, name: str) -> tuple[int, int]:
        """Addresses of a scale vector's factors (rows, channels rounded up to 8) and shifts."""
        numbers = self.network.scale(name)
        missing = round_up(numbers.factors.shape[1], 8) - numbers.factors.shape[1]
        factors = self.constant(f"{name}.factors", lambda: np.pad(numbers.factors, ((0, 0), (0, missing))))
        return factors, self.constant(f"{name}.shifts", lambda: numbers.shifts.astype(np.int32))

    def run(self, product: Product) -> DeviceTensor:
        """Launches a product."""
        layer, x = product.layer, product.inputs[0]
        numbers = self.network.conv(layer.name)
        columns, form = self._columns(product)
        first = x.channels if len(product.inputs) == 2 else None
        matrix = f"{layer.name}:{form}:{first}"
        packed = self.engine.cached((self._key, matrix), lambda: self._pack(numbers, columns, first))
        height, width = product.size()
        out = self.engine.tensor(height, width, product.channels())
        positions = out.positions // 4 if product.is_sub_pixel else out.positions
        num_columns = len(columns)
        tile = WIDE if packed["is_wide"] else choose_tile(positions, num_columns, self.engine.device.num_multiprocessors)
        values: dict[str, Any] = {
            "x": x.address,
            "weights": packed["weights"],
            "multiplier": packed["multiplier"],
            "addend": packed["addend"],
            "steps": packed["steps"],
            "out": out.address,
            "positions": positions,
            "width": width // 2 if product.is_sub_pixel else width,
            "in_height": x.height,
            "in_width": x.width,
            "channels": round_up(x.channels, 8),
            "pitch": x.pitch,
            "kernel": layer.kernel,
            "stride": layer.stride,
            "padding": layer.padding,
            "out_columns": 4 * out.pitch if product.is_sub_pixel else out.pitch,
            "out_pitch": out.pitch,
        }
        if len(product.inputs) == 2:
            second = product.inputs[1]
            values |= {"x2": second.address, "channels2": round_up(second.channels, 8), "pitch2": second.pitch}
        if product.activation is not None:
            values |= {"activation": self.activation_table(), "exponent": product.activation}
        for key, residual in zip(("first", "second"), product.residuals, strict=False):
            values |= {key: residual.address, f"{key}_pitch": residual.pitch}
        if product.scale is not None:
            name, row = product.scale
            factors, shifts = self.scale_rows(name)
            values |= {"factors": factors, "shifts": shifts, "row": self.engine.slot(row)}
        if product.is_sub_pixel:
            values["sub_pixel"] = out.pitch
        if product.picture_shift is not None:
            values |= {"is_picture": 1, "picture_shift": product.picture_shift}
        form_name = "chunked" if product.chunked else "plain" if product.activation is None else "active"
        grid = -(-num_columns // TILE_COLUMNS[tile]), -(-positions // TILE_ROWS[tile])
        self.engine.launch(f"matrix_{tile}_{form_name}", grid, **values)
        return out

    @staticmethod
    def _columns(product: Product) -> tuple[Any, str]:
        outputs = product.layer.cout
        if product.chunked:
            return chunked_columns(outputs), "chunked"
        return (sub_pixel_columns(outputs), "sub_pixel") if product.is_sub_pixel else (plain_columns(outputs), "plain")

    def _pack(self, numbers: ExactConv, columns: Any, first_channels: int | None) -> dict[str, Any]:
        packed = pack_matrix(numbers, columns, first_channels)
        owners = [self.engine.upload_array(array) for array in (packed.weights, packed.multiplier, packed.addend)]
        names = ("weights", "multiplier", "addend")
        addresses = {name: owner.address for name, owner in zip(names, owners, strict=True)}
        return {**addresses, "owners": owners, "steps": packed.steps, "is_wide": packed.is_wide}

    def depthwise(self, layer: "Depthwise", x: DeviceTensor) -> DeviceTensor:
        """Launches a depthwise layer; x aligned."""
        parts = self.engine.cached((self._key, layer.name), lambda: pack_taps(self.network.conv(layer.name)))
        taps, multiplier, addend = (self.constant(f"{layer.name}.{name}", lambda part=part: part) for name, part in zip("tma", parts, strict=True))
        out = self.engine.tensor(x.height, x.width, x.channels)
        self.engine.launch(
            "depthwise_3x3",
            (-(-x.width // 8) * -(-x.height // 8), -(-out.pitch // 64)),
            x=x.address,
            taps=taps,
            multiplier=multiplier,
            addend=addend,
            out=out.address,
            height=x.height,
            width=x.width,
            channels=out.pitch,
            pitch=x.pitch,
            out_pitch=out.pitch,
        )
        return out

    def pointwise(self, name: str, x: DeviceTensor, out: DeviceTensor | None = None, **values: Any) -> DeviceTensor:
        """Launches an operation element by element; `out` may be some channels of a tensor, else it is a new tensor."""
        if out is None:
            out = self.engine.tensor(x.height, x.width, x.channels)
            out_channels = out.pitch
        else:
            out_channels = out.channels
        grid = (-(-out.positions * -(-out_channels // 8) // 256),)
        self.engine.launch(
            name,
            grid,
            x=x.address,
            out=out.address,
            height=out.height,
            width=out.width,
            channels=x.channels,
            out_channels=out_channels,
            x_width=x.width,
            pitch=x.pitch,
            out_pitch=out.pitch,
            **values,
        )
        return out

    def joined(self, parts: Sequence[DeviceTensor]) -> DeviceTensor:
        """The channels of all parts in one new tensor."""
        channels = sum(part.channels for part in parts)
        out = self.engine.tensor(parts[0].height, parts[0].width, channels)
        first = 0
        for part in parts:
            # The last part writes the channels behind it too, which are 0.
            behind = out.pitch - channels if first + part.channels == channels else 0
            self.pointwise("copy", part, out.channels_from(first, part.channels + behind))
            first += part.channels
        return out


def with_residual(product: Product, residual: DeviceTensor) -> Product | None:
    """The product plus a tensor, or None where its epilogue has no room for that."""
    fits = product.scale is None and product.picture_shift is None and len(product.residuals) < 2 and residual.is_aligned
    return replace(product, residuals=(*product.residuals, residual)) if fits else None
