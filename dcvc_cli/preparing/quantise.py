"""Float networks to integer networks: exponents from calibration, integer weights, multipliers and addends.

Deterministic for one set of inputs on one software stack; what it makes is stored, so it need not be the same elsewhere.
Source: docs/exact-arithmetic.md ("Preparation of weights"). Rounding of 8-bit weights after Frantar et al., "GPTQ" (ICLR 2023):
column by column, the error of one column being carried by the columns not yet rounded, weighed by the inputs' covariance.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from dcvc_cli.backend import exact_rules as rules
from dcvc_cli.backend.exact_network import ExactConv, ExactLayer, ExactNetwork, ExactScale
from dcvc_cli.backend.float_torch import FloatOperations
from dcvc_cli.codec.pictures import PADDING, values_from_picture
from dcvc_cli.errors import InputError
from dcvc_cli.families.rt.image import ImageModel
from dcvc_cli.families.rt.video import VideoModel
from dcvc_cli.graph.blocks import Conv, ScaleVector, decoder_layers
from dcvc_cli.media.reader import open_reader
from dcvc_cli.preparing.calibration import Moments, RecordingOperations, calibrate_image, calibrate_video
from dcvc_cli.weights.file import ModelWeights, carries_signal

HEADROOM = 1.2
NARROW_LIMIT, WIDE_LIMIT = 127, 32767
CLIPS = (1.0, 0.95, 0.9, 0.85, 0.8, 0.7)
"""Shares of a row's largest weight tried as the largest representable 8-bit weight."""
DAMPING = 0.01
IMAGE_QPS = (0, 21, 42, 63)
VIDEO_QPS = (0, 21, 42, 63)

CLIP_PICTURES, CLIP_SIDE = 4, 256

Clip = Sequence[NDArray[np.float32]]
"""Pictures, float32 (3, Hp, Wp) in 0..1, sides multiples of 16."""


@dataclass(frozen=True)
class WeightPolicy:
    """Which convolutions get weights beyond 8 bits (still with row sums of at most 65535)."""

    is_wide: Callable[[str], bool]


ALL_NARROW = WeightPolicy(lambda name: False)
ALL_WIDE = WeightPolicy(lambda name: True)
SIGNAL_WIDE = WeightPolicy(carries_signal)
"""8 bits but for the layers that carry the signal, where 8-bit rounding is seen: measured in docs/decisions/0011-exact-weight-widths.md."""


