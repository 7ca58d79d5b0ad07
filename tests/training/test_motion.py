"""The training objective of a model with motion: both adaptors learn, recomputation changes nothing, compensation is
the codec's."""

import numpy as np
import pytest
import torch

from dcvc_cli.families.lite.motion.field import FieldCoder, compensate, luma_samples
from dcvc_cli.families.lite.prediction import compensated
from dcvc_cli.families.rt.image import ImageModel
from dcvc_cli.families.rt.initial_parameters import initial_image_parameters, initial_video_parameters
from dcvc_cli.families.rt.objective import Conditions, Reference, VideoNetworks, code_p_frame, video_loss
from dcvc_cli.families.rt.sizes import TINY
from dcvc_cli.learning.losses import TrainingOperations, distortion
from dcvc_cli.learning.parameters import as_parameters
from dcvc_cli.learning.trainee import BatchLoss, Objective
from tests.support.models import WITH_MOTION, video_model
from tests.support.motions import still

pytestmark = [pytest.mark.native, pytest.mark.usefixtures("training_arithmetic")]

LAMBDAS = (30.0, 7200.0)


def moving_clip(num_frames: int, seed: int) -> torch.Tensor:
    """Makes (1, num_frames, 3, 64, 64): smooth noise that moves by three and one samples a frame."""
    noise = torch.rand(1, 3, 20, 20, generator=torch.Generator().manual_seed(seed))
    wide = torch.nn.functional.interpolate(noise, (128, 128), mode="bicubic", align_corners=False).clamp(0, 1)
    return torch.stack([wide[:, :, 16 + k : 80 + k, 16 + 3 * k : 80 + 3 * k] for k in range(num_frames)], dim=1)


def loss_with_gradients(clip: torch.Tensor, **options: int | bool) -> tuple[BatchLoss, dict[str, torch.nn.Parameter]]:
    image, video = ImageModel(TINY.image), video_model(WITH_MOTION.video)
    parameters = as_parameters(initial_video_parameters(video, seed=1))
    torch.manual_seed(7)
    result = video_loss(
        VideoNetworks(video, parameters, image, initial_image_parameters(image, seed=2), TINY),
        clip,
        Objective(LAMBDAS),
        Conditions(**options),
    )  # type: ignore[arg-type]
    result.loss.backward()
    return result, parameters


def test_both_adaptors_learn() -> None:
    result, parameters = loss_with_gradients(moving_clip(3, 1))
    assert np.isfinite(result.loss.item())
    for name in (
        "feature_adaptor_i.adaptor.weight",
        "feature_adaptor_p.weight",
        "encoder.conv1.weight",
        "recon_generation_net.head.weight",
    ):
        assert torch.count_nonzero(parameters[name].grad) > 0, name


def test_gradient_checkpointing_gives_the_same_gradients() -> None:
    clip = moving_clip(4, 2)
    plain, ours = loss_with_gradients(clip)
    recomputed, theirs = loss_with_gradients(clip, gradient_checkpointing=True)
    assert plain.loss.item() == recomputed.loss.item()
    for name, parameter in ours.items():
        if parameter.grad is not None:
            assert torch.equal(parameter.grad, theirs[name].grad), name


def test_a_lower_first_frame_is_a_poorer_reference() -> None:
    clip = moving_clip(2, 3)
    assert loss_with_gradients(clip, intra_qp_drop=0)[0].loss.item() == loss_with_gradients(clip)[0].loss.item()
    assert loss_with_gradients(clip, intra_qp_drop=63)[0].loss.item() != loss_with_gradients(clip)[0].loss.item()


def test_compensation_is_the_codecs() -> None:
    clip = moving_clip(2, 4)
    predicted, long_term = compensated(clip[:, 0], None, clip[:, 1], torch.tensor([40]), [FieldCoder()])
    samples, target = (torch.round(clip[0, k] * 8192).to(torch.int16).numpy() for k in range(2))
    motion = FieldCoder().search(luma_samples(target[0]), samples, 40)
    assert np.array_equal(predicted[0].numpy(), compensate(samples, motion).astype(np.float32) / 8192)
    assert torch.equal(long_term, clip[:, 0])
    qp = torch.tensor([40])
    assert float(distortion(clip[:, 1], predicted, qp)) < 0.2 * float(distortion(clip[:, 1], clip[:, 0], qp))


