"""Parts of a training run: gradient checkpointing, float16, logs, settings, and a checkpoint that a kill in the middle
of a save leaves whole."""

import csv
import signal
import subprocess
import sys
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from torch.utils import checkpoint as torch_checkpoint

from dcvc_cli.errors import EnvironmentFault, InputError, UsageError
from dcvc_cli.families.rt import objective
from dcvc_cli.families.rt.image import ImageModel
from dcvc_cli.families.rt.initial_parameters import initial_image_parameters, initial_video_parameters
from dcvc_cli.families.rt.objective import Conditions, VideoNetworks, video_loss
from dcvc_cli.families.rt.sizes import TINY
from dcvc_cli.families.rt.video import VideoModel
from dcvc_cli.learning.parameters import as_parameters
from dcvc_cli.learning.stage import Stage
from dcvc_cli.learning.trainee import Objective
from dcvc_cli.training.checkpointing import read_checkpoint, write_checkpoint
from dcvc_cli.training.config import TrainConfig, read_train_config
from dcvc_cli.training.data import build_cache
from dcvc_cli.training.export import checkpoint_state, export_model
from dcvc_cli.training.logs import CsvLog, TensorBoardLog, TrainRecord
from dcvc_cli.training.shipped_weights import has_8_bits, quantised_weights
from dcvc_cli.training.trainer import Trainer

pytestmark = pytest.mark.usefixtures("training_arithmetic")

ROOT = Path(__file__).parents[2]


def make_trainer(folder: Path, network: str = "image", autocast: str = "none", **stage: object) -> Trainer:
    cache = folder.parent / "cache"
    values: dict[str, object] = {"num_steps": 4, "batch": 2, "patch": 32, "rate_first": 1e-3, "rate_last": 1e-3} | stage
    config = TrainConfig(network, "tiny", (Stage(**values),), 50.0, 12000.0, autocast=autocast)  # type: ignore[arg-type]
    image_state = initial_image_parameters(ImageModel(TINY.image)) if network == "video" else None
    return Trainer(config, build_cache([ROOT / "tests" / "data"], cache), cache, folder, frozen={"image": image_state})


# ---- gradient checkpointing


