"""Turns float networks into integer networks: exponents from calibration, integer weights, multipliers and addends.

The same inputs give the same integers on every machine, with any processor, number of threads and libraries, because
all arithmetic is that of `backend.reproducible`. Source: docs/exact-arithmetic.md ("Preparation of weights").

8-bit weights are rounded after Frantar et al., "GPTQ" (ICLR 2023), in the form of Chee et al., "QuIP" (NeurIPS 2023):
column by column. The columns that are not yet rounded carry the error of each column, weighted by the inputs'
covariance.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dcvc_cli.backend import exact_rules as rules
from dcvc_cli.backend.exact_analysis import largest_factor, quantise_scale
from dcvc_cli.backend.exact_network import ExactConv, ExactLayer, ExactNetwork
from dcvc_cli.backend.reproducible import Float64, ReproducibleOperations, on_grid, product, product_bits
from dcvc_cli.codec.pictures import PADDING, values_from_picture
from dcvc_cli.errors import InputError
from dcvc_cli.families.base import Model
from dcvc_cli.graph.blocks import Conv, ScaleVector, decoder_layers, encoder_layers
from dcvc_cli.media.reader import open_reader
from dcvc_cli.preparing.calibration import Moments, RecordingOperations
from dcvc_cli.preparing.calibration_material import strange_clips, typical_clips
from dcvc_cli.weights.compression import NARROW_LIMIT, WIDE_LIMIT, carries_signal
from dcvc_cli.weights.file import ModelWeights
from dcvc_cli.weights.stored_arrays import ANALYSIS_EXPONENTS

CLIPS = (1.0, 0.95, 0.9, 0.85, 0.8, 0.7)
"""Shares of a row's largest weight that are tried as the largest 8-bit weight."""
DAMPING = 0.01
COLUMNS_AT_ONCE = 32
"""Number of columns that the error feedback and its matrix take one by one. The rest follows in one product."""
WEIGHT_BITS = 30
"""A row of weights is first rounded to so many bits, so that the sum of its magnitudes is exact."""
QPS, STRANGE_QPS = (0, 21, 42, 63), (0, 63)

CLIP_PICTURES, CLIP_SIDE = 4, 256

Clip = Sequence[NDArray[np.float32]]
"""Pictures, float32 (3, Hp, Wp) in 0..1; both sides are multiples of 16."""
State = Mapping[str, NDArray[Any]]
"""Parameters of a network by name, float32."""


@dataclass(frozen=True)
class WeightPolicy:
    """Decides which convolutions get weights beyond 8 bits. Their row sums are still at most 65535."""

    is_wide: Callable[[str], bool]


ALL_NARROW = WeightPolicy(lambda name: False)
ALL_WIDE = WeightPolicy(lambda name: True)
SIGNAL_WIDE = WeightPolicy(carries_signal)
"""8 bits for all layers but those that carry the signal, where 8-bit rounding is visible (measured in
docs/decisions/0011-exact-weight-widths.md)."""

IMPORT_POLICY = SIGNAL_WIDE
"""The policy for imported checkpoints."""


