"""Training of DCVC-UF: its loss by its formulas, units one by one and through a clip, and the networks as the codec has
them."""

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from dcvc_cli.backend.float_torch import InferenceOperations
from dcvc_cli.errors import InputError, UsageError
from dcvc_cli.families.registry import find_model
from dcvc_cli.families.uf.image import UfImageModel
from dcvc_cli.families.uf.objective import (
    Estimator,
    TrainingSide,
    UnclampedOperations,
    UnitLosses,
    distortion,
    hyper_bits,
    initial_parameters,
    pending_source,
)
from dcvc_cli.families.uf.random_parameters import random_parameters_of
from dcvc_cli.families.uf.recipe import code_i_frame
from dcvc_cli.families.uf.tables import z_table
from dcvc_cli.families.uf.training import UfVideoTrainee, UnitStageSettings
from dcvc_cli.families.uf.video import UfVideoModel
from dcvc_cli.learning.losses import RoundingLatentCoder, lambda_of_qp
from dcvc_cli.learning.parameters import as_parameters
from dcvc_cli.learning.share import WHOLE_BATCH
from dcvc_cli.learning.stage import Stage
from dcvc_cli.learning.trainee import BatchLoss, Objective, TrainingStep
from dcvc_cli.training.config import read_train_config
from dcvc_cli.training.data import CachedShot, CropSampler, build_cache
from dcvc_cli.training.export import export_model, state_of_weights
from dcvc_cli.training.trainer import Trainer

pytestmark = [pytest.mark.native, pytest.mark.usefixtures("training_arithmetic")]

ROOT = Path(__file__).resolve().parents[2]
OBJECTIVE = Objective((1.0, 768.0))
STAGE = Stage(1, 2, 64, 1e-3, 1e-3)


def random(*shape: int, seed: int = 1) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def state_of(network: UfImageModel | UfVideoModel) -> dict[str, torch.Tensor]:
    """Makes random parameters whose features do not grow from unit to unit."""
    return {key: torch.from_numpy(value) for key, value in random_parameters_of(network).items()}


def trainee_and_parameters(name: str) -> tuple[UfVideoTrainee, dict[str, torch.nn.Parameter], dict]:
    model = find_model(name)
    return model.trainee("video"), as_parameters(state_of(model.video)), {"image": state_of(model.image)}


def losses_of(
    name: str, num_frames: int, seed: int = 5, **settings: object
) -> tuple[list[BatchLoss], dict[str, torch.nn.Parameter]]:
    """Returns what one batch gives, with gradients and without updates."""
    trainee, parameters, frozen = trainee_and_parameters(name)
    own = UnitStageSettings(**{key: settings.pop(key) for key in ("update", "reference") if key in settings})
    stage = replace(STAGE, num_frames=num_frames, own=own, **settings)
    torch.manual_seed(seed)
    clip = random(2, 1 + num_frames, 3, 64, 64)
    given = []
    for loss in trainee.updates(parameters, frozen, clip, OBJECTIVE, TrainingStep(1, 0, stage, WHOLE_BATCH)):
        loss.loss.backward()
        given.append(loss)
    return given, parameters


# ---- the loss


def test_distortion_is_that_of_the_formula() -> None:
    x, x_hat = random(2, 3, 8, 8).double().numpy(), random(2, 3, 8, 8, seed=2).double().numpy()
    to_rgb = np.array([[1, 0, 1.5748], [1, -0.187324, -0.468124], [1, 1.8556, 0]])  # BT.709
    for sample in range(2):
        luma, blue, red = ((x[sample] - x_hat[sample]) ** 2).mean(axis=(1, 2))
        ycc = 3 * math.exp(0.0833 * (10 * math.log(luma) + math.log(blue) + math.log(red)))
        rgb = sum((np.tensordot(to_rgb, x[sample] - x_hat[sample], 1) ** 2).mean(axis=(1, 2)))
        found = distortion(torch.from_numpy(x), torch.from_numpy(x_hat))[sample].item()
        assert found == pytest.approx(0.8 * ycc + 0.2 * rgb, rel=1e-5)
    assert distortion(torch.zeros(1, 3, 8, 8), torch.zeros(1, 3, 8, 8)).item() == pytest.approx(0.8 * 3e-6, rel=0.02)


def test_bits_of_z_are_those_of_its_table() -> None:
    """The density that learns is the one that tables of z are made of; places in zigzag order."""
    model = find_model("tiny-uf-ld").image
    state = {key: value * 30 for key, value in initial_parameters(model, 4).items() if key.startswith("bit_estimator")}
    table, channels = z_table(state), model.num_z_channels
    rows = np.diff(table.cdf[7 * channels : 8 * channels], axis=1)
    bits = {
        symbol: hyper_bits(state, torch.full((1, channels, 1, 1), float(symbol)), torch.tensor([7])).flatten().numpy()
        for symbol in (0, 1, -1, 2)
    }
    for place, symbol in enumerate(bits):  # against the bits of 0: rows count a part of their tail twice
        np.testing.assert_allclose(bits[symbol] - bits[0], np.log2(rows[:, 0] / rows[:, place]), atol=0.01)