@pytest.mark.parametrize("autocast", [False, True])
def test_checkpointed_gradients_are_the_same(autocast: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """To the bit, noise included: a second computation with other noise would give another rate gradient."""
    image, video = ImageModel(TINY.image), VideoModel(TINY.video)
    image_state = initial_image_parameters(image)
    clip = torch.rand(2, 5, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    frames = []
    monkeypatch.setattr(
        objective,
        "checkpoint",
        lambda *values, **named: frames.append(1) or torch_checkpoint.checkpoint(*values, **named),
    )

    def gradients(gradient_checkpointing: bool) -> tuple[float, torch.Tensor, dict[str, torch.Tensor | None]]:
        parameters = as_parameters(initial_video_parameters(video))
        torch.manual_seed(4)
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            lambdas = (30.0, 7200.0)
            result = video_loss(
                VideoNetworks(video, parameters, image, image_state, TINY),
                clip,
                Objective(lambdas),
                Conditions(num_trained_frames=3, gradient_checkpointing=gradient_checkpointing),
            )
        result.loss.backward()
        return result.loss.item(), torch.rand(4), {name: value.grad for name, value in parameters.items()}

    plain, checkpointed = gradients(False), gradients(True)
    assert len(frames) == 3
    assert plain[0] == checkpointed[0]
    assert torch.equal(plain[1], checkpointed[1]), "the generator is left elsewhere"
    for name, value in plain[2].items():
        other = checkpointed[2][name]
        assert (value is None and other is None) or torch.equal(value, other), name


def test_trainer_obeys_the_stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    states = []
    for wanted in (False, True):
        calls = []
        monkeypatch.setattr(
            objective,
            "checkpoint",
            lambda *values, seen=calls, **named: seen.append(1) or torch_checkpoint.checkpoint(*values, **named),
        )
        trainer = make_trainer(
            tmp_path / str(wanted), "video", num_steps=2, num_frames=2, gradient_checkpointing=wanted
        )
        trainer.run(report=lambda record: None)
        assert len(calls) == (4 if wanted else 0)
        states.append(trainer.parameters)
    assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())


# ---- float16


def fp16_trainer(folder: Path) -> Trainer:
    try:
        return make_trainer(folder, autocast="fp16")
    except UsageError as error:
        pytest.skip(str(error))


def test_fp16_run_is_resumed_exactly(tmp_path: Path) -> None:
    whole, parts = fp16_trainer(tmp_path / "whole"), fp16_trainer(tmp_path / "parts")
    assert whole.scaler.is_enabled()
    for trainer in (whole, parts):
        trainer.scaler = torch.amp.GradScaler("cpu", init_scale=256.0, growth_interval=3)
    whole.run(report=lambda record: None)
    parts.run(report=lambda record: None, stop_at_step=2)
    resumed = fp16_trainer(tmp_path / "parts")
    assert resumed.resume()
    assert resumed.scaler.get_scale() == 256.0
    resumed.run(report=lambda record: None)
    assert resumed.scaler.get_scale() == whole.scaler.get_scale() == 512.0
    for name, value in whole.parameters.items():
        assert torch.isfinite(value).all(), name
        assert torch.equal(value, resumed.parameters[name]), name
    start = initial_image_parameters(ImageModel(TINY.image), whole.config.seed)
    assert not torch.equal(whole.parameters["enc.enc_1.adaptor.weight"], start["enc.enc_1.adaptor.weight"])


def test_scale_falls_where_gradients_overflow(tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path / "run")
    start = {name: value.detach().clone() for name, value in trainer.parameters.items()}
    trainer.scaler = torch.amp.GradScaler("cpu", init_scale=2.0**126)
    batch = trainer._batch_at(0)()
    trainer.parameters["enc.enc_1.adaptor.bias"].register_hook(lambda gradient: gradient * float("inf"))
    trainer.train_step(batch, 1e-3)
    assert trainer.scaler.get_scale() == 2.0**125
    assert trainer.step == 1
    assert all(torch.equal(value, start[name]) for name, value in trainer.parameters.items())


def test_scale_does_not_change_the_step(tmp_path: Path) -> None:
    plain, scaled = make_trainer(tmp_path / "a"), make_trainer(tmp_path / "b")
    scaled.scaler = torch.amp.GradScaler("cpu", init_scale=2.0**12)
    results = [trainer.train_step(trainer._batch_at(0)(), 1e-3) for trainer in (plain, scaled)]
    assert results[0].gradient_norm == pytest.approx(results[1].gradient_norm, rel=1e-5)
    for name, value in plain.parameters.items():
        torch.testing.assert_close(scaled.parameters[name], value, rtol=1e-4, atol=2e-5)


def test_fp16_where_it_is_not_possible(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*values: object, **named: object) -> None:
        raise RuntimeError("no half on this machine")

    monkeypatch.setattr(torch.nn.functional, "conv2d", refuse)
    with pytest.raises(UsageError, match=r"fp16 is not possible.*no half.*bf16"):
        make_trainer(tmp_path / "run", autocast="fp16")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_fp16_on_a_gpu(tmp_path: Path) -> None:
    from dcvc_cli.training.processes import TrainingProcesses

    reference = make_trainer(tmp_path / "cpu")
    trainer = Trainer(
        replace(reference.config, autocast="fp16"),
        reference.shots,
        reference.cache,
        tmp_path / "gpu",
        processes=TrainingProcesses("cuda:0"),
    )
    records: list[TrainRecord] = []
    trainer.run(report=records.append)
    reference.run(report=records.append)
    assert records[0].weighted == pytest.approx(records[1].weighted, rel=0.3)
    assert all(torch.isfinite(value).all() for value in trainer.parameters.values())


# ---- logs


def record(step: int) -> TrainRecord:
    return TrainRecord(step, 0, 1.5, 2.5, 0.5, 30.0, 1e-3, 0.1, 4.0, 10.0)


def test_csv_log_forgets_what_a_kill_undid(tmp_path: Path) -> None:
    log = CsvLog(tmp_path / "log.csv")
    for step in (50, 100, 150):
        log.add(record(step))
    with log.path.open("a") as file:
        file.write("20")
    log.forget_after(100)
    with log.path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["step"] for row in rows] == ["50", "100"]
    assert rows[0]["learning_rate"] == "0.001"


