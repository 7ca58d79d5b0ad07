"""The float backend: every operation in PyTorch, in float64, float32, bfloat16 or float16, on any device,
differentiable.

Results are not bit-exact across machines: sums of floats depend on their order. The conformance vectors are defined in
float64.
"""

import ctypes
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from dcvc_cli.backend.exact_rules import FRAME_EXPONENT
from dcvc_cli.backend.float_layers import FloatLayers
from dcvc_cli.backend.operations import Operations, PlaneFlags, PlaneIndex, PlaneSymbols
from dcvc_cli.backend.torch_graphs import Recorder, RepeatedSections
from dcvc_cli.entropy.scale_index import index_from_scale, is_coded
from dcvc_cli.graph.blocks import Qp

if TYPE_CHECKING:
    from dcvc_cli.graph.blocks import Conv, DepthConvBlock, Depthwise, ScaleVector
    from dcvc_cli.graph.latent_steps import CodingStep


FRAME_SCALE = float(1 << FRAME_EXPONENT)
"""Integer pictures hold samples in 0..1 as 0..8192."""
LARGEST_KEPT_BYTES = 32 << 20
"""The largest block that the C library can take from its own memory instead of asking the system for it."""


def keep_freed_memory() -> None:
    """Lets this process use the memory of one tensor again for the next. By default glibc gives every large block back
    to the system and faults its pages in anew. With two threads that took a third of a frame's time. With another C
    library this does nothing."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):
        return
    mmap_threshold, trim_threshold = -3, -1
    mallopt(mmap_threshold, LARGEST_KEPT_BYTES)
    mallopt(trim_threshold, 16 * LARGEST_KEPT_BYTES)


def _channels_last(x: torch.Tensor) -> torch.Tensor:
    return x.contiguous(memory_format=torch.channels_last)


def _in_coder_layout(x: torch.Tensor) -> torch.Tensor:
    """Latents in the layout that encoder and decoder share. From equal values in two layouts PyTorch computes results
    that differ in the last bits. A scale that falls into another bin turns the rest of a stream into noise."""
    return _channels_last(x)


def _is_one_wide(layer: "Conv", x: torch.Tensor) -> bool:
    """Returns whether a convolution gives one sample a row."""
    return (x.shape[-1] + 2 * layer.padding - layer.kernel) // layer.stride == 0


class FloatOperations(FloatLayers, Operations):
    """Operations on (N, c, h, w) torch tensors.

    Args:
        parameters: state dict of one network, already on the device and in the type to compute in.
    """

    def __init__(self, parameters: Mapping[str, torch.Tensor]) -> None:
        self.parameters = parameters
        first = next(iter(parameters.values()))
        self.dtype, self.device = first.dtype, first.device
        self._masks: dict[tuple[Any, ...], torch.Tensor] = {}

    # ---- layers

    def conv(self, layer: "Conv", x: torch.Tensor) -> torch.Tensor:
        weight, bias = self.parameters[layer.name + ".weight"], self.parameters.get(layer.name + ".bias")
        return F.conv2d(x, weight, bias, stride=layer.stride, padding=layer.padding)

    def depthwise(self, layer: "Depthwise", x: torch.Tensor) -> torch.Tensor:
        weight, bias = self.parameters[layer.name + ".weight"], self.parameters[layer.name + ".bias"]
        return F.conv2d(x, weight, bias, padding=1, groups=layer.channels)

    def scale(self, vector: "ScaleVector", x: torch.Tensor, qp: Qp) -> torch.Tensor:
        """`qp` is an int, or in training an int64 tensor with one QP per sample."""
        rows = self.parameters[vector.name][qp]
        return x * rows.reshape(*rows.shape[: rows.dim() - 2 if rows.dim() > 2 else rows.dim()], 1, 1).to(x.dtype)

    def wsilu(self, x: torch.Tensor) -> torch.Tensor:
        return x * torch.sigmoid(4.0 * x)

    def chunk_add(self, x: torch.Tensor) -> torch.Tensor:
        first, second = x.chunk(2, dim=1)
        return first + second

    def add_fours(self, x: torch.Tensor) -> torch.Tensor:
        return x.unflatten(1, (-1, 4)).sum(2)

    def add(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return x + y

    # ---- shapes

    def concat(self, *parts: torch.Tensor) -> torch.Tensor:
        return torch.cat(parts, dim=1)

    def split(self, x: torch.Tensor, sizes: Sequence[int]) -> Sequence[torch.Tensor]:
        return torch.split(x, list(sizes), dim=1)

    def pixel_shuffle(self, x: torch.Tensor, factor: int) -> torch.Tensor:
        return F.pixel_shuffle(x, factor)

    def pixel_unshuffle(self, x: torch.Tensor, factor: int) -> torch.Tensor:
        return F.pixel_unshuffle(x, factor)

    def crop(self, x: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
        return x[..., : size[0], : size[1]]

    def pad_replicate(self, x: torch.Tensor, multiple: int) -> torch.Tensor:
        height, width = self.size(x)
        bottom, right = -height % multiple, -width % multiple
        return F.pad(x, (0, right, 0, bottom), mode="replicate") if bottom or right else x

    def size(self, x: torch.Tensor) -> tuple[int, int]:
        return x.shape[-2], x.shape[-1]

    # ---- values

    def half_to_two(self, x: torch.Tensor) -> torch.Tensor:
        return torch.sigmoid(x) * 1.5 + 0.5

    def clamp_step_size(self, x: torch.Tensor) -> torch.Tensor:
        return torch.clamp_min(x, 0.5)

    def reciprocal(self, x: torch.Tensor) -> torch.Tensor:
        return torch.reciprocal(x)

    def multiply_step_size(self, latents: torch.Tensor, step_size: torch.Tensor) -> torch.Tensor:
        return latents * step_size

    def clamp_unit(self, x: torch.Tensor) -> torch.Tensor:
        return x.clamp(0.0, 1.0)

    def centre(self, x: torch.Tensor) -> torch.Tensor:
        return x - 0.5

    def from_centre(self, x: torch.Tensor) -> torch.Tensor:
        return x + 0.5

    def clamp_centred(self, x: torch.Tensor) -> torch.Tensor:
        return x.clamp(-0.5, 0.5)

    # ---- latents and symbols

    def mask(self, step: "CodingStep", channels: int, size: tuple[int, int], like: torch.Tensor) -> torch.Tensor:
        """Returns 1 where `step` codes, 0 elsewhere: (1, channels, h, w) in the type of `like`."""
        key = (step, channels, size, like.dtype, like.device)
        if key not in self._masks:
            group = channels // step.num_groups
            cell = torch.zeros(1, channels, 2, 2)
            for index, classes in enumerate(step.classes):
                for position in classes:
                    cell[:, index * group : (index + 1) * group, position // 2, position % 2] = 1
            tiled = cell.repeat(1, 1, (size[0] + 1) // 2, (size[1] + 1) // 2)[..., : size[0], : size[1]]
            self._masks[key] = tiled.to(like)
        return self._masks[key]

    def _plane(self, step: "CodingStep", masked: torch.Tensor) -> torch.Tensor:
        """Sums the channel groups of a masked tensor: at each position only one is not zero."""
        return sum(masked.chunk(step.num_groups, dim=1))[0]  # type: ignore[index]

    def quantise_step(
        self,
        step: "CodingStep",
        y: torch.Tensor,
        scales: torch.Tensor,
        means: torch.Tensor,
        skip_threshold: float | None,
        zero_below: NDArray[np.float32] | None = None,
    ) -> tuple[torch.Tensor, PlaneSymbols, PlaneIndex, PlaneFlags]:
        mask = self.mask(step, scales.shape[1], self.size(scales), scales)
        masked_scales, masked_means = scales * mask, means * mask
        unrounded = (y - masked_means) * mask
        residual = torch.round(unrounded)
        if skip_threshold is not None:
            residual = torch.where(masked_scales > skip_threshold, residual, torch.zeros_like(residual))
        residual = residual.clamp(-128, 127)
        index, coded = self.step_index(step, scales, skip_threshold)
        symbols = self._plane(step, residual).to(torch.int8).cpu().numpy()
        if zero_below is not None:
            symbols[np.abs(self._plane(step, unrounded).float().cpu().numpy()) < zero_below[index]] = 0
            return self.restore_step(step, symbols, means), symbols, index, coded
        return _in_coder_layout(residual + masked_means), symbols, index, coded

    def step_index(
        self, step: "CodingStep", scales: torch.Tensor, skip_threshold: float | None
    ) -> tuple[PlaneIndex, PlaneFlags]:
        mask = self.mask(step, scales.shape[1], self.size(scales), scales)
        plane = self._plane(step, scales * mask)
        if plane.dtype not in (torch.float32, torch.float64):
            plane = plane.float()
        values = plane.cpu().numpy()
        limits = step.limits_scales
        return index_from_scale(values, limits_scales=limits), is_coded(values, skip_threshold, limits_scales=limits)

    def restore_step(
        self, step: "CodingStep", symbols: PlaneSymbols | NDArray[np.int16], means: torch.Tensor
    ) -> torch.Tensor:
        values = torch.from_numpy(symbols).to(means.device, means.dtype).repeat(step.num_groups, 1, 1)[None]
        return _in_coder_layout((values + means) * self.mask(step, means.shape[1], self.size(means), means))

    def is_finite(self, x: torch.Tensor) -> bool:
        return bool(torch.isfinite(x).all())

    def round_z(self, z: torch.Tensor) -> PlaneSymbols:
        return torch.round(z).clamp(-128, 127).to(torch.int8)[0].cpu().numpy()

    def z_from_symbols(self, symbols: PlaneSymbols) -> torch.Tensor:
        return torch.from_numpy(np.ascontiguousarray(symbols)).to(self.device, self.dtype)[None]

    # ---- pictures

    def frame_from_values(self, values: NDArray[np.float32]) -> torch.Tensor:
        return torch.from_numpy(values).to(self.device, self.dtype)[None]

    def export_planes(
        self, frame: torch.Tensor, *, halve_chroma: bool, truncate_chroma: bool
    ) -> tuple[NDArray[np.uint8], ...]:
        values = frame if frame.dtype == torch.float64 else frame.float()
        luma, chroma = values[0, :1], values[0, 1:]
        if halve_chroma:
            chroma = F.avg_pool2d(chroma, 2)
        luma = torch.round((luma * 255.0).clamp(0, 255))
        chroma = (chroma * 255.0).clamp(0, 255)
        chroma = torch.trunc(chroma) if truncate_chroma else torch.round(chroma)
        return tuple(plane.to(torch.uint8).cpu().numpy() for plane in (*luma, *chroma))

    def export_fine(self, frame: torch.Tensor) -> NDArray[np.int32]:
        return torch.round(frame[0].double() * 65535.0).to(torch.int32).cpu().numpy()

    def samples_from_frame(self, frame: torch.Tensor) -> NDArray[np.int16]:
        samples = torch.round(frame[0].float() * FRAME_SCALE).to(torch.int16).cpu().contiguous()
        planes, height, width = samples.shape
        return samples.reshape(planes, height // 8, 8, width // 8, 8).numpy()

    def frame_from_samples(self, samples: NDArray[np.int16]) -> torch.Tensor:
        planes, rows, _, columns, _ = samples.shape
        lines = samples.reshape(planes, 8 * rows, 8 * columns)
        return torch.from_numpy(lines).to(self.device).float().div_(FRAME_SCALE).to(self.dtype)[None]

    def to_float(self, x: torch.Tensor) -> NDArray[np.float32]:
        return x[0].float().cpu().numpy()

    def to_tensor(self, x: torch.Tensor) -> torch.Tensor:
        return x[0].float()

    def from_float(self, x: NDArray[np.float32] | torch.Tensor) -> torch.Tensor:
        return torch.as_tensor(x).to(self.device, self.dtype)[None]


class InferenceOperations(FloatOperations):
    """Float operations for coding: the wide intermediate of a block's feed-forward branch is computed in bands of rows.

    The branch is pointwise, so bands change no formula. They keep the memory of a large picture near that of its
    features.

    Args:
        parameters: as FloatOperations.
        recorder: records sections of the network, which then run from the recordings; None runs them one operation
            after the other.

    On a CPU, tensors lie channels-last: PyTorch's 1x1 convolutions then read them in place, twice as fast. A 1x1 weight
    does not tell its layout, so inputs must. float64 keeps the other layout: it has no fast kernels, and the
    conformance vectors hold its results.
    """

    band_elements = 1 << 21

    def __init__(self, parameters: Mapping[str, torch.Tensor], recorder: Recorder | None = None) -> None:
        super().__init__(parameters)
        self._sections = None if recorder is None else RepeatedSections(recorder)
        self._is_channels_last = self.device.type == "cpu" and self.dtype != torch.float64
        if self.device.type == "cpu":
            keep_freed_memory()
        if self._is_channels_last:
            self.parameters = {
                name: _channels_last(value) if value.dim() == 4 else value for name, value in parameters.items()
            }

    def repeat(self, method: Callable[..., Any], network: Any, *arguments: Any) -> Any:
        if self._sections is None:
            return super().repeat(method, network, *arguments)
        run = functools.partial(method, network, self)
        return self._sections.run((method, network), run, arguments)

    def conv(self, layer: "Conv", x: torch.Tensor) -> torch.Tensor:
        if x.dtype == torch.bfloat16 and x.device.type == "cpu" and _is_one_wide(layer, x):
            # With a stride above 1, oneDNN's AMX convolutions in bfloat16 give wrong values here (pytorch/pytorch issue
            # 169688). Outputs one sample wide are small, so float32 costs nothing.
            weight, bias = self.parameters[layer.name + ".weight"].float(), self.parameters.get(layer.name + ".bias")
            bias = None if bias is None else bias.float()
            return F.conv2d(_channels_last(x.float()), weight, bias, stride=layer.stride, padding=layer.padding).to(
                x.dtype
            )
        if self._is_channels_last:
            x = _channels_last(x)
        if layer.kernel == 1 and self._needs_onednn(x):
            weight, bias = self.parameters[layer.name + ".weight"], self.parameters.get(layer.name + ".bias")
            stride, padding = [layer.stride] * 2, [layer.padding] * 2
            return torch.mkldnn_convolution(x, weight, bias, padding, stride, [1, 1], 1)
        return super().conv(layer, x)

    @staticmethod
    def _needs_onednn(x: torch.Tensor) -> bool:
        """Returns whether PyTorch runs a 1x1 convolution on its own kernel, which takes up to twice as long as
        oneDNN's. It does so in float32 with one thread only."""
        is_float32_on_cpu = x.dtype == torch.float32 and x.device.type == "cpu"
        return is_float32_on_cpu and torch.get_num_threads() == 1 and torch.backends.mkldnn.is_available()

    def wsilu(self, x: torch.Tensor) -> torch.Tensor:
        return (4.0 * x).sigmoid_().mul_(x)

    def depthwise(self, layer: "Depthwise", x: torch.Tensor) -> torch.Tensor:
        if x.dtype != torch.float64 or x.device.type != "cpu":
            return super().depthwise(layer, _channels_last(x) if self._is_channels_last else x)
        # PyTorch has no depthwise kernel in float64 and runs one small product a channel, which crawls when cores are
        # shared.
        weight, bias = self.parameters[layer.name + ".weight"], self.parameters[layer.name + ".bias"]
        height, width = self.size(x)
        padded = F.pad(x, (1, 1, 1, 1))
        out = bias.view(1, -1, 1, 1).repeat(x.shape[0], 1, height, width)  # a copy even for 1x1
        for row in range(3):
            for column in range(3):
                out.addcmul_(
                    padded[..., row : row + height, column : column + width],
                    weight[:, 0, row, column].view(1, -1, 1, 1),
                )
        return out

    def _feed_forward(self, block: "DepthConvBlock", t: torch.Tensor) -> torch.Tensor:
        return self.conv(block.ffn_out, self.chunk_add(self.wsilu(self.conv(block.ffn_in, t)))).add_(t)

    def depth_conv_block(self, block: "DepthConvBlock", x: torch.Tensor) -> torch.Tensor:
        height, width = self.size(x)
        band = max(1, self.band_elements // (4 * block.channels * width))
        if block.adaptor is not None:
            x = self.conv(block.adaptor, x)
        t = self.conv(block.dc_out, self.depthwise(block.dc_spatial, self.wsilu(self.conv(block.dc_in, x)))).add_(x)
        if band >= height:
            out = self._feed_forward(block, t)
        else:
            out = torch.empty_like(t)
            for top in range(0, height, band):
                out[:, :, top : top + band] = self._feed_forward(block, t[:, :, top : top + band])
        return out.add_(x) if block.shortcut else out
