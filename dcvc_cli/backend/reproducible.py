"""The float backend whose results are the same bits on every machine. It computes what is decided once and stored, such
as an exponent.

Numbers are float64. Elementwise operations are those that IEEE 754 rounds correctly, one NumPy call each. Sums of
products are exact: both factors are rounded to so few bits first that no partial sum needs more than the 53 bits of a
float64. Neither order, threads, vector width nor library can change such sums. The backend is slower than
`float_torch`; coding does not use it.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NoReturn, TypeAlias

import numpy as np
from numpy.typing import NDArray

from dcvc_cli.backend import exact_rules as rules
from dcvc_cli.backend.operations import Operations, PlaneFlags, PlaneIndex, PlaneSymbols
from dcvc_cli.backend.planes import plane_of, spread_plane

if TYPE_CHECKING:
    from dcvc_cli.graph.blocks import Conv, Depthwise, ScaleVector
    from dcvc_cli.graph.latent_steps import CodingStep

Float64: TypeAlias = NDArray[np.float64]

MANTISSA_BITS = 53
WSILU_NODES = np.array(rules.WSILU_NODES, np.float64) * 2.0**-18
WSILU_RISES = np.diff(WSILU_NODES)
HALF_TO_TWO_NODES = np.array(rules.HALF_TO_TWO_NODES, np.float64) * 2.0**-13


def power_of_two_above(peak: Any) -> Any:
    """Returns the smallest power of two above a magnitude, elementwise; 1 above 0."""
    return np.ldexp(1.0, np.frexp(peak)[1])


def on_grid(values: Float64, bits: int, axis: int | tuple[int, ...] | None = None) -> Float64:
    """Rounds to multiples of a power of two such that the largest magnitude takes `bits` bits; axis: what shares a grid
    (None: all)."""
    if not values.size:
        return values
    step = power_of_two_above(np.abs(values).max(axis=axis, keepdims=axis is not None)) * 2.0**-bits
    scaled = values / step
    np.rint(scaled, out=scaled)
    scaled *= step
    return scaled


def product_bits(num_terms: int) -> int:
    """Returns the number of bits that each factor may have, so that a sum of so many products is exact."""
    return (MANTISSA_BITS - (num_terms - 1).bit_length()) // 2


def product(left: Float64, right: Float64) -> Float64:
    """Computes left @ right, (m, k) by (k, n) or (k,), each factor rounded to product_bits(k) bits of its largest
    magnitude; the sums are exact."""
    bits = product_bits(left.shape[-1])
    return np.asarray(on_grid(left, bits) @ on_grid(right, bits))


def _zero_padded(x: Float64, margin: int) -> Float64:
    if not margin:
        return x
    channels, height, width = x.shape
    padded = np.zeros((channels, height + 2 * margin, width + 2 * margin))
    padded[:, margin:-margin, margin:-margin] = x
    return padded


class ReproducibleOperations(Operations):
    """Operations on float64 arrays (c, h, w).

    Args:
        parameters: state dict of one network, float32 or float64 arrays.
    """

    def __init__(self, parameters: Mapping[str, NDArray[Any]]) -> None:
        self._parameters = parameters
        self._weights: dict[str, NDArray[Any]] = {}
        """Converts to float32 where float32 holds every bit, which is nearly everywhere."""

    def forget_weights(self) -> None:
        """Frees the prepared weights of layers. A layer that runs again prepares its weights again."""
        self._weights.clear()

    # ---- layers

    def _weight(self, name: str) -> Float64:
        """Returns (k, k, cout, cin), with so few bits that products with activations of as many bits sum exactly."""
        if name not in self._weights:
            weight = np.asarray(self._parameters[f"{name}.weight"], np.float64)
            gridded = on_grid(weight, product_bits(int(np.prod(weight.shape[1:]))), axis=(1, 2, 3))
            gridded = gridded.transpose(2, 3, 0, 1)
            short = gridded.astype(np.float32)
            self._weights[name] = np.ascontiguousarray(short if (short == gridded).all() else gridded)
        return self._weights[name].astype(np.float64, copy=False)

    def _bias(self, name: str) -> Any:
        """Returns (cout, 1, 1), or 0 for a layer without a bias."""
        bias = self._parameters.get(f"{name}.bias")
        return 0.0 if bias is None else np.asarray(bias, np.float64)[:, None, None]

    def conv(self, layer: "Conv", x: Float64) -> Float64:
        weight = self._weight(layer.name)
        kernel, stride, padding = layer.kernel, layer.stride, layer.padding
        padded = _zero_padded(on_grid(x, product_bits(layer.cin * kernel**2)), padding)
        height, width = ((side - kernel) // stride + 1 for side in padded.shape[1:])
        if kernel == stride == 1:
            total = weight[0, 0] @ padded.reshape(layer.cin, -1)
            return total.reshape(layer.cout, height, width) + self._bias(layer.name)
        total = np.zeros((layer.cout, height * width))
        for row in range(kernel):
            for column in range(kernel):
                window = padded[
                    :,
                    row : row + (height - 1) * stride + 1 : stride,
                    column : column + (width - 1) * stride + 1 : stride,
                ]
                total += weight[row, column] @ window.reshape(layer.cin, -1)
        return total.reshape(layer.cout, height, width) + self._bias(layer.name)

    def depthwise(self, layer: "Depthwise", x: Float64) -> Float64:
        weight = self._weight(layer.name)
        _, height, width = x.shape
        padded = _zero_padded(on_grid(x, product_bits(9)), 1)
        total, part = np.zeros_like(x), np.empty_like(x)
        for row in range(3):
            for column in range(3):
                window = padded[:, row : row + height, column : column + width]
                total += np.multiply(weight[row, column][:, :, None], window, out=part)
        total += self._bias(layer.name)
        return total

    def scale(self, vector: "ScaleVector", x: Float64, qp: int) -> Float64:
        return x * np.asarray(self._parameters[vector.name][qp], np.float64).reshape(-1, 1, 1)

    def wsilu(self, x: Float64) -> Float64:
        """Computes max(x, 0) - g(|x|), g by linear pieces, as in the exact profile."""
        position = np.abs(x)
        np.minimum(position, 2.0 - 2.0**-40, out=position)
        position *= 32
        piece = position.astype(np.intp)
        position -= piece
        position *= WSILU_RISES.take(piece)
        position += WSILU_NODES.take(piece)
        return np.maximum(x, 0) - position

    def chunk_add(self, x: Float64) -> Float64:
        half = x.shape[0] // 2
        return x[:half] + x[half:]

    def add_fours(self, x: Float64) -> Float64:
        return ((x[::4] + x[1::4]) + x[2::4]) + x[3::4]

    def add(self, x: Float64, y: Float64) -> Float64:
        return x + y

    # ---- shapes

    def concat(self, *parts: Float64) -> Float64:
        return np.concatenate(parts)

    def split(self, x: Float64, sizes: Sequence[int]) -> Sequence[Float64]:
        return np.split(x, np.cumsum(sizes)[:-1])

    def pixel_shuffle(self, x: Float64, factor: int) -> Float64:
        c, h, w = x.shape
        cells = x.reshape(c // factor**2, factor, factor, h, w).transpose(0, 3, 1, 4, 2)
        return cells.reshape(c // factor**2, h * factor, w * factor)

    def pixel_unshuffle(self, x: Float64, factor: int) -> Float64:
        c, h, w = x.shape
        cells = x.reshape(c, h // factor, factor, w // factor, factor).transpose(0, 2, 4, 1, 3)
        return cells.reshape(c * factor**2, h // factor, w // factor)

    def crop(self, x: Float64, size: tuple[int, int]) -> Float64:
        return x[:, : size[0], : size[1]]

    def pad_replicate(self, x: Float64, multiple: int) -> Float64:
        return np.pad(x, ((0, 0), (0, -x.shape[1] % multiple), (0, -x.shape[2] % multiple)), mode="edge")

    def size(self, x: Float64) -> tuple[int, int]:
        return x.shape[1], x.shape[2]

    # ---- values

    def half_to_two(self, x: Float64) -> Float64:
        position = np.minimum(np.abs(x), 8.0 - 2.0**-40) * 8
        piece = position.astype(np.int64)
        first = HALF_TO_TWO_NODES[piece]
        return 1.25 + np.copysign(first + (HALF_TO_TWO_NODES[piece + 1] - first) * (position - piece), x)

    def clamp_step_size(self, x: Float64) -> Float64:
        return np.maximum(x, 0.5)

    def reciprocal(self, x: Float64) -> Float64:
        return 1 / x

    def multiply_step_size(self, latents: Float64, step_size: Float64) -> Float64:
        return latents * step_size

    def clamp_unit(self, x: Float64) -> Float64:
        return np.clip(x, 0, 1)

    def centre(self, x: Float64) -> Float64:
        return x - 0.5

    def from_centre(self, x: Float64) -> Float64:
        return x + 0.5

    def clamp_centred(self, x: Float64) -> Float64:
        return np.clip(x, -0.5, 0.5)

    # ---- latents and symbols

    def quantise_step(
        self,
        step: "CodingStep",
        y: Float64,
        scales: Float64,
        means: Float64,
        skip_threshold: float | None,
        zero_below: NDArray[np.float32] | None = None,
    ) -> tuple[Float64, PlaneSymbols, PlaneIndex, PlaneFlags]:
        index, coded = self.step_index(step, scales, skip_threshold)
        residual = plane_of(step, y) - plane_of(step, means)
        if zero_below is not None:
            residual[np.abs(residual) < zero_below[index]] = 0
        symbols = np.where(coded, np.rint(residual), 0).clip(-128, 127).astype(np.int8)
        return self.restore_step(step, symbols, means), symbols, index, coded

    def step_index(
        self, step: "CodingStep", scales: Float64, skip_threshold: float | None
    ) -> tuple[PlaneIndex, PlaneFlags]:
        plane = plane_of(step, scales)
        rows = np.searchsorted(np.array(rules.SCALE_THRESHOLDS, np.float64), plane * 2.0**20, side="right")
        coded = np.ones(plane.shape, np.bool_) if skip_threshold is None else plane > skip_threshold
        return (np.maximum(rows, 1) - 1).astype(np.uint8), coded

    def restore_step(self, step: "CodingStep", symbols: PlaneSymbols, means: Float64) -> Float64:
        return spread_plane(step, symbols + plane_of(step, means))

    def round_z(self, z: Float64) -> PlaneSymbols:
        return np.rint(z).clip(-128, 127).astype(np.int8)

    def z_from_symbols(self, symbols: PlaneSymbols) -> Float64:
        return symbols.astype(np.float64)

    # ---- pictures

    def frame_from_values(self, values: NDArray[np.float32]) -> Float64:
        return values.astype(np.float64)

    def samples_from_frame(self, frame: Float64) -> NDArray[np.int16]:
        planes, height, width = frame.shape
        samples = np.rint(frame * 2.0**rules.FRAME_EXPONENT).astype(np.int16)
        return samples.reshape(planes, height // 8, 8, width // 8, 8)

    def frame_from_samples(self, samples: NDArray[np.int16]) -> Float64:
        planes, rows, _, columns, _ = samples.shape
        return np.asarray(samples.reshape(planes, 8 * rows, 8 * columns) * 2.0**-rules.FRAME_EXPONENT, np.float64)

    def to_float(self, x: Float64) -> NDArray[np.float32]:
        return x.astype(np.float32)

    def from_float(self, x: NDArray[np.float32]) -> Float64:
        return x.astype(np.float64)

    def export_planes(self, frame: Float64, *, halve_chroma: bool, truncate_chroma: bool) -> NoReturn:
        raise NotImplementedError("no picture that this backend makes is put out")

    def export_fine(self, frame: Float64) -> NoReturn:
        raise NotImplementedError("no picture that this backend makes is put out")