@pytest.mark.skipif(find_spec("tensorboard") is None, reason="needs the package tensorboard (pip install dcvc[train])")
def test_tensorboard_has_what_the_csv_has(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    make_trainer(tmp_path / "run", num_steps=2).run(report=lambda record: None, tensorboard=True)
    events = EventAccumulator(str(tmp_path / "run" / "tensorboard"))
    events.Reload()
    with (tmp_path / "run" / "log.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    for name in ("loss", "bpp", "psnr", "learning_rate"):
        (scalar,) = events.Scalars(f"train/{name}")
        assert scalar.step == 2
        assert scalar.value == pytest.approx(float(row[name]), rel=1e-4)


def test_tensorboard_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(EnvironmentFault, match=r"--tensorboard needs.*dcvc\[train\]"):
        TensorBoardLog(tmp_path, 0)


# ---- settings


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ("model: tiny", "model: huge", "no model 'huge'"),
        ("network: image", "network: sound", "network is image or video"),
        ("lambda_last: 2", "lambda_last: 2\nautocast: fp8", "autocast is bf16, fp16 or none, not 'fp8'"),
        ("lambda_last: 2", "lambda_last: 2\nvalidate_every: 0", "validate_every: expected a number above 0"),
        ("rate_first: 1.0e-3", "rate_first: 1e-3", "stage 0: rate_first: expected a number, found '1e-3'"),
        ("batch: 2", "batch: 2.5", "batch: expected a whole number"),
        ("batch: 2", "batch: true", "batch: expected a whole number"),
        ("patch: 32", "patch: -32", "patch: expected a number above 0"),
        ("patch: 32", "patch: 32, gradient_checkpointing: 1", "gradient_checkpointing: expected true or false"),
        ("patch: 32", "patch: 32, epochs: 2", "stage 0: num_steps or epochs says how long it is"),
        ("num_steps: 1, ", "", "stage 0: num_steps or epochs says how long it is"),
        ("patch: 32", "patch: 32, freeze: [motion]", "freeze: the network has no part 'motion'"),
        ("patch: 32", "patch: 32, train: enc.", "train: expected a list"),
        ("patch: 32", "patch: 32, train: [1]", "train: expected a list of words"),
        ("patch: 32", "patch: 32, optimiser: new", "optimiser is keep or fresh"),
        ("patch: 32", "patch: 32, loss: all", "stage 0: unknown setting loss"),
        ("lambda_last: 2", "lambda_last: 2\noptimiser: sgd", "optimiser is adamw or adam"),
        ("lambda_last: 2\n", "", "needs lambda_first and lambda_last"),
    ],
)
def test_settings_that_cannot_be_obeyed(old: str, new: str, named: str, tmp_path: Path) -> None:
    text = "network: image\nmodel: tiny\nlambda_first: 1\nlambda_last: 2\nstages:\n"
    text += "  - {num_steps: 1, batch: 2, patch: 32, rate_first: 1.0e-3, rate_last: 1.0e-3}\n"
    path = tmp_path / "c.yaml"
    path.write_text(text)
    assert read_train_config(path).num_steps == 1
    path.write_text(text.replace(old, new))
    with pytest.raises(UsageError, match=named):
        read_train_config(path)


@pytest.mark.parametrize("content", [b"\xd5\xff\0", b"a: [", b"[" * 5000, b"#" * 70000, b"stages: [1]\nmodel: [tiny]"])
def test_files_that_are_no_configuration(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_bytes(content)
    with pytest.raises(UsageError, match=r"c\.yaml") as caught:
        read_train_config(path)
    assert "\n" not in str(caught.value)


# ---- checkpoints

SAVE_AND_DIE = """
import os, signal, sys
import torch
from pathlib import Path
from dcvc_cli.training.checkpointing import read_checkpoint, write_checkpoint

path = Path(sys.argv[1])
state = read_checkpoint(path) | {"step": 99}

class Dying:
    def __init__(self, file, num_bytes):
        self.file, self.left = file, num_bytes
    def write(self, data):
        self.file.write(bytes(data)[: self.left])
        self.left -= len(data)
        if self.left <= 0:
            self.file.flush()
            os.kill(os.getpid(), signal.SIGKILL)
        return len(data)
    def flush(self):
        pass

save = torch.save
torch.save = lambda value, file: save(value, Dying(file, int(sys.argv[2])))
write_checkpoint(path, state)
"""


@pytest.mark.parametrize("num_bytes", [1, 20_000])
def test_kill_in_the_middle_of_a_save_leaves_a_good_checkpoint(num_bytes: int, tmp_path: Path) -> None:
    """A real SIGKILL while the file is half written; the run goes on to what an uninterrupted one gives."""
    whole, killed = make_trainer(tmp_path / "whole"), make_trainer(tmp_path / "killed")
    whole.run(report=lambda record: None)
    killed.run(report=lambda record: None, stop_at_step=2)
    command = [sys.executable, "-c", SAVE_AND_DIE, str(killed.checkpoint_path), str(num_bytes)]
    died = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=60)
    assert died.returncode == -signal.SIGKILL, died.stderr
    assert sorted(path.name for path in killed.folder.iterdir()) == ["checkpoint.pt", "log.csv"]
    resumed = make_trainer(tmp_path / "killed")
    assert resumed.resume()
    assert resumed.step == 2
    resumed.run(report=lambda record: None)
    assert all(torch.equal(value, resumed.parameters[name]) for name, value in whole.parameters.items())


