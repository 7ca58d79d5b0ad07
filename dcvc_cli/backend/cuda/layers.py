"""Layers on the device, and products that wait for what follows them.

A convolution is launched when somebody reads its output. Operations that follow before that and fit its epilogue
(activation, chunk-add, residuals, scale vector, pixel shuffle, a picture's limits) run in the same launch. A product
that is read after something was added to it is computed again, with the same result.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from dcvc_cli.backend import exact_rules as rules
from dcvc_cli.backend.cuda.engine import CudaEngine, DeviceTensor, Prepared
from dcvc_cli.backend.cuda.kernels import TILE_COLUMNS, TILE_ROWS, WIDE, choose_tile
from dcvc_cli.backend.cuda.packing import (
    chunked_columns,
    fours_columns,
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


class Product(NamedTuple):
    """A convolution with its epilogue so far, in the order of the fields.

    Attributes:
        inputs: one tensor, or two whose channels are one range.
        activation: the exponent of a WSiLU after the rescale.
        fold: 2 where the halves of the channels are added, 4 where each four neighbours are; 1 for neither.
        residuals: at most two, added one after the other.
        scale: name of a scale vector and row.
        is_sub_pixel: pixel shuffle by 2.
        picture: (shift from the exponent to a picture's, the picture's lowest value), limited to its range.
    """

    layer: "Conv"
    inputs: tuple[DeviceTensor, ...]
    activation: int | None = None
    fold: int = 1
    residuals: tuple[DeviceTensor, ...] = ()
    scale: tuple[str, int] | None = None
    is_sub_pixel: bool = False
    picture: tuple[int, int] | None = None

    def size(self) -> tuple[int, int]:
        """Returns (height, width) of the output."""
        layer, x = self.layer, self.inputs[0]
        height, width = ((side + 2 * layer.padding - layer.kernel) // layer.stride + 1 for side in (x.height, x.width))
        return (2 * height, 2 * width) if self.is_sub_pixel else (height, width)

    def channels(self) -> int:
        """Channels of the output."""
        return self.layer.cout // (4 if self.is_sub_pixel else self.fold)

    def shape(self) -> tuple[Any, ...]:
        """Returns everything but the addresses. One launch is prepared for each key."""
        inputs = tuple([(x.height, x.width, x.channels, x.pitch) for x in self.inputs])
        pitches = tuple([residual.pitch for residual in self.residuals])
        scale = None if self.scale is None else self.scale[0]
        return (
            self.layer.name,
            inputs,
            self.activation,
            self.fold,
            pitches,
            scale,
            self.is_sub_pixel,
            self.picture,
            self.layer.kernel,
        )


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
        key = self._key, product.shape()
        prepared, (height, width, channels) = self.engine.cached(key, lambda: self._prepared(product))
        out = self.engine.tensor(height, width, channels)
        addresses = {"x": product.inputs[0].address, "out": out.address}
        if len(product.inputs) == 2:
            addresses["x2"] = product.inputs[1].address
        for name, residual in zip(("first", "second"), product.residuals, strict=False):
            addresses[name] = residual.address
        if product.scale is not None:
            addresses["row"] = self.engine.slot(product.scale[1])
        self.engine.launch_prepared(prepared, **addresses)
        return out

    def _prepared(self, product: Product) -> tuple[Prepared, tuple[int, int, int]]:
        """Returns (the launch without its addresses, height, width and channels of the output)."""
        layer, x = product.layer, product.inputs[0]
        numbers = self.network.conv(layer.name)
        if layer.kernel != numbers.weight.shape[2]:  # a 1x1 layer of cells: the cells' channels are the kernel's places
            shape = layer.cout, layer.cin, layer.kernel, layer.kernel
            numbers = replace(numbers, weight=numbers.weight.reshape(shape))
        columns, form = self._columns(product)
        first = x.channels if len(product.inputs) == 2 else None
        matrix = f"{layer.name}:{form}:{first}"
        packed = self.engine.cached((self._key, matrix), lambda: self._pack(numbers, columns, first))
        height, width = product.size()
        pitch = round_up(product.channels(), 8)
        positions = height * width // (4 if product.is_sub_pixel else 1)
        multiprocessors = self.engine.device.num_multiprocessors
        tile = WIDE if packed["is_wide"] else choose_tile(positions, len(columns), multiprocessors)
        values: dict[str, Any] = {
            "weights": packed["weights"],
            "multiplier": packed["multiplier"],
            "addend": packed["addend"],
            "steps": packed["steps"],
            "positions": positions,
            "width": width // 2 if product.is_sub_pixel else width,
            "in_height": x.height,
            "in_width": x.width,
            "channels": round_up(x.channels, 8),
            "pitch": x.pitch,
            "kernel": layer.kernel,
            "stride": layer.stride,
            "padding": layer.padding,
            "out_columns": 4 * pitch if product.is_sub_pixel else pitch,
            "out_pitch": pitch,
        }
        if len(product.inputs) == 2:
            second = product.inputs[1]
            values |= {"channels2": round_up(second.channels, 8), "pitch2": second.pitch}
        if product.activation is not None:
            values |= {"activation": self.activation_table(), "exponent": product.activation}
        for name, residual in zip(("first", "second"), product.residuals, strict=False):
            values[f"{name}_pitch"] = residual.pitch
        if product.scale is not None:
            values["factors"], values["shifts"] = self.scale_rows(product.scale[0])
        if product.is_sub_pixel:
            values["sub_pixel"] = pitch
        if product.picture is not None:
            shift, lowest = product.picture
            values |= {"is_picture": 1, "picture_shift": shift, "picture_lowest": lowest}
        form_name = {1: "plain" if product.activation is None else "active", 2: "chunked", 4: "fours"}[product.fold]
        grid = -(-len(columns) // TILE_COLUMNS[tile]), -(-positions // TILE_ROWS[tile])
        prepared = self.engine.prepare(f"matrix_{tile}_{form_name}", grid, **values)
        return prepared, (height, width, product.channels())

    @staticmethod
    def _columns(product: Product) -> tuple[Any, str]:
        outputs = product.layer.cout
        if product.fold > 1:
            return (chunked_columns(outputs), "chunked") if product.fold == 2 else (fours_columns(outputs), "fours")
        return (sub_pixel_columns(outputs), "sub_pixel") if product.is_sub_pixel else (plain_columns(outputs), "plain")

    def _pack(self, numbers: ExactConv, columns: Any, first_channels: int | None) -> dict[str, Any]:
        packed = pack_matrix(numbers, columns, first_channels)
        owners = [self.engine.upload_array(array) for array in (packed.weights, packed.multiplier, packed.addend)]
        names = ("weights", "multiplier", "addend")
        addresses = {name: owner.address for name, owner in zip(names, owners, strict=True)}
        return {**addresses, "owners": owners, "steps": packed.steps, "is_wide": packed.is_wide}

    def depthwise(self, layer: "Depthwise", x: DeviceTensor) -> DeviceTensor:
        """Launches a depthwise layer; x aligned."""
        key = self._key, layer.name, x.height, x.width, x.pitch
        prepared = self.engine.cached(key, lambda: self._prepared_depthwise(layer, x))
        out = self.engine.tensor(x.height, x.width, x.channels)
        self.engine.launch_prepared(prepared, x=x.address, out=out.address)
        return out

    def _prepared_depthwise(self, layer: "Depthwise", x: DeviceTensor) -> Prepared:
        parts = zip("tma", pack_taps(self.network.conv(layer.name)), strict=True)
        taps, multiplier, addend = [
            self.constant(f"{layer.name}.{name}", lambda part=part: part) for name, part in parts
        ]
        channels = round_up(x.channels, 8)
        sizes = {"height": x.height, "width": x.width, "channels": channels, "pitch": x.pitch, "out_pitch": channels}
        grid = -(-x.width // 8) * -(-x.height // 8), -(-channels // 64)
        return self.engine.prepare("depthwise_3x3", grid, taps=taps, multiplier=multiplier, addend=addend, **sizes)

    def pointwise(self, name: str, x: DeviceTensor, out: DeviceTensor | None = None, **values: Any) -> DeviceTensor:
        """Launches an operation element by element. `out` may be some channels of a tensor; None makes a new tensor."""
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
            x_height=x.height,
            x_width=x.width,
            pitch=x.pitch,
            out_pitch=out.pitch,
            **values,
        )
        return out

    def joined(self, parts: Sequence[DeviceTensor]) -> DeviceTensor:
        """Joins the channels of all parts in one new tensor."""
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
    """Adds a tensor to the product. Returns None where its epilogue has no room for that."""
    has_room = product.scale is None and product.picture is None and len(product.residuals) < 2
    return product._replace(residuals=(*product.residuals, residual)) if has_room and residual.is_aligned else None
