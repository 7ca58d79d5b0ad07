"""DCVC and DCVC-TCM: published frames byte for byte, pictures through the command line, damage, checkpoints."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from dcvc_cli.app import run
from dcvc_cli.conformance.cases import run_cases, run_vectors
from dcvc_cli.errors import ExitCode
from dcvc_cli.families.registry import find_model
from dcvc_cli.preparing.random_weights import random_weights
from dcvc_cli.weights.file import write_weights
from tests.support.clips import y4m_clip
from tests.support.published import FAMILY_CASES

pytestmark = pytest.mark.native
CASES = {"dcvc-tcm": "ipp_64x64_r1", "dcvc": "ipp_64x64_r1"}
"""The case of each family."""
MODELS = {"tiny-tcm": "dcvc-tcm", "tiny-dcvc": "dcvc", "tiny-dcvc-hyper": "dcvc"}
"""The family of each small model."""
Call = Callable[..., int]


@pytest.fixture(scope="module")
def float_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("float-home")
    for name in MODELS:
        write_weights(home / "weights" / f"{name}.safetensors", random_weights(name, exact=False))
    return home


@pytest.fixture
def call(float_home: Path, monkeypatch: pytest.MonkeyPatch) -> Call:
    monkeypatch.setenv("DCVC_HOME", str(float_home))
    monkeypatch.setenv("NO_COLOR", "1")
    return lambda *arguments: run([str(argument) for argument in arguments])


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    path = tmp_path / "clip.y4m"
    path.write_bytes(y4m_clip(70, 38, 5))
    return path


@pytest.mark.parametrize("family", CASES)
def test_published_frames_and_tables(family: str):
    results = [*run_vectors(FAMILY_CASES / family), *run_cases(FAMILY_CASES / family, threads=1)]
    names = ["entropy/tables", "entropy/scale_to_row", "entropy/sequences", CASES[family]]
    assert [result.name for result in results] == names
    assert {result.name: result.faults for result in results if not result.ok} == {}


@pytest.mark.parametrize("model", MODELS)
def test_a_fresh_process_decodes_the_encoders_pictures(
    call: Call, clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], float_home: Path, model: str
):
    stream, recon, output = (tmp_path / name for name in ("a.dcvc", "recon.y4m", "out.y4m"))
    options = ("--model", model, "--keyint", 3, "--hash", "md5", "--threads", 1, "-q")
    assert call("encode", clip, "-o", stream, "--recon", recon, *options) == 0
    command = [sys.executable, "-m", "dcvc_cli", "decode", str(stream), "-o", str(output), "--threads", "1"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env={"DCVC_HOME": str(float_home)})
    assert "holds on one software stack" in done.stderr
    assert output.read_bytes() == recon.read_bytes()
    assert call("info", "--json", stream) == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["sps"][0]["model_family"], facts["num_frames"], facts["is_intact"]) == (MODELS[model], 5, True)


def test_seeking_starts_at_an_i_frame(call: Call, clip: Path, tmp_path: Path):
    stream, recon, output = (tmp_path / name for name in ("a.dcvc", "recon.y4m", "out.y4m"))
    options = ("--model", "tiny-tcm", "--keyint", 3, "--threads", 1, "-q")
    assert call("encode", clip, "-o", stream, "--recon", recon, *options) == 0
    assert call("decode", stream, "-o", output, "--seek", 4, "--threads", 1, "-q") == 0
    assert output.read_bytes().split(b"FRAME\n")[1:] == recon.read_bytes().split(b"FRAME\n")[5:]


@pytest.mark.parametrize("model", MODELS)
def test_a_damaged_unit_is_an_error(call: Call, clip: Path, tmp_path: Path, model: str):
    stream = tmp_path / "a.dcvc"
    assert call("encode", clip, "-o", stream, "--model", model, "--threads", 1, "-q") == 0
    data = bytearray(stream.read_bytes())
    data[len(data) * 2 // 3] ^= 0xFF
    stream.write_bytes(data)
    assert call("decode", stream, "-o", tmp_path / "out.y4m", "--threads", 1, "-q") == ExitCode.STREAM


def test_bench_names_the_stages(call: Call, capsys: pytest.CaptureFixture[str]):
    assert call("bench", "--model", "tiny-tcm", "--size", "64x64", "--frames", 3, "--threads", 1, "--json") == 0
    (result,) = json.loads(capsys.readouterr().out)["results"]
    stages = {"motion", "analysis", "temporal context", "priors", "entropy coding", "reconstruction"}
    assert stages <= set(result["encode"]["P"]["stage_ms"])


@pytest.fixture
def checkpoints(tmp_path: Path) -> dict[str, Path]:
    """Files as the codec published them: the I-frame model with its constants and tables."""
    model, paths = find_model("tiny-tcm"), {}
    for name in model.networks:
        state = {key: torch.from_numpy(np.array(value)) for key, value in model.random_parameters(name).items()}
        if name == "image":
            state["gaussian_conditional._quantized_cdf"] = torch.zeros(3, 5, dtype=torch.int32)
            state["g_a.0.gdn.beta_reparam.pedestal"] = torch.full((1,), 2.0**-36)
        paths[name] = tmp_path / f"{name}.pth"
        torch.save({"state_dict": {f"module.{key}": value for key, value in state.items()}}, paths[name])
    return paths


def test_published_checkpoints_are_recognised(
    call: Call, checkpoints: dict[str, Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.setenv("DCVC_HOME", str(tmp_path / "home"))
    assert call("models", "add", checkpoints["image"], checkpoints["video"], "--name", "mine") == 0
    added = (tmp_path / "home" / "weights" / "mine.safetensors").read_bytes()
    write_weights(tmp_path / "expected.safetensors", random_weights("tiny-tcm", exact=False))
    assert len(added) > 0.9 * (tmp_path / "expected.safetensors").stat().st_size


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state.pop("mv_decoder.3.beta"), "video: mv_decoder.3.beta is missing"),
        (lambda state: state.update({"mv_decoder.3.beta": torch.ones(5)}), "mv_decoder.3.beta has shape (5,)"),
        (lambda state: state.update({"surplus": torch.ones(5)}), "surplus is not part of the model"),
    ],
)
def test_a_wrong_key_is_named(
    call: Call,
    checkpoints: dict[str, Path],
    capsys: pytest.CaptureFixture[str],
    change: Callable[[dict[str, torch.Tensor]], None],
    message: str,
):
    state = {
        key.removeprefix("module."): value for key, value in torch.load(checkpoints["video"])["state_dict"].items()
    }
    change(state)
    torch.save(state, checkpoints["video"])
    assert call("models", "add", checkpoints["image"], checkpoints["video"]) == ExitCode.ENVIRONMENT
    assert message in capsys.readouterr().err.replace("\n", " ")


def test_files_of_another_family_are_told(call: Call, checkpoints: dict[str, Path], capsys: pytest.CaptureFixture[str]):
    model = find_model("tiny-uf-ld")
    state = {key: torch.from_numpy(np.array(value)) for key, value in model.random_parameters("video").items()}
    torch.save(state, checkpoints["video"])
    assert call("models", "add", checkpoints["image"], checkpoints["video"]) == ExitCode.ENVIRONMENT
    assert "the files are of different models" in " ".join(capsys.readouterr().err.split())


def test_an_older_entropy_format_is_refused(call: Call, clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    options = ("--model", "tiny-tcm", "--entropy-format", "compact", "-q")
    assert call("encode", clip, "-o", tmp_path / "a.dcvc", *options) == ExitCode.USAGE
    assert "has no entropy format compact" in capsys.readouterr().err


@pytest.mark.parametrize("model", MODELS)
def test_a_bitrate_is_refused(
    call: Call, clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], model: str
) -> None:
    """One file of weights is one rate."""
    options = ("--model", model, "--bitrate", 100, "-q")
    assert call("encode", clip, "-o", tmp_path / "a.dcvc", *options) == ExitCode.USAGE
    assert "have one rate, which no --bitrate changes" in capsys.readouterr().err
    assert not (tmp_path / "a.dcvc").exists()
