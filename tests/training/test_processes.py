"""Several processes: shares of a batch add up to the batch, and two processes train as one does, killed and resumed as
well."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch

from dcvc_cli.errors import EnvironmentFault, UsageError
from dcvc_cli.families.rt.image import ImageModel
from dcvc_cli.families.rt.initial_parameters import initial_image_parameters, initial_video_parameters
from dcvc_cli.families.rt.objective import Conditions, VideoNetworks, image_loss, video_loss
from dcvc_cli.families.rt.sizes import TINY
from dcvc_cli.families.rt.video import VideoModel
from dcvc_cli.learning.parameters import as_parameters
from dcvc_cli.learning.share import BatchShare
from dcvc_cli.learning.stage import Stage
from dcvc_cli.learning.trainee import Objective
from dcvc_cli.training.checkpointing import read_checkpoint
from dcvc_cli.training.config import TrainConfig
from dcvc_cli.training.data import build_cache
from dcvc_cli.training.processes import TrainingProcesses, join_processes, num_launched
from dcvc_cli.training.trainer import Trainer
from tests.support.launches import launch_two

pytestmark = pytest.mark.usefixtures("training_arithmetic")

ROOT = Path(__file__).parents[2]
CONFIG = """
network: image
model: tiny
lambda_first: 50
lambda_last: 12000
autocast: none
stages:
  - {num_steps: 5, batch: 3, patch: 32, rate_first: 1.0e-3, rate_last: 1.0e-3}
