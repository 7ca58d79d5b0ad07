"""A float encoder and its decoder have their latents in one memory layout: PyTorch's results for equal values differ
between layouts, and a scale that falls into another bin makes noise of the rest of a stream."""

import numpy as np
import pytest
import torch

from dcvc_cli.backend.float_torch import InferenceOperations
from dcvc_cli.graph.blocks import Conv
from dcvc_cli.graph.latent_steps import IMAGE_STEPS, VIDEO_STEPS, CodingStep


@pytest.mark.parametrize("step", [IMAGE_STEPS[1], VIDEO_STEPS[0], VIDEO_STEPS[1]])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_both_sides_of_a_step_have_one_layout(step: CodingStep, layout: torch.memory_format) -> None:
    ops = InferenceOperations({"weight": torch.zeros(1)})
    generator = torch.Generator().manual_seed(2)
    y, scales, means = (torch.rand(1, 16, 6, 4, generator=generator).contiguous(memory_format=layout) for _ in range(3))
    ours, symbols, _, _ = ops.quantise_step(step, 9 * y, 0.5 + scales, means, 0.1)
    theirs = ops.restore_step(step, symbols, means)
    assert torch.equal(ours, theirs)
    assert ours.stride() == theirs.stride()


def test_z_has_one_layout() -> None:
    ops = InferenceOperations({"weight": torch.zeros(1)})
    z = (20 * torch.rand(1, 8, 3, 2, generator=torch.Generator().manual_seed(2))).contiguous(
        memory_format=torch.channels_last
    )
    found = ops.round_z(z)  # the encoder's symbols lie as z does, the decoder's plane by plane
    ours, theirs = ops.z_from_symbols(found), ops.z_from_symbols(np.array(found, order="C"))
    assert torch.equal(ours, theirs)
    assert ours.stride() == theirs.stride()


@pytest.mark.parametrize("bias", [True, False])
def test_one_thread_computes_1x1_layers_as_several_do(bias: bool):
    random = torch.Generator().manual_seed(0)
    layer = Conv("layer", 12, 20, stride=2, bias=bias)
    parameters = {name: torch.randn(shape, generator=random) for name, shape in layer.shapes()}
    x = torch.randn(1, 12, 9, 14, generator=random)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        single = InferenceOperations(parameters).conv(layer, x)
        torch.set_num_threads(2)
        several = InferenceOperations(parameters).conv(layer, x)
    finally:
        torch.set_num_threads(before)
    assert single.shape == (1, 20, 5, 7)
    assert torch.allclose(single, several, atol=1e-5)
