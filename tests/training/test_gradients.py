"""The limit on the norm of gradients: what PyTorch's own does, and gradients whose squares leave float32."""

import math

import pytest

torch = pytest.importorskip("torch")

from dcvc_cli.training.gradients import limit_gradients  # noqa: E402


def parameters_with(*gradients):
    values = []
    for gradient in gradients:
        value = torch.zeros(len(gradient), requires_grad=True)
        value.grad = torch.tensor(gradient)
        values.append(value)
    return values


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e6])
def test_ordinary_gradients_are_limited_as_pytorch_does_to_the_bit(scale):
    gradients = [3.0 * scale, -4.0 * scale], [12.0 * scale]
    ours, theirs = parameters_with(*gradients), parameters_with(*gradients)
    assert limit_gradients(ours, 0.2) == float(torch.nn.utils.clip_grad_norm_(theirs, 0.2, foreach=True))
    for value, other in zip(ours, theirs, strict=True):
        assert torch.equal(value.grad, other.grad)


def test_gradients_whose_squares_leave_float32_keep_their_direction():
    values = parameters_with([3e25, -4e25], [12e25])
    assert limit_gradients(values, 0.2) == pytest.approx(13e25)
    found = torch.cat([value.grad for value in values])
    assert torch.allclose(found, torch.tensor([3.0, -4.0, 12.0]) * (0.2 / 13))


@pytest.mark.parametrize("bad", [math.inf, math.nan])
def test_a_gradient_that_is_not_finite_has_no_finite_norm(bad):
    assert not math.isfinite(limit_gradients(parameters_with([1.0, bad], [2.0]), 0.2))
