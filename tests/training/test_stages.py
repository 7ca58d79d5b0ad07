"""What a stage of a schedule decides: which parameters learn, how long it is, and what validation changes."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from dcvc_cli.families.rt.image import ImageModel
from dcvc_cli.families.rt.initial_parameters import initial_image_parameters
from dcvc_cli.families.rt.sizes import TINY
from dcvc_cli.learning.stage import Stage
from dcvc_cli.training.config import TrainConfig
from dcvc_cli.training.data import build_cache
from dcvc_cli.training.export import checkpoint_state
from dcvc_cli.training.trainer import Trainer
from dcvc_cli.training.watch import StageWatch, best_path

pytestmark = pytest.mark.usefixtures("training_arithmetic")
DATA = Path(__file__).parents[1] / "data"
STAGE = Stage(3, 2, 32, 1e-3, 1e-3)


def make_trainer(folder: Path, *stages: Stage, **settings: object) -> Trainer:
    cache = folder.parent / "cache"
    config = TrainConfig("image", "tiny", stages, 50.0, 12000.0, autocast="none", **settings)  # type: ignore[arg-type]
    return Trainer(config, build_cache([DATA], cache), cache, folder)


def ignore(*values: object) -> None:
    """Takes a report."""


@pytest.mark.parametrize(
    ("chosen", "learns"),
    [
        ({"train": ("enc.",)}, lambda name: name.startswith("enc.")),
        ({"freeze": ("enc.", "q_")}, lambda name: not name.startswith(("enc.", "q_"))),
        (
            {"train": ("enc.",), "freeze": ("enc.enc_1",)},
            lambda name: not name.startswith("enc.enc_1") and name.startswith("enc."),
        ),
    ],
)
def test_what_does_not_learn_stays_to_the_bit(
    chosen: dict[str, Any], learns: Callable[[str], bool], tmp_path: Path
) -> None:
    """Parameters and averages, weight decay or not, and also where the average is another value."""
    trainer = make_trainer(tmp_path / "run", STAGE, replace(STAGE, **chosen), weight_decay=0.1)
    trainer.run(report=ignore, stop_at_step=3)
    before = {name: value.detach().clone() for name, value in trainer.parameters.items()}
    averages = {name: value.clone() for name, value in trainer.average.items()}
    assert not torch.equal(before["enc.enc_1.adaptor.weight"], averages["enc.enc_1.adaptor.weight"])
    trainer.run(report=ignore)
    moved = {name for name, value in trainer.parameters.items() if not torch.equal(value, before[name])}
    assert moved
    assert all(map(learns, moved)), moved
    for name in set(before) - moved:
        assert torch.equal(trainer.average[name], averages[name]), name


def test_a_fresh_optimiser_has_seen_no_gradient(tmp_path: Path) -> None:
    for kind, steps_seen in (("keep", 4.0), ("fresh", 1.0)):
        trainer = make_trainer(tmp_path / kind, STAGE, replace(STAGE, optimiser=kind))
        trainer.run(report=ignore, stop_at_step=4)
        state = trainer.optimiser.state[trainer.parameters["enc.enc_1.adaptor.weight"]]
        assert float(state["step"]) == steps_seen


def test_adam_and_adamw_differ_by_their_decay(tmp_path: Path) -> None:
    ends = {}
    for kind in ("adam", "adamw"):
        for decay in (0.0, 0.1):
            trainer = make_trainer(tmp_path / f"{kind}{decay}", STAGE, optimiser=kind, weight_decay=decay)
            trainer.run(report=ignore)
            ends[kind, decay] = trainer.parameters["enc.enc_1.adaptor.weight"].detach()
    assert torch.equal(ends["adam", 0.0], ends["adamw", 0.0])
    assert not torch.equal(ends["adam", 0.1], ends["adamw", 0.1])


def test_epochs_are_passes_over_the_material(tmp_path: Path) -> None:
    stages = replace(STAGE, num_steps=0, epochs=3, batch=1), replace(STAGE, num_steps=2), replace(STAGE, epochs=2)
    trainer = make_trainer(tmp_path / "run", *stages, validate_every=5)
    num_sources = len(trainer.shots)
    first = 3 * num_sources
    assert [stage.num_steps for stage in trainer.config.stages] == [first, 2, 2 * -(-num_sources // 2)]
    ends = [step for step in range(1, trainer.config.num_steps + 1) if trainer.config.validates_after(step)]
    assert ends[:3] == [num_sources, 2 * num_sources, 3 * num_sources]
    assert ends[-1] == trainer.config.num_steps


# ---- validation decides


def test_the_rate_falls_once_patience_is_over() -> None:
    stage, watch = replace(STAGE, plateau_patience=2, plateau_min_rate=3e-4), StageWatch()
    seen = []
    for loss in (5.0, 4.0, 4.0, 6.0, 4.5, 3.0, float("nan"), 9.0, 9.0, 9.0):
        watch.see(loss, stage)
        seen.append(watch.rate(1e-3, stage))
    assert seen == [1e-3] * 4 + [5e-4] * 4 + [3e-4] * 2
    assert watch.lowest == 3.0


def test_a_stage_without_patience_keeps_its_rate() -> None:
    watch = StageWatch()
    assert [watch.see(loss, STAGE) for loss in (1.0, 2.0, 2.0, 0.5)] == [True, False, False, True]
    assert watch.rate(1e-3, STAGE) == 1e-3


def watched_clips() -> list[torch.Tensor]:
    return [torch.rand(1, 1, 3, 64, 64, generator=torch.Generator().manual_seed(1))]


def test_the_best_is_kept_and_begins_the_next_stage(tmp_path: Path) -> None:
    """The rate of the first stage is so high that later steps are worse."""
    stages = replace(STAGE, num_steps=4, rate_first=0.3, rate_last=0.3), replace(STAGE, num_steps=2)
    trainer = make_trainer(tmp_path / "run", *stages, keep_best=True, validate_every=1, gradient_limit=100.0)
    trainer.run(report=ignore, watched=watched_clips(), stop_at_step=4)
    best = checkpoint_state(best_path(trainer.folder, 0))
    assert trainer.watch.num_waited > 0, "the last step was the best one"
    assert any(not torch.equal(value, torch.from_numpy(best[name])) for name, value in trainer.parameters.items())
    trainer._enter_stage()
    assert all(torch.equal(value, torch.from_numpy(best[name])) for name, value in trainer.parameters.items())
    assert all(torch.equal(value, torch.from_numpy(best[name])) for name, value in trainer.average.items())


def test_what_validation_decided_is_resumed(tmp_path: Path) -> None:
    """Rates and best parameters, from a checkpoint in the middle of a stage and from before the end of one."""
    stages = tuple(
        replace(STAGE, num_steps=4, rate_first=rate, rate_last=rate, plateau_patience=1) for rate in (0.1, 0.05)
    )
    settings = {"keep_best": True, "validate_every": 1, "gradient_limit": 100.0}
    whole = make_trainer(tmp_path / "whole", *stages, **settings)
    whole.run(report=ignore, watched=watched_clips())
    for stop in (3, 6):
        make_trainer(tmp_path / str(stop), *stages, **settings).run(
            report=ignore, watched=watched_clips(), stop_at_step=stop
        )
        resumed = make_trainer(tmp_path / str(stop), *stages, **settings)
        assert resumed.resume()
        resumed.run(report=ignore, watched=watched_clips())
        assert resumed.watch == whole.watch
        assert all(torch.equal(value, resumed.parameters[name]) for name, value in whole.parameters.items())
        for number in (0, 1):
            kept, other = (checkpoint_state(best_path(one.folder, number)) for one in (whole, resumed))
            assert all((value == other[name]).all() for name, value in kept.items())


def test_watching_leaves_training_alone(tmp_path: Path) -> None:
    """It draws no number of the run and learns nothing: without a plateau the run ends in the same parameters."""
    plain, watched = make_trainer(tmp_path / "a", STAGE), make_trainer(tmp_path / "b", STAGE, validate_every=1)
    object.__setattr__(watched.config, "keep_best", True)
    plain.run(report=ignore)
    watched.run(report=ignore, watched=watched_clips())
    assert best_path(watched.folder, 0).exists()
    assert all(torch.equal(value, watched.parameters[name]) for name, value in plain.parameters.items())
    start = initial_image_parameters(ImageModel(TINY.image), plain.config.seed)
    assert any(not torch.equal(value, start[name]) for name, value in plain.parameters.items())
