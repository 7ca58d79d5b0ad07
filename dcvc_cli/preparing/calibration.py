"""Calibration: runs the float networks on real clips and records what the choice of integers needs.

Recorded are groups of tensors that must share an exponent (sums and concatenations tie them, and so does a layer that is called
more than once), the largest magnitude in each group and each channel, which channels only linear layers see (those may be scaled),
and the first and second moments of the inputs of every convolution.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from dcvc_cli.backend import exact_rules as rules
from dcvc_cli.backend.float_torch import FloatOperations
from dcvc_cli.backend.operations import Operations
from dcvc_cli.families.lite.motion.field import FieldCoder, compensate_squares, in_lines, is_kept, luma_of_values
from dcvc_cli.families.rt.image import ImageModel
from dcvc_cli.families.rt.video import VideoModel

if TYPE_CHECKING:
    from dcvc_cli.graph.blocks import Conv, Depthwise, ScaleVector
    from dcvc_cli.graph.latent_steps import CodingStep

MAX_GAIN_BITS = 5
MOMENT_POSITIONS = 256
"""Positions of one call whose inputs enter the moments."""


@dataclass(frozen=True)
class Recorded:
    """A float tensor (1, c, h, w), its exponent group and the identity of each of its channels."""

    tensor: torch.Tensor
    group: int
    channels: NDArray[np.int64]


@dataclass
class Moments:
    """Sums over sampled positions of a convolution's input patches: count, first moment (K,) and second moment (K, K)."""

    count: int
    first: torch.Tensor
    second: torch.Tensor


class Channels:
    """Sets of channels that a scaling must treat alike, because they are summed; `fixed` ones must not be scaled at all.

    Ids are integers; `peak` holds the largest magnitude seen in each set.
    """

    def __init__(self) -> None:
        self.parent = np.empty(0, np.int64)
        self.peak = np.empty(0, np.float64)
        self.fixed = np.empty(0, np.bool_)

    def new(self, count: int, *, fixed: bool = False) -> NDArray[np.int64]:
        first = len(self.parent)
        ids = np.arange(first, first + count)
        self.parent = np.concatenate([self.parent, ids])
        self.peak = np.concatenate([self.peak, np.zeros(count)])
        self.fixed = np.concatenate([self.fixed, np.full(count, fixed)])
        return ids

    def roots(self, ids: NDArray[np.int64]) -> NDArray[np.int64]:
        found = self.parent[ids]
        while not np.array_equal(found, self.parent[found]):
            found = self.parent[found]
        return found

    def tie(self, a: NDArray[np.int64], b: NDArray[np.int64]) -> None:
        """Element i of `a` and of `b` become one set."""
        roots_a, roots_b = self.roots(a), self.roots(b)
        for first, second in zip(a[roots_a != roots_b], b[roots_a != roots_b], strict=True):
            x, y = self._root(int(first)), self._root(int(second))
            if x != y:
                self.parent[y] = x
                self.peak[x] = max(self.peak[x], self.peak[y])
                self.fixed[x] |= self.fixed[y]

    def _root(self, one: int) -> int:
        while self.parent[one] != one:
            one = int(self.parent[one])
        return one

    def fix(self, ids: NDArray[np.int64]) -> None:
        self.fixed[self.roots(ids)] = True

    def gains(self, ids: NDArray[np.int64], group_peak: float) -> NDArray[np.float64]:
        """Powers of two that bring quiet channels near the peak of their group; 1 for channels that must not be scaled."""
        roots = self.roots(ids)
        room = np.log2(group_peak / np.maximum(self.peak[roots], group_peak * 2.0**-MAX_GAIN_BITS)) if group_peak > 0 else np.zeros(len(ids))
        return np.where(self.fixed[roots], 1.0, 2.0 ** np.floor(room))

    def see(self, ids: NDArray[np.int64], peaks: NDArray[np.float64]) -> None:
        np.maximum.at(self.peak, self.roots(ids), peaks)


@dataclass
class Groups:
    """Sets of tensors with one exponent each, with the largest magnitude seen and what is known about the exponent."""

    parent: list[int] = field(default_factory=list)
    peak: list[float] = field(default_factory=list)
    fixed: dict[int, int] = field(default_factory=dict)
    activations: set[int] = field(default_factory=set)

    def new(self, fixed: int | None = None) -> int:
        self.parent.append(len(self.parent))
        self.peak.append(0.0)
        if fixed is not None:
            self.fixed[self.parent[-1]] = fixed
        return self.parent[-1]

    def root(self, group: int) -> int:
        while self.parent[group] != group:
            group = self.parent[group]
        return group

    def tie(self, a: int, b: int) -> int:
        a, b = self.root(a), self.root(b)
        if a == b:
            return a
        self.parent[b] = a
        self.peak[a] = max(self.peak[a], self.peak[b])
        if b in self.fixed:
            self.fixed[a] = self.fixed.pop(b)
        if b in self.activations:
            self.activations.add(a)
        return a

    def exponent(self, group: int, headroom: float) -> int:
        """The largest exponent at which peak * headroom still fits 16 bits."""
        group = self.root(group)
        if group in self.fixed:
            return self.fixed[group]
        exponent = int(np.floor(np.log2(32767 / max(self.peak[group] * headroom, 1e-9))))
        if group in self.activations:
            return min(max(exponent, rules.WSILU_EXPONENTS.start), rules.WSILU_EXPONENTS.stop - 1)
        return min(max(exponent, 1), rules.MAX_EXPONENT)


