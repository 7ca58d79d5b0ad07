"""The training objective against the product's own operations: folded activations, frames coded without a rate, lead
frames."""

import pytest
import torch

from dcvc_cli.backend.float_torch import FloatOperations
from dcvc_cli.families.rt import objective
from dcvc_cli.families.rt.image import ImageModel
from dcvc_cli.families.rt.initial_parameters import initial_image_parameters, initial_video_parameters
from dcvc_cli.families.rt.objective import Conditions, VideoNetworks, code_image, decoded_image, video_loss
from dcvc_cli.families.rt.sizes import TINY
from dcvc_cli.families.rt.video import VideoModel
from dcvc_cli.graph.blocks import DepthConvBlock
from dcvc_cli.learning.losses import TrainingOperations, distortion
from dcvc_cli.learning.parameters import as_parameters
from dcvc_cli.learning.trainee import Objective

pytestmark = pytest.mark.usefixtures("training_arithmetic")

LAMBDAS = (30.0, 7200.0)


def block_parameters(block: DepthConvBlock, seed: int) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {name: torch.randn(shape, generator=generator, dtype=torch.float64) * 0.3 for name, shape in block.shapes()}


@pytest.mark.parametrize(("cin", "shortcut"), [(8, False), (8, True), (5, False)])
def test_folded_activation_gives_the_block_of_the_definition(cin: int, shortcut: bool) -> None:
    block = DepthConvBlock("block", cin, 8, shortcut=shortcut)
    parameters = block_parameters(block, 3)
    x = torch.randn(2, cin, 6, 5, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    torch.testing.assert_close(
        TrainingOperations(parameters).depth_conv_block(block, x),
        FloatOperations(parameters).depth_conv_block(block, x),
    )


def test_decoded_image_is_what_coding_with_a_rate_gives() -> None:
    model = ImageModel(TINY.image)
    ops = TrainingOperations(initial_image_parameters(model, seed=2))
    x, qp = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(5)), torch.tensor([3, 60])
    torch.testing.assert_close(decoded_image(model, ops, x, qp), code_image(model, ops, x, qp)[0])


def video_case(
    num_p_frames: int,
) -> tuple[VideoModel, dict[str, torch.nn.Parameter], ImageModel, dict[str, torch.Tensor], torch.Tensor]:
    image_model, video_model = ImageModel(TINY.image), VideoModel(TINY.video)
    parameters = as_parameters(initial_video_parameters(video_model, seed=1))
    clip = torch.rand(1, 1 + num_p_frames, 3, 64, 64, generator=torch.Generator().manual_seed(6))
    return video_model, parameters, image_model, initial_image_parameters(image_model, seed=2), clip


def test_all_frames_trained_is_the_default() -> None:
    *models, clip = video_case(2)
    losses = []
    for num_trained in (None, 2):
        torch.manual_seed(7)
        losses.append(
            video_loss(
                VideoNetworks(*models, TINY), clip, Objective(LAMBDAS), Conditions(num_trained_frames=num_trained)
            ).loss.item()
        )
    assert losses[0] == losses[1]


@pytest.mark.parametrize(
    ("reset_share", "learning", "idle"),
    [
        (0.0, "feature_adaptor_p.weight", "feature_adaptor_i.adaptor.weight"),
        (1.0, "feature_adaptor_i.adaptor.weight", "feature_adaptor_p.weight"),
    ],
)
def test_lead_frames_change_the_reference_and_carry_no_gradient(
    monkeypatch: pytest.MonkeyPatch, reset_share: float, learning: str, idle: str
) -> None:
    monkeypatch.setattr(objective, "RESET_SHARE", reset_share)
    video_model, parameters, image_model, image_parameters, clip = video_case(3)

    def loss_of(pixels: torch.Tensor) -> torch.Tensor:
        torch.manual_seed(7)
        networks = VideoNetworks(video_model, parameters, image_model, image_parameters, TINY)
        return video_loss(networks, pixels, Objective(LAMBDAS), Conditions(num_trained_frames=1)).loss

    pixels = clip.clone().requires_grad_()
    loss = loss_of(pixels)
    loss.backward()
    assert pixels.grad is not None
    assert torch.count_nonzero(pixels.grad[:, :3]) == 0
    assert torch.count_nonzero(pixels.grad[:, 3]) > 0
    # The adaptor between the last lead frame and the first trained one learns; the other is not in reach.
    assert torch.count_nonzero(parameters[learning].grad) > 0
    assert parameters[idle].grad is None
    brighter = clip.clone()
    brighter[:, 1] = 1 - brighter[:, 1]
    assert loss_of(brighter).item() != loss.item()


def test_chroma_counts_as_much_as_its_weights_say():
    x = torch.full((2, 3, 16, 16), 0.5)
    off_in_luma, off_in_chroma = x.clone(), x.clone()
    off_in_luma[:, :1] += 0.1
    off_in_chroma[:, 1:] += 0.1
    ends = torch.tensor([0, 63])
    luma = distortion(x, off_in_luma, ends)
    light, heavy = (distortion(x, off_in_chroma, ends, weights) for weights in ((1.0, 1.0), (6.0, 3.0)))
    assert torch.equal(luma, distortion(x, off_in_luma, ends, (6.0, 3.0)))
    assert torch.allclose(heavy / light, torch.tensor([6.0, 3.0]))
