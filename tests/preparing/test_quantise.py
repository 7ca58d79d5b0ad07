"""Preparation for exact arithmetic: the same integers everywhere, sound ones, and ranges that strange content does not
leave."""

import os
import subprocess
import sys
from collections import Counter
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from dcvc_cli.backend.exact_network import ExactNetwork
from dcvc_cli.backend.exact_twin import ExactTwin
from dcvc_cli.backend.reproducible import ReproducibleOperations
from dcvc_cli.entropy.factorised import factorised_table
from dcvc_cli.families.registry import find_model
from dcvc_cli.families.rt.image import ImageModel
from dcvc_cli.families.rt.sizes import TINY
from dcvc_cli.families.rt.video import VideoModel
from dcvc_cli.preparing import quantise
from dcvc_cli.preparing.calibration_material import (
    NUM_PICTURES,
    STRANGE_SIDE,
    TYPICAL_SIDE,
    strange_clips,
    typical_clips,
)
from dcvc_cli.preparing.quantise import ALL_WIDE, SIGNAL_WIDE, prepare_exact
from dcvc_cli.preparing.shared_ranges import Groups, room_for_strange
from dcvc_cli.weights.compression import table_arrays
from dcvc_cli.weights.file import ModelWeights, NetworkWeights, coding_shapes
from tests.support.integer_parameters import integer_parameters

pytest.importorskip("dcvc_cli._motion")

FINGERPRINTS = "ee7675f92aeb44f8 dd116f883259fc97"
"""Of tiny_weights() prepared for exact arithmetic, on every machine."""


def tiny_weights() -> ModelWeights:
    model, networks = find_model("tiny"), {}
    for seed, (name, network) in enumerate(model.networks.items(), 1):
        state = integer_parameters(network.shapes(), seed)
        kept = {key: state[key] for key in coding_shapes(network)}
        networks[name] = NetworkWeights(network, kept | table_arrays(factorised_table(state)))
    return ModelWeights(model, networks, "tiny")


def small_clips() -> tuple[list, list]:
    """Makes a part of the material in the box, enough for tiny networks."""
    typical = [[picture[:, :64, :64] for picture in clip] for clip in typical_clips()[:2]]
    return typical, strange_clips()[::8]


@cache
def prepared(policy=SIGNAL_WIDE) -> ModelWeights:
    typical, strange = small_clips()
    return prepare_exact(tiny_weights(), typical, policy=policy, strange=strange)


def fingerprints(weights: ModelWeights) -> str:
    return " ".join(f"{value:016x}" for value in weights.fingerprints)


def test_the_same_integers_on_every_machine():
    assert fingerprints(prepared()) == FINGERPRINTS


