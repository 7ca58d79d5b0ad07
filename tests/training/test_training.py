"""Training: the transform start, the loss, the data's reproducibility, and that a killed run goes on as if it had not
been."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from dcvc_cli.errors import InputError, UsageError
from dcvc_cli.families.lite.sizes import LITE
from dcvc_cli.families.rt.image import ImageModel
from dcvc_cli.families.rt.initial_parameters import dct_basis, initial_image_parameters, initial_video_parameters
from dcvc_cli.families.rt.objective import Reference, code_image, code_p_frame
from dcvc_cli.families.rt.sizes import TINY
from dcvc_cli.families.rt.video import VideoModel
from dcvc_cli.learning.losses import TrainingOperations, distortion, gaussian_bits, lower_bound
from dcvc_cli.learning.parameters import as_parameters
from dcvc_cli.learning.stage import Stage
from dcvc_cli.training.config import TrainConfig, read_train_config
from dcvc_cli.training.data import CachedShot, CropSampler, build_cache
from dcvc_cli.training.export import export_model, state_of_weights
from dcvc_cli.training.models import trainable_model
from dcvc_cli.training.shipped_weights import quantised_weights
from dcvc_cli.training.trainer import Trainer
from tests.support.models import image_model, video_model

pytestmark = pytest.mark.usefixtures("training_arithmetic")

PRESETS = Path(__file__).parents[2] / "recipes"


def smooth_picture(seed: int, size: int = 64) -> torch.Tensor:
    """Makes (1, 3, size, size) in 0..1: sums of a few waves."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[0:size, 0:size] / size
    planes = [
        0.5
        + sum(
            0.12 * np.sin(2 * np.pi * (random.uniform(0, 4) * x + random.uniform(0, 4) * y + random.random()))
            for _ in range(3)
        )
        for _ in range(3)
    ]
    return torch.from_numpy(np.stack(planes)[None]).float().clamp(0, 1)


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[CachedShot], Path]:
    folder = tmp_path_factory.mktemp("material")
    for index in range(4):
        planes = (smooth_picture(index, 96)[0].permute(1, 2, 0).numpy() * 255).astype(np.uint8)
        Image.fromarray(planes).save(folder / f"p{index}.png")
    cache = folder / "cache"
    stills = build_cache([folder], cache)
    random = np.random.default_rng(0)
    frames = random.integers(0, 256, (6, 64 * 80 * 3 // 2), dtype=np.uint8)
    (cache / "clip.raw").write_bytes(frames.tobytes())
    return [*stills, CachedShot("clip.raw", 6, 64, 80, full_chroma=False)], cache


def test_dct_basis_is_orthonormal() -> None:
    basis = dct_basis()
    assert torch.allclose(basis @ basis.T, torch.eye(64, dtype=torch.float64), atol=1e-12)


def test_untrained_image_model_codes_at_every_qp() -> None:
    """Rate rises with the QP, and quality spans more than 6 dB, before any training."""
    model = image_model(LITE.image)
    ops = TrainingOperations(initial_image_parameters(model))
    x = smooth_picture(3)
    errors, rates = [], []
    for qp in (0, 32, 63):
        with torch.no_grad():
            x_hat, bpp = code_image(model, ops, x, torch.tensor([qp]))
        rates.append(float(bpp))
        errors.append(float(distortion(x, x_hat, torch.tensor([qp]))))
    assert rates[0] < rates[1] < rates[2]
    assert errors[0] > 4 * errors[2]


def test_untrained_video_model_codes_the_difference() -> None:
    """A small change against the reference is brought over; the finest QP is much closer than a copy."""
    model = video_model(LITE.video)
    ops = TrainingOperations(initial_video_parameters(model))
    reference, x = smooth_picture(1), (0.7 * smooth_picture(1) + 0.3 * smooth_picture(2))
    with torch.no_grad():
        x_hat, _, _ = code_p_frame(model, ops, x, Reference(reference), torch.tensor([63]))
    finest = torch.tensor([63])
    assert float(distortion(x, x_hat, finest)) < 0.05 * float(distortion(x, reference, finest))


def test_gaussian_bits_are_those_of_the_integral() -> None:
    residual, scale = torch.tensor([0.0, 1.0, -3.0]), torch.tensor([0.5, 1.0, 2.0])
    normal = torch.distributions.Normal(0.0, scale)
    expected = -torch.log2(normal.cdf(residual + 0.5) - normal.cdf(residual - 0.5))
    assert torch.allclose(gaussian_bits(residual, scale), expected, atol=1e-4)


def test_lower_bound_lets_values_come_back() -> None:
    x = torch.tensor([0.2, 0.2, 0.8], requires_grad=True)
    (lower_bound(x, 0.5) * torch.tensor([-1.0, 1.0, 1.0])).sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [-1.0, 0.0, 1.0]


def test_quantised_weights_lie_on_the_shipped_grid() -> None:
    weight = torch.randn(4, 3, 1, 1, requires_grad=True)
    rounded = quantised_weights({"x.ffn.0.weight": weight, "x.ffn.0.bias": torch.ones(4)})["x.ffn.0.weight"]
    assert quantised_weights({"enc.enc_1.adaptor.weight": weight})["enc.enc_1.adaptor.weight"] is weight
    step = weight.detach().abs().amax(dim=(1, 2, 3), keepdim=True) / 127
    assert torch.allclose(rounded / step, torch.round(rounded / step), atol=1e-4)
    rounded.sum().backward()
    assert weight.grad is not None
    assert torch.equal(weight.grad, torch.ones_like(weight))


def test_crops_depend_on_seed_and_step_only(material: tuple[list[CachedShot], Path]) -> None:
    shots, cache = material
    first, second = (CropSampler(shots, cache, patch=32, num_frames=3, seed=5) for _ in range(2))
    assert np.array_equal(first.batch(7, 2), second.batch(7, 2))
    assert not np.array_equal(first.batch(7, 2), first.batch(8, 2))
    assert first.batch(0, 2).shape == (2, 3, 3, 32, 32)


def test_material_that_does_not_fit_is_refused(material: tuple[list[CachedShot], Path], tmp_path: Path) -> None:
    shots, cache = material
    with pytest.raises(InputError, match="has 9 frames"):
        CropSampler(shots, cache, patch=32, num_frames=9, seed=1)
    with pytest.raises(InputError, match="no training material"):
        build_cache([tmp_path], tmp_path / "cache")


def tiny_config(network: str) -> TrainConfig:
    stages = (Stage(3, 2, 32, 1e-3, 1e-3, 1), Stage(3, 2, 32, 1e-3, 1e-4, 2, quantise_weights=True))
    return TrainConfig(network, "tiny", stages, 50.0, 12000.0, autocast="none")


@pytest.mark.parametrize("network", ["image", "video"])
def test_resumed_run_equals_an_uninterrupted_one(
    network: str, material: tuple[list[CachedShot], Path], tmp_path: Path
) -> None:
    shots, cache = material
    image_state = initial_image_parameters(ImageModel(TINY.image)) if network == "video" else None

    def trainer(folder: str) -> Trainer:
        return Trainer(tiny_config(network), shots, cache, tmp_path / folder, frozen={"image": image_state})

    whole = trainer("whole")
    whole.run(report=lambda record: None)
    trainer("parts").run(report=lambda record: None, stop_at_step=4)
    with (tmp_path / "parts" / "log.csv").open("a") as log:
        log.write("5" + ",0" * 9 + "\n6,0,0.1")  # a line of a step that the kill undid, and one that it cut short
    resumed = trainer("parts")
    assert resumed.resume()
    assert resumed.step == 4
    resumed.run(report=lambda record: None)
    assert resumed.step == whole.step == 6
    assert [line.split(",")[0] for line in (tmp_path / "parts" / "log.csv").read_text().splitlines()] == [
        "step",
        "4",
        "6",
    ]
    for name, value in whole.parameters.items():
        assert torch.equal(value, resumed.parameters[name]), name
        assert torch.equal(whole.average[name], resumed.average[name]), name


def test_a_short_run_lowers_the_loss(material: tuple[list[CachedShot], Path], tmp_path: Path) -> None:
    shots, cache = material
    stages = (Stage(100, 4, 32, 3e-3, 3e-3),)
    config = TrainConfig("image", "tiny", stages, 50.0, 12000.0, autocast="none")
    losses = []
    Trainer(config, shots[:4], cache, tmp_path, initial_state=None).run(
        report=lambda record: losses.append(record.loss)
    )
    assert len(losses) == 2
    assert losses[1] < 0.9 * losses[0]


def test_training_goes_on_from_shipped_weights(material: tuple[list[CachedShot], Path], tmp_path: Path) -> None:
    """What a weights file holds is the state that training starts with; only the bit estimator is new."""
    initial = {
        "image": initial_image_parameters(ImageModel(TINY.image)),
        "video": initial_video_parameters(VideoModel(TINY.video)),
    }
    states = {part: {name: value.numpy() for name, value in state.items()} for part, state in initial.items()}
    weights = export_model("tiny", states, "")
    shots, cache = material
    state = state_of_weights(weights, "tiny", "image")
    trainer = Trainer(tiny_config("image"), shots, cache, tmp_path, initial_state=state)
    for name, value in weights.networks["image"].parameters().items():
        assert np.array_equal(trainer.parameters[name].detach().numpy(), value), name
    trainer.run(report=lambda record: None, stop_at_step=1)
    with pytest.raises(InputError, match="model tiny"):
        state_of_weights(weights, "lite", "image")


def test_video_training_needs_an_image_model(material: tuple[list[CachedShot], Path], tmp_path: Path) -> None:
    shots, cache = material
    with pytest.raises(InputError, match="image model"):
        Trainer(tiny_config("video"), shots, cache, tmp_path)


@pytest.mark.parametrize("name", ["lite-image.yaml", "lite-video.yaml"])
def test_shipped_schedules_are_readable(name: str) -> None:
    assert read_train_config(PRESETS / name).num_steps > 1000


def test_unknown_setting_is_named(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(
        "network: image\nmodel: tiny\nlambda_first: 1\nlambda_last: 2\nlearning: 3\nstages:\n"
        "  - {num_steps: 1, batch: 1, patch: 32, rate_first: 1, rate_last: 1}\n"
    )
    with pytest.raises(UsageError, match="learning"):
        read_train_config(path)


SETTINGS = (
    "network: image\nmodel: tiny\nlambda_first: 1\nlambda_last: 2\nstages:\n  - {num_steps: 1, batch: 1, patch: 32, "
    "rate_first: 1, rate_last: 1}\n"
)


@pytest.mark.parametrize(
    ("setting", "told"),
    [("3", "expected a mapping"), ("{dec.: fast}", "rate_factors: dec."), ("{dec.: -1.0}", "rate_factors: dec.")],
)
def test_wrong_rate_factors_are_named(tmp_path: Path, setting: str, told: str) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(SETTINGS + f"rate_factors: {setting}\n")
    with pytest.raises(UsageError, match=told):
        read_train_config(path)


def test_the_longest_beginning_decides_a_rate(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(SETTINGS + "fast_rate_factor: 3.0\nrate_factors: {dec.: 0.5, dec.dec_2: 0.25, q_scale_dec: 0.1}\n")
    config = read_train_config(path)
    names = (
        "dec.dec_1.0.up.conv.0.weight",
        "dec.dec_2.adaptor.weight",
        "q_scale_dec",
        "q_scale_enc",
        "enc.enc_1.adaptor.weight",
    )
    group = trainable_model("tiny").trainee("image").group
    rates = [config.rate_of(name, group(name)) for name in names]
    assert [factor for factor, _ in rates] == [0.5, 0.25, 0.1, 3.0, 1.0]
    assert [decay > 0 for _, decay in rates] == [True, True, False, False, True]


def test_a_run_may_name_another_model_than_its_recipe(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(SETTINGS)
    assert read_train_config(path, "tiny-lite").model == "tiny-lite"
    path.write_text(SETTINGS.replace("model: tiny\n", ""))
    assert read_train_config(path, "tiny").model == "tiny"
    with pytest.raises(UsageError, match="--model"):
        read_train_config(path)


def test_rates_reach_the_parameters(tmp_path: Path) -> None:
    """One step of Adam moves a parameter by the rate at most; those with a tenth of it by a tenth."""
    config = TrainConfig(
        "image", "tiny", (Stage(4, 2, 32, 1e-3, 1e-3),), 125.0, 30000.0, rate_factors={"enc.": 0.1, "q_scale_dec": 0.01}
    )
    shots = build_cache([Path(__file__).parents[1] / "data"], tmp_path)
    trainer = Trainer(config, shots, tmp_path, tmp_path / "run")
    before = {name: value.detach().clone() for name, value in trainer.parameters.items()}
    trainer.train_step(CropSampler(shots, tmp_path, 32, 1, seed=3).batch(0, 2), 1e-3)
    moved = {name: float((value.detach() - before[name]).abs().max()) for name, value in trainer.parameters.items()}
    assert moved["enc.enc_1.adaptor.weight"] == pytest.approx(1e-4, rel=0.02)
    assert moved["q_scale_dec"] == pytest.approx(1e-5, rel=0.02)
    assert moved["dec.dec_2.adaptor.weight"] == pytest.approx(1e-3, rel=0.02)


def test_a_run_goes_on_with_other_rates(tmp_path: Path) -> None:
    """What the optimiser remembers belongs to parameters by name, however rates group them."""
    shots = build_cache([Path(__file__).parents[1] / "data"], tmp_path)
    config = TrainConfig("image", "tiny", (Stage(4, 2, 32, 1e-3, 1e-3),), 125.0, 30000.0)
    first = Trainer(config, shots, tmp_path, tmp_path / "run")
    first.run(report=lambda record: None, stop_at_step=2)
    second = Trainer(replace(config, rate_factors={"dec.": 0.5, "enc.enc_2": 0.1}), shots, tmp_path, tmp_path / "run")
    assert second.resume()
    assert [len(group["params"]) for group in first.optimiser.param_groups] != [
        len(group["params"]) for group in second.optimiser.param_groups
    ]
    for name, value in first.parameters.items():
        ours, theirs = first.optimiser.state[value], second.optimiser.state[second.parameters[name]]
        assert set(ours) == set(theirs) == {"step", "exp_avg", "exp_avg_sq"}
        assert all(torch.equal(ours[key], theirs[key]) for key in ours), name
    second.run(report=lambda record: None)
    assert second.step == 4


def test_a_rate_factor_of_nothing_is_named(tmp_path: Path) -> None:
    config = TrainConfig(
        "image", "tiny", (Stage(4, 2, 32, 1e-3, 1e-3),), 125.0, 30000.0, rate_factors={"decoder.": 0.1}
    )
    with pytest.raises(UsageError, match=r"begins with 'decoder\.'"):
        Trainer(config, build_cache([Path(__file__).parents[1] / "data"], tmp_path), tmp_path, tmp_path / "run")


def test_parameters_are_copies() -> None:
    state = initial_image_parameters(ImageModel(TINY.image))
    parameters = as_parameters(state)
    with torch.no_grad():
        parameters["q_scale_enc"].zero_()
    assert state["q_scale_enc"].abs().sum() > 0
