"""The exact profile on the C++ kernels (`kernels/cpu`): the same bits as `exact_twin`, fast.

Values are (h, w, c). A picture keeps its channels in 8x8 cells (`ExactValue.cell`): the networks take it apart in the
same cells in which they put it together. Source: docs/exact-arithmetic.md.
"""

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from dcvc_cli.backend import exact_rules as rules
from dcvc_cli.backend.exact_base import ExactOperations, require_exponent
from dcvc_cli.backend.exact_network import ExactConv, ExactNetwork, ExactValue
from dcvc_cli.backend.operations import PlaneFlags, PlaneIndex, PlaneSymbols
from dcvc_cli.errors import EnvironmentFault
from dcvc_cli.format.native import ISA_VARIABLE, NativeModule

if TYPE_CHECKING:
    from dcvc_cli import _kernels as native
    from dcvc_cli.graph.blocks import Conv, DepthConvBlock, Depthwise, FourfoldBlock, ScaleVector
    from dcvc_cli.graph.latent_steps import CodingStep
else:
    native = NativeModule("_kernels")

MAX_THREADS = 256


def make_engine(num_threads: int = 1, isa: str | None = None) -> "native.Engine":
    """Makes threads, work memory and kernels that several networks can share.

    Args:
        num_threads: 1..256; the result does not depend on it.
        isa: the best instruction set that may be used: "scalar", "sse2", "avx2", "avx512", "amx" or "neon"; None takes
            the environment variable DCVC_CPU_ISA, else the best that the machine has.

    Raises:
        EnvironmentFault: the kernels are missing, or the machine cannot run those asked for.
    """
    wanted = isa if isa is not None else os.environ.get(ISA_VARIABLE, "")
    if native.isa_for(wanted) is None:
        usable = ", ".join(native.usable_isas())
        raise EnvironmentFault(
            f"instruction set {wanted!r} is not usable on this machine, usable are: {usable}", f"unset {ISA_VARIABLE}"
        )
    if not 1 <= num_threads <= MAX_THREADS:
        raise EnvironmentFault(f"the number of threads must be 1..{MAX_THREADS}, found {num_threads}")
    return native.Engine(wanted, num_threads, np.array(rules.WSILU_NODES, np.int16))