@pytest.mark.parametrize(
    "environment",
    [
        {
            "OMP_NUM_THREADS": "1",
            "OPENBLAS_NUM_THREADS": "1",
            "OPENBLAS_CORETYPE": "NEHALEM",
            "NPY_DISABLE_CPU_FEATURES": "X86_V4 X86_V3",
        },
        {
            "OMP_NUM_THREADS": "8",
            "OPENBLAS_NUM_THREADS": "8",
            "MKL_NUM_THREADS": "8",
            "MKL_CBWR": "COMPATIBLE",
            "DCVC_CPU_ISA": "scalar",
        },
    ],
)
def test_the_same_integers_with_other_threads_and_instruction_sets(environment: dict):
    code = "from tests.preparing.test_quantise import fingerprints, prepared; print(fingerprints(prepared()))"
    path = str(Path(__file__).parents[2])
    command = [sys.executable, "-W", "ignore", "-c", code]
    found = subprocess.run(
        command,
        env={**os.environ, **environment, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert found.stdout.strip() == FINGERPRINTS, found.stderr


def test_material_is_sound():
    for clips, side in ((typical_clips(), TYPICAL_SIDE), (strange_clips(), STRANGE_SIDE)):
        for clip in clips:
            assert len(clip) == NUM_PICTURES
            assert all(picture.shape == (3, side, side) and picture.dtype == np.float32 for picture in clip)
            assert all(picture.min() >= 0 and picture.max() <= 1 for picture in clip)
            assert np.array_equal(np.rint(clip[0] * 255).astype(np.float32) / np.float32(255), clip[0])


def test_material_never_changes():
    import hashlib

    digest = hashlib.sha256()
    for clip in (*typical_clips(), *strange_clips()):
        for picture in clip:
            digest.update(np.rint(picture * 255).astype(np.uint8).tobytes())
    assert digest.hexdigest()[:16] == "7a196e8a561c707e", "give the material another VERSION"


class SaturationCounter(ExactTwin):
    """Counts the values at the ends of int16, layer by layer; a sum's belong to the layer before it."""

    def __init__(self, network: ExactNetwork) -> None:
        super().__init__(network)
        self.saturated, self.last = Counter(), ""

    def _count(self, name, value):
        self.last = name
        self.saturated[name] += int(((value.data == 32767) | (value.data == -32768)).sum())
        return value

    def conv(self, layer, x):
        return self._count(layer.name, super().conv(layer, x))

    def depthwise(self, layer, x):
        return self._count(layer.name, super().depthwise(layer, x))

    def scale(self, vector, x, qp):
        return self._count(vector.name, super().scale(vector, x, qp))

    def add(self, x, y):
        return self._count(self.last, super().add(x, y))

    def multiply_step_size(self, latents, step_size):
        return self._count("latents", super().multiply_step_size(latents, step_size))

    def restore_step(self, step, symbols, means):
        return self._count("y_means", super().restore_step(step, symbols, means))


class Latents:
    """Quantises as an encoder does and keeps nothing."""

    def __init__(self, ops, y) -> None:
        self.ops, self.y = ops, y

    def begin(self, factor) -> None:
        self.y = self.y * factor

    def step(self, step, scales, means):
        return self.ops.quantise_step(step, self.y, scales, means, 0.12)[0]


def saturated(weights: ModelWeights, clip, qp: int) -> Counter:
    """Codes a clip's first picture as I frame and its second as P frame, without motion: values that saturate in each
    layer."""
    image, video = weights.model.networks.values()
    exact = [SaturationCounter(ExactNetwork.from_arrays(part.model, part.exact)) for part in weights.networks.values()]
    floats = [ReproducibleOperations(part.parameters()) for part in weights.networks.values()]
    y = image.analysis(floats[0], floats[0].frame_from_values(clip[0]), qp)
    symbols = floats[0].round_z(image.hyper_analysis(floats[0], y))
    parameters = image.prior_parameters(exact[0], exact[0].z_from_symbols(symbols), floats[0].size(y))
    frame = image.synthesis(
        exact[0], image.code_latents(exact[0], parameters, Latents(exact[0], y.astype(np.float32))), qp
    )
    ctx, ctx_t = video.contexts(exact[1], video.adapt_frame(exact[1], frame), qp)
    y = video.analysis(floats[1], floats[1].frame_from_values(clip[1]), exact[1].to_float(ctx).astype(np.float64), qp)
    symbols = floats[1].round_z(video.hyper_analysis(floats[1], y))
    parameters = video.prior_parameters(exact[1], exact[1].z_from_symbols(symbols), ctx_t, floats[1].size(y))
    y_hat = video.code_latents(exact[1], parameters, Latents(exact[1], y.astype(np.float32)))
    video.reconstruction(exact[1], video.synthesis(exact[1], y_hat, ctx, qp), qp)
    return exact[0].saturated + exact[1].saturated


def transform_codec() -> ModelWeights:
    """Makes untrained networks whose pictures come out recognisable."""
    pytest.importorskip("torch")
    from dcvc_cli.families.rt.initial_parameters import initial_image_parameters, initial_video_parameters
    from dcvc_cli.training.export import export_model

    image = {key: value.detach().numpy() for key, value in initial_image_parameters(ImageModel(TINY.image), 1).items()}
    video = {key: value.detach().numpy() for key, value in initial_video_parameters(VideoModel(TINY.video), 1).items()}
    return export_model("tiny", {"image": image, "video": video}, "")


def saturated_by_strange_content(weights: ModelWeights) -> Counter:
    return +sum((saturated(weights, clip, 63) for clip in small_clips()[1][:2]), Counter())


def test_no_layer_saturates_on_strange_content():
    assert not saturated_by_strange_content(prepared())


def test_layers_saturate_on_what_calibration_did_not_hold():
    """So the count above can fail. Clips see half of the QPs each, by their place."""
    grey, strange = [np.full((3, 64, 64), np.float32(0.5))] * NUM_PICTURES, small_clips()[1][:2]
    weights = transform_codec()
    assert {"latents", "dec.dec_1.0.up.conv.0"} <= set(saturated_by_strange_content(prepare_exact(weights, [grey])))
    assert not saturated_by_strange_content(prepare_exact(weights, [grey, *strange, grey, *strange]))


def test_strange_content_may_take_a_few_bits_only():
    groups = Groups()
    ranges = {}
    for name in ("dec.dec_1.0.up.conv.0", "dec.dec_1.3.dc.2", "hyper_dec.2.adaptor"):
        group = groups.new(room=room_for_strange(name))
        groups.peak[group], groups.strange_peak[group] = 2.0, 100.0
        ranges[name] = groups.range(group)
        groups.strange_peak[group] = 3.0
        assert groups.range(group) == min(3.0, ranges[name])
        groups.strange_peak[group] = 1.0
        assert groups.range(group) == 2.0
    assert list(ranges.values()) == [16.0, 4.0, 2.0]
    only_strange = groups.new(room=1)
    groups.strange_peak[only_strange] = 5.0
    assert groups.range(only_strange) == 5.0


def test_wide_weights_stay_within_the_row_sum():
    for part in prepared(ALL_WIDE).networks.values():
        layers = [
            layer
            for layer in ExactNetwork.from_arrays(part.model, part.exact).layers.values()
            if hasattr(layer, "weight")
        ]
        sums = np.concatenate(
            [np.abs(layer.weight.astype(np.int64)).reshape(layer.weight.shape[0], -1).sum(axis=1) for layer in layers]
        )
        assert sums.max() <= 65535
        assert sums.max() > 30000


def test_the_unit_upper_factor_takes_a_matrix_apart():
    rows = np.random.RandomState(1).randint(-50, 50, (30, 12)).astype(np.float64)
    matrix = rows.T @ rows + np.eye(12)
    factor = quantise._unit_upper_factor(matrix)
    assert np.array_equal(np.triu(factor), factor)
    assert (factor.diagonal() == 1).all()
    inverse = np.linalg.inv(factor)
    diagonal = inverse @ matrix @ inverse.T
    assert np.abs(diagonal - np.diag(diagonal.diagonal())).max() < 1e-6 * matrix.max()


def test_error_feedback_beats_plain_rounding():
    random = np.random.RandomState(2)
    mixing = random.normal(0, 1, (24, 24))
    covariance = mixing @ mixing.T
    rows = random.normal(0, 1, (16, 24))
    step = np.abs(rows).max(axis=1) / 127

    def cost(integers):
        error = rows - integers * step[:, None]
        return float(((error @ covariance) * error).sum())

    plain = np.rint(rows / step[:, None])
    assert cost(quantise._round_by_column(rows, step, covariance)) < 0.7 * cost(plain)