class RecordingOperations(Operations):
    """Float operations on Recorded values. Encoder-only parts run on `inner` directly."""

    def __init__(self, inner: FloatOperations) -> None:
        self.inner, self.groups, self.channels = inner, Groups(), Channels()
        self.layer_groups: dict[str, tuple[int, int]] = {}
        self.layer_channels: dict[str, tuple[NDArray[np.int64], NDArray[np.int64]]] = {}
        self.moments: dict[str, Moments] = {}
        self.y_hat_group = self.groups.new()

    def record(self, tensor: torch.Tensor, group: int, channels: NDArray[np.int64] | None = None) -> Recorded:
        """Wraps a tensor into a group and updates peaks; without channels given they are new and not to be scaled."""
        group = self.groups.root(group)
        if channels is None:
            channels = self.channels.new(tensor.shape[1], fixed=True)
        peaks = tensor[0].abs().amax(dim=(1, 2)).double().numpy()
        self.channels.see(channels, peaks)
        self.groups.peak[group] = max(self.groups.peak[group], float(peaks.max()))
        return Recorded(tensor, group, channels)

    def frame(self, tensor: torch.Tensor) -> Recorded:
        """A picture in 0..1."""
        return self.record(tensor, self.groups.new(rules.FRAME_EXPONENT))

    def _layer(self, name: str, x: Recorded, tensor: torch.Tensor) -> Recorded:
        if name not in self.layer_groups:
            self.layer_groups[name] = (x.group, self.groups.new())
            self.layer_channels[name] = (x.channels, self.channels.new(tensor.shape[1]))
        before, after = self.layer_groups[name]
        self.groups.tie(before, x.group)
        self.channels.tie(self.layer_channels[name][0], x.channels)
        return self.record(tensor, after, self.layer_channels[name][1])

    def _fixed(self, x: Recorded) -> Recorded:
        self.channels.fix(x.channels)
        return x

    def _moments(self, layer: "Conv", x: torch.Tensor) -> None:
        patches = F.unfold(x, layer.kernel, stride=layer.stride, padding=layer.padding)[0].T
        step = max(1, patches.shape[0] // MOMENT_POSITIONS)
        sample = patches[::step].double()
        width = sample.shape[1]
        zero = Moments(0, torch.zeros(width, dtype=torch.float64), torch.zeros(width, width, dtype=torch.float64))
        moments = self.moments.setdefault(layer.name, zero)
        moments.count += sample.shape[0]
        moments.first += sample.sum(0)
        moments.second += sample.T @ sample

    # ---- layers

    def conv(self, layer: "Conv", x: Recorded) -> Recorded:
        self._moments(layer, x.tensor)
        return self._layer(layer.name, x, self.inner.conv(layer, x.tensor))

    def depthwise(self, layer: "Depthwise", x: Recorded) -> Recorded:
        return self._layer(layer.name, x, self.inner.depthwise(layer, x.tensor))

    def scale(self, vector: "ScaleVector", x: Recorded, qp: Any) -> Recorded:
        return self._layer(vector.name, x, self.inner.scale(vector, x.tensor, qp))

    def wsilu(self, x: Recorded) -> Recorded:
        self.groups.activations.add(self.groups.root(x.group))
        return self.record(self.inner.wsilu(x.tensor), x.group, self._fixed(x).channels)

    def chunk_add(self, x: Recorded) -> Recorded:
        first, second = np.split(x.channels, 2)
        self.channels.tie(first, second)
        return self.record(self.inner.chunk_add(x.tensor), x.group, first)

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
        return [Recorded(part, x.group, ids) for part, ids in zip(self.inner.split(x.tensor, sizes), channels, strict=True)]

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

    def reciprocal(self, x: Recorded) -> torch.Tensor:
        return self.inner.reciprocal(x.tensor)

    def encoder_factor(self, x: Recorded) -> torch.Tensor:
        return x.tensor

    def multiply_step_size(self, latents: Recorded, step_size: Recorded) -> Recorded:
        return self.record(self.inner.multiply_step_size(latents.tensor, self._fixed(step_size).tensor), self.y_hat_group)

    def clamp_unit(self, x: Recorded) -> Recorded:
        return self.frame(self.inner.clamp_unit(self._fixed(x).tensor))

    # ---- latents, symbols and pictures

    def quantise_step(
        self,
        step: "CodingStep",
        y: torch.Tensor,
        scales: Recorded,
        means: Recorded,
        skip_threshold: float | None,
        zero_below: NDArray[np.float32] | None = None,
    ) -> Any:
        part, *rest = self.inner.quantise_step(step, y, self._fixed(scales).tensor, means.tensor, skip_threshold, zero_below)
        return self.record(part, means.group, self._fixed(means).channels), *rest

    def step_index(self, step: "CodingStep", scales: Recorded, skip_threshold: float | None) -> Any:
        return self.inner.step_index(step, self._fixed(scales).tensor, skip_threshold)

    def restore_step(self, step: "CodingStep", symbols: Any, means: Recorded) -> Recorded:
        return self.record(self.inner.restore_step(step, symbols, means.tensor), means.group, self._fixed(means).channels)

    def round_z(self, z: torch.Tensor) -> Any:
        return self.inner.round_z(z)

    def z_from_symbols(self, symbols: Any) -> Recorded:
        return self.record(self.inner.z_from_symbols(symbols), self.groups.new(rules.Z_EXPONENT))

    def frame_from_values(self, values: NDArray[np.float32]) -> Recorded:
        return self.frame(self.inner.frame_from_values(values))

    def export_planes(self, frame: Recorded, *, halve_chroma: bool, truncate_chroma: bool) -> Any:
        return self.inner.export_planes(frame.tensor, halve_chroma=halve_chroma, truncate_chroma=truncate_chroma)

    def export_fine(self, frame: Recorded) -> Any:
        return self.inner.export_fine(frame.tensor)

    def samples_from_frame(self, frame: Recorded) -> NDArray[np.int16]:
        return self.inner.samples_from_frame(frame.tensor)

    def frame_from_samples(self, samples: NDArray[np.int16]) -> Recorded:
        return self.frame(self.inner.frame_from_samples(samples))

    def to_float(self, x: Recorded) -> Any:
        return self.inner.to_float(x.tensor)

    def from_float(self, x: NDArray[np.float32]) -> Recorded:
        return self.record(self.inner.from_float(x), self.groups.new())


class _CalibrationLatents:
    """Quantises as an encoder does and keeps nothing."""

    def __init__(self, ops: RecordingOperations, y: torch.Tensor, skip_threshold: float) -> None:
        self.ops, self.y, self.skip_threshold = ops, y, skip_threshold

    def begin(self, step_size_inverse: torch.Tensor) -> None:
        self.y = self.y * step_size_inverse

    def step(self, step: "CodingStep", scales: Recorded, means: Recorded) -> Recorded:
        return self.ops.quantise_step(step, self.y, scales, means, self.skip_threshold)[0]


SKIP_THRESHOLD = 0.12


def calibrate_image(model: ImageModel, ops: RecordingOperations, values: NDArray[np.float32], qp: int) -> torch.Tensor:
    """Codes one picture, float32 (3, Hp, Wp) in 0..1, on recording operations; returns x_hat (1, 3, Hp, Wp)."""
    y = model.analysis(ops.inner, ops.inner.frame_from_values(values), qp)
    symbols = ops.round_z(model.hyper_analysis(ops.inner, y))
    parameters = model.prior_parameters(ops, ops.z_from_symbols(symbols), ops.inner.size(y))
    y_hat = model.code_latents(ops, parameters, _CalibrationLatents(ops, y, SKIP_THRESHOLD))
    frame: Recorded = model.synthesis(ops, y_hat, qp)
    return frame.tensor


def calibrate_video(
    model: VideoModel, ops: RecordingOperations, reference: torch.Tensor, pictures: Sequence[NDArray[np.float32]], qps: Sequence[int]
) -> None:
    """Codes P frames, one per QP given, after a reference frame (1, 3, Hp, Wp)."""
    frame, feature, coder, long_term = ops.frame(reference), None, FieldCoder(), None
    for number, (values, qp) in enumerate(zip(pictures, qps, strict=True)):
        predicted, source = None, values
        if model.spec.motion:
            samples = ops.samples_from_frame(frame)
            motion = coder.search(luma_of_values(values), in_lines(samples[:1]), qp, None if long_term is None else in_lines(long_term[:1]))
            coder.encode(motion)
            predicted = ops.frame_from_samples(compensate_squares(samples, motion, long_term))
            long_term = samples if is_kept(number) else long_term
            source = values - ops.to_float(predicted)
        ctx, ctx_t = model.contexts(ops, model.adapt(ops, frame if predicted is None else predicted, feature), qp)
        ops.channels.fix(ctx.channels)  # the encoder's float analysis takes ctx at its true scale
        y = model.analysis(ops.inner, ops.inner.frame_from_values(source), ctx.tensor, qp)
        symbols = ops.round_z(model.hyper_analysis(ops.inner, y))
        parameters = model.prior_parameters(ops, ops.z_from_symbols(symbols), ctx_t, ops.inner.size(y))
        y_hat = model.code_latents(ops, parameters, _CalibrationLatents(ops, y, SKIP_THRESHOLD))
        feature = model.synthesis(ops, y_hat, ctx, qp)
        frame = model.reconstruction(ops, feature, qp, None if predicted is None else model.add_direct(ops, predicted, y_hat))