class ExactNative(ExactOperations):
    """Operations on ExactValue with data (h, w, c).

    Args:
        network: checked integer parameters.
        engine: from `make_engine`. Networks that do not run at once share it; their calls take turns.
    """

    def __init__(self, network: ExactNetwork, engine: "native.Engine | None" = None) -> None:
        super().__init__(network)
        self.engine = engine if engine is not None else make_engine()
        self._convs: dict[str, native.Conv] = {}
        self._depthwises: dict[str, native.Depthwise] = {}
        self._blocks: dict[str, native.Block] = {}
        self._row_tables: dict[int, NDArray[np.uint8]] = {}

    # ---- packed layers, made at first use

    def _pack(self, numbers: ExactConv, rows: slice, stride: int, padding: int) -> "native.Conv":
        weight = np.ascontiguousarray(numbers.weight[rows].transpose(0, 2, 3, 1))
        return native.Conv(weight, numbers.multiplier[rows], numbers.addend[rows], stride, padding)

    def _conv_layer(self, layer: "Conv") -> "native.Conv":
        if layer.name not in self._convs:
            self._convs[layer.name] = self._pack(
                self.network.conv(layer.name), slice(None), layer.stride, layer.padding
            )
        return self._convs[layer.name]

    def _depthwise_layer(self, layer: "Depthwise") -> "native.Depthwise":
        if layer.name not in self._depthwises:
            numbers = self.network.conv(layer.name)
            weight = np.ascontiguousarray(numbers.weight.reshape(layer.channels, 9))
            self._depthwises[layer.name] = native.Depthwise(weight, numbers.multiplier, numbers.addend)
        return self._depthwises[layer.name]

    def _block(self, block: "DepthConvBlock") -> "native.Block":
        """Returns the packed block, after checking that its layers' exponents fit each other."""
        if block.name not in self._blocks:
            wide = self.network.conv(block.ffn_in.name)
            half = wide.weight.shape[0] // 2
            halves = self._pack(wide, slice(None, half), 1, 0), self._pack(wide, slice(half, None), 1, 0)
            self._blocks[block.name] = self._packed_block(block, *halves)
        return self._blocks[block.name]

    def _fourfold_block(self, block: "FourfoldBlock") -> "native.Block":
        if block.name not in self._blocks:
            self._blocks[block.name] = self._packed_block(block, self._conv_layer(block.ffn_in), None)
        return self._blocks[block.name]

    def _packed_block(
        self, block: "DepthConvBlock | FourfoldBlock", ffn_first: "native.Conv", ffn_second: "native.Conv | None"
    ) -> "native.Block":
        numbers = {
            key: self.network.conv(layer.name)
            for key, layer in vars(block).items()
            if key.endswith(("_in", "_out", "_spatial"))
        }
        self._check_block(block, numbers, numbers["dc_in"].in_exponent)
        return native.Block(
            None if block.adaptor is None else self._conv_layer(block.adaptor),
            self._conv_layer(block.dc_in),
            self._depthwise_layer(block.dc_spatial),
            self._conv_layer(block.dc_out),
            ffn_first,
            ffn_second,
            self._conv_layer(block.ffn_out),
            numbers["dc_in"].out_exponent,
            numbers["ffn_in"].out_exponent,
            block.shortcut,
        )

    def _check_block(self, block: "DepthConvBlock | FourfoldBlock", numbers: dict[str, ExactConv], shared: int) -> None:
        empty = np.empty(0, np.int16)
        pairs = [
            ("ffn.0", numbers["ffn_in"].in_exponent, shared),
            ("dc.2", numbers["dc_spatial"].in_exponent, numbers["dc_in"].out_exponent),
            ("dc.3", numbers["dc_out"].in_exponent, numbers["dc_spatial"].out_exponent),
            ("ffn.2", numbers["ffn_out"].in_exponent, numbers["ffn_in"].out_exponent),
            ("dc.3's sum", shared, numbers["dc_out"].out_exponent),
            ("ffn.2's sum", shared, numbers["ffn_out"].out_exponent),
        ]
        if block.adaptor is not None:
            pairs.append(("dc.0", shared, self.network.conv(block.adaptor.name).out_exponent))
        for name, expected, found in pairs:
            require_exponent(f"{block.name}.{name}", expected, ExactValue(empty, found))
        for key in ("dc_in", "ffn_in"):
            self._require_activation(ExactValue(empty, numbers[key].out_exponent))

    @staticmethod
    def _require_activation(x: ExactValue) -> None:
        if x.exponent not in rules.WSILU_EXPONENTS:
            require_exponent(
                "an activation", min(max(x.exponent, rules.WSILU_EXPONENTS.start), rules.WSILU_EXPONENTS.stop - 1), x
            )

    # ---- layers

    def conv(self, layer: "Conv", x: ExactValue) -> ExactValue:
        numbers = self.network.conv(layer.name)
        require_exponent(layer.name, numbers.in_exponent, x)
        return ExactValue(self.engine.conv(self._conv_layer(layer), x.data), numbers.out_exponent)

    def depthwise(self, layer: "Depthwise", x: ExactValue) -> ExactValue:
        numbers = self.network.conv(layer.name)
        require_exponent(layer.name, numbers.in_exponent, x)
        return ExactValue(self.engine.depthwise(self._depthwise_layer(layer), x.data), numbers.out_exponent)

    def conv_of_cells(self, layer: "Conv", x: ExactValue, factor: int) -> ExactValue:
        """Computes a convolution with kernel and stride `factor`: the same products without a rearranged copy of x."""
        numbers = self.network.conv(layer.name)
        require_exponent(layer.name, numbers.in_exponent, x)
        if layer.name not in self._convs:
            cells = numbers.weight.reshape(layer.cout, -1, factor, factor)
            weight = np.ascontiguousarray(cells.transpose(0, 2, 3, 1))
            self._convs[layer.name] = native.Conv(weight, numbers.multiplier, numbers.addend, factor, 0)
        return ExactValue(self.engine.conv(self._convs[layer.name], x.data), numbers.out_exponent)

    def depth_conv_block(self, block: "DepthConvBlock", x: ExactValue) -> ExactValue:
        return self._run_block(self._block(block), block, x)

    def fourfold_block(self, block: "FourfoldBlock", *parts: ExactValue) -> ExactValue:
        """Computes the whole block. An adaptor reads the parts where they are; nothing concatenates them in memory."""
        if block.adaptor is None and len(parts) > 1:
            parts = (self.concat(*parts),)
        return self._run_block(self._fourfold_block(block), block, *parts)

    def _run_block(
        self, packed: "native.Block", block: "DepthConvBlock | FourfoldBlock", *parts: ExactValue
    ) -> ExactValue:
        entry = block.dc_in if block.adaptor is None else block.adaptor
        require_exponent(block.name, self.network.conv(entry.name).in_exponent, *parts)
        out = self.engine.depth_conv_block(packed, [part.data for part in parts])
        return ExactValue(out, self.network.conv(block.ffn_out.name).out_exponent)

    def scale(self, vector: "ScaleVector", x: ExactValue, qp: int) -> ExactValue:
        numbers = self.network.scale(vector.name)
        require_exponent(vector.name, numbers.in_exponent, x)
        return ExactValue(self.engine.scale(x.data, numbers.factors[qp], int(numbers.shifts[qp])), numbers.out_exponent)

    def wsilu(self, x: ExactValue) -> ExactValue:
        self._require_activation(x)
        return ExactValue(self.engine.activate(x.data, x.exponent), x.exponent)

    def chunk_add(self, x: ExactValue) -> ExactValue:
        half = x.data.shape[2] // 2
        first, second = self.split(x, (half, half))
        return self.add(first, second)

    def add_fours(self, x: ExactValue) -> ExactValue:
        return ExactValue(self.engine.add_fours(x.data), x.exponent)

    def add(self, x: ExactValue, y: ExactValue) -> ExactValue:
        require_exponent("a sum", x.exponent, y)
        return ExactValue(self.engine.add(x.data, y.data), x.exponent, x.cell)

    # ---- shapes

    def concat(self, *parts: ExactValue) -> ExactValue:
        require_exponent("a concatenation", parts[0].exponent, *parts)
        return ExactValue(self.engine.concat([part.data for part in parts]), parts[0].exponent)

    def split(self, x: ExactValue, sizes: Sequence[int]) -> Sequence[ExactValue]:
        ends = np.cumsum(sizes)
        return [
            ExactValue(np.ascontiguousarray(x.data[:, :, end - size : end]), x.exponent)
            for size, end in zip(sizes, ends, strict=True)
        ]

    def pixel_shuffle(self, x: ExactValue, factor: int) -> ExactValue:
        if factor == rules.PICTURE_CELL:
            return ExactValue(x.data, x.exponent, rules.PICTURE_CELL)
        return ExactValue(self.engine.pixel_shuffle(x.data, factor), x.exponent)

    def pixel_unshuffle(self, x: ExactValue, factor: int) -> ExactValue:
        if x.cell != factor:
            raise NotImplementedError("only pictures that a network made are taken apart")
        return ExactValue(x.data, x.exponent)

    def crop(self, x: ExactValue, size: tuple[int, int]) -> ExactValue:
        return ExactValue(np.ascontiguousarray(x.data[: size[0], : size[1]]), x.exponent)

    def _from_planes(self, planes: NDArray[np.int16], exponent: int) -> ExactValue:
        return ExactValue(np.ascontiguousarray(planes.transpose(1, 2, 0)), exponent)

    def pad_replicate(self, x: ExactValue, multiple: int) -> ExactValue:
        height, width, _ = x.data.shape
        margins = ((0, -height % multiple), (0, -width % multiple), (0, 0))
        return ExactValue(np.pad(x.data, margins, mode="edge"), x.exponent)

    def size(self, x: ExactValue) -> tuple[int, int]:
        return x.data.shape[0] * x.cell, x.data.shape[1] * x.cell

    # ---- values

    def half_to_two(self, x: ExactValue) -> ExactValue:
        return ExactValue(
            rules.half_to_two(x.data.astype(np.int64), x.exponent).astype(np.int16), rules.STEP_SIZE_EXPONENT
        )

    def clamp_step_size(self, x: ExactValue) -> ExactValue:
        return ExactValue(np.maximum(x.data, np.int16(rules.smallest_step_size(x.exponent))), x.exponent)

    def multiply_step_size(self, latents: ExactValue, step_size: ExactValue) -> ExactValue:
        exponent = self.network.y_hat_exponent
        shift = latents.exponent + step_size.exponent - exponent
        return ExactValue(self.engine.multiply(latents.data, step_size.data, shift), exponent)

    def clamp_unit(self, x: ExactValue) -> ExactValue:
        return self._picture(x, 0, 1 << rules.FRAME_EXPONENT)

    def clamp_centred(self, x: ExactValue) -> ExactValue:
        return self._picture(x, -rules.HALF_SAMPLE, rules.HALF_SAMPLE)

    def from_centre(self, x: ExactValue) -> ExactValue:
        require_exponent("a picture", rules.FRAME_EXPONENT, x)
        half = rules.HALF_SAMPLE
        return ExactValue(self.engine.clamp(x.data, 0, -half, half, half), x.exponent, x.cell)

    def _picture(self, x: ExactValue, lowest: int, highest: int) -> ExactValue:
        shift = x.exponent - rules.FRAME_EXPONENT
        return ExactValue(self.engine.clamp(x.data, shift, lowest, highest), rules.FRAME_EXPONENT, x.cell)

    # ---- latents and symbols

    def _row_table(self, exponent: int) -> NDArray[np.uint8]:
        if exponent not in self._row_tables:
            self._row_tables[exponent] = rules.row_of_scale(exponent)
        return self._row_tables[exponent]

    def step_index(
        self, step: "CodingStep", scales: ExactValue, skip_threshold: float | None
    ) -> tuple[PlaneIndex, PlaneFlags]:
        groups = [step.group_at(position) for position in range(4)]
        skipped = rules.largest_skipped(skip_threshold, scales.exponent)
        rows, coded = self.engine.step_index(
            scales.data, groups, step.num_groups, self._row_table(scales.exponent), skipped
        )
        return rows, coded

    def restore_step(self, step: "CodingStep", symbols: PlaneSymbols, means: ExactValue) -> ExactValue:
        groups = [step.group_at(position) for position in range(4)]
        plane = np.ascontiguousarray(symbols)
        return ExactValue(
            self.engine.restore_step(plane, means.data, groups, step.num_groups, means.exponent), means.exponent
        )

    def z_from_symbols(self, symbols: PlaneSymbols) -> ExactValue:
        values = symbols.transpose(1, 2, 0).astype(np.int16) << np.int16(rules.Z_EXPONENT)
        return ExactValue(np.ascontiguousarray(values), rules.Z_EXPONENT)

    # ---- pictures

    def export_planes(
        self, frame: ExactValue, *, halve_chroma: bool, truncate_chroma: bool
    ) -> tuple[NDArray[np.uint8], ...]:
        self._require_picture(frame)
        planes: tuple[NDArray[np.uint8], ...] = self.engine.export_planes(
            frame.data, frame.exponent, halve_chroma, truncate_chroma
        )
        return planes

    def export_fine(self, frame: ExactValue) -> NDArray[np.int32]:
        self._require_picture(frame)
        values = rules.shift_round(frame.data.astype(np.int64) * 65535, rules.FRAME_EXPONENT).astype(np.int32)
        height, width, _ = values.shape
        cells = values.reshape(height, width, 3, rules.PICTURE_CELL, rules.PICTURE_CELL).transpose(2, 0, 3, 1, 4)
        return np.ascontiguousarray(cells.reshape(3, height * rules.PICTURE_CELL, width * rules.PICTURE_CELL))

    def samples_from_frame(self, frame: ExactValue) -> NDArray[np.int16]:
        self._require_picture(frame)
        height, width, _ = frame.data.shape
        return frame.data.reshape(height, width, 3, rules.PICTURE_CELL, rules.PICTURE_CELL).transpose(2, 0, 3, 1, 4)

    def frame_from_samples(self, samples: NDArray[np.int16]) -> ExactValue:
        cells = samples.transpose(1, 3, 0, 2, 4)
        return ExactValue(
            np.ascontiguousarray(cells).reshape(*cells.shape[:2], -1), rules.FRAME_EXPONENT, rules.PICTURE_CELL
        )

    @staticmethod
    def _require_picture(frame: ExactValue) -> None:
        require_exponent("a picture", rules.FRAME_EXPONENT, frame)
        if frame.cell != rules.PICTURE_CELL:
            raise NotImplementedError("only pictures that a network made are exported")

    def to_float(self, x: ExactValue) -> NDArray[np.float32]:
        """Returns (c, h, w); a picture stays in its cells."""
        return np.ascontiguousarray(x.data.transpose(2, 0, 1)).astype(np.float32) / np.float32(1 << x.exponent)
