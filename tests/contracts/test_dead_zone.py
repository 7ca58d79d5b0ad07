"""The quantiser's dead zone: the cheaper of two symbols, the same in training and coding, and nothing that a decoder
must know."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from dcvc_cli.backend.float_torch import InferenceOperations
from dcvc_cli.codec.choices import CodingChoices
from dcvc_cli.codec.networks import CodecNetwork, CodecNetworks
from dcvc_cli.entropy.factorised import factorised_table
from dcvc_cli.entropy.scale_index import index_from_scale, scale_thresholds
from dcvc_cli.families.lite.dead_zone import zero_below
from dcvc_cli.families.lite.sizes import LITE
from dcvc_cli.families.rt.frames import FramePayloadDecoder, FramePayloadEncoder
from dcvc_cli.families.rt.gop import GopRule, gop_rule
from dcvc_cli.families.rt.image import ImageModel
from dcvc_cli.families.rt.initial_parameters import initial_image_parameters, initial_video_parameters
from dcvc_cli.families.rt.objective import Conditions, VideoNetworks, code_image, decoded_image, video_loss
from dcvc_cli.families.rt.sizes import RT, TINY
from dcvc_cli.families.rt.video import VideoModel
from dcvc_cli.format.entropy_format import EntropyFormat
from dcvc_cli.graph.latent_steps import VIDEO_STEPS
from dcvc_cli.learning.losses import RoundingLatentCoder, TrainingOperations, gaussian_bits
from dcvc_cli.learning.losses import zero_below as zero_below_in_training
from dcvc_cli.learning.trainee import Objective


def test_no_dead_zone_is_rounding() -> None:
    assert zero_below(0.0) is None


@pytest.mark.parametrize("dead_zone", [0.01, 0.03, 0.08])
@pytest.mark.parametrize("row", [12, 40, 70])
def test_the_bound_is_where_both_symbols_cost_the_same(dead_zone: float, row: int) -> None:
    table = zero_below(dead_zone)
    assert table is not None
    scale = torch.tensor(float(scale_thresholds()[row]))

    def cost(residual: float, symbol: float) -> float:
        return (residual - symbol) ** 2 + dead_zone * float(gaussian_bits(torch.tensor(symbol), scale))

    bound = float(table[row])
    assert 0.5 < bound < 1
    assert cost(bound - 0.01, 0.0) < cost(bound - 0.01, 1.0)
    assert cost(bound + 0.01, 0.0) > cost(bound + 0.01, 1.0)


def test_rare_symbols_have_the_wider_zone() -> None:
    table = zero_below(0.03)
    assert table is not None
    assert table.shape == (128,)
    assert (np.diff(table) <= 0).all()
    assert table[-1] == pytest.approx(0.5, abs=1e-3)


def test_training_has_the_codecs_zone() -> None:
    scales = torch.from_numpy(scale_thresholds()).float().reshape(1, 128, 1, 1)
    found = zero_below_in_training(scales.repeat(2, 1, 1, 1), torch.tensor([0.0, 0.03]))
    assert torch.equal(found[0], torch.full((128, 1, 1), 0.5))
    table = zero_below(0.03)
    assert table is not None
    np.testing.assert_allclose(found[1, :, 0, 0].numpy(), table, rtol=1e-4)


def test_coding_and_training_choose_the_same_symbols() -> None:
    step = VIDEO_STEPS[0]
    ops = InferenceOperations({"weight": torch.zeros(1)})
    generator = torch.Generator().manual_seed(6)
    y = torch.randn(1, 32, 6, 8, generator=generator)
    means = 0.3 * torch.randn(1, 32, 6, 8, generator=generator)
    rows = torch.randint(3, 120, (1, 32, 6, 8), generator=generator)
    scales = torch.from_numpy(scale_thresholds()).float()[rows] * 1.0001
    part, symbols, index, coded = ops.quantise_step(step, y, scales, means, None, zero_below(0.05))
    rounded, wide, _, _ = ops.quantise_step(step, y, scales, means, None)
    assert coded.all()
    assert set(np.unique(symbols[symbols != wide])) == {0}
    assert torch.equal(part, ops.restore_step(step, symbols, means)), "the decoder's part"
    assert not torch.equal(part, rounded)
    assert np.array_equal(index, ops.step_index(step, scales, None)[0])
    trained = RoundingLatentCoder(TrainingOperations({"weight": torch.zeros(1)}), y, torch.tensor([0.05])).step(
        step, scales, means
    )
    torch.testing.assert_close(trained, part, atol=1e-6, rtol=0)


def test_index_of_a_bound_is_its_row() -> None:
    assert index_from_scale(scale_thresholds()[5:100] * 1.0001).tolist() == list(range(5, 100))
    assert math.isclose(scale_thresholds()[0], 0.11)


def test_the_plan_says_which_frame_has_which_zone() -> None:
    planner = gop_rule(CodingChoices(qp_i=30, qp_p=30, keyint=-1), LITE).plans_from()
    plans = [planner.next() for _ in range(10)]
    assert LITE.intra_dead_zone > 0
    assert [plan.dead_zone for plan in plans] == [
        LITE.intra_dead_zone,
        *(LITE.dead_zones[position % 8] for position in range(1, 10)),
    ]
    assert GopRule(30, 30).plans_from().next().dead_zone == 0.0
    assert not any((*RT.dead_zones, RT.intra_dead_zone))


def test_training_on_pictures_quantises_with_the_zone() -> None:
    model = ImageModel(TINY.image)
    parameters = initial_image_parameters(model)
    x, qp = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(4)), torch.tensor([40])
    ops = TrainingOperations(parameters)
    plain, zoned = decoded_image(model, ops, x, qp), decoded_image(model, ops, x, qp, 0.08)
    assert not torch.equal(plain, zoned)
    torch.manual_seed(1)
    x_hat, bpp = code_image(model, ops, x, qp, 0.08)
    torch.testing.assert_close(x_hat, zoned)
    torch.manual_seed(1)
    assert bpp < code_image(model, ops, x, qp)[1]


@pytest.mark.native
def test_i_frames_are_coded_with_the_zone() -> None:
    """Fewer bytes, and a decoder that knows nothing of it has the encoder's picture."""
    model = ImageModel(TINY.image)
    parameters = initial_image_parameters(model)
    arrays = {name: value.numpy() for name, value in parameters.items()}
    ops = InferenceOperations(parameters)
    network = CodecNetwork(ops, ops, factorised_table(arrays))
    networks = CodecNetworks({"image": network, "video": network})  # only the image model is run
    graphs = model, VideoModel(TINY.video)
    values = np.random.default_rng(5).random((3, 64, 64), np.float32)
    encoder = FramePayloadEncoder(*graphs, networks, EntropyFormat.PARTITIONED, None)
    decoder = FramePayloadDecoder(*graphs, networks, EntropyFormat.PARTITIONED, None, (64, 64))
    plain, zoned = encoder.encode_i(values, 40), encoder.encode_i(values, 40, zero_below(0.08))
    assert len(zoned) < len(plain)
    decoder.decode_i(zoned, 40)
    assert torch.equal(decoder.output(), encoder.output())


def test_training_on_crops_quantises_with_the_zones() -> None:
    image, video = ImageModel(TINY.image), VideoModel(TINY.video)
    states = initial_video_parameters(video), image, initial_image_parameters(image)
    clip = torch.rand(1, 3, 3, 32, 32, generator=torch.Generator().manual_seed(3))

    def rate(dead_zones: tuple[float, ...]) -> float:
        torch.manual_seed(1)
        return video_loss(
            VideoNetworks(video, *states, replace(TINY, dead_zones=dead_zones)),
            clip,
            Objective((30.0, 7200.0)),
            Conditions(),
        ).bpp

    assert rate((0.1,) * 8) < rate((0.0,) * 8)