def test_what_is_no_checkpoint_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "run" / "checkpoint.pt"
    trainer = make_trainer(tmp_path / "run")
    trainer.save()
    good = path.read_bytes()
    for content in (b"", b"nothing", good[: len(good) // 2]):
        path.write_bytes(content)
        with pytest.raises(InputError, match=r"checkpoint\.pt is not a training checkpoint"):
            trainer.resume()
    write_checkpoint(path, {"average": {}})
    with pytest.raises(InputError, match="has no elapsed_seconds"):
        read_checkpoint(path)
    for key, value in (("parameters", [1]), ("average", {"a": 1}), ("average", {})):
        path.write_bytes(good)
        write_checkpoint(path, read_checkpoint(path) | {key: value})
        with pytest.raises(InputError, match=r"checkpoint\.pt is (not a training checkpoint|of another network)"):
            trainer.resume()
    make_trainer(tmp_path / "run", "video").save()
    with pytest.raises(InputError, match="of another network"):
        trainer.resume()


def test_what_export_is_given_is_checked(tmp_path: Path) -> None:
    for network in ("image", "video"):
        make_trainer(tmp_path / network, network).save()
    image, video = (checkpoint_state(tmp_path / network / "checkpoint.pt") for network in ("image", "video"))
    with pytest.raises(InputError, match=r"image checkpoint is of another network .* in this order: image, video"):
        export_model("lite", {"image": video, "video": image}, "")
    path = tmp_path / "c.pt"
    for state in ({"step": 1}, {"average": 3}, {"average": {"a": 3}}, [1]):
        torch.save(state, path)
        with pytest.raises(InputError, match=r"c\.pt is not a training checkpoint"):
            checkpoint_state(path)
    path.write_bytes(b"")
    with pytest.raises(InputError, match=r"c\.pt is not a training checkpoint"):
        checkpoint_state(path)


def test_a_checkpoint_of_another_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "run" / "checkpoint.pt"
    trainer = make_trainer(tmp_path / "run")
    trainer.save()
    for key, value in (
        ("optimiser", {"state": {}, "param_groups": []}),
        ("sequences", [{"segment": (0, 0, 0), "frame": torch.zeros(1)}]),
    ):
        write_checkpoint(path, read_checkpoint(path) | {key: value})
        with pytest.raises(InputError, match="of another version of dcvc"):
            trainer.resume()
        trainer.save()


def test_held_weights_are_those_of_the_average_on_the_grid(tmp_path: Path) -> None:
    """A stage that holds weights changes none with 8 bits, and all others; stopped in it, it goes on to the bit."""
    config = TrainConfig(
        "image",
        "tiny",
        (
            Stage(3, 2, 32, 1e-3, 1e-3, quantise_weights=True),
            Stage(3, 2, 32, 1e-3, 1e-3, quantise_weights=True, hold_weights=True),
        ),
        50.0,
        12000.0,
        autocast="none",
    )
    shots = build_cache([ROOT / "tests" / "data"], tmp_path / "cache")

    def trainer(folder: str) -> Trainer:
        return Trainer(config, shots, tmp_path / "cache", tmp_path / folder)

    whole = trainer("run")
    whole.run(report=lambda record: None, stop_at_step=3)
    start = quantised_weights({name: value.clone() for name, value in whole.average.items()})
    for stop in (5, None):
        parts = trainer("run")
        assert parts.resume()
        parts.run(report=lambda record: None, stop_at_step=stop)
    whole.run(report=lambda record: None)
    for name, value in parts.parameters.items():
        assert torch.equal(value, whole.parameters[name]), name
        assert torch.equal(value, start[name]) == has_8_bits(name), name
        if has_8_bits(name):
            assert torch.equal(parts.average[name], start[name]), name
    export = quantised_weights(parts.average)
    assert all(torch.equal(export[name], start[name]) for name in start if has_8_bits(name))
