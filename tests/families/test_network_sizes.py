"""The networks' sizes: parameters and multiply-accumulates of `rt` as published, of `lite` within its budget."""

import math
from typing import Any

import numpy as np
import pytest
import torch

from dcvc_cli.backend.float_torch import FloatOperations
from dcvc_cli.families.lite.sizes import LITE
from dcvc_cli.families.rt.image import ImageModel
from dcvc_cli.families.rt.sizes import RT, ImageSpec, VideoSpec
from dcvc_cli.families.rt.video import VideoModel
from tests.support.models import image_model, video_model

SIDE = 64


class CountingOperations(FloatOperations):
    """Adds up the multiply-accumulates of convolutions; values are zeros without storage, only shapes matter."""

    def __init__(self) -> None:
        super().__init__({"none": torch.zeros(1, device="meta")})
        self.num_macs = 0

    def conv(self, layer: Any, x: torch.Tensor) -> torch.Tensor:
        height, width = ((side + 2 * layer.padding - layer.kernel) // layer.stride + 1 for side in self.size(x))
        self.num_macs += layer.cin * layer.cout * layer.kernel**2 * height * width
        return torch.zeros(1, layer.cout, height, width, device="meta")

    def depthwise(self, layer: Any, x: torch.Tensor) -> torch.Tensor:
        self.num_macs += 9 * layer.channels * x.shape[-1] * x.shape[-2]
        return x

    def scale(self, vector: Any, x: torch.Tensor, qp: int) -> torch.Tensor:
        return x


class ZeroLatents:
    """A latent coder of nothing."""

    def begin(self, step_size_inverse: Any) -> None:
        pass

    def step(self, step: Any, scales: torch.Tensor, means: torch.Tensor) -> torch.Tensor:
        return means


def image_decoding_kmacs(spec: ImageSpec) -> float:
    model, ops = image_model(spec), CountingOperations()
    z_hat = torch.zeros(1, spec.hyper, SIDE // 64, SIDE // 64, device="meta")
    parameters = model.prior_parameters(ops, z_hat, (SIDE // 16, SIDE // 16))
    model.synthesis(ops, model.code_latents(ops, parameters, ZeroLatents()), 0)
    return ops.num_macs / SIDE**2 / 1000


def video_decoding_kmacs(spec: VideoSpec) -> float:
    """With a reference feature, and with motion the compensated frame beside it: the dearest kind of P frame."""
    model, ops = video_model(spec), CountingOperations()
    feature = torch.zeros(1, spec.feature, SIDE // 8, SIDE // 8, device="meta")
    frame = torch.zeros(1, 3, SIDE, SIDE, device="meta")
    ctx, ctx_t = model.contexts(ops, model.adapt(ops, frame, feature), 0)
    z_hat = torch.zeros(1, spec.hyper, SIDE // 64, SIDE // 64, device="meta")
    parameters = model.prior_parameters(ops, z_hat, ctx_t, (SIDE // 16, SIDE // 16))
    y_hat = model.code_latents(ops, parameters, ZeroLatents())
    feature = model.synthesis(ops, y_hat, ctx, 0)
    model.picture_of(ops, feature, y_hat, 0, frame)
    return ops.num_macs / SIDE**2 / 1000


def test_rt_costs_what_is_published() -> None:
    assert image_decoding_kmacs(RT.image) == pytest.approx(362.21, abs=0.01)
    assert video_decoding_kmacs(RT.video) == pytest.approx(165.53, abs=0.01)


def test_rt_has_the_published_parameters() -> None:
    image, video = dict(ImageModel(RT.image).shapes()), dict(VideoModel(RT.video).shapes())
    assert (len(image), sum(map(math.prod, image.values()))) == (407, 45_651_314)
    assert (len(video), sum(map(math.prod, video.values()))) == (341, 20_691_456)


def test_lite_stays_within_its_budget() -> None:
    assert image_decoding_kmacs(LITE.image) <= 50
    assert video_decoding_kmacs(LITE.video) <= 30


def test_every_position_is_coded_once_per_channel_group() -> None:
    from dcvc_cli.graph.latent_steps import IMAGE_STEPS, VIDEO_STEPS

    for steps in (IMAGE_STEPS, VIDEO_STEPS):
        coded = np.zeros((steps[0].num_groups, 4), int)
        for step in steps:
            for position in range(4):
                coded[step.group_at(position), position] += 1
        assert (coded == 1).all()
