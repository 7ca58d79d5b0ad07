"""The exact profile on CUDA kernels (`kernels/cuda`): the same bits as `exact_twin`, on a GPU.

Values are (h, w, c) in device memory. A picture keeps its channels in 8x8 cells, as in `exact_native`. Operations
launch nothing by themselves: an engine collects their launches and starts them where the host needs a value. Source:
docs/exact-arithmetic.md, docs/cuda.md.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dcvc_cli.backend import exact_rules as rules
from dcvc_cli.backend.cuda.engine import CudaEngine, DeviceTensor
from dcvc_cli.backend.cuda.latents import CudaLatents
from dcvc_cli.backend.cuda.layers import Layers, Product, with_residual
from dcvc_cli.backend.cuda.packing import pieces_table, round_up
from dcvc_cli.backend.cuda.steps import Choice, CodedPlaces, StepKernels
from dcvc_cli.backend.cuda.value import CudaValue
from dcvc_cli.backend.exact_cuda_pictures import CudaPictureOperations, require_exponents
from dcvc_cli.backend.exact_network import ExactNetwork
from dcvc_cli.backend.operations import (
    CodedSymbols,
    Operations,
    PlaneFlags,
    PlaneIndex,
    PlaneSymbols,
)
from dcvc_cli.graph.blocks import Conv

if TYPE_CHECKING:
    import torch

    from dcvc_cli.graph.blocks import DepthConvBlock, Depthwise, FourfoldBlock, ScaleVector
    from dcvc_cli.graph.latent_steps import CodingStep


class ExactCuda(CudaPictureOperations):
    """Operations on CudaValue.

    Args:
        network: checked integer parameters.
        engine: of the device; networks share it.
    """

    computes_beside_host = True

    def __init__(self, network: ExactNetwork, engine: CudaEngine) -> None:
        super().__init__(network, engine)
        self.layers, self.steps = Layers(network, engine), StepKernels(engine)

    def _value(self, tensor: DeviceTensor, exponent: int, cell: int = 1) -> CudaValue:
        return CudaValue(self.layers, exponent, tensor, cell=cell)

    def _later(self, product: Product, exponent: int, cell: int = 1) -> CudaValue:
        return CudaValue(self.layers, exponent, product=product, cell=cell)

    def _aligned(self, x: DeviceTensor) -> DeviceTensor:
        """Returns x itself, or a copy that can be read 8 channels at a time."""
        return x if x.is_aligned else self.layers.pointwise("copy", x)

    def _inputs(self, layer: "Conv", x: CudaValue) -> tuple[DeviceTensor, ...]:
        if len(x.parts) == 2 and x._tensor is None and layer.kernel == 1:
            return tuple(self._aligned(part) for part in x.parts)
        return (self._aligned(x.tensor),)

    def start(self, *values: CudaValue) -> None:
        for value in values:
            _ = value.tensor
        self.engine.flush()

    # ---- layers

    def conv(self, layer: "Conv", x: CudaValue) -> CudaValue:
        numbers = self.network.conv(layer.name)
        require_exponents(layer.name, numbers.in_exponent, x)
        return self._later(Product(layer, self._inputs(layer, x)), numbers.out_exponent)

    def depthwise(self, layer: "Depthwise", x: CudaValue) -> CudaValue:
        numbers = self.network.conv(layer.name)
        require_exponents(layer.name, numbers.in_exponent, x)
        return self._value(self.layers.depthwise(layer, self._aligned(x.tensor)), numbers.out_exponent)

    def active(self, x: CudaValue) -> CudaValue:
        """Computes WSiLU of a product."""
        assert x.product is not None
        self._require_activation(x)
        return self._later(x.product._replace(activation=x.exponent), x.exponent)

    def chunked(self, x: CudaValue) -> CudaValue:
        """Computes chunk-add of an active product."""
        assert x.product is not None
        return self._later(x.product._replace(fold=2), x.exponent)

    def folded_fours(self, x: CudaValue) -> CudaValue:
        """Sums of each four neighbouring channels of an active product."""
        assert x.product is not None
        return self._later(x.product._replace(fold=4), x.exponent)

    def conv_of_cells(self, layer: "Conv", x: CudaValue, factor: int) -> CudaValue:
        """Computes a convolution with kernel and stride `factor`: the same products without a rearranged copy of x."""
        if x.cell != 1:
            return super().conv_of_cells(layer, x, factor)
        numbers = self.network.conv(layer.name)
        require_exponents(layer.name, numbers.in_exponent, x)
        strided = Conv(layer.name, layer.cin // factor**2, layer.cout, kernel=factor, stride=factor)
        return self._later(Product(strided, (self._aligned(x.tensor),)), numbers.out_exponent)

    def depth_conv_block(self, block: "DepthConvBlock", x: CudaValue) -> CudaValue:
        return self._block(block, x, self.chunked)

    def fourfold_block(self, block: "FourfoldBlock", *parts: CudaValue) -> CudaValue:
        return self._block(block, parts[0] if len(parts) == 1 else self.concat(*parts), self.folded_fours)

    def _block(
        self, block: "DepthConvBlock | FourfoldBlock", x: CudaValue, fold: Callable[[CudaValue], CudaValue]
    ) -> CudaValue:
        if block.adaptor is not None:
            x = self.conv(block.adaptor, x)
        x = self._value(self._aligned(x.tensor), x.exponent)
        spatial = self.depthwise(block.dc_spatial, self.active(self.conv(block.dc_in, x)))
        t = self.add(self.conv(block.dc_out, spatial), x)
        hidden = fold(self.active(self.conv(block.ffn_in, t)))
        out = self.add(self.conv(block.ffn_out, hidden), t)
        return self.add(out, x) if block.shortcut else out

    def scale(self, vector: "ScaleVector", x: CudaValue, qp: int) -> CudaValue:
        numbers = self.network.scale(vector.name)
        require_exponents(vector.name, numbers.in_exponent, x)
        waiting = x.waiting
        if waiting is not None and waiting.scale is None and not waiting.is_sub_pixel and waiting.picture is None:
            return self._later(waiting._replace(scale=(vector.name, qp)), numbers.out_exponent)
        factors, shifts = self.layers.scale_rows(vector.name)
        row, pitch = self.engine.slot(qp), round_up(vector.channels, 8)
        out = self.layers.pointwise("scale", x.tensor, factors=factors, shifts=shifts, row=row, factors_pitch=pitch)
        return self._value(out, numbers.out_exponent)

    @staticmethod
    def _require_activation(x: CudaValue) -> None:
        if x.exponent not in rules.WSILU_EXPONENTS:
            require_exponents(
                "an activation", min(max(x.exponent, rules.WSILU_EXPONENTS.start), rules.WSILU_EXPONENTS.stop - 1), x
            )

    def wsilu(self, x: CudaValue) -> CudaValue:
        self._require_activation(x)
        table = self.layers.activation_table()
        return self._value(self.layers.pointwise("activate", x.tensor, table=table, exponent=x.exponent), x.exponent)

    def chunk_add(self, x: CudaValue) -> CudaValue:
        half = x.tensor.channels // 2
        first, second = self.split(x, (half, half))
        return self.add(first, second)

    def add_fours(self, x: CudaValue) -> CudaValue:
        tensor = x.tensor
        out = self.engine.tensor(tensor.height, tensor.width, tensor.channels // 4)
        # The channels behind the sums are 0, since the channels behind x are.
        self.layers.pointwise("add_fours", tensor, replace(out, channels=out.pitch))
        return self._value(out, x.exponent)

    def add(self, x: CudaValue, y: CudaValue) -> CudaValue:
        require_exponents("a sum", x.exponent, y)
        for product, other in ((x.waiting, y), (y.waiting, x)):
            if product is None or other.waiting is product:
                continue
            added = with_residual(product, other.tensor)
            if added is not None:
                return self._later(added, x.exponent, x.cell)
        a, b = x.tensor, y.tensor
        return self._value(self.layers.pointwise("add", a, y=b.address, y_pitch=b.pitch), x.exponent, x.cell)

    # ---- shapes

    def concat(self, *parts: CudaValue) -> CudaValue:
        require_exponents("a concatenation", parts[0].exponent, *parts)
        return CudaValue(self.layers, parts[0].exponent, parts=[part.tensor for part in parts])

    def split(self, x: CudaValue, sizes: Sequence[int]) -> Sequence[CudaValue]:
        ends = np.cumsum(sizes)
        return [
            self._value(x.tensor.channels_from(int(end) - size, size), x.exponent)
            for size, end in zip(sizes, ends, strict=True)
        ]

    def pixel_shuffle(self, x: CudaValue, factor: int) -> CudaValue:
        if factor == rules.PICTURE_CELL:
            if x.waiting is not None:
                return self._later(x.waiting, x.exponent, rules.PICTURE_CELL)
            return self._value(x.tensor, x.exponent, rules.PICTURE_CELL)
        waiting = x.waiting
        if factor == 2 and waiting is not None and waiting == Product(waiting.layer, waiting.inputs):
            return self._later(waiting._replace(is_sub_pixel=True), x.exponent)
        return self._value(self.pictures.shuffle(x.tensor, factor), x.exponent)

    def pixel_unshuffle(self, x: CudaValue, factor: int) -> CudaValue:
        if x.cell == factor:
            return self._value(x.tensor, x.exponent)
        if x.cell != 1:
            raise NotImplementedError("a picture is taken apart the way it was put together")
        return self._value(self.pictures.unshuffle(x.tensor, factor), x.exponent)

    def crop(self, x: CudaValue, size: tuple[int, int]) -> CudaValue:
        tensor = x.tensor
        if size == (tensor.height, tensor.width):
            return x
        out = self.engine.tensor(*size, tensor.channels)
        return self._value(
            self.layers.pointwise("copy", tensor, replace(out, channels=out.pitch)).with_channels(tensor.channels),
            x.exponent,
        )

    def pad_replicate(self, x: CudaValue, multiple: int) -> CudaValue:
        tensor = x.tensor
        height, width = (round_up(side, multiple) for side in (tensor.height, tensor.width))
        if (height, width) == (tensor.height, tensor.width):
            return x
        out = self.engine.tensor(height, width, tensor.channels)
        return self._value(self.layers.pointwise("replicate", tensor, out), x.exponent)

    def size(self, x: CudaValue) -> tuple[int, int]:
        height, width = x.waiting.size() if x.waiting is not None else (x.tensor.height, x.tensor.width)
        return height * x.cell, width * x.cell

    # ---- values

    def half_to_two(self, x: CudaValue) -> CudaValue:
        table = self.engine.constant("half_to_two", lambda: pieces_table(rules.HALF_TO_TWO_NODES))
        out = self.layers.pointwise("half_to_two_by_table", x.tensor, table=table, exponent=x.exponent)
        return self._value(out, rules.STEP_SIZE_EXPONENT)

    def clamp_step_size(self, x: CudaValue) -> CudaValue:
        return self._value(
            self.layers.pointwise("at_least", x.tensor, bound=rules.smallest_step_size(x.exponent)), x.exponent
        )

    def multiply_step_size(self, latents: CudaValue, step_size: CudaValue) -> CudaValue:
        exponent, step = self.network.y_hat_exponent, step_size.tensor
        shift = latents.exponent + step_size.exponent - exponent
        second = {"y": step.address, "y_pitch": step.pitch, "y_channels": step.channels}
        return self._value(self.layers.pointwise("multiply", latents.tensor, None, exponent=shift, **second), exponent)

    def clamp_unit(self, x: CudaValue) -> CudaValue:
        return self._limited(x, 0)

    def clamp_centred(self, x: CudaValue) -> CudaValue:
        return self._limited(x, -rules.HALF_SAMPLE)

    def centre(self, x: Any) -> Any:
        require_exponents("a picture", rules.FRAME_EXPONENT, x)
        shift = rules.FRAME_EXPONENT - self._context_exponent
        tensor = self.layers.pointwise("rescale", x.tensor, exponent=shift, bound=-rules.HALF_SAMPLE)
        return self._value(tensor, self._context_exponent, x.cell)

    def context_from(self, synthesis: Operations, context: Any) -> Any:
        """On one engine the context stays on the device."""
        shift = context.exponent - self._context_exponent
        return self._value(self.layers.pointwise("rescale", context.tensor, exponent=shift), self._context_exponent)

    def from_centre(self, x: CudaValue) -> CudaValue:
        require_exponents("a picture", rules.FRAME_EXPONENT, x)
        return self._value(self.layers.pointwise("offset", x.tensor, bound=rules.HALF_SAMPLE), x.exponent, x.cell)

    def _limited(self, x: CudaValue, lowest: int) -> CudaValue:
        """Makes a picture of values from `lowest` on."""
        shift, exponent = x.exponent - rules.FRAME_EXPONENT, rules.FRAME_EXPONENT
        if x.waiting is not None and x.waiting.picture is None and not x.waiting.is_sub_pixel:
            return self._later(x.waiting._replace(picture=(shift, lowest)), exponent, x.cell)
        tensor = self.layers.pointwise("to_picture", x.tensor, exponent=shift, bound=lowest)
        return self._value(tensor, exponent, x.cell)

    # ---- latents and symbols

    def step_index(
        self, step: "CodingStep", scales: CudaValue, skip_threshold: float | None
    ) -> tuple[PlaneIndex, PlaneFlags]:
        return self.steps.planes(step, scales.tensor, scales.exponent, skip_threshold)

    def restore_step(self, step: "CodingStep", symbols: PlaneSymbols, means: CudaValue) -> CudaValue:
        return self._value(self.steps.restore_plane(step, symbols, means.tensor, means.exponent), means.exponent)

    def quantise_step(
        self,
        step: "CodingStep",
        y: Any,
        scales: Any,
        means: Any,
        skip_threshold: float | None,
        zero_below: NDArray[np.float32] | None = None,
    ) -> tuple[Any, PlaneSymbols, PlaneIndex, PlaneFlags]:
        choice = self._choice(scales, means, skip_threshold, zero_below)
        part, symbols, index, coded = self.steps.quantise(step, y, scales.tensor, means.tensor, choice)
        return self._value(part, means.exponent), symbols, index, coded

    def quantise_coded(
        self,
        step: "CodingStep",
        y: Any,
        scales: Any,
        means: Any,
        skip_threshold: float | None,
        zero_below: NDArray[np.float32] | None = None,
    ) -> tuple[Any, Callable[[], CodedSymbols]]:
        choice = self._choice(scales, means, skip_threshold, zero_below)
        part, taken = self.steps.quantise_coded(step, y, scales.tensor, means.tensor, choice)
        return self._value(part, means.exponent), taken

    @staticmethod
    def _choice(scales: Any, means: Any, skip_threshold: float | None, below: NDArray[np.float32] | None) -> Choice:
        skipped = rules.largest_skipped(skip_threshold, scales.exponent)
        return Choice(scales.exponent, means.exponent, skipped, below)

    def coded_rows(
        self, step: "CodingStep", scales: CudaValue, skip_threshold: float | None
    ) -> tuple[NDArray[np.uint8], CodedPlaces]:
        return self.steps.coded_rows(step, scales.tensor, scales.exponent, skip_threshold)

    def restore_coded(
        self, step: "CodingStep", symbols: NDArray[np.int8], places: CodedPlaces, means: CudaValue
    ) -> CudaValue:
        return self._value(
            self.steps.restore_coded(step, symbols, places, means.tensor, means.exponent), means.exponent
        )

    def z_from_symbols(self, symbols: PlaneSymbols) -> CudaValue:
        return self._value(self.steps.hyper_latents(symbols), rules.Z_EXPONENT)

    def _is_beside(self, analysis: Operations) -> bool:
        """Whether values of an analysis lie on this device."""
        return isinstance(analysis, ExactCuda) and analysis.engine is self.engine

    def choose_z(
        self, analysis: Operations, z: Any, limits: tuple[int, int] = (-128, 127)
    ) -> tuple[Callable[[], PlaneSymbols], Any]:
        if not self._is_beside(analysis):
            return super().choose_z(analysis, z, limits)
        symbols, tensor = self.steps.choose_hyper_latents(z.tensor, z.exponent, *limits)
        return symbols, self._value(tensor, rules.Z_EXPONENT)

    def latents_of(self, analysis: Operations, y: Any) -> Any:
        """On one engine the latents stay on the device."""
        if not self._is_beside(analysis):
            return super().latents_of(analysis, y)
        return CudaLatents.of(self.engine, y.tensor, y.exponent)

    # ---- between two backends

    def to_float(self, x: CudaValue) -> NDArray[np.float32]:
        """Returns (c, h, w); a picture stays in its cells."""
        data = self.engine.download_tensor(x.tensor).transpose(2, 0, 1)
        return np.ascontiguousarray(data).astype(np.float32) / np.float32(1 << x.exponent)

    @property
    def shares_with_torch(self) -> bool:
        return self.engine.device.shares_with_torch

    def to_tensor(self, x: CudaValue) -> "torch.Tensor":
        return self.engine.read_tensor(x.tensor).permute(2, 0, 1).float().div_(1 << x.exponent)
