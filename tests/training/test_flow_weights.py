"""A motion estimation that was trained elsewhere begins a run; a file that does not fit is told."""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
import torch

from dcvc_cli.errors import DcvcError, UsageError
from dcvc_cli.families.registry import find_model
from dcvc_cli.training.config import read_train_config
from dcvc_cli.training.flow_weights import flow_parameters
from dcvc_cli.training.processes import TrainingProcesses
from dcvc_cli.training.run import RunSettings, open_trainer

MODELS = ("tiny-dcvc", "tiny-tcm", "tiny-dcvc-hem", "tiny-dcvc-dc")
DATA = Path(__file__).parents[1] / "data"
State = dict[str, torch.Tensor]


def shapes_of(model: str) -> dict[str, tuple[int, ...]]:
    return dict(find_model(model).networks["video"].shapes())


def flow_of(model: str) -> State:
    """By the names of the module itself, `moduleBasic.0.conv1.weight` and so on."""
    (beginning,) = find_model(model).trainee("video").parts["flow"]
    generator = torch.Generator().manual_seed(4)
    return {
        name.removeprefix(beginning): torch.randn(shape, generator=generator)
        for name, shape in shapes_of(model).items()
        if name.startswith(beginning)
    }


def read(path: Path, model: str) -> State:
    return flow_parameters(path, find_model(model).trainee("video"), shapes_of(model))


def as_arrays(folder: Path, flow: Mapping[str, torch.Tensor]) -> None:
    """As DVC has them, with two levels more than are used."""
    folder.mkdir()
    for name, value in flow.items():
        _, level, layer, kind = name.split(".")
        np.save(folder / f"modelL{int(level) + 1}_F-{layer[4:]}-{kind}.npy", value.numpy())
    for level in (5, 6):
        np.save(folder / f"modelL{level}_F-1-bias.npy", np.zeros(32, np.float32))


FORMS: dict[str, Callable[[Path, State], None]] = {
    "codec": lambda path, flow: torch.save(
        {
            "state_dict": {f"module.opticFlow.{name}": value for name, value in flow.items()}
            | {"other.bias": torch.ones(3)}
        },
        path,
    ),
    "successor": lambda path, flow: torch.save({f"optic_flow.{name}": value for name, value in flow.items()}, path),
    "alone": lambda path, flow: torch.save(flow, path),
    "training checkpoint": lambda path, flow: torch.save(
        {"average": {f"optic_flow.{name}": value for name, value in flow.items()}, "step": 3}, path
    ),
    "arrays": as_arrays,
}


@pytest.mark.parametrize("form", list(FORMS))
@pytest.mark.parametrize("model", MODELS)
def test_every_form_gives_the_same_motion_estimation(model: str, form: str, tmp_path: Path) -> None:
    flow = flow_of(model)
    FORMS[form](tmp_path / "flow", flow)
    taken = read(tmp_path / "flow", model)
    (beginning,) = find_model(model).trainee("video").parts["flow"]
    assert {name.removeprefix(beginning) for name in taken} == set(flow)
    for name, value in flow.items():
        assert torch.equal(taken[beginning + name], value), name


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda flow: flow.pop("moduleBasic.2.conv3.bias"), r"moduleBasic\.2\.conv3\.bias is missing"),
        (
            lambda flow: flow.update({"moduleBasic.0.conv1.weight": torch.zeros(8, 6, 7, 7)}),
            r"moduleBasic\.0\.conv1\.weight has shape \(8, 6, 7, 7\), expected \(8, 8, 7, 7\)",
        ),
        (
            lambda flow: flow.update({"a.moduleBasic.0.conv1.bias": torch.zeros(8)}),
            r"several motion estimations: a\.moduleBasic\.0\.conv1\.bias, moduleBasic\.0\.conv1\.bias",
        ),
        (lambda flow: flow["moduleBasic.0.conv1.bias"].fill_(float("nan")), "not finite"),
    ],
)
def test_what_does_not_fit_is_named(change: Callable[[State], object], named: str, tmp_path: Path) -> None:
    flow = flow_of("tiny-tcm")
    change(flow)
    torch.save(flow, tmp_path / "flow.pth")
    with pytest.raises(DcvcError, match=rf"flow\.pth.*{named}"):
        read(tmp_path / "flow.pth", "tiny-tcm")


def test_arrays_that_do_not_fit_are_named(tmp_path: Path) -> None:
    with pytest.raises(DcvcError, match=r"absent is not a file"):
        read(tmp_path / "absent", "tiny-tcm")
    with pytest.raises(DcvcError, match="holds no array of a motion estimation"):
        read(tmp_path, "tiny-tcm")
    as_arrays(tmp_path / "flow", flow_of("tiny-tcm"))
    path = tmp_path / "flow" / "modelL3_F-2-weight.npy"
    path.write_bytes(path.read_bytes()[:90])
    with pytest.raises(DcvcError, match=r"modelL3_F-2-weight\.npy is no array of NumPy"):
        read(tmp_path / "flow", "tiny-tcm")
    np.save(path, np.array([object()]), allow_pickle=True)
    with pytest.raises(DcvcError, match=r"modelL3_F-2-weight\.npy is no array of NumPy"):
        read(tmp_path / "flow", "tiny-tcm")
    np.save(path, np.zeros((16, 8, 7, 7), np.int64))
    with pytest.raises(DcvcError, match=r"modelL3_F-2-weight\.npy is no array of floating-point numbers"):
        read(tmp_path / "flow", "tiny-tcm")
    path.unlink()
    with pytest.raises(DcvcError, match=r"moduleBasic\.2\.conv2\.weight is missing"):
        read(tmp_path / "flow", "tiny-tcm")


def test_a_network_without_motion_estimation_takes_none(tmp_path: Path) -> None:
    trainee = find_model("tiny").trainee("video")
    with pytest.raises(UsageError, match="the network has no motion estimation"):
        flow_parameters(tmp_path, trainee, {})


def test_a_run_starts_from_it(tmp_path: Path) -> None:
    """Everything else begins as without it."""
    flow = flow_of("tiny-tcm")
    torch.save({f"opticFlow.{name}": value for name, value in flow.items()}, tmp_path / "flow.pth")
    state = find_model("tiny-tcm").random_parameters("image")
    torch.save({name: torch.from_numpy(value) for name, value in state.items()}, tmp_path / "i.pth")
    (tmp_path / "c.yaml").write_text(
        "{network: video, model: tiny-tcm, lambdas: [2048], autocast: none, "
        "stages: [{num_steps: 1, batch: 2, patch: 64, rate_first: 1.0e-3, rate_last: 1.0e-3, loss: all}]}"
    )
    config, starts = read_train_config(tmp_path / "c.yaml"), []
    for path in (None, tmp_path / "flow.pth"):
        settings = RunSettings([DATA], tmp_path / "run", checkpoints={"image": tmp_path / "i.pth"}, flow=path)
        starts.append(open_trainer(config, settings, TrainingProcesses())[0].parameters)
    for name, value in starts[1].items():
        own = name.removeprefix("optic_flow.")
        assert torch.equal(value, flow[own] if own in flow else starts[0][name]), name
