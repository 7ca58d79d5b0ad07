"""Calibration: runs the float networks on clips and records what the choice of integers needs.

The records are:

- groups of tensors that must share an exponent. Sums and concatenations tie tensors, and so does a layer that is called
  more than once;
- the largest magnitude in each group and each channel;
- the channels that only linear layers see, which may be scaled;
- the first and second moments of the inputs of every convolution.

Everything runs on ReproducibleOperations, and sums over calls follow the order of the calls. So records have the same
bits on every machine.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from dcvc_cli.backend import exact_rules as rules
from dcvc_cli.backend.operations import Operations, PlaneFlags, PlaneIndex, PlaneSymbols
from dcvc_cli.backend.reproducible import Float64, ReproducibleOperations, on_grid, product_bits
from dcvc_cli.graph.blocks import Qp
from dcvc_cli.preparing.shared_ranges import ROOM_FOR_PICTURE, Channels, Groups, room_for_strange

if TYPE_CHECKING:
    from dcvc_cli.graph.blocks import Conv, Depthwise, ScaleVector
    from dcvc_cli.graph.latent_steps import CodingStep

MOMENT_POSITIONS = 256
"""Largest number of positions of one call whose inputs enter the moments."""


@dataclass(frozen=True)
class Recorded:
    """A float tensor (c, h, w), its exponent group and the identity of each of its channels."""

    tensor: Float64
    group: int
    channels: NDArray[np.int64]


@dataclass
class Moments:
    """Sums over sampled input patches of a convolution: count, first moment (K,) and second moment (K, K)."""

    count: int
    first: Float64
    second: Float64


def _sampled_patches(layer: "Conv", x: Float64) -> Float64:
    """Returns a convolution's input patches at up to MOMENT_POSITIONS positions, evenly spread in raster order:
    (positions, cin * k * k)."""
    kernel, stride, padding = layer.kernel, layer.stride, layer.padding
    padded = np.pad(x, ((0, 0), (padding, padding), (padding, padding)))
    width = (padded.shape[2] - kernel) // stride + 1
    count = ((padded.shape[1] - kernel) // stride + 1) * width
    rows, columns = np.divmod(np.arange(0, count, max(1, count // MOMENT_POSITIONS)), width)
    taps = [
        padded[:, rows * stride + row, columns * stride + column] for row in range(kernel) for column in range(kernel)
    ]
    return np.stack(taps, axis=1).reshape(-1, len(rows)).T


class RecordingOperations(Operations):
    """Float operations on Recorded values.

    Attributes:
        sees_typical: whether the content is typical. Only moments of typical content count; ranges hold all content.
        analysis: records the layers that only an encoder runs.
    """

    def __init__(self, inner: ReproducibleOperations) -> None:
        self.inner, self.groups, self.channels = inner, Groups(), Channels()
        self.analysis = AnalysisRecorder(self)
        self.sees_typical = True
        self.layer_groups: dict[str, tuple[int, int]] = {}
        self.layer_channels: dict[str, tuple[NDArray[np.int64], NDArray[np.int64]]] = {}
        self.moments: dict[str, Moments] = {}
        self.y_hat_group = self.groups.new(room=ROOM_FOR_PICTURE)

    def record(self, tensor: Float64, group: int, channels: NDArray[np.int64] | None = None) -> Recorded:
        """Wraps a tensor into a group and updates peaks. Without `channels`, the channels are new and must not be
        scaled."""
        group = self.groups.root(group)
        if channels is None:
            channels = self.channels.new(tensor.shape[0], fixed=True)
        peaks = np.abs(tensor).max(axis=(1, 2))
        self.channels.see(channels, peaks, typical=self.sees_typical)
        seen = self.groups.peak if self.sees_typical else self.groups.strange_peak
        seen[group] = max(seen[group], float(peaks.max()))
        return Recorded(tensor, group, channels)

    def frame(self, tensor: Float64) -> Recorded:
        """Wraps a picture in 0..1, or in -0.5..0.5 for networks that take it so."""
        return self.record(tensor, self.groups.new(rules.FRAME_EXPONENT))

    def _layer(self, name: str, x: Recorded, tensor: Float64) -> Recorded:
        if name not in self.layer_groups:
            self.layer_groups[name] = (x.group, self.groups.new(room=room_for_strange(name)))
            self.layer_channels[name] = (x.channels, self.channels.new(tensor.shape[0]))
        before, after = self.layer_groups[name]
        self.groups.tie(before, x.group)
        self.channels.tie(self.layer_channels[name][0], x.channels)
        return self.record(tensor, after, self.layer_channels[name][1])

    def _fixed(self, x: Recorded) -> Recorded:
        self.channels.fix(x.channels)
        return x

    def at_true_scale(self, x: Recorded) -> Float64:
        """Returns a value for the encoder's float half. Its channels are never scaled then."""
        return self._fixed(x).tensor

    def _moments(self, layer: "Conv", x: Float64) -> None:
        if not self.sees_typical:
            return
        sample = _sampled_patches(layer, x)
        width = sample.shape[1]
        # The sample gets so few bits that the sums over this call's positions are exact.
        sample = on_grid(sample, product_bits(sample.shape[0]))
        moments = self.moments.setdefault(layer.name, Moments(0, np.zeros(width), np.zeros((width, width))))
        moments.count += sample.shape[0]
        moments.first += sample.sum(axis=0)
        moments.second += sample.T @ sample

    # ---- layers

    def conv(self, layer: "Conv", x: Recorded) -> Recorded:
        self._moments(layer, x.tensor)
        return self._layer(layer.name, x, self.inner.conv(layer, x.tensor))

    def depthwise(self, layer: "Depthwise", x: Recorded) -> Recorded:
        return self._layer(layer.name, x, self.inner.depthwise(layer, x.tensor))

    def scale(self, vector: "ScaleVector", x: Recorded, qp: Qp) -> Recorded:
        return self._layer(vector.name, x, self.inner.scale(vector, x.tensor, qp))

    def wsilu(self, x: Recorded) -> Recorded:
        self.groups.activations.add(self.groups.root(x.group))
        return self.record(self.inner.wsilu(x.tensor), x.group, self._fixed(x).channels)

    def chunk_add(self, x: Recorded) -> Recorded:
        first, second = np.split(x.channels, 2)
        self.channels.tie(first, second)
        return self.record(self.inner.chunk_add(x.tensor), x.group, first)

    def add_fours(self, x: Recorded) -> Recorded:
        first, *others = (x.channels[place::4] for place in range(4))
        for other in others:
            self.channels.tie(first, other)
        return self.record(self.inner.add_fours(x.tensor), x.group, first)

    def add(self, x: Recorded, y: Recorded) -> Recorded:
        self.channels.tie(x.channels, y.channels)
        return self.record(x.tensor + y.tensor, self.groups.tie(x.group, y.group), x.channels)

    # ---- shapes

    def concat(self, *parts: Recorded) -> Recorded:
        for part in parts[1:]:
            self.groups.tie(parts[0].group, part.group)
        tensor = self.inner.concat(*(part.tensor for part in parts))
        return Recorded(tensor, parts[0].group, np.concatenate([part.channels for part in parts]))

    def split(self, x: Recorded, sizes: Sequence[int]) -> Sequence[Recorded]:
        channels = np.split(x.channels, np.cumsum(sizes)[:-1])
        return [
            Recorded(part, x.group, ids) for part, ids in zip(self.inner.split(x.tensor, sizes), channels, strict=True)
        ]

    def pixel_shuffle(self, x: Recorded, factor: int) -> Recorded:
        cells = x.channels.reshape(-1, factor * factor)
        for column in range(1, factor * factor):
            self.channels.tie(cells[:, 0], cells[:, column])
        return Recorded(self.inner.pixel_shuffle(x.tensor, factor), x.group, cells[:, 0])

    def pixel_unshuffle(self, x: Recorded, factor: int) -> Recorded:
        return Recorded(self.inner.pixel_unshuffle(x.tensor, factor), x.group, x.channels.repeat(factor * factor))

    def crop(self, x: Recorded, size: tuple[int, int]) -> Recorded:
        return Recorded(self.inner.crop(x.tensor, size), x.group, x.channels)

    def pad_replicate(self, x: Recorded, multiple: int) -> Recorded:
        return Recorded(self.inner.pad_replicate(x.tensor, multiple), x.group, x.channels)

    def size(self, x: Recorded) -> tuple[int, int]:
        return self.inner.size(x.tensor)

    # ---- values

    def half_to_two(self, x: Recorded) -> Recorded:
        return self.record(self.inner.half_to_two(self._fixed(x).tensor), self.groups.new(rules.STEP_SIZE_EXPONENT))

    def clamp_step_size(self, x: Recorded) -> Recorded:
        return self.record(self.inner.clamp_step_size(x.tensor), x.group, self._fixed(x).channels)

    def reciprocal(self, x: Recorded) -> Float64:
        return self.inner.reciprocal(x.tensor)

    def encoder_factor(self, x: Recorded) -> Float64:
        return x.tensor

    def multiply_step_size(self, latents: Recorded, step_size: Recorded) -> Recorded:
        return self.record(
            self.inner.multiply_step_size(latents.tensor, self._fixed(step_size).tensor), self.y_hat_group
        )

    def centre(self, x: Recorded) -> Recorded:
        return self.frame(self.inner.centre(x.tensor))

    def clamp_unit(self, x: Recorded) -> Recorded:
        return self.frame(self.inner.clamp_unit(self._fixed(x).tensor))

    def clamp_centred(self, x: Recorded) -> Recorded:
        return self.frame(self.inner.clamp_centred(self._fixed(x).tensor))

    def from_centre(self, x: Recorded) -> Recorded:
        return self.frame(self.inner.from_centre(x.tensor))

    # ---- latents, symbols and pictures

    def quantise_step(
        self,
        step: "CodingStep",
        y: Float64,
        scales: Recorded,
        means: Recorded,
        skip_threshold: float | None,
        zero_below: NDArray[np.float32] | None = None,
    ) -> tuple[Recorded, PlaneSymbols, PlaneIndex, PlaneFlags]:
        part, symbols, index, coded = self.inner.quantise_step(
            step, y, self._fixed(scales).tensor, means.tensor, skip_threshold, zero_below
        )
        return self.record(part, means.group, self._fixed(means).channels), symbols, index, coded

    def step_index(
        self, step: "CodingStep", scales: Recorded, skip_threshold: float | None
    ) -> tuple[PlaneIndex, PlaneFlags]:
        return self.inner.step_index(step, self._fixed(scales).tensor, skip_threshold)

    def restore_step(self, step: "CodingStep", symbols: PlaneSymbols, means: Recorded) -> Recorded:
        return self.record(
            self.inner.restore_step(step, symbols, means.tensor), means.group, self._fixed(means).channels
        )

    def round_z(self, z: Float64) -> PlaneSymbols:
        return self.inner.round_z(z)

    def z_from_symbols(self, symbols: PlaneSymbols) -> Recorded:
        return self.record(self.inner.z_from_symbols(symbols), self.groups.new(rules.Z_EXPONENT))

    def frame_from_values(self, values: NDArray[np.float32]) -> Recorded:
        return self.frame(self.inner.frame_from_values(values))

    def export_planes(
        self, frame: Recorded, *, halve_chroma: bool, truncate_chroma: bool
    ) -> tuple[NDArray[np.uint8], ...]:
        return self.inner.export_planes(frame.tensor, halve_chroma=halve_chroma, truncate_chroma=truncate_chroma)

    def export_fine(self, frame: Recorded) -> NDArray[np.int32]:
        return self.inner.export_fine(frame.tensor)

    def samples_from_frame(self, frame: Recorded) -> NDArray[np.int16]:
        return self.inner.samples_from_frame(frame.tensor)

    def frame_from_samples(self, samples: NDArray[np.int16]) -> Recorded:
        return self.frame(self.inner.frame_from_samples(samples))

    def to_float(self, x: Recorded) -> NDArray[np.float32]:
        return self.inner.to_float(x.tensor)

    def from_float(self, x: NDArray[np.float32]) -> Recorded:
        return self.record(self.inner.from_float(x), self.groups.new())


class AnalysisRecorder(RecordingOperations):
    """Records the ranges of the layers that only an encoder runs. They have exponents of their own.

    Args:
        owner: records the decoder's half, and says whether content is typical.
    """

    def __init__(self, owner: RecordingOperations) -> None:
        self.inner, self.groups, self.channels = owner.inner, Groups(), Channels()
        self._owner = owner
        self.layer_groups, self.layer_channels, self.moments = {}, {}, {}
        self.context_group = self.groups.new(room=ROOM_FOR_PICTURE)

    @property
    def sees_typical(self) -> bool:  # type: ignore[override]
        return self._owner.sees_typical

    def context(self, tensor: Float64) -> Recorded:
        """Wraps a context that the decoder's half has made."""
        return self.record(tensor, self.context_group)

    def centre(self, x: Recorded) -> Recorded:
        """Shifts a picture around zero. Networks see it beside a context, so both share an exponent."""
        return self.record(self.inner.centre(x.tensor), self.context_group)

    def _moments(self, layer: "Conv", x: Float64) -> None:
        """Does nothing: the encoder's half runs with the stored weights, whose choice needs no moments."""