@pytest.mark.parametrize(
    ("name", "weights"),
    [
        ("tiny-uf-ld", (1.33, 0.52, 0.83, 0.52, 0.83, 0.52, 0.83, 0.52, 1.33)),
        ("tiny-uf-hts", (0.16, 0.4, 0.16, 0.4, 0.16, 0.4, 0.16, 1.5)),
    ],
)
def test_pictures_weigh_by_their_places(name: str, weights: tuple[float, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    """Every picture has an error of one; pictures of a chunk are summed."""
    monkeypatch.setattr("dcvc_cli.families.uf.objective.distortion", lambda x, x_hat: torch.ones(len(x)))
    model = find_model(name)
    pictures, qp = model.video.sizes.pictures, torch.tensor([20, 50])
    ops = UnclampedOperations(state_of(model.video))
    clip, weight = random(2, 1 + len(weights), 3, 64, 64), lambda_of_qp(qp, 1, 768)
    units = UnitLosses(model.video, ops, clip, qp, weight, Estimator())
    kept, found = pending_source(clip[:, 0]), []
    with torch.no_grad():
        for number in range(units.num_units):
            unit = units.code(number, kept)
            kept = unit.kept
            found.append((unit.cost - unit.bpp) / weight)
    expected = [[sum(weights[k * pictures : (k + 1) * pictures])] * 2 for k in range(units.num_units)]
    torch.testing.assert_close(torch.stack(found), torch.tensor(expected))


# ---- units


@pytest.mark.parametrize(("name", "num_frames"), [("tiny-uf-ld", 3), ("tiny-uf-hts", 16)])
def test_a_clip_and_its_units_have_one_loss(name: str, num_frames: int) -> None:
    """The mean of the units; gradients differ, because those through memory and feature end at a unit."""
    (clip,), ours = losses_of(name, num_frames)
    units, theirs = losses_of(name, num_frames, update="unit")
    assert len(units) == num_frames // find_model(name).max_pictures
    assert clip.weighted == pytest.approx(sum(unit.weighted for unit in units) / len(units), rel=1e-5)
    key = "feature_extractor.conv.0.dc.0.weight"
    assert not torch.allclose(ours[key].grad, theirs[key].grad / len(units), rtol=1e-2)


@pytest.mark.parametrize(("name", "num_frames"), [("tiny-uf-ld", 2), ("tiny-uf-htl", 8)])
def test_gradient_checkpointing_changes_nothing(name: str, num_frames: int) -> None:
    (plain,), ours = losses_of(name, num_frames)
    (again,), theirs = losses_of(name, num_frames, gradient_checkpointing=True)
    assert plain.weighted == again.weighted
    for key, value in ours.items():
        assert value.grad is None or torch.equal(value.grad, theirs[key].grad), key


def test_one_unit_behind_the_source_needs_no_image_network_and_trains_no_memory() -> None:
    trainee, parameters, _ = trainee_and_parameters("tiny-uf-ld")
    stage = replace(STAGE, own=UnitStageSettings(reference="source"))
    at = TrainingStep(1, 0, stage, WHOLE_BATCH)
    trainee.loss(parameters, {}, random(2, 2, 3, 64, 64), OBJECTIVE, at).loss.backward()
    assert parameters["feature_adaptor_i.conv.0.adaptor.weight"].grad.abs().sum() > 0
    assert all(value.grad is None for key, value in parameters.items() if key.startswith("feature_adaptor_m."))


def test_everything_learns_from_a_longer_clip() -> None:
    for name, num_frames in (("tiny-uf-ld", 2), ("tiny-uf-hts", 16), ("tiny-uf-htl", 16)):
        _, parameters = losses_of(name, num_frames)
        assert [key for key, value in parameters.items() if value.grad is None] == [], name


# ---- the codec's networks


def test_training_codes_the_picture_that_the_codec_codes() -> None:
    """An I frame through training's operations and through the product's float encoder."""
    model = find_model("tiny-uf-ld").image
    state, x = state_of(model), random(1, 3, 64, 64)
    pictures = []
    with torch.no_grad():
        for ops, qp in ((UnclampedOperations(state), torch.tensor([30])), (InferenceOperations(state), 30)):
            side = TrainingSide(ops, x, RoundingLatentCoder)
            pictures.append(code_i_frame(model, ops, side, qp).clamp(-0.5, 0.5))
    torch.testing.assert_close(*pictures, rtol=1e-4, atol=1e-4)


# ---- runs


@pytest.fixture
def material(tmp_path: Path) -> tuple[list[CachedShot], Path]:
    return build_cache([ROOT / "tests" / "data"], tmp_path / "cache"), tmp_path / "cache"


@pytest.mark.parametrize("name", ["tiny-uf-ld", "tiny-uf-hts"])
def test_a_stopped_run_goes_on_to_the_same_bits(
    name: str, material: tuple[list[CachedShot], Path], tmp_path: Path
) -> None:
    """Stops in the stage with an update a unit and in the one after it."""
    config = read_train_config(ROOT / "recipes" / f"{name}.yaml")
    config = replace(config, stages=tuple(replace(stage, num_steps=2) for stage in config.stages[1:3]))
    frozen = {"image": initial_parameters(find_model(name).image, 3)}

    def run(folder: str, stop: int) -> Trainer:
        trainer = Trainer(config, *material, tmp_path / folder, frozen=frozen)
        trainer.resume()
        trainer.run(report=lambda record: None, stop_at_step=stop)
        return trainer

    whole = run("whole", 4)
    for stop in (1, 3, 4):
        parts = run("parts", stop)
    for key, value in whole.parameters.items():
        assert torch.equal(value, parts.parameters[key]), key
        assert torch.equal(value, parts.average[key]), key  # ema_decay 0: the last state


def test_training_goes_on_from_a_weights_file() -> None:
    """Parameters as the file has them; the density says what the table says, in zigzag order."""
    model = find_model("tiny-uf-ld")
    states = {name: random_parameters_of(network) for name, network in model.networks.items()}
    for key, shift in (("h", 0.7), ("b", 0.0), ("a", 0.0)):  # rows of many shapes with few escapes
        states["video"][f"bit_estimator_z.{key}"] = states["video"][f"bit_estimator_z.{key}"] * 20 + shift
    weights = export_model("tiny-uf-ld", states, "")
    state = state_of_weights(weights, "tiny-uf-ld", "video")
    assert set(state) == set(states["video"])
    for key, value in weights.networks["video"].parameters().items():
        assert np.array_equal(state[key].numpy(), value), key
    rows = [z_table(values).cdf.astype(np.int64) for values in (states["video"], state)]
    mean_bits = [
        -(np.diff(rows[0], axis=1).clip(0) / 65536 * np.log2(np.diff(row, axis=1).clip(1) / 65536)).sum(axis=1).mean()
        for row in rows
    ]
    assert mean_bits[0] < mean_bits[1] < 1.02 * mean_bits[0]


@pytest.mark.parametrize("name", ["uf-image", "uf-ld", "uf-ht"])
def test_shipped_schedules_are_those_of_the_source(name: str) -> None:
    config = read_train_config(Path(name))
    assert sum(stage.epochs for stage in config.stages) == {"uf-image": 105, "uf-ld": 136, "uf-ht": 99}[name]
    starts = [stage for stage in config.stages if stage.optimiser == "fresh"]
    assert len(starts) == (0 if name == "uf-image" else 3)
    if name == "uf-ht":
        assert read_train_config(Path(name), "uf-htl").model == "uf-htl"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("num_frames: 12", "stage 0: num_frames 12 is no multiple of a unit's 8 pictures"),
        ("num_frames: 8, num_lead_frames: 2", "stage 0: num_lead_frames has no effect on this model"),
        ("num_frames: 8, update: often", "update is unit or clip, not 'often'"),
        ("num_frames: 8, reference: none", "reference is coded or source"),
    ],
)
def test_stages_that_cannot_be_obeyed(change: str, told: str, tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(
        "network: video\nmodel: tiny-uf-hts\nlambda_first: 1\nlambda_last: 2\nstages:\n"
        f"  - {{num_steps: 1, batch: 1, patch: 64, rate_first: 1, rate_last: 1, {change}}}\n"
    )
    with pytest.raises(UsageError, match=told):
        read_train_config(path)


def test_short_clips_are_played_to_and_fro(tmp_path: Path) -> None:
    frames = [np.full(64 * 64 * 3 // 2, number, np.uint8) for number in range(5)]
    (tmp_path / "clip.raw").write_bytes(np.stack(frames).tobytes())
    shots = [CachedShot("clip.raw", 5, 64, 64, full_chroma=False)]

    def numbers(num_frames: int) -> Iterator[list[int]]:
        sampler = CropSampler(shots, tmp_path, 64, num_frames, seed=9, to_and_fro=True)
        for step in range(20):
            yield sampler.batch(step, 1)[0, :, 0, 0, 0].tolist()

    there = [0, 1, 2, 3, 4, 3, 2, 1, 0, 1, 2, 3]
    assert all(found in (there, there[::-1]) for found in numbers(12))
    assert {tuple(sorted(found)) for found in numbers(3)} == {(0, 1, 2), (1, 2, 3), (2, 3, 4)}


def test_small_pictures_stand_in_the_middle_of_black(tmp_path: Path) -> None:
    (tmp_path / "clip.raw").write_bytes(np.full(40 * 80 * 3 // 2, 77, np.uint8).tobytes())
    shots = [CachedShot("clip.raw", 1, 40, 80, full_chroma=False)]
    (crop,) = CropSampler(shots, tmp_path, 64, 1, seed=9, pad=True).batch(0, 1)[0]
    assert (crop[:, 12:52] == 77).all()
    for rows in (crop[:, :12], crop[:, 52:]):
        assert [np.unique(plane).tolist() for plane in rows] == [[0], [128], [128]]
    with pytest.raises(InputError, match="of at least 64x64"):
        CropSampler(shots, tmp_path, 64, 1, seed=9)