"""


@pytest.mark.parametrize(("batch", "count"), [(3, 2), (8, 3), (4, 4), (5, 1)])
def test_shares_tile_the_batch(batch: int, count: int) -> None:
    shares = [TrainingProcesses("cpu", index, count).share(batch) for index in range(count)]
    ends = [0, *(batch - share.num_after for share in shares)]
    assert [share.num_before for share in shares] == ends[:-1]
    assert ends[-1] == batch
    assert max(np.diff(ends)) - min(np.diff(ends)) <= 1 <= min(np.diff(ends))


def test_jobs_are_done_once_and_their_results_come_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """Five jobs on two processes, whose results the transport joins process by process."""
    done: list[int] = []
    processes = [TrainingProcesses("cpu", index, 2) for index in (0, 1)]
    jobs = [lambda number=number: done.append(number) or f"result {number}" for number in range(5)]
    joined: list[object] = []
    for one in processes:
        monkeypatch.setattr(one, "gather", lambda own: joined.extend(own) or [])
        one.shared(jobs)
    assert done == [0, 2, 4, 1, 3]
    monkeypatch.setattr(processes[1], "gather", lambda own: joined)
    assert processes[1].shared([]) == [f"result {number}" for number in range(5)]


def test_more_processes_than_samples_are_refused() -> None:
    with pytest.raises(UsageError, match="batch of 2"):
        TrainingProcesses("cpu", 0, 3).share(2)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_random_numbers_of_shares_are_those_of_the_whole(layout: torch.memory_format) -> None:
    x = torch.zeros(5, 3, 4, 6).contiguous(memory_format=layout)
    torch.manual_seed(3)
    whole, qps = BatchShare().noise_like(x), BatchShare().qps(5, 64)
    assert -0.5 <= float(whole.min()) < float(whole.max()) <= 0.5
    for share, own in ((BatchShare(0, 3), slice(0, 2)), (BatchShare(2, 0), slice(2, 5))):
        torch.manual_seed(3)
        assert torch.equal(share.noise_like(x[own]), whole[own])
        assert torch.equal(share.qps(x[own].shape[0], 64), qps[own])


@pytest.mark.parametrize("network", ["image", "video"])
def test_gradients_of_shares_add_up(network: str) -> None:
    """Lead frames and checkpointing included: what a share computes does not depend on who else computes."""
    image, video = ImageModel(TINY.image), VideoModel(TINY.video)
    image_state = initial_image_parameters(image)
    clip = torch.rand(3, 4, 3, 32, 32, generator=torch.Generator().manual_seed(1))

    def gradients(parts: list[BatchShare], own: list[slice]) -> dict[str, torch.Tensor]:
        parameters = as_parameters(image_state if network == "image" else initial_video_parameters(video))
        for share, samples in zip(parts, own, strict=True):
            torch.manual_seed(9)
            if network == "image":
                result = image_loss(image, parameters, clip[samples, :1], Objective((50.0, 12000.0)), Conditions(share))
            else:
                result = video_loss(
                    VideoNetworks(video, parameters, image, image_state, TINY),
                    clip[samples],
                    Objective((30.0, 7200.0)),
                    Conditions(share, 2),
                )
            (result.loss * (len(range(3)[samples]) / 3)).backward()
        return {name: value.grad for name, value in parameters.items() if value.grad is not None}

    whole = gradients([BatchShare()], [slice(0, 3)])
    shared = gradients([BatchShare(0, 2), BatchShare(1, 0)], [slice(0, 1), slice(1, 3)])
    assert whole.keys() == shared.keys()
    for name, value in whole.items():
        torch.testing.assert_close(
            shared[name], value, rtol=2e-3, atol=1e-5 * max(1.0, float(value.abs().max())), msg=name
        )


def test_one_gpu_cannot_be_named_for_several(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert num_launched() == 2
    with pytest.raises(UsageError, match="cuda:0 with 2 processes"):
        join_processes("cuda:0")
    monkeypatch.setenv("WORLD_SIZE", "two")
    with pytest.raises(EnvironmentFault, match="'two'"):
        num_launched()


def launch(folder: Path, *options: str) -> None:
    """`dcvc train image` as two processes."""
    data = str(ROOT / "tests" / "data")
    launch_two(
        "train", "image", "--config", str(folder / "c.yaml"), "--data", data, "-o", str(folder / "two"), *options
    )


def last_loss(path: Path) -> list[float]:
    return [float(value) for value in path.read_text().splitlines()[-1].split(",")[2:6]]


@pytest.mark.slow
@pytest.mark.skipif(find_spec("accelerate") is None, reason="needs the package accelerate (pip install dcvc[train])")
def test_two_processes_train_as_one_does(tmp_path: Path) -> None:
    """Loss, rate, PSNR and parameters after five steps of 1 + 2 samples, the two having been stopped and resumed after
    three."""
    (tmp_path / "c.yaml").write_text(CONFIG)
    cache = tmp_path / "cache"
    config = TrainConfig("image", "tiny", (Stage(5, 3, 32, 1e-3, 1e-3),), 50.0, 12000.0, autocast="none")
    losses = {}
    for stop in (3, None):
        one = Trainer(config, build_cache([ROOT / "tests" / "data"], cache), cache, tmp_path / "one")
        one.resume()
        one.run(report=lambda record: None, stop_at_step=stop)
        launch(tmp_path, *(["--stop-at-step", str(stop)] if stop else []))
        losses[stop] = last_loss(tmp_path / "one" / "log.csv"), last_loss(tmp_path / "two" / "log.csv")
    for alone, together in losses.values():
        np.testing.assert_allclose(together, alone, rtol=2e-5)
    assert (tmp_path / "two" / "log.csv").read_text().count("\n") == 3
    state = read_checkpoint(tmp_path / "two" / "checkpoint.pt")
    assert state["step"] == 5
    start = initial_image_parameters(ImageModel(TINY.image), config.seed)
    for name, value in one.parameters.items():
        moved = float((value.detach() - start[name]).abs().max())
        # AdamW's first steps have the size of the rate whatever the gradient, so where a gradient is all rounding, the
        # step is too.
        assert float((state["parameters"][name] - value.detach()).abs().mean()) <= 0.02 * moved + 1e-7, name