def read_clips(sources: Sequence[str], num_pictures: int = CLIP_PICTURES, side: int = CLIP_SIDE) -> list[Clip]:
    """The first pictures of every source, cropped to their middle: at most side x side, in multiples of 16.

    Raises:
        InputError: a source that cannot be read, holds fewer pictures, or is smaller than 16x16.
    """
    clips: list[Clip] = []
    for source in sources:
        with open_reader(source, max_frames=num_pictures) as reader:
            values = [values_from_picture(picture, reader.format) for picture in reader]
            size = reader.format.size
        height, width = (min(side, whole) // PADDING * PADDING for whole in (size.height, size.width))
        if len(values) < num_pictures or not height or not width:
            raise InputError(f"{source}: expected {num_pictures} pictures of 16x16 or more to calibrate with, found {len(values)} of {size}")
        top, left = (size.height - height) // 2, (size.width - width) // 2
        clips.append([value[:, top : top + height, left : left + width] for value in values])
    return clips


def prepare_exact(
    weights: ModelWeights,
    clips: Sequence[Clip],
    states: tuple[Mapping[str, NDArray[np.float32]], Mapping[str, NDArray[np.float32]]] | None = None,
    policy: WeightPolicy = SIGNAL_WIDE,
) -> ModelWeights:
    """The same weights with the arrays of the exact profile, calibrated on clips of two or more pictures.

    Args:
        clips: varied content and motion, four or more pictures each; sides of 192 samples and more, since borders are special.
        states: state dicts of the image and the video network as they were trained (training.export.as_trained); None takes the weights' own
            parameters, which a weights file may hold in 8 bits.
    """
    image, video = weights.image.model, weights.video.model
    assert isinstance(image, ImageModel)
    assert isinstance(video, VideoModel)
    arrays = states or (weights.image.parameters(), weights.video.parameters())
    image_state, video_state = ({name: torch.from_numpy(value) for name, value in state.items()} for state in arrays)
    exact_image = quantise_image(image, image_state, clips, policy)
    exact_video = quantise_video(video, video_state, image, image_state, clips, policy)
    return replace(weights, image=replace(weights.image, exact=exact_image.to_arrays()), video=replace(weights.video, exact=exact_video.to_arrays()))


def quantise_image(model: ImageModel, state: Mapping[str, torch.Tensor], clips: Sequence[Clip], policy: WeightPolicy = SIGNAL_WIDE) -> ExactNetwork:
    """The integer form of an image model, calibrated on the first picture of each clip at four QPs."""
    ops = RecordingOperations(FloatOperations({name: value.detach().float() for name, value in state.items()}))
    with torch.no_grad():
        for clip in clips:
            for qp in IMAGE_QPS:
                calibrate_image(model, ops, clip[0], qp)
    return quantise_network(model, state, ops, policy)


def quantise_video(
    model: VideoModel,
    state: Mapping[str, torch.Tensor],
    image: ImageModel,
    image_state: Mapping[str, torch.Tensor],
    clips: Sequence[Clip],
    policy: WeightPolicy = SIGNAL_WIDE,
) -> ExactNetwork:
    """The integer form of a video model, calibrated on clips of two and more pictures, the first one coded by the image model."""
    ops = RecordingOperations(FloatOperations({name: value.detach().float() for name, value in state.items()}))
    intra = RecordingOperations(FloatOperations({name: value.detach().float() for name, value in image_state.items()}))
    with torch.no_grad():
        for clip in clips:
            for qp in VIDEO_QPS:
                reference = calibrate_image(image, intra, clip[0], qp)
                calibrate_video(model, ops, reference, clip[1:], [min(qp + 8 * (k % 2), 71) for k in range(len(clip) - 1)])
    return quantise_network(model, state, ops, policy)


def quantise_network(model: Any, state: Mapping[str, torch.Tensor], recorded: RecordingOperations, policy: WeightPolicy) -> ExactNetwork:
    """The integer form of a network whose decoder's layers `recorded` has seen; checked as if it came from a file."""
    _keep_multipliers_small(model, state, recorded, policy)
    layers: dict[str, ExactLayer] = {}
    for layer in decoder_layers(model):
        before, after = (recorded.groups.exponent(group, HEADROOM) for group in recorded.layer_groups[layer.name])
        gain_in, gain_out = _gains(recorded, layer.name)
        if isinstance(layer, ScaleVector):
            rows = state[layer.name].double().numpy()[:, :, 0, 0]
            layers[layer.name] = quantise_scale(rows * gain_out / gain_in, before, after)
            continue
        weight, wide = _between_gains(layer, state, gain_in, gain_out), _is_wide(layer, policy)
        bias = state[f"{layer.name}.bias"].double() * torch.from_numpy(gain_out)
        moments = None
        if isinstance(layer, Conv):
            moments = _scaled_moments(recorded.moments[layer.name], torch.from_numpy(gain_in.repeat(layer.kernel**2)))
        layers[layer.name] = quantise_conv(layer.name, weight, bias, moments, before, after, wide=wide)
    y_hat_exponent = recorded.groups.exponent(recorded.y_hat_group, HEADROOM)
    return ExactNetwork.from_arrays(model, ExactNetwork(layers, y_hat_exponent).to_arrays())


def _keep_multipliers_small(model: Any, state: Mapping[str, torch.Tensor], recorded: RecordingOperations, policy: WeightPolicy) -> None:
    """Leaves quiet channels as they are where scaling them up would take a multiplier beyond its 32 bits."""
    again = True
    while again:
        again = False
        for layer in decoder_layers(model):
            if isinstance(layer, ScaleVector):
                continue
            before, after = (recorded.groups.exponent(group, HEADROOM) for group in recorded.layer_groups[layer.name])
            gain_in, gain_out = _gains(recorded, layer.name)
            rows = _between_gains(layer, state, gain_in, gain_out).flatten(1)
            finest = _smallest_step(rows, WIDE_LIMIT if _is_wide(layer, policy) else NARROW_LIMIT)
            too_loud = (finest * _unit_factor(before, after) > rules.MAX_MULTIPLIER).numpy() & (gain_out > 1)
            if too_loud.any():
                recorded.channels.fix(recorded.layer_channels[layer.name][1][too_loud])
                again = True


def _is_wide(layer: Any, policy: WeightPolicy) -> bool:
    """Depthwise convolutions always are: their few weights cost next to nothing."""
    return not isinstance(layer, Conv) or policy.is_wide(layer.name)


def _between_gains(layer: Any, state: Mapping[str, torch.Tensor], gain_in: NDArray[np.float64], gain_out: NDArray[np.float64]) -> torch.Tensor:
    """A convolution's weights (cout, cin, k, k) between channels that are scaled up; a depthwise one has the gains of its own channel."""
    weight = state[f"{layer.name}.weight"].double() * torch.from_numpy(gain_out)[:, None, None, None]
    return weight / torch.from_numpy(gain_in[None, :] if isinstance(layer, Conv) else gain_in[:, None])[:, :, None, None]


def _unit_factor(in_exponent: int, out_exponent: int) -> float:
    """The multiplier of a convolution whose weights count in steps of 1."""
    return float(2.0 ** (out_exponent - in_exponent + rules.SHIFT))


def _gains(recorded: RecordingOperations, name: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Channel gains before and after a layer: quiet channels that only linear layers see use the 16 bits better when scaled up."""
    sides = zip(recorded.layer_groups[name], recorded.layer_channels[name], strict=True)
    before, after = (recorded.channels.gains(ids, recorded.groups.peak[recorded.groups.root(group)]) for group, ids in sides)
    return before, after


def _scaled_moments(moments: Moments, gain: torch.Tensor) -> Moments:
    return Moments(moments.count, moments.first * gain, moments.second * torch.outer(gain, gain))


def quantise_scale(rows: NDArray[np.float64], in_exponent: int, out_exponent: int) -> ExactScale:
    """Factors (num_qps, c) as 16-bit integers, each row with the largest shift that its largest factor allows."""
    factors = rows * 2.0 ** (out_exponent - in_exponent)
    peak = np.maximum(np.abs(factors).max(axis=1), 2.0**-16)
    shifts = np.clip(np.floor(np.log2(32767 / peak)), 1, 30).astype(np.uint8)
    integers = np.clip(np.rint(factors * 2.0 ** shifts[:, None].astype(np.float64)), -32768, 32767).astype(np.int16)
    return ExactScale(integers, shifts, in_exponent, out_exponent)


def quantise_conv(
    name: str, weight: torch.Tensor, bias: torch.Tensor, moments: Moments | None, in_exponent: int, out_exponent: int, *, wide: bool
) -> ExactConv:
    """Integer weights, multipliers and addends of one convolution (cout, cin, k, k) with bias (cout,)."""
    rows = weight.reshape(weight.shape[0], -1).contiguous()
    if moments is None or moments.count == 0:
        width = rows.shape[1]
        mean, covariance = torch.zeros(width, dtype=torch.float64), torch.eye(width, dtype=torch.float64)
    else:
        mean = moments.first / moments.count
        covariance = moments.second / moments.count - torch.outer(mean, mean)
    step = _smallest_step(rows, WIDE_LIMIT if wide else NARROW_LIMIT)
    if wide:
        integers = torch.round(rows / step[:, None])
    else:
        step = _best_step(rows, step, covariance)
        integers = _round_by_column(rows, step, covariance)
        # Error feedback may push a row of more than 516 weights over the bound; plain rounding never does.
        over = integers.abs().sum(1) > rules.MAX_ROW_SUM
        integers[over] = torch.round(rows[over] / step[over, None]).clamp(-NARROW_LIMIT, NARROW_LIMIT)
    corrected = bias + (rows - integers * step[:, None]) @ mean
    factor = step * _unit_factor(in_exponent, out_exponent)
    if float(factor.max()) > rules.MAX_MULTIPLIER:
        raise InputError(f"layer {name} amplifies too much for integer arithmetic", "calibrate with clips that drive it harder")
    addend = torch.round(corrected * 2.0 ** (out_exponent + rules.SHIFT)).clamp(-(2.0**61), 2.0**61)
    return ExactConv(
        integers.reshape(weight.shape).numpy().astype(np.int16),
        torch.round(factor).numpy().astype(np.int32),
        addend.numpy().astype(np.int64) + (1 << (rules.SHIFT - 1)),
        in_exponent,
        out_exponent,
    )


def _smallest_step(rows: torch.Tensor, limit: int) -> torch.Tensor:
    """The finest weight step of every row within the weight limit and the row-sum bound."""
    room = rules.MAX_ROW_SUM - rows.shape[1]
    step = torch.maximum(rows.abs().amax(1) / limit, rows.abs().sum(1) / room)
    return torch.where(step > 0, step, torch.full_like(step, 2.0**-24))


def _best_step(rows: torch.Tensor, finest: torch.Tensor, covariance: torch.Tensor) -> torch.Tensor:
    """The step of every row, among clipped ones, with the least output error under plain rounding."""
    best_step, best_error = finest, torch.full_like(finest, float("inf"))
    for clip in CLIPS:
        step = finest * clip
        error = rows - torch.round(rows / step[:, None]).clamp(-NARROW_LIMIT, NARROW_LIMIT) * step[:, None]
        cost = ((error @ covariance) * error).sum(1)
        better = cost < best_error
        best_step, best_error = torch.where(better, step, best_step), torch.where(better, cost, best_error)
    return best_step


def _round_by_column(rows: torch.Tensor, step: torch.Tensor, covariance: torch.Tensor) -> torch.Tensor:
    width = rows.shape[1]
    damping = DAMPING * covariance.diagonal().mean() + 1e-12
    inverse = torch.linalg.inv(covariance + damping * torch.eye(width, dtype=torch.float64))
    factor = torch.linalg.cholesky((inverse + inverse.T) / 2, upper=True)
    left, integers = rows.clone(), torch.empty_like(rows)
    for column in range(width):
        integers[:, column] = torch.round(left[:, column] / step).clamp(-NARROW_LIMIT, NARROW_LIMIT)
        error = (left[:, column] - integers[:, column] * step) / factor[column, column]
        left[:, column + 1 :] -= error[:, None] * factor[column, column + 1 :]
    return integers
