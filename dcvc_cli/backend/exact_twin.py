"""The exact profile in plain NumPy int64. It is slow and obviously right: the norm for the fast kernels.

Source: docs/exact-arithmetic.md. Bit-exact on every machine.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from dcvc_cli.backend import exact_rules as rules
from dcvc_cli.backend.exact_base import ExactOperations, require_exponent
from dcvc_cli.backend.exact_network import ExactValue
from dcvc_cli.backend.operations import PlaneFlags, PlaneIndex, PlaneSymbols
from dcvc_cli.backend.planes import plane_of, spread_plane

if TYPE_CHECKING:
    from dcvc_cli.graph.blocks import Conv, Depthwise, ScaleVector
    from dcvc_cli.graph.latent_steps import CodingStep

Int64 = rules.Int64


def _value(data: Int64, exponent: int) -> ExactValue:
    """Wraps a result that the rules have already saturated; a value beyond int16 would be a fault of this file."""
    narrow = data.astype(np.int16)
    assert (narrow == data).all()
    return ExactValue(narrow, exponent)


def correlate(x: Int64, weight: Int64, stride: int, padding: int) -> Int64:
    """Computes an integer convolution with zero padding: (cin, h, w) and (cout, cin, k, k) -> (cout, h', w')."""
    kernel = weight.shape[2]
    padded = np.pad(x, ((0, 0), (padding, padding), (padding, padding)))
    height = (padded.shape[1] - kernel) // stride + 1
    width = (padded.shape[2] - kernel) // stride + 1
    out = np.zeros((weight.shape[0], height, width), np.int64)
    for dy in range(kernel):
        for dx in range(kernel):
            window = padded[
                :, dy : dy + (height - 1) * stride + 1 : stride, dx : dx + (width - 1) * stride + 1 : stride
            ]
            out += np.tensordot(weight[:, :, dy, dx], window, axes=1)
    return out


class ExactTwin(ExactOperations):
    """Operations on ExactValue with data (c, h, w)."""

    # ---- layers

    def conv(self, layer: "Conv", x: ExactValue) -> ExactValue:
        numbers = self.network.conv(layer.name)
        require_exponent(layer.name, numbers.in_exponent, x)
        total = correlate(x.data.astype(np.int64), numbers.weight.astype(np.int64), layer.stride, layer.padding)
        return _value(
            rules.rescale(total, numbers.multiplier[:, None, None], numbers.addend[:, None, None]), numbers.out_exponent
        )

    def depthwise(self, layer: "Depthwise", x: ExactValue) -> ExactValue:
        numbers = self.network.conv(layer.name)
        require_exponent(layer.name, numbers.in_exponent, x)
        _, height, width = x.data.shape
        padded = np.pad(x.data.astype(np.int64), ((0, 0), (1, 1), (1, 1)))
        weight = numbers.weight.astype(np.int64)
        total = sum(
            weight[:, 0, dy, dx, None, None] * padded[:, dy : dy + height, dx : dx + width]
            for dy in range(3)
            for dx in range(3)
        )
        return _value(
            rules.rescale(np.asarray(total), numbers.multiplier[:, None, None], numbers.addend[:, None, None]),
            numbers.out_exponent,
        )

    def scale(self, vector: "ScaleVector", x: ExactValue, qp: int) -> ExactValue:
        numbers = self.network.scale(vector.name)
        require_exponent(vector.name, numbers.in_exponent, x)
        product = x.data.astype(np.int64) * numbers.factors[qp].astype(np.int64)[:, None, None]
        return _value(rules.saturate16(rules.shift_round(product, int(numbers.shifts[qp]))), numbers.out_exponent)

    def wsilu(self, x: ExactValue) -> ExactValue:
        if x.exponent not in rules.WSILU_EXPONENTS:
            require_exponent(
                "an activation", min(max(x.exponent, rules.WSILU_EXPONENTS.start), rules.WSILU_EXPONENTS.stop - 1), x
            )
        return _value(rules.wsilu(x.data.astype(np.int64), x.exponent), x.exponent)

    def chunk_add(self, x: ExactValue) -> ExactValue:
        half = x.data.shape[0] // 2
        return self.add(ExactValue(x.data[:half], x.exponent), ExactValue(x.data[half:], x.exponent))

    def add_fours(self, x: ExactValue) -> ExactValue:
        channels, height, width = x.data.shape
        fours = x.data.astype(np.int64).reshape(channels // 4, 4, height, width)
        return _value(rules.saturate16(fours.sum(axis=1)), x.exponent)

    def add(self, x: ExactValue, y: ExactValue) -> ExactValue:
        require_exponent("a sum", x.exponent, y)
        return _value(rules.saturate16(x.data.astype(np.int64) + y.data), x.exponent)

    # ---- shapes

    def concat(self, *parts: ExactValue) -> ExactValue:
        require_exponent("a concatenation", parts[0].exponent, *parts)
        return ExactValue(np.concatenate([part.data for part in parts]), parts[0].exponent)

    def split(self, x: ExactValue, sizes: Sequence[int]) -> Sequence[ExactValue]:
        ends = np.cumsum(sizes)
        return [ExactValue(x.data[end - size : end], x.exponent) for size, end in zip(sizes, ends, strict=True)]

    def pixel_shuffle(self, x: ExactValue, factor: int) -> ExactValue:
        c, h, w = x.data.shape
        cells = x.data.reshape(c // factor**2, factor, factor, h, w).transpose(0, 3, 1, 4, 2)
        return ExactValue(cells.reshape(c // factor**2, h * factor, w * factor), x.exponent)

    def pixel_unshuffle(self, x: ExactValue, factor: int) -> ExactValue:
        c, h, w = x.data.shape
        cells = x.data.reshape(c, h // factor, factor, w // factor, factor).transpose(0, 2, 4, 1, 3)
        return ExactValue(cells.reshape(c * factor**2, h // factor, w // factor), x.exponent)

    def crop(self, x: ExactValue, size: tuple[int, int]) -> ExactValue:
        return ExactValue(x.data[:, : size[0], : size[1]], x.exponent)

    def _from_planes(self, planes: NDArray[np.int16], exponent: int) -> ExactValue:
        return ExactValue(planes, exponent)

    def pad_replicate(self, x: ExactValue, multiple: int) -> ExactValue:
        _, height, width = x.data.shape
        margins = ((0, 0), (0, -height % multiple), (0, -width % multiple))
        return ExactValue(np.pad(x.data, margins, mode="edge"), x.exponent)

    def size(self, x: ExactValue) -> tuple[int, int]:
        return x.data.shape[1], x.data.shape[2]

    # ---- values

    def half_to_two(self, x: ExactValue) -> ExactValue:
        return _value(rules.half_to_two(x.data.astype(np.int64), x.exponent), rules.STEP_SIZE_EXPONENT)

    def clamp_step_size(self, x: ExactValue) -> ExactValue:
        return ExactValue(np.maximum(x.data, np.int16(rules.smallest_step_size(x.exponent))), x.exponent)

    def multiply_step_size(self, latents: ExactValue, step_size: ExactValue) -> ExactValue:
        exponent = self.network.y_hat_exponent
        product = latents.data.astype(np.int64) * step_size.data
        shifted = rules.shift_round(product, latents.exponent + step_size.exponent - exponent)
        return _value(rules.saturate16(shifted), exponent)

    def clamp_unit(self, x: ExactValue) -> ExactValue:
        shifted = rules.shift_round(x.data.astype(np.int64), x.exponent - rules.FRAME_EXPONENT)
        return _value(np.clip(shifted, 0, 1 << rules.FRAME_EXPONENT), rules.FRAME_EXPONENT)

    def clamp_centred(self, x: ExactValue) -> ExactValue:
        shifted = rules.shift_round(x.data.astype(np.int64), x.exponent - rules.FRAME_EXPONENT)
        return _value(np.clip(shifted, -rules.HALF_SAMPLE, rules.HALF_SAMPLE), rules.FRAME_EXPONENT)

    def from_centre(self, x: ExactValue) -> ExactValue:
        require_exponent("a picture", rules.FRAME_EXPONENT, x)
        return _value(x.data.astype(np.int64) + rules.HALF_SAMPLE, rules.FRAME_EXPONENT)

    # ---- latents and symbols

    def step_index(
        self, step: "CodingStep", scales: ExactValue, skip_threshold: float | None
    ) -> tuple[PlaneIndex, PlaneFlags]:
        plane = plane_of(step, scales.data)
        rows = rules.row_of_scale(scales.exponent)[plane.view(np.uint16)]
        return rows, plane > rules.largest_skipped(skip_threshold, scales.exponent)

    def restore_step(self, step: "CodingStep", symbols: PlaneSymbols, means: ExactValue) -> ExactValue:
        values = (symbols.astype(np.int64) << means.exponent) + plane_of(step, means.data)
        return _value(spread_plane(step, rules.saturate16(values)), means.exponent)

    def z_from_symbols(self, symbols: PlaneSymbols) -> ExactValue:
        return _value(symbols.astype(np.int64) << rules.Z_EXPONENT, rules.Z_EXPONENT)

    # ---- pictures

    def export_planes(
        self, frame: ExactValue, *, halve_chroma: bool, truncate_chroma: bool
    ) -> tuple[NDArray[np.uint8], ...]:
        require_exponent("a picture", rules.FRAME_EXPONENT, frame)
        values = frame.data.astype(np.int64)
        luma, chroma, bits = values[0], values[1:], 0
        if halve_chroma:
            chroma = chroma[:, ::2, ::2] + chroma[:, 1::2, ::2] + chroma[:, ::2, 1::2] + chroma[:, 1::2, 1::2]
            bits = 2
        planes = [rules.samples_from_sum(plane, bits, truncate=truncate_chroma) for plane in chroma]
        return rules.samples_from_sum(luma, 0, truncate=False), *planes

    def export_fine(self, frame: ExactValue) -> NDArray[np.int32]:
        require_exponent("a picture", rules.FRAME_EXPONENT, frame)
        return rules.shift_round(frame.data.astype(np.int64) * 65535, rules.FRAME_EXPONENT).astype(np.int32)

    def samples_from_frame(self, frame: ExactValue) -> NDArray[np.int16]:
        require_exponent("a picture", rules.FRAME_EXPONENT, frame)
        planes, height, width = frame.data.shape
        return frame.data.reshape(planes, height // 8, 8, width // 8, 8)

    def frame_from_samples(self, samples: NDArray[np.int16]) -> ExactValue:
        planes, rows, _, columns, _ = samples.shape
        return ExactValue(samples.reshape(planes, 8 * rows, 8 * columns), rules.FRAME_EXPONENT)

    def to_float(self, x: ExactValue) -> NDArray[np.float32]:
        return x.data.astype(np.float32) / np.float32(1 << x.exponent)
