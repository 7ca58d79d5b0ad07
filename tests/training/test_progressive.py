"""The five stages of progressive training in small: what is frozen does not move, each loss falls, the clip grows,
resuming is exact."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
import torch

from dcvc_cli.families.registry import find_model
from dcvc_cli.learning.progressive.settings import ProgressiveSettings, ProgressiveStage
from dcvc_cli.learning.share import BatchShare
from dcvc_cli.learning.stage import Stage
from dcvc_cli.learning.trainee import BatchLoss, Objective, TrainingStep
from dcvc_cli.training.config import TrainConfig
from dcvc_cli.training.data import build_cache
from dcvc_cli.training.trainer import Trainer

pytestmark = pytest.mark.usefixtures("training_arithmetic")
DATA = Path(__file__).parents[1] / "data"
MODELS = {
    "tiny-dcvc": ProgressiveSettings((2048.0,)),
    "tiny-tcm": ProgressiveSettings((2048.0,)),
    "tiny-dcvc-hem": ProgressiveSettings((85.0, 170.0, 380.0, 840.0), "mse-sum", surrogate="straight-through"),
    "tiny-dcvc-dc": ProgressiveSettings((85.0, 170.0, 380.0, 840.0), "mse-sum", "sample", "mixed"),
}
WHOLE = BatchShare()
State = dict[str, torch.Tensor]


def stage(loss: str, num_steps: int = 14, num_frames: int = 1, **own: object) -> Stage:
    chosen = {"motion": {"train": ("motion",)}, "all": {}}.get(loss, {"freeze": ("motion",)})
    settings = ProgressiveStage(loss, **({"uncoded_reference": True} | own))  # type: ignore[arg-type]
    return Stage(num_steps, 2, 64, 1e-3, 2e-4, num_frames=num_frames, **chosen, own=settings)  # type: ignore[arg-type]


GROWTH = tuple(stage("all", 1, num_frames, update="frame") for num_frames in (1, 2, 4, 6))
SCHEDULE = (
    stage("motion"),
    stage("picture"),
    stage("contextual"),
    stage("all"),
    *GROWTH,
    stage("all", 10, 2),
    replace(stage("all", 1, 7, uncoded_reference=False), gradient_checkpointing=True, optimiser="fresh"),
)
"""I frames are those of a network that nobody trained, so most stages take the source in their place."""
NAMES = ("motion", "picture", "contextual", "all", "grow-2", "grow-3", "grow-5", "grow-7", "clip", "long")


def make_trainer(folder: Path, model: str, stages: tuple[Stage, ...] = SCHEDULE) -> Trainer:
    cache = folder.parent / "cache"
    config = TrainConfig("video", model, stages, autocast="none", own=MODELS[model])
    shots = build_cache([DATA], cache, is_rgb=True)
    return Trainer(config, shots, cache, folder, frozen={"image": image_state(model)})


def image_state(model: str) -> State:
    """Makes the state of a network that nobody trained, its products of features damped."""
    state = find_model(model).random_parameters("image")
    return {
        name: torch.from_numpy(value) * (0.1 if name.endswith("conv_out.weight") else 1)
        for name, value in state.items()
    }


def loss_of(trainer: Trainer, one: Stage, parameters: Mapping[str, torch.Tensor]) -> BatchLoss:
    """Returns the loss of a stage on the first frames of the clip, latents rounded."""
    batch = trainer._sampler(replace(one, num_frames=2), 0).batch(0, 4)
    clip = torch.from_numpy(batch).float() / 255
    at = TrainingStep(1, 0, one, WHOLE, rounds=True)
    with torch.no_grad():
        return trainer.trainee.loss(parameters, trainer.frozen, clip, trainer.config.objective, at)


@dataclass
class Watched:
    """A run of the schedule, with the parameters before and after each stage and the frames of each batch."""

    trainer: Trainer
    states: list[State] = field(default_factory=list)
    num_frames: list[int] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)


@pytest.fixture(scope="module", params=list(MODELS))
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Watched:
    trainer = make_trainer(tmp_path_factory.mktemp("progressive") / "run", request.param)
    watched = Watched(trainer)
    step = trainer.train_step

    def seen(batch: torch.Tensor, rate: float) -> object:
        watched.num_frames.append(batch.shape[1])
        watched.rates.append(rate)
        return step(batch, rate)

    trainer.train_step = seen  # type: ignore[method-assign, assignment]
    for number in range(len(SCHEDULE)):
        watched.states.append({name: value.detach().clone() for name, value in trainer.parameters.items()})
        trainer.run(report=lambda record: None, stop_at_step=trainer.config.first_step_of(number + 1))
    watched.states.append({name: value.detach().clone() for name, value in trainer.parameters.items()})
    return watched


def moved(run: Watched, number: int) -> set[str]:
    before, after = run.states[number], run.states[number + 1]
    return {name for name, value in before.items() if not torch.equal(value, after[name])}


def test_motion_learns_first_and_then_stays_to_the_bit(run: Watched) -> None:
    motion = {name for name in run.states[0] if name.startswith(run.trainer.trainee.parts["motion"])}
    rest = set(run.states[0]) - motion
    assert motion
    assert rest
    assert moved(run, NAMES.index("motion")) <= motion
    for name in ("picture", "contextual"):
        assert moved(run, NAMES.index(name)) <= rest
    for name in NAMES[3:]:
        assert moved(run, NAMES.index(name)) & motion
        assert moved(run, NAMES.index(name)) & rest


def test_every_parameter_learns_in_some_stage(run: Watched) -> None:
    """A part that no loss reached would stay as it began."""
    learned = set.union(*(moved(run, number) for number in range(len(SCHEDULE))))
    dead = {name for name in set(run.states[0]) - learned if not name.startswith("y_q_scale_")}
    assert not dead


@pytest.mark.parametrize(
    ("name", "first", "last"),
    [
        ("motion", "motion", "motion"),
        ("picture", "picture", "picture"),
        ("contextual", "contextual", "contextual"),
        ("all", "picture", "clip"),
    ],
)
def test_each_loss_falls(run: Watched, name: str, first: str, last: str) -> None:
    """In its stage; that of everything from where the picture begins to learn to the end of the clip stage."""
    one, ends = SCHEDULE[NAMES.index(name)], (NAMES.index(first), NAMES.index(last) + 1)
    before, after = (loss_of(run.trainer, one, run.states[number]).weighted for number in ends)
    assert after < before


def test_the_clip_grows_and_the_rate_begins_anew(run: Watched) -> None:
    first = SCHEDULE.index(GROWTH[0])
    starts = [run.trainer.config.first_step_of(first + k) for k in range(len(GROWTH))]
    assert [run.num_frames[start] for start in starts] == [2, 3, 5, 7]
    assert [run.rates[start] for start in starts] == [1e-3] * 4


def test_a_resumed_run_ends_in_the_same_bits(run: Watched, tmp_path: Path) -> None:
    """Stopped in the middle of the contextual stage, of a stage with an update a frame, and of the clip stage."""
    model = run.trainer.config.model
    stages = stage("contextual", 2), stage("all", 2, 2, update="frame"), stage("all", 2, 2, uncoded_reference=False)
    whole = make_trainer(tmp_path / "whole", model, stages)
    whole.run(report=lambda record: None)
    for stop in (1, 3, 5, None):
        trainer = make_trainer(tmp_path / "run", model, stages)
        assert trainer.resume() is (stop != 1)
        trainer.run(report=lambda record: None, stop_at_step=stop)
    for name, value in whole.parameters.items():
        assert torch.equal(value, trainer.parameters[name]), name
        assert torch.equal(whole.average[name], trainer.average[name]), name


def test_gradient_checkpointing_gives_the_same_bits(run: Watched, tmp_path: Path) -> None:
    ends = []
    for wanted in (False, True):
        stages = (replace(stage("all", 1, 3), gradient_checkpointing=wanted),)
        trainer = make_trainer(tmp_path / str(wanted), run.trainer.config.model, stages)
        trainer.run(report=lambda record: None)
        ends.append(trainer.parameters)
    assert all(torch.equal(value, ends[1][name]) for name, value in ends[0].items())


# ---- what a loss counts


def coded(run: Watched, one: Stage, clip: torch.Tensor, objective: Objective | None = None) -> BatchLoss:
    """Returns the loss of a clip under the last parameters."""
    trainer, at = run.trainer, TrainingStep(1, 0, one, WHOLE, rounds=True)
    with torch.no_grad():
        return trainer.trainee.loss(run.states[-1], trainer.frozen, clip, objective or trainer.config.objective, at)


def some_clip(num_samples: int = 1, num_frames: int = 2) -> torch.Tensor:
    return torch.rand(num_samples, num_frames, 3, 64, 64, generator=torch.Generator().manual_seed(3))


def test_the_rate_is_that_of_a_sample(run: Watched) -> None:
    """Twice the samples do not cost twice as much, and the parts are named and add up."""
    clip = some_clip()
    one, two = (coded(run, stage("all"), clip.repeat(count, 1, 1, 1, 1)) for count in (1, 2))
    assert two.weighted == pytest.approx(one.weighted, rel=1e-4)
    assert two.bpp == pytest.approx(one.bpp, rel=1e-4)
    assert one.bpp == pytest.approx(sum(value for name, value in one.parts.items() if name.endswith("_bpp")))
    assert set(one.parts) == {"warped_psnr", "mv_z_bpp", "mv_y_bpp", "z_bpp", "y_bpp"}


def test_losses_differ_by_the_rates_that_they_count(run: Watched) -> None:
    losses = {name: coded(run, stage(name), some_clip()) for name in ("warp", "motion", "picture", "contextual", "all")}
    parts = losses["all"].parts
    motion, picture = parts["mv_z_bpp"] + parts["mv_y_bpp"], parts["z_bpp"] + parts["y_bpp"]
    assert motion > 0
    assert picture > 0
    weighted = {name: loss.weighted for name, loss in losses.items()}
    assert weighted["motion"] - weighted["warp"] == pytest.approx(motion, rel=0.01)
    assert weighted["contextual"] - weighted["picture"] == pytest.approx(picture, rel=0.01)
    assert weighted["all"] - weighted["contextual"] == pytest.approx(motion, rel=0.01)
    assert losses["motion"].parts["y_bpp"] == 0


def test_both_conventions_of_lambda_are_named(run: Watched) -> None:
    """A lambda on the sum over the channels weighs three times as much as on their mean."""
    own, base = run.trainer.config.own, run.trainer.config.objective
    by_kind = {
        kind: coded(run, stage("warp"), some_clip(), replace(base, own=replace(own, distortion=kind))).weighted
        for kind in ("mse-mean", "mse-sum")
    }
    assert by_kind["mse-sum"] == pytest.approx(3 * by_kind["mse-mean"], rel=1e-5)


def test_weights_of_frames_go_by_position(run: Watched) -> None:
    own, base = run.trainer.config.own, run.trainer.config.objective
    weights = (0.5, 1.2)
    objective = replace(base, own=replace(own, frame_weights=weights))
    clip = some_clip(num_frames=3)
    plain, weighed = (coded(run, stage("warp", num_frames=2, weigh_frames=on), clip, objective) for on in (False, True))
    first = coded(run, stage("warp"), clip[:, :2]).weighted
    second = 2 * plain.weighted - first
    assert weighed.weighted == pytest.approx((0.5 * first + 1.2 * second) / 2, rel=1e-4)


def test_rates_that_are_not_counted_may_weigh_a_little(run: Watched) -> None:
    plain, held = (coded(run, stage("picture", uncounted_rate_weight=weight), some_clip()) for weight in (0.0, 100.0))
    assert held.weighted - plain.weighted == pytest.approx(100 * held.bpp, rel=0.01)


def test_the_reference_may_be_the_source(run: Watched) -> None:
    """The I frame of an untrained network is far from it."""
    clip = some_clip()[:, :1].repeat(1, 2, 1, 1, 1)
    source, coded_picture = (
        coded(run, stage("warp", uncoded_reference=on), clip).parts["warped_psnr"] for on in (True, False)
    )
    assert abs(source - coded_picture) > 0.01


def test_an_untrained_network_copies_its_reference(run: Watched) -> None:
    trainer, clip = run.trainer, some_clip()
    at = TrainingStep(1, 0, stage("all"), WHOLE, rounds=True)
    with torch.no_grad():
        start = trainer.trainee.initial_parameters(3)
        smooth = torch.nn.functional.interpolate(clip[0, :, :, ::8, ::8], scale_factor=8, mode="bilinear")[None]
        loss = trainer.trainee.loss(
            start, trainer.frozen, smooth[:, :1].repeat(1, 2, 1, 1, 1), trainer.config.objective, at
        )
    assert loss.psnr > 12
    assert loss.parts["warped_psnr"] > 30


def test_a_flow_that_is_no_number_skips_the_update(run: Watched, tmp_path: Path) -> None:
    """In PyTorch 2.13 a warp along such vectors ends the process on the way back."""
    trainer = make_trainer(tmp_path / "run", run.trainer.config.model, (stage("all", 1, 2, uncoded_reference=False),))
    name = next(name for name in trainer.parameters if name.startswith(trainer.trainee.parts["flow"]))
    with torch.no_grad():
        trainer.parameters[name].fill_(float("nan"))
    before = {name: value.detach().clone() for name, value in trainer.parameters.items()}
    trainer.run(report=lambda record: None)
    assert all(torch.equal(value.nan_to_num(), before[name].nan_to_num()) for name, value in trainer.parameters.items())