def read_clips(sources: Sequence[str], num_pictures: int = CLIP_PICTURES, side: int = CLIP_SIDE) -> list[Clip]:
    """Reads the first pictures of every source, cropped to their middle: at most side x side, in multiples of 16.

    Raises:
        InputError: a source cannot be read, holds fewer pictures, or is smaller than 16x16.
    """
    clips: list[Clip] = []
    for source in sources:
        with open_reader(source, max_frames=num_pictures) as reader:
            values = [values_from_picture(picture, reader.format) for picture in reader]
            size = reader.format.size
        height, width = (min(side, whole) // PADDING * PADDING for whole in (size.height, size.width))
        if len(values) < num_pictures or not height or not width:
            raise InputError(
                f"{source}: expected {num_pictures} pictures of 16x16 or more to calibrate with, found "
                f"{len(values)} of {size}"
            )
        top, left = (size.height - height) // 2, (size.width - width) // 2
        clips.append([value[:, top : top + height, left : left + width] for value in values])
    return clips


def prepare_exact(
    weights: ModelWeights,
    clips: Sequence[Clip],
    states: Mapping[str, State] | None = None,
    policy: WeightPolicy = SIGNAL_WIDE,
    *,
    strange: Sequence[Clip] = (),
) -> ModelWeights:
    """Adds the arrays of the exact profile to weights, calibrated on clips of two or more pictures.

    Args:
        clips: clips of varied content and motion, with four or more pictures each. Sides have 192 samples and more,
            since borders are special.
        states: state dicts of the trained networks (training.export.as_trained). None takes the weights' own
            parameters, which a weights file may hold in 8 bits.
        policy: decides which layers get 16-bit weights.
        strange: clips that ranges must hold too. Their statistics do not count.
    """
    states = states or {name: network.parameters() for name, network in weights.networks.items()}
    recorders = _recorded(weights.model, clips, strange, states)
    return _with_analysis(_with_exact(weights, recorders, states, policy), recorders)


def prepare_from_box(
    weights: ModelWeights,
    clips: Sequence[Clip] = (),
    states: Mapping[str, State] | None = None,
    policy: WeightPolicy = SIGNAL_WIDE,
) -> ModelWeights:
    """Runs prepare_exact with the calibration material in the box beside `clips`, then drops what exact coding does not
    need."""
    states = states or {name: network.parameters() for name, network in weights.networks.items()}
    recorders = _recorded(weights.model, [*typical_clips(), *clips], strange_clips(), states)
    prepared = _with_exact(weights, recorders, states, policy)
    coding = {name: network.for_exact_coding() for name, network in prepared.networks.items()}
    return _with_analysis(replace(prepared, networks=coding), recorders)


def _recorded(
    model: Model, clips: Sequence[Clip], strange: Sequence[Clip], states: Mapping[str, State]
) -> dict[str, RecordingOperations]:
    """Runs the networks on the clips. Returns the records by network."""
    recorders = {name: RecordingOperations(ReproducibleOperations(state)) for name, state in states.items()}
    # A model with chunks takes as many pictures of a clip in one pass as other models in two.
    has_chunks = model.max_pictures > 1
    every = 4 if has_chunks else 2
    for number, clip in enumerate(clips):
        # With several clips, each clip gets some of the QPs: other content at another QP tells more than the same
        # content once more.
        for qp in QPS[number % every :: every] if len(clips) > 1 else QPS:
            model.calibrate(recorders, clip, qp)
    for recorder in recorders.values():
        recorder.sees_typical = False
    for number, clip in enumerate(strange):
        for qp in STRANGE_QPS[number % 2 :: 2] if has_chunks else STRANGE_QPS:
            model.calibrate(recorders, clip, qp)
    for recorder in recorders.values():
        recorder.inner.forget_weights()
    return recorders


def _with_exact(
    weights: ModelWeights,
    recorders: Mapping[str, RecordingOperations],
    states: Mapping[str, State],
    policy: WeightPolicy,
) -> ModelWeights:
    networks = {}
    for name, network in weights.networks.items():
        exact = quantise_network(network.model, states[name], recorders[name], policy)
        networks[name] = replace(network, exact=exact.to_arrays())
    return replace(weights, networks=networks)


def _with_analysis(weights: ModelWeights, recorders: Mapping[str, RecordingOperations]) -> ModelWeights:
    """Adds the exponents of the layers that only an encoder runs, if their weights are stored as integers."""
    networks = {}
    for name, network in weights.networks.items():
        names = [layer.name for layer in encoder_layers(network.model)]
        stored = [network.arrays.get(f"{layer}.weight") for layer in names]
        is_integer = all(weight is None or weight.dtype in (np.int8, np.int16) for weight in stored)
        if is_integer and all(layer in recorders[name].analysis.layer_groups for layer in names):
            exponents = analysis_exponents(network.model, network.arrays, recorders[name])
            network = replace(network, arrays=network.arrays | {ANALYSIS_EXPONENTS: exponents})
        networks[name] = network
    return replace(weights, networks=networks)


def quantise_network(model: Any, state: State, recorded: RecordingOperations, policy: WeightPolicy) -> ExactNetwork:
    """Makes the integer form of a network whose decoder's layers `recorded` has seen. The result is checked as if it
    came from a file."""
    _keep_multipliers_small(model, state, recorded, policy)
    layers: dict[str, ExactLayer] = {}
    for layer in decoder_layers(model):
        before, after = (recorded.groups.exponent(group) for group in recorded.layer_groups[layer.name])
        gain_in, gain_out = _gains(recorded, layer.name)
        if isinstance(layer, ScaleVector):
            rows = np.asarray(state[layer.name], np.float64).reshape(layer.num_qps, layer.channels)
            layers[layer.name] = quantise_scale(rows * gain_out / gain_in, before, after)
            continue
        weight, wide = _between_gains(layer, state, gain_in, gain_out), _is_wide(layer, policy)
        bias = np.asarray(state.get(f"{layer.name}.bias", np.zeros(len(gain_out))), np.float64) * gain_out
        moments = None
        if isinstance(layer, Conv) and layer.name in recorded.moments:
            moments = _scaled_moments(recorded.moments[layer.name], gain_in.repeat(layer.kernel**2))
        layers[layer.name] = quantise_conv(layer.name, weight, bias, moments, before, after, wide=wide)
    y_hat_exponent = recorded.groups.exponent(recorded.y_hat_group)
    return ExactNetwork.from_arrays(model, ExactNetwork(layers, y_hat_exponent).to_arrays())


def analysis_exponents(model: Any, arrays: State, recorded: RecordingOperations) -> NDArray[np.int8]:
    """Returns the exponents of the layers that only an encoder runs, for backend.exact_analysis.

    Args:
        arrays: the weights in the form of a weights file.
        recorded: records of both halves.
    """
    seen, layers = recorded.analysis, list(encoder_layers(model))
    again = True
    while again:
        again = False
        for layer in layers:
            before, after = (seen.groups.exponent(group) for group in seen.layer_groups[layer.name])
            if isinstance(layer, ScaleVector):
                continue
            if largest_factor(layer, arrays) * _unit_factor(before, after) > rules.MAX_MULTIPLIER:
                again |= seen.groups.lower(seen.layer_groups[layer.name][1])
    pairs = [seen.groups.exponent(group) for layer in layers for group in seen.layer_groups[layer.name]]
    return np.array([*pairs, seen.groups.exponent(seen.context_group)], np.int8)


def _keep_multipliers_small(model: Any, state: State, recorded: RecordingOperations, policy: WeightPolicy) -> None:
    """Keeps multipliers within 32 bits. For a layer whose multiplier would not fit, it first does not scale quiet
    channels, then gives the output a smaller exponent.

    Such an output has finer steps than its input can distinguish, so nothing is lost.
    """
    again = True
    while again:
        again = False
        for layer in decoder_layers(model):
            if isinstance(layer, ScaleVector):
                continue
            before, after = (recorded.groups.exponent(group) for group in recorded.layer_groups[layer.name])
            gain_in, gain_out = _gains(recorded, layer.name)
            rows = _rows(_between_gains(layer, state, gain_in, gain_out))
            finest = _smallest_step(rows, WIDE_LIMIT if _is_wide(layer, policy) else NARROW_LIMIT)
            is_beyond = finest * _unit_factor(before, after) > rules.MAX_MULTIPLIER
            if (is_beyond & (gain_out > 1)).any():
                recorded.channels.fix(recorded.layer_channels[layer.name][1][is_beyond & (gain_out > 1)])
                again = True
            elif is_beyond.any():
                again |= recorded.groups.lower(recorded.layer_groups[layer.name][1])


def _is_wide(layer: Any, policy: WeightPolicy) -> bool:
    """Returns whether a layer gets 16-bit weights. Depthwise convolutions always get them, because they have few
    weights."""
    return not isinstance(layer, Conv) or policy.is_wide(layer.name)


def _between_gains(layer: Any, state: State, gain_in: Float64, gain_out: Float64) -> Float64:
    """Returns a convolution's weights (cout, cin, k, k) between scaled channels. A depthwise convolution has the gains
    of its own channel."""
    weight = np.asarray(state[f"{layer.name}.weight"], np.float64) * gain_out[:, None, None, None]
    return np.asarray(weight / (gain_in[None, :] if isinstance(layer, Conv) else gain_in[:, None])[:, :, None, None])


def _unit_factor(in_exponent: int, out_exponent: int) -> float:
    """Returns the multiplier of a convolution whose weights have a step of 1."""
    return float(2.0 ** (out_exponent - in_exponent + rules.SHIFT))


def _gains(recorded: RecordingOperations, name: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Returns the channel gains before and behind a layer. Quiet channels that only linear layers see are scaled up, so
    that they use the 16 bits better."""
    sides = zip(recorded.layer_groups[name], recorded.layer_channels[name], strict=True)
    before, after = (recorded.channels.gains(ids, recorded.groups.range(group)) for group, ids in sides)
    return before, after


def _scaled_moments(moments: Moments, gain: Float64) -> Moments:
    return Moments(moments.count, moments.first * gain, moments.second * np.outer(gain, gain))


def quantise_conv(
    name: str,
    weight: Float64,
    bias: Float64,
    moments: Moments | None,
    in_exponent: int,
    out_exponent: int,
    *,
    wide: bool,
) -> ExactConv:
    """Computes integer weights, multipliers and addends of one convolution (cout, cin, k, k) with bias (cout,)."""
    rows = _rows(weight)
    width = rows.shape[1]
    mean, covariance = np.zeros(width), np.eye(width)
    if moments is not None and moments.count:
        mean = moments.first / moments.count
        covariance = moments.second / moments.count - np.outer(mean, mean)
    step = _smallest_step(rows, WIDE_LIMIT if wide else NARROW_LIMIT)
    if wide:
        integers = np.rint(rows / step[:, None])
    else:
        step = _best_step(rows, step, covariance)
        integers = _round_by_column(rows, step, covariance)
        # Error feedback may push a row of more than 516 weights over the bound; plain rounding never does.
        over = np.abs(integers).sum(axis=1) > rules.MAX_ROW_SUM
        integers[over] = np.rint(rows[over] / step[over, None]).clip(-NARROW_LIMIT, NARROW_LIMIT)
    corrected = bias + product(rows / step[:, None] - integers, mean) * step
    factor = step * _unit_factor(in_exponent, out_exponent)
    if float(factor.max()) > rules.MAX_MULTIPLIER:
        raise InputError(
            f"layer {name} amplifies too much for integer arithmetic", "calibrate with clips that drive it harder"
        )
    addend = np.rint(corrected * 2.0 ** (out_exponent + rules.SHIFT)).clip(-(2.0**61), 2.0**61)
    return ExactConv(
        integers.reshape(weight.shape).astype(np.int16),
        np.rint(factor).astype(np.int32),
        addend.astype(np.int64) + (1 << (rules.SHIFT - 1)),
        in_exponent,
        out_exponent,
    )


def _rows(weight: Float64) -> Float64:
    """Returns the weights as rows (cout, cin * k * k), each rounded to WEIGHT_BITS of its largest weight."""
    return on_grid(weight.reshape(weight.shape[0], -1), WEIGHT_BITS, axis=1)


def _smallest_step(rows: Float64, limit: int) -> Float64:
    """Returns the finest step of every row within the weight limit and the row-sum bound."""
    room = rules.MAX_ROW_SUM - rows.shape[1]
    step = np.maximum(np.abs(rows).max(axis=1) / limit, np.abs(rows).sum(axis=1) / room)
    return np.where(step > 0, step, 2.0**-24)


def _best_step(rows: Float64, finest: Float64, covariance: Float64) -> Float64:
    """Returns the step of every row, among clipped ones, with the least output error under plain rounding."""
    best_step, best_error = finest, np.full(len(finest), np.inf)
    covariance = on_grid(covariance, product_bits(len(covariance)))
    for clip in CLIPS:
        step = finest * clip
        error = rows / step[:, None] - np.rint(rows / step[:, None]).clip(-NARROW_LIMIT, NARROW_LIMIT)
        cost = _quadratic_forms(error, covariance) * (step * step)
        better = cost < best_error
        best_step, best_error = np.where(better, step, best_step), np.where(better, cost, best_error)
    return best_step


def _quadratic_forms(rows: Float64, matrix: Float64) -> Float64:
    """Returns row @ matrix @ row for every row. The matrix is on the grid of `product`."""
    bits = 20
    weighed = on_grid(rows, product_bits(len(matrix))) @ matrix
    return np.asarray((on_grid(weighed, bits, axis=1) * on_grid(rows, bits, axis=1)).sum(axis=1))


def _round_by_column(rows: Float64, step: Float64, covariance: Float64) -> Float64:
    feedback = _unit_upper_factor(covariance + (DAMPING * _mean(covariance.diagonal()) + 1e-12) * np.eye(rows.shape[1]))
    exact = (rows / step[:, None]).T
    left, integers, errors = exact.copy(), np.empty_like(exact), np.empty_like(exact)
    for first in range(0, len(exact), COLUMNS_AT_ONCE):
        end = min(first + COLUMNS_AT_ONCE, len(exact))
        for column in range(first, end):
            integers[column] = np.rint(left[column]).clip(-NARROW_LIMIT, NARROW_LIMIT)
            # The whole error of this column, with the errors that earlier columns gave it.
            errors[column] = exact[column] - integers[column]
            left[column + 1 : end] += feedback[column, column + 1 : end, None] * errors[column]
        if end < len(exact):
            left[end:] += product(feedback[first:end, end:].T, errors[first:end])
    return np.ascontiguousarray(integers.T)


def _unit_upper_factor(matrix: Float64) -> Float64:
    """Factors a positive definite matrix = U D U^T, column by column in blocks. Returns U, upper triangular with a
    diagonal of 1."""
    rest, factor, pivots = matrix.copy(), np.eye(len(matrix)), np.empty(len(matrix))
    for end in range(len(matrix), 0, -COLUMNS_AT_ONCE):
        first = max(0, end - COLUMNS_AT_ONCE)
        for column in range(end - 1, first - 1, -1):
            pivots[column] = rest[column, column]
            shares = rest[:column, column] / pivots[column]
            factor[:column, column] = shares
            rest[:column, first:column] -= np.multiply.outer(shares, rest[first:column, column])
        if first:
            block = factor[:first, first:end]
            rest[:first, :first] -= product(block * pivots[first:end], block.T)
    return factor


def _mean(values: Float64) -> float:
    return float(on_grid(np.array(values), WEIGHT_BITS).sum() / len(values))
