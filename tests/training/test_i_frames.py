"""Pictures of frozen I frames are kept on disk: a run has the same bits with and without, nothing stale is taken, and
the folder stays below its limit."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from dcvc_cli.errors import InputError, UsageError
from dcvc_cli.families.registry import find_model
from dcvc_cli.learning.progressive import i_frames
from dcvc_cli.learning.progressive.i_frames import IFrames, IFrameStore
from dcvc_cli.learning.progressive.settings import ProgressiveSettings, ProgressiveStage
from dcvc_cli.learning.progressive.trainee import ProgressiveTrainee
from dcvc_cli.learning.stage import Stage
from dcvc_cli.training.config import TrainConfig, _check_sequences, read_train_config
from dcvc_cli.training.data import CropSampler, build_cache
from dcvc_cli.training.processes import TrainingProcesses
from dcvc_cli.training.run import RunSettings, open_trainer
from dcvc_cli.training.trainer import Trainer

pytestmark = pytest.mark.usefixtures("training_arithmetic")
DATA = Path(__file__).parents[1] / "data"
PICTURE = 3 * 64 * 64 * 2
MODELS = {
    "tiny-dcvc": ProgressiveSettings((2048.0,)),
    "tiny-tcm": ProgressiveSettings((2048.0,)),
    "tiny-dcvc-hem": ProgressiveSettings((85.0, 170.0, 380.0, 840.0), "mse-sum", surrogate="straight-through"),
    "tiny-dcvc-dc": ProgressiveSettings((85.0, 170.0, 380.0, 840.0), "mse-sum", "sample", "mixed"),
}


def image_state(model: str) -> dict[str, torch.Tensor]:
    return {
        name: torch.from_numpy(value) * (0.1 if name.endswith("conv_out.weight") else 1)
        for name, value in find_model(model).random_parameters("image").items()
    }


def trained(folder: Path, model: str, store: IFrameStore | None) -> Trainer:
    """Six steps of crops that come again: two of each source."""
    stages = (Stage(6, 2, 64, 1e-3, 1e-3, crops_per_source=2, own=ProgressiveStage("all", update="frame")),)
    config = TrainConfig("video", model, stages, autocast="none", own=MODELS[model])
    cache = folder / "cache"
    trainer = Trainer(
        config, build_cache([DATA], cache, is_rgb=True), cache, folder, frozen={"image": image_state(model)}
    )
    assert isinstance(trainer.trainee, ProgressiveTrainee)
    trainer.trainee.i_frames.store = store
    trainer.run(report=lambda record: None)
    return trainer


@pytest.mark.parametrize("model", list(MODELS))
def test_a_run_has_the_same_bits_with_and_without(model: str, tmp_path: Path) -> None:
    """An empty folder, a full one, and none; the full one has every I frame of the run."""
    first, second = (IFrameStore(tmp_path / "kept", 1 << 30) for _ in range(2))
    ends = [trained(tmp_path / str(number), model, store) for number, store in enumerate((None, first, second))]
    assert first.num_kept > 0
    assert second.num_kept == 0
    assert second.num_taken == 12
    for name, value in ends[0].parameters.items():
        assert torch.equal(value, ends[1].parameters[name]), name
        assert torch.equal(value, ends[2].parameters[name]), name


def test_crops_come_again(tmp_path: Path) -> None:
    """One source, two crops: twelve samples take ten of their I frames from the folder."""
    store = IFrameStore(tmp_path / "kept", 1 << 30)
    trained(tmp_path / "run", "tiny-tcm", store)
    assert (store.num_kept, store.num_taken) == (2, 10)


# ---- nothing stale


def coder(model: str, folder: Path) -> tuple[IFrames, IFrameStore]:
    store, trainee = IFrameStore(folder, 1 << 30), find_model(model).trainee("video")
    assert isinstance(trainee, ProgressiveTrainee)
    return IFrames(trainee.codec, store), store


def test_an_entry_belongs_to_weights_rate_and_samples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frames, store = coder("tiny-dcvc-dc", tmp_path)
    state, x = image_state("tiny-dcvc-dc"), torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    frames.pictures(state, x, torch.tensor([1]))
    assert (store.num_kept, store.num_taken) == (1, 0)
    same = {name: value.clone() for name, value in state.items()}
    assert torch.equal(frames.pictures(same, x, torch.tensor([1])), frames.pictures(state, x, torch.tensor([1])))
    assert (store.num_kept, store.num_taken) == (1, 2)
    name = next(name for name in state if name.endswith(".weight"))
    other = state | {name: state[name] + 1e-7 * (1 + state[name].abs())}
    moved = x.clone()
    moved[0, 0, 0, 0] = 1 - moved[0, 0, 0, 0]
    for changed in ((other, x, 1), (state, moved, 1), (state, x, 2), (state, x.transpose(2, 3), 1)):
        frames.pictures(changed[0], changed[1], torch.tensor([changed[2]]))
    assert (store.num_kept, store.num_taken) == (5, 2)
    monkeypatch.setattr(i_frames, "__version__", "other")
    frames.pictures(state, x, torch.tensor([1]))
    assert (store.num_kept, store.num_taken) == (6, 2)


@pytest.mark.parametrize("damage", [lambda data: data[:-1], lambda data: data + b"x", lambda data: b"\0" + data[1:]])
def test_a_damaged_entry_is_coded_anew(damage: object, tmp_path: Path) -> None:
    frames, store = coder("tiny-tcm", tmp_path)
    state, x = image_state("tiny-tcm"), torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    right = frames.pictures(state, x, torch.tensor([0]))
    (path,) = tmp_path.glob("*/*")
    path.write_bytes(damage(path.read_bytes()))  # type: ignore[operator]
    assert torch.equal(frames.pictures(state, x, torch.tensor([0])), right)
    assert (store.num_kept, store.num_taken) == (2, 0)
    assert torch.equal(frames.pictures(state, x, torch.tensor([0])), right)
    assert (store.num_kept, store.num_taken) == (2, 1)


def test_pictures_of_a_batch_are_those_of_its_samples(tmp_path: Path) -> None:
    """Each is coded alone, so that it does not depend on which others the folder had."""
    frames, _ = coder("tiny-dcvc-hem", tmp_path)
    frames.store = None
    state, x = image_state("tiny-dcvc-hem"), torch.rand(3, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    rates = torch.tensor([0, 3, 1])
    together = frames.pictures(state, x, rates)
    for k in range(3):
        assert torch.equal(together[k : k + 1], frames.pictures(state, x[k : k + 1], rates[k : k + 1]))
    levels = together * 65535
    assert float((levels - levels.round()).abs().max()) < 0.01


# ---- the folder's size


def size_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.glob("*/*"))


def test_the_folder_stays_below_its_limit_and_the_oldest_goes(tmp_path: Path) -> None:
    limit = 64 * (PICTURE + 4)
    stores = [IFrameStore(tmp_path, limit, num_processes=2) for _ in range(2)]
    for number in range(200):
        stores[number % 2].keep(f"{number:064x}", bytes(PICTURE))
        assert size_of(tmp_path) <= limit
        assert stores[0].take(f"{0:064x}", PICTURE) is not None, "what is in use stays"
    kept = {int(path.stem, 16) for path in tmp_path.glob("*/*")}
    assert 1 not in kept
    assert kept >= {0, *range(150, 200)}


def test_what_is_larger_than_the_share_is_not_kept(tmp_path: Path) -> None:
    store = IFrameStore(tmp_path, 4 * PICTURE)
    store.keep("0" * 64, bytes(PICTURE))
    assert store.num_kept == 0
    assert not size_of(tmp_path)


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "kept").write_bytes(b"a file")
    with pytest.raises(InputError, match=r"cannot keep I frames in .*kept"):
        IFrameStore(tmp_path / "kept", 1 << 30).keep("0" * 64, bytes(PICTURE))


def test_recurring_crops_do_not_depend_on_the_stage(tmp_path: Path) -> None:
    """Samplers of two stages cut the same crops, and no more than those."""
    shots = build_cache([DATA], tmp_path, is_rgb=True)
    found = []
    for seed in (1, 2):
        sampler = CropSampler(shots, tmp_path, 64, 2, seed=seed, crops_per_source=3, run_seed=5)
        found.append({crop.tobytes() for step in range(20) for crop in sampler.batch(step, 2)})
    assert found[0] == found[1]
    assert len(found[0]) == 3 * len(sampler.shots)
    free = CropSampler(shots, tmp_path, 64, 2, seed=1)
    assert len({crop.tobytes() for step in range(20) for crop in free.batch(step, 2)}) > 30


def test_stages_with_sequences_have_no_recurring_crops() -> None:
    stage = Stage(1, 1, 64, 1e-3, 1e-3, num_frames=2, sequence_frames=4)
    _check_sequences("c.yaml", stage)
    with pytest.raises(UsageError, match="sequence_frames goes without crops_per_source"):
        _check_sequences("c.yaml", replace(stage, crops_per_source=2))


def test_networks_without_frozen_i_frames_refuse_the_cache(tmp_path: Path) -> None:
    settings = RunSettings([DATA], tmp_path, i_frame_bytes=1 << 20)
    with pytest.raises(UsageError, match="--i-frame-cache: the image model of tiny keeps no I frames"):
        open_trainer(read_train_config(Path("tiny-image")), settings, TrainingProcesses())
