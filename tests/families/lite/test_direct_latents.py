"""Direct latents: an orthonormal start, a path that alone brings pictures over, and what a weights file tells training
about z."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from dcvc_cli.entropy.factorised import factorised_table
from dcvc_cli.families.lite.sizes import LITE
from dcvc_cli.families.rt.initial_parameters import (
    direct_matrix,
    direct_plan,
    direct_positions,
    initial_video_parameters,
    latent_plan,
    network_positions,
)
from dcvc_cli.graph.latent_steps import IMAGE_STEPS, VIDEO_STEPS
from dcvc_cli.learning.estimator_fit import fitted_estimator, symbols_in_order
from dcvc_cli.learning.losses import BIT_ESTIMATOR_KEYS, TrainingOperations, factorised_bits
from dcvc_cli.learning.parameters import random_parameters
from dcvc_cli.training.export import as_trained
from dcvc_cli.weights.compression import carries_signal
from tests.support.models import WITH_MOTION, graphs, video_model


@pytest.mark.parametrize(
    ("spec", "width", "num_groups"),
    [
        (LITE.image, LITE.image.internal, IMAGE_STEPS[0].num_groups),
        (LITE.video, LITE.video.feature, VIDEO_STEPS[0].num_groups),
    ],
)
def test_direct_latents_are_an_orthonormal_rest(spec, width, num_groups) -> None:
    own = spec.latent - spec.direct
    plan = direct_plan(width, own, spec.direct, 3.0)
    assert len(set(plan)) == spec.direct
    rows = direct_matrix(plan).flatten(1)
    assert torch.allclose(rows @ rows.T, torch.eye(spec.direct, dtype=torch.float64), atol=1e-12)
    assert len(latent_plan(width, own)) == own
    ours, theirs = (
        network_positions(spec.latent, spec.direct, num_groups),
        direct_positions(spec.latent, spec.direct, num_groups),
    )
    assert sorted([*ours, *theirs]) == list(range(spec.latent))
    group = spec.latent // num_groups
    assert np.bincount([k // group for k in theirs]).tolist() == [spec.direct // num_groups] * num_groups


def test_the_direct_path_brings_back_what_it_took() -> None:
    """Detail made of direct latents' own frequencies passes analysis and add_direct unchanged, whatever the networks
    do."""
    model = video_model(LITE.video)
    ops = TrainingOperations(initial_video_parameters(model))
    plan = direct_plan(LITE.video.feature, LITE.video.latent - LITE.video.direct, LITE.video.direct, 3.0)
    matrix = direct_matrix(plan).float()
    amounts = torch.randn(1, len(plan), 2, 3, generator=torch.Generator().manual_seed(1)) * 0.01
    detail = ops.pixel_shuffle(torch.nn.functional.conv_transpose2d(amounts, matrix, stride=2), 8)
    assert model.encoder_direct is not None
    with torch.no_grad():
        y = ops.conv(model.encoder_direct, ops.pixel_unshuffle(detail, 8))
        back = model.add_direct(ops, torch.full_like(detail, 0.5), y)
    assert torch.allclose(back - 0.5, detail, atol=1e-5)


def test_models_without_direct_latents_have_none_of_its_layers() -> None:
    for model in graphs(WITH_MOTION):
        assert not [name for name, _ in model.shapes() if "direct" in name]


def test_exported_weights_are_those_that_were_trained() -> None:
    """8-bit layers stand on their grid, the others are untouched, and doing it again changes nothing."""
    model = video_model(replace(WITH_MOTION.video, latent=32, direct=16))
    state = {name: value.numpy() for name, value in random_parameters(model, 3).items()}
    trained = as_trained(state)
    again = as_trained(trained)
    for name, value in trained.items():
        if name.endswith(".weight") and not carries_signal(name):
            step = np.abs(state[name]).max(axis=(1, 2, 3), keepdims=True).clip(1e-12) / 127
            assert np.allclose(value / step, np.rint(value / step), atol=1e-3), name
            assert np.allclose(again[name], value, atol=1e-6), name
        else:
            assert np.array_equal(value, state[name]), name
    assert not carries_signal("decoder.direct.conv.0.weight")
    assert carries_signal("decoder.up.conv.0.weight")


def test_a_fitted_estimator_says_what_the_table_says() -> None:
    """Symbols drawn from the table take hardly more bits than its entropy, and far fewer than with a fresh
    estimator."""
    num_qps, channels = 3, 4
    generator = torch.Generator().manual_seed(5)
    names = [f"bit_estimator_z.{key}" for key in BIT_ESTIMATOR_KEYS]
    fresh = {name: torch.randn(num_qps, channels, 1, 1, generator=generator) * 0.01 for name in names}
    narrow = {
        name: value + (1.2 if name.endswith(".h") else 0.3 * torch.rand(value.shape, generator=generator))
        for name, value in fresh.items()
    }
    table = factorised_table(narrow)
    fitted = fitted_estimator(table, symbols_in_order(table), num_qps, fresh, factorised_bits)
    shares = np.diff(table.cdf, axis=1).clip(0) / 65536.0
    shares *= np.arange(shares.shape[1]) < (table.cdf_length - 2)[:, None]
    symbols = (
        torch.from_numpy(np.arange(shares.shape[1]) + table.offset[:, None]).float().reshape(num_qps, channels, -1, 1)
    )

    def cost(parameters) -> float:
        bits = factorised_bits(parameters, symbols, torch.arange(num_qps)).reshape(shares.shape).numpy()
        return float((shares * bits).sum())

    entropy = -float((shares * np.log2(np.maximum(shares, 1e-12))).sum())
    assert entropy > 1.0
    assert cost(fitted) < 1.02 * entropy
    assert cost(fresh) > 1.5 * entropy
