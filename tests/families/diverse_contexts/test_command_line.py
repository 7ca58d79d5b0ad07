"""DCVC-FM and DCVC-DC through the command line: clips, R G B pictures, refreshes, qualities, damage, checkpoints."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from dcvc_cli.app import run
from dcvc_cli.backend.float_layers import FloatLayers
from dcvc_cli.bitstream.sps import Precision
from dcvc_cli.codec.backends import networks_from_state
from dcvc_cli.errors import EnvironmentFault, ExitCode, StreamError
from dcvc_cli.families.diverse_contexts.frames import FramePayloadDecoder, FramePayloadEncoder, PFrame
from dcvc_cli.families.diverse_contexts.model import DiverseModel
from dcvc_cli.families.diverse_contexts.motion import warp
from dcvc_cli.families.registry import find_model
from dcvc_cli.preparing.random_weights import random_weights
from dcvc_cli.weights.file import write_weights
from tests.support.clips import y4m_clip
from tests.support.streams import units_of

MODELS = ("tiny-dcvc-fm", "tiny-dcvc-dc")
Call = Callable[..., int]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("diverse-home")
    for name in MODELS:
        write_weights(home / "weights" / f"{name}.safetensors", random_weights(name, exact=False))
    return home


@pytest.fixture
def call(home: Path, monkeypatch: pytest.MonkeyPatch) -> Call:
    monkeypatch.setenv("DCVC_HOME", str(home))
    monkeypatch.setenv("NO_COLOR", "1")
    return lambda *arguments: run([str(argument) for argument in arguments])


@pytest.mark.parametrize("model", MODELS)
def test_a_clip_comes_back_as_the_encoder_saw_it(call: Call, tmp_path: Path, model: str):
    clip, stream = tmp_path / "clip.y4m", tmp_path / "a.dcvc"
    clip.write_bytes(y4m_clip(70, 34, 7))
    options = ("--model", model, "--threads", 1, "-q", "--recon", tmp_path / "recon.y4m", "--hash", "md5")
    assert call("encode", clip, "-o", stream, *options, "--keyint", 5, "--no-scenecut") == ExitCode.DONE
    assert [unit.frame_type.name for unit in units_of(stream)] == ["I", "P", "P", "P", "P", "I", "P"]
    assert call("decode", stream, "-o", tmp_path / "out.y4m", "--threads", 1, "-q") == ExitCode.DONE
    assert (tmp_path / "out.y4m").read_bytes() == (tmp_path / "recon.y4m").read_bytes()
    assert call("decode", stream, "-o", tmp_path / "last.y4m", "--seek", 6, "--threads", 1, "-q") == ExitCode.DONE
    last = (tmp_path / "last.y4m").read_bytes().split(b"FRAME\n")
    assert last[1:] == (tmp_path / "out.y4m").read_bytes().split(b"FRAME\n")[7:]


@pytest.mark.parametrize("model", MODELS)
def test_rgb_pictures_come_back(call: Call, tmp_path: Path, model: str):
    sample = np.random.default_rng(0).integers(0, 255, (2, 20, 28, 3)).astype(np.uint8)
    for number, picture in enumerate(sample):
        Image.fromarray(picture).save(tmp_path / f"in{number:03d}.png")
    options = ("--model", model, "--threads", 1, "-q", "--recon", tmp_path / "recon%03d.png")
    assert call("encode", tmp_path / "in%03d.png", "-o", tmp_path / "a.dcvc", *options) == ExitCode.DONE
    assert call("decode", tmp_path / "a.dcvc", "-o", tmp_path / "out%03d.png", "--threads", 1, "-q") == ExitCode.DONE
    made, seen = (sorted(tmp_path.glob(f"{name}*.png")) for name in ("out", "recon"))
    assert len(made) == len(seen) == 2
    for one, other in zip(made, seen, strict=True):
        assert np.array_equal(np.asarray(Image.open(one)), np.asarray(Image.open(other)))


def first_bytes(path: Path) -> list[int]:
    return [unit.payload[0] for unit in units_of(path) if unit.frame_type.name == "P"]


def test_feature_adaptors_and_refreshes(call: Call, tmp_path: Path):
    clip = tmp_path / "clip.y4m"
    clip.write_bytes(y4m_clip(18, 18, 10))
    for model, numbers in (
        ("tiny-dcvc-fm", [3, 0, 2, 0, 2, 3, 2, 0, 1]),
        ("tiny-dcvc-dc", [1, 0, 2, 0, 1, 0, 2, 0, 1]),
    ):
        stream = tmp_path / f"{model}.dcvc"
        options = ("--model", model, "--reset-interval", 5, "--no-scenecut", "--threads", 1, "-q")
        assert call("encode", clip, "-o", stream, *options) == ExitCode.DONE
        assert first_bytes(stream) == numbers
        resets = [unit.reset for unit in units_of(stream)[1:]]
        assert resets == [number == 3 for number in numbers]
        assert call("decode", stream, "-o", tmp_path / "out.y4m", "--threads", 1, "-q", "-y") == ExitCode.DONE


def coders(name: str) -> tuple[FramePayloadEncoder, FramePayloadDecoder]:
    model = find_model(name)
    assert isinstance(model, DiverseModel)
    states = {part: model.random_parameters(part) for part in model.networks}
    tables = {part: model.z_table(part, state) for part, state in states.items()}
    networks = networks_from_state(states, tables, Precision.FLOAT32, 1)
    graphs = model.image, model.video, networks, model.kind
    return FramePayloadEncoder(*graphs), FramePayloadDecoder(*graphs, (48, 32))


@pytest.mark.parametrize("model", MODELS)
def test_frames_of_several_coders_and_of_shared_payloads(model: str):
    encoder, decoder = coders(model)
    pictures = np.random.default_rng(1).random((4, 3, 48, 32), np.float32)
    decoder.decode_i(encoder.encode_i(pictures[0], 12, num_coders=3), 12)
    assert torch.equal(decoder.reference.frame, encoder.reference.frame)
    frames = [PFrame(5, 1), PFrame(60, 0, refreshes=True), PFrame(30, 2)]
    payload = encoder.encode_p(list(zip(pictures[1:], frames, strict=True)), num_coders=2)
    *_, last = decoder.decode_p(payload, frames)
    for name in ("frame", "feature", "motion_feature", "y", "mv_y"):
        assert torch.equal(getattr(decoder.reference, name), getattr(encoder.reference, name)), name
    assert torch.equal(last, encoder.reference.frame)


@pytest.mark.parametrize("model", MODELS)
def test_damage_is_told(model: str):
    encoder, decoder = coders(model)
    pictures = np.random.default_rng(2).random((2, 3, 48, 32), np.float32)
    with pytest.raises(StreamError, match="P frame comes before"):
        list(decoder.decode_p(b"\x01abcd", [PFrame(3, 0)]))
    payload = encoder.encode_i(pictures[0], 40)
    for broken in (b"", payload[:4], payload[:-1], payload + b"\0"):
        with pytest.raises(StreamError):
            decoder.decode_i(broken, 40)
    decoder.decode_i(payload, 40)
    payload = encoder.encode_p([(pictures[1], PFrame(40, 0))])
    for broken in (b"", b"\xf1", payload[:-1], payload + b"\0"):
        with pytest.raises(StreamError):
            list(decoder.decode_p(broken, [PFrame(40, 0)]))


def test_vectors_lead_back_to_the_reference():
    picture = torch.arange(20.0, dtype=torch.float64).reshape(1, 1, 4, 5)
    field = torch.zeros(1, 2, 4, 5, dtype=torch.float64)
    assert torch.allclose(warp(FloatLayers(), picture, field), picture)
    field[:, 0], field[:, 1] = 1.5, -1.0
    expected = picture[:, :, [0, 0, 1, 2]][..., [1, 2, 3, 4, 4]]
    expected = expected + torch.tensor([0.5, 0.5, 0.5, 0.0, 0.0])
    assert torch.allclose(warp(FloatLayers(), picture, field), expected)


@pytest.fixture
def states() -> list[dict[str, torch.Tensor]]:
    model = find_model("tiny-dcvc-fm")
    return [
        {f"module.{key}": torch.from_numpy(value) for key, value in model.random_parameters(part).items()}
        for part in ("image", "video")
    ]


def add(call: Call, folder: Path, *states: dict[str, torch.Tensor]) -> int:
    paths = [folder / f"{number}.pth.tar" for number in range(len(states))]
    for path, state in zip(paths, states, strict=True):
        torch.save({"state_dict": state}, path)
    return call("models", "add", *paths, "--name", "mine")


def test_checkpoints_are_recognised(
    call: Call, tmp_path: Path, states: list[dict[str, torch.Tensor]], capsys: pytest.CaptureFixture[str]
):
    assert add(call, tmp_path, *states) == ExitCode.DONE
    assert "added mine (tiny-dcvc-fm, float)" in capsys.readouterr().out
    assert add(call, tmp_path, *reversed(states)) == ExitCode.ENVIRONMENT
    assert "another order" in capsys.readouterr().err


def test_bad_checkpoints_are_told(
    call: Call, tmp_path: Path, states: list[dict[str, torch.Tensor]], capsys: pytest.CaptureFixture[str]
):
    image, video = states
    assert add(call, tmp_path, image, {k: v for k, v in video.items() if "align.fusion.weight" not in k}) != 0
    assert "video: align.fusion.weight is missing" in capsys.readouterr().err
    assert add(call, tmp_path, image | {"module.refine.1.bias": torch.zeros(4)}, video) == ExitCode.ENVIRONMENT
    assert "refine.1.bias has shape (4,), expected (3,)" in capsys.readouterr().err
    other = find_model("tiny-dcvc-dc").random_parameters("video")
    assert add(call, tmp_path, image, {k: torch.from_numpy(v) for k, v in other.items()}) == ExitCode.ENVIRONMENT
    message = capsys.readouterr().err
    assert "the first holds the image model of 'tiny-dcvc-fm'" in message
    assert "the second the video model of 'tiny-dcvc-dc'" in message


def test_networks_that_blow_up_are_told():
    encoder, _ = coders("tiny-dcvc-fm")
    parameters = encoder.networks["image"].synthesis.parameters
    parameters["refine.1.bias"].fill_(float("nan"))
    with pytest.raises(EnvironmentFault, match="a picture has values that are not finite"):
        encoder.encode_i(np.zeros((3, 48, 32), np.float32), 0)