def test_samples_are_searched_on_threads_with_one_result(monkeypatch: pytest.MonkeyPatch) -> None:
    clip = torch.cat([moving_clip(2, seed) for seed in range(5)])
    qp, results = torch.tensor([0, 20, 40, 60, 63]), []
    for num_threads in (1, 3):
        monkeypatch.setattr(torch, "get_num_threads", lambda n=num_threads: n)
        coders = [FieldCoder() for _ in range(5)]
        results.append(
            (
                compensated(clip[:, 0], None, clip[:, 1], qp, coders)[0],
                [coder.state().learned.tobytes() for coder in coders],
            )
        )
    assert torch.equal(results[0][0], results[1][0])
    assert results[0][1] == results[1][1]


def test_long_terms_are_the_codecs() -> None:
    """Two samples, one a frame ahead; the pictures are noisy, so that long-term references are of use."""
    clip = (
        moving_clip(13, 5) + 0.05 * torch.randn(1, 13, 3, 64, 64, generator=torch.Generator().manual_seed(3))
    ).clamp(0, 1)
    samples, qp = torch.round(clip[0] * 8192).to(torch.int16).numpy(), torch.tensor([50, 50])
    coders, theirs = [FieldCoder(), FieldCoder()], FieldCoder()
    ahead, long_terms = compensated(clip[:, 0], None, clip[:, 1], qp[:1], coders[1:])[1], []
    long_term, num_blended = torch.cat([clip[:, 0], ahead]), 0
    for k in range(1, 12):
        reference, x = torch.cat([clip[:, k - 1], clip[:, k]]), torch.cat([clip[:, k], clip[:, k + 1]])
        before = long_term
        predicted, long_term = compensated(reference, long_term, x, qp, coders)
        long_terms.append([int((clip[0] == own).all((1, 2, 3)).nonzero()[0, 0]) for own in long_term])
        own = np.round(before[0].numpy() * 8192).astype(np.int16)
        motion = theirs.search(luma_samples(samples[k, 0]), samples[k - 1], 50, own if theirs.has_long_term else None)
        num_blended += motion.blends is not None and bool(motion.blends.any())
        theirs.encode(motion)
        assert np.array_equal(predicted[0].numpy(), compensate(samples[k - 1], motion, own).astype(np.float32) / 8192)
    assert num_blended > 5
    assert long_terms == [[long_term_of(k + 1), long_term_of(k + 2)] for k in range(1, 12)]


def long_term_of(number: int) -> int:
    return max(kept for kept in (0, 8, 16, 24) if kept < number - 1)


@pytest.mark.parametrize("wants", [(True, True), (True, False), (False, True)])
def test_gradients_go_where_samples_come_from(wants: tuple[bool, bool]) -> None:
    """One block is covered in the reference and taken from the long-term reference; what one picture gives, the other
    does not."""
    x = moving_clip(1, 9)[:, 0]
    covered = x.clone()
    covered[:, :, 32:48, 16:32] = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    frame, long_term = (
        picture.clone().requires_grad_(wanted) for picture, wanted in zip((covered, x), wants, strict=True)
    )
    coder = FieldCoder()
    coder.encode(still(8, 8))
    current, reference, before = (torch.round(picture[0] * 8192).to(torch.int16).numpy() for picture in (x, covered, x))
    blends = coder.search(luma_samples(current[0]), reference, 40, before).blends
    assert blends[2, 1] == 2
    assert blends[0, 0] == 0
    predicted, _ = compensated(frame, long_term, x, torch.tensor([40]), [coder])
    predicted.sum().backward()
    from_long_term = torch.from_numpy(blends.repeat(16, 0).repeat(16, 1) / np.float32(2)).expand_as(x)
    for picture, wanted, expected in ((frame, wants[0], 1 - from_long_term), (long_term, wants[1], from_long_term)):
        if wanted:
            torch.testing.assert_close(picture.grad, expected, atol=1e-3, rtol=0)


def test_an_untrained_model_codes_what_compensation_leaves() -> None:
    """Without any learning the finest QP is much closer to the picture than the prediction is."""
    model = video_model(WITH_MOTION.video)
    ops = TrainingOperations(initial_video_parameters(model))
    reference, x = moving_clip(1, 5)[:, 0], moving_clip(1, 6)[:, 0]
    with torch.no_grad():
        x_hat, _, _ = code_p_frame(model, ops, x, Reference(reference), torch.tensor([63]))
    finest = torch.tensor([63])
    assert float(distortion(x, x_hat, finest)) < 0.5 * float(distortion(x, reference, finest))
