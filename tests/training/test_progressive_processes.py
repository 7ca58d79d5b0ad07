"""Progressive training on two processes: gradients are averaged, validation is shared, one process writes, and a
stopped run goes on."""

import csv
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

from dcvc_cli.families.registry import find_model
from dcvc_cli.training.checkpointing import read_checkpoint
from dcvc_cli.training.config import read_train_config
from dcvc_cli.training.processes import TrainingProcesses
from dcvc_cli.training.run import RunSettings, open_trainer
from dcvc_cli.training.trainer import Trainer
from dcvc_cli.training.watch import best_path
from tests.support.clips import y4m_clip
from tests.support.launches import launch_two

pytestmark = pytest.mark.usefixtures("training_arithmetic")
DATA = Path(__file__).parents[1] / "data"
CONFIG = """
network: video
model: tiny-dcvc-hem
lambdas: [85, 170, 380, 840]
distortion: mse-sum
surrogate: straight-through
autocast: none
keep_best: true
validate_every: 2
validate_frames: 2
defaults: {batch: 3, patch: 64, rate_first: 1.0e-3, rate_last: 1.0e-3, update: frame}
stages:
  - {num_steps: 2, num_frames: 1, loss: motion, train: [motion]}
  - {num_steps: 2, num_frames: 2, loss: all, optimiser: fresh, crops_per_source: 2}
"""
STOP = 3


def alone(folder: Path) -> Trainer:
    """The same run on this process, with a line of the log at the same steps."""
    clips = str(folder / "a.y4m"), str(folder / "b.y4m")
    settings = RunSettings([DATA], folder / "one", folder / "cache", None, {"image": folder / "i.pt"}, clips)
    trainer, validation = open_trainer(read_train_config(folder / "c.yaml"), settings, TrainingProcesses())
    for stop in (STOP, None):
        trainer.run(report=lambda record: None, validate=validation.code, watched=validation.watched, stop_at_step=stop)
    return trainer


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.slow
@pytest.mark.skipif(find_spec("accelerate") is None, reason="needs the package accelerate (pip install dcvc[train])")
def test_two_processes_train_the_stages_as_one_does(tmp_path: Path) -> None:
    """Three samples on two processes, stopped in the middle of the second stage."""
    (tmp_path / "c.yaml").write_text(CONFIG)
    state = find_model("tiny-dcvc-hem").random_parameters("image")
    torch.save({"state_dict": {name: torch.from_numpy(value) for name, value in state.items()}}, tmp_path / "i.pt")
    for name in ("a", "b"):
        (tmp_path / f"{name}.y4m").write_bytes(y4m_clip(64, 64, 2))
    one, two = alone(tmp_path), tmp_path / "two"
    options = ["--config", str(tmp_path / "c.yaml"), "--data", str(DATA), "--image-checkpoint", str(tmp_path / "i.pt")]
    options += ["--validate", str(tmp_path / "a.y4m"), "--validate", str(tmp_path / "b.y4m"), "-o", str(two)]
    options += ["--cache", str(tmp_path / "cache"), "--i-frame-cache", "64M"]
    for stop in (["--stop-at-step", str(STOP)], []):
        launch_two("train", "video", *options, *stop)
    for name in ("log.csv", "validation.csv"):
        ours, theirs = rows(one.folder / name)[-1], rows(two / name)[-1]
        for column in ("bpp", "psnr"):
            assert float(theirs[column]) == pytest.approx(float(ours[column]), rel=0.02), (name, column)
    coded = [(row["step"], row["clip"], row["qp"]) for row in rows(two / "validation.csv")]
    qps = ("0", "21", "42", "63")
    assert coded == [(step, clip, qp) for step in ("2", "3", "4") for clip in ("a.y4m", "b.y4m") for qp in qps]
    assert read_checkpoint(two / "checkpoint.pt")["step"] == 4
    assert best_path(two, 0).exists()
    assert best_path(two, 1).exists()
    assert list((tmp_path / "cache" / "i-frames").glob("*/*.i16"))
    ended, start = read_checkpoint(two / "checkpoint.pt")["parameters"], one.trainee.initial_parameters(one.config.seed)
    for name, value in one.parameters.items():
        moved = float((value.detach() - start[name]).abs().max())
        # Adam's first steps have the size of the rate whatever the gradient, so where a gradient is all rounding, the
        # step is too.
        assert float((ended[name] - value.detach()).abs().mean()) <= 0.05 * moved + 1e-7, name
