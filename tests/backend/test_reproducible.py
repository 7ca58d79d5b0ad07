"""The backend whose results are the same everywhere: exact sums, and the values of the float backend up to its
rounding."""

import numpy as np
import pytest

from dcvc_cli.backend.reproducible import ReproducibleOperations, on_grid, product, product_bits
from dcvc_cli.families.rt.image import ImageModel
from dcvc_cli.families.rt.sizes import TINY
from dcvc_cli.families.rt.video import VideoModel
from dcvc_cli.graph.blocks import Conv, DepthConvBlock, Depthwise, ScaleVector
from dcvc_cli.graph.latent_steps import IMAGE_STEPS

RANDOM = np.random.RandomState(3)


def test_a_product_is_the_sum_of_exact_integers_in_any_order():
    left, right = RANDOM.normal(0, 1e3, (5, 700)), RANDOM.normal(0, 1e-4, (700, 9))
    found = product(left, right)
    bits = product_bits(700)
    assert bits == 21
    # Python's integers never round.
    a, b = on_grid(left, bits), on_grid(right, bits)
    step_a, step_b = 2.0 ** (np.frexp(np.abs(left).max())[1] - bits), 2.0 ** (np.frexp(np.abs(right).max())[1] - bits)
    integers_a, integers_b = (a / step_a).astype(int).tolist(), (b / step_b).astype(int).T.tolist()
    expected = [
        [sum(x * y for x, y in zip(row, column, strict=True)) * step_a * step_b for column in integers_b]
        for row in integers_a
    ]
    assert found.tolist() == expected
    order = RANDOM.permutation(700)
    assert np.array_equal(product(left[:, order], right[order]), found)
    assert np.abs(found - left @ right).max() < 1e-4


def test_a_grid_keeps_the_largest_magnitude_and_zero():
    values = np.array([[0.0, 3.0, -7.0], [0.0, 0.0, 0.0], [1e-9, 0.3, 0.1]])
    gridded = on_grid(values, 8, axis=1)
    assert gridded[:2].tolist() == values[:2].tolist()
    assert (gridded[2] * 2.0**9 == np.rint(gridded[2] * 2.0**9)).all()
    assert np.abs(gridded - values).max() <= 2.0**-10
    assert on_grid(np.zeros((0, 3)), 8).shape == (0, 3)


def test_layers_agree_with_the_float_backend():
    torch = pytest.importorskip("torch")
    from dcvc_cli.backend.float_torch import FloatOperations

    layers = [
        Conv("down", 12, 8, kernel=3, stride=2, padding=1),
        Conv("half", 12, 8, kernel=2, stride=2),
        Depthwise("spatial", 12),
    ]
    block, vector = DepthConvBlock("block", 12, 16, shortcut=True), ScaleVector("vector", 4, 12)
    shapes = {name: shape for layer in (*layers, block, vector) for name, shape in layer.shapes()}
    state = {name: RANDOM.normal(0, 0.3, shape).astype(np.float32) for name, shape in shapes.items()}
    ours = ReproducibleOperations(state)
    theirs = FloatOperations({name: torch.from_numpy(value).double() for name, value in state.items()})
    x = RANDOM.normal(0, 1, (12, 10, 14))
    there = torch.from_numpy(x)[None]
    for layer in (*layers, block):
        assert np.abs(layer(ours, x) - layer(theirs, there)[0].numpy()).max() < (2e-3 if layer is block else 1e-5)
    assert np.array_equal(vector(ours, x, 2), vector(theirs, there, 2)[0].numpy())
    for name in ("wsilu", "half_to_two"):
        assert np.abs(getattr(ours, name)(3 * x) - getattr(theirs, name)(3 * there)[0].numpy()).max() < 1e-3
    for name in ("chunk_add", "clamp_step_size", "clamp_unit", "reciprocal"):
        assert np.array_equal(getattr(ours, name)(x), getattr(theirs, name)(there)[0].numpy())
    for name, arguments in (
        ("pixel_shuffle", (2,)),
        ("pixel_unshuffle", (2,)),
        ("crop", ((5, 7),)),
        ("pad_replicate", (16,)),
    ):
        assert np.array_equal(getattr(ours, name)(x, *arguments), getattr(theirs, name)(there, *arguments)[0].numpy())


def test_a_coding_step_agrees_with_the_float_backend():
    torch = pytest.importorskip("torch")
    from dcvc_cli.backend.float_torch import FloatOperations

    ours, theirs = ReproducibleOperations({}), FloatOperations({"any": torch.zeros(1, dtype=torch.float64)})
    y, scales, means = RANDOM.normal(0, 3, (8, 6, 4)), RANDOM.uniform(0, 1, (8, 6, 4)), RANDOM.normal(0, 1, (8, 6, 4))
    there = [torch.from_numpy(value)[None] for value in (y, scales, means)]
    for step in IMAGE_STEPS:
        part, *rest = ours.quantise_step(step, y, scales, means, 0.12)
        expected, *others = theirs.quantise_step(step, *there, 0.12)
        assert np.array_equal(part, expected[0].numpy())
        assert all(np.array_equal(mine, other) for mine, other in zip(rest, others, strict=True))


def test_networks_agree_with_the_float_backend():
    torch = pytest.importorskip("torch")
    from dcvc_cli.backend.float_torch import FloatOperations
    from dcvc_cli.learning.parameters import random_parameters

    image, video = ImageModel(TINY.image), VideoModel(TINY.video)
    x = RANDOM.uniform(0, 1, (3, 32, 48)).astype(np.float32)

    def latents(model, ops):
        frame = ops.frame_from_values(x)
        if model is image:
            return image.analysis(ops, frame, 20)
        return video.analysis(ops, frame, video.contexts(ops, video.adapt_frame(ops, frame), 20)[0], 20)

    for model in (image, video):
        state = random_parameters(model, 1)
        with torch.no_grad():
            expected = latents(model, FloatOperations({name: value.double() for name, value in state.items()}))[
                0
            ].numpy()
        found = latents(model, ReproducibleOperations({name: value.numpy() for name, value in state.items()}))
        assert np.abs(found - expected).max() < 2e-3 * np.abs(expected).max()
