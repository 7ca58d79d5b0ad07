"""EVC: the published case byte for byte, pictures through the command line, rates, candidates, damage, checkpoints."""

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from dcvc_cli.app import run
from dcvc_cli.bitstream.sps import Precision
from dcvc_cli.codec.backends import networks_from_state
from dcvc_cli.conformance.cases import run_cases, run_vectors
from dcvc_cli.errors import ExitCode, StreamError
from dcvc_cli.families.evc.choice import estimated_bits
from dcvc_cli.families.evc.file import read_file, write_file
from dcvc_cli.families.evc.frames import EvcFrameDecoder, EvcFrameEncoder
from dcvc_cli.families.registry import find_model
from dcvc_cli.format.types import PictureSize
from dcvc_cli.preparing.random_weights import random_weights
from dcvc_cli.weights.file import write_weights
from tests.support.clips import y4m_clip
from tests.support.published import FAMILY_CASES
from tests.support.streams import units_of

CASES = FAMILY_CASES / "evc"
MODELS = ("tiny-evc", "tiny-evc-scale")
Call = Callable[..., int]


@pytest.fixture(scope="module")
def evc_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("evc-home")
    for name in MODELS:
        write_weights(home / "weights" / f"{name}.safetensors", random_weights(name, exact=False))
    return home


@pytest.fixture
def call(evc_home: Path, monkeypatch: pytest.MonkeyPatch) -> Call:
    monkeypatch.setenv("DCVC_HOME", str(evc_home))
    monkeypatch.setenv("NO_COLOR", "1")
    return lambda *arguments: run([str(argument) for argument in arguments])


@pytest.mark.native
def test_the_published_case_and_tables():
    results = [*run_vectors(CASES), *run_cases(CASES, threads=1)]
    assert [result.name for result in results] == ["tables", "ss_64x64_q140"]
    assert {result.name: result.faults for result in results if not result.ok} == {}


@pytest.mark.parametrize("model", MODELS)
def test_a_clip_comes_back_as_the_encoder_saw_it(call: Call, tmp_path: Path, model: str):
    clip, stream = tmp_path / "clip.y4m", tmp_path / "a.dcvc"
    clip.write_bytes(y4m_clip(70, 34, 3))
    options = ("--model", model, "--threads", 1, "-q", "--recon", tmp_path / "recon.y4m", "--hash", "md5")
    assert call("encode", clip, "-o", stream, *options) == ExitCode.DONE
    assert [unit.frame_type.name for unit in units_of(stream)] == ["I", "I", "I"]
    assert call("decode", stream, "-o", tmp_path / "out.y4m", "--threads", 1, "-q") == ExitCode.DONE
    assert (tmp_path / "out.y4m").read_bytes() == (tmp_path / "recon.y4m").read_bytes()
    assert call("decode", stream, "-o", tmp_path / "last.y4m", "--seek", 2, "--threads", 1, "-q") == ExitCode.DONE
    last = (tmp_path / "last.y4m").read_bytes().split(b"FRAME\n")
    assert last[1:] == (tmp_path / "out.y4m").read_bytes().split(b"FRAME\n")[3:]


def test_rgb_pictures_are_coded_as_they_are(call: Call, tmp_path: Path):
    sample = np.random.default_rng(0).integers(0, 255, (20, 28, 3)).astype(np.uint8)
    Image.fromarray(sample).save(tmp_path / "in000.png")
    options = ("--model", "tiny-evc", "--threads", 1, "-q", "--recon", tmp_path / "recon%03d.png")
    assert call("encode", tmp_path / "in%03d.png", "-o", tmp_path / "a.dcvc", *options) == ExitCode.DONE
    assert call("decode", tmp_path / "a.dcvc", "-o", tmp_path / "out%03d.png", "--threads", 1, "-q") == ExitCode.DONE
    pictures = [np.asarray(Image.open(next(tmp_path.glob(f"{name}*.png")))) for name in ("recon", "out")]
    assert pictures[0].shape == (20, 28, 3)
    assert (pictures[0] == pictures[1]).all()


def test_higher_qps_are_finer(call: Call, tmp_path: Path):
    clip = tmp_path / "clip.y4m"
    clip.write_bytes(y4m_clip(64, 64, 1))
    scales, sizes = [], []
    for qp in (0, 21, 42, 63):
        stream = tmp_path / f"{qp}.dcvc"
        assert call("encode", clip, "-o", stream, "--model", "tiny-evc", "--qp", qp, "-q") == ExitCode.DONE
        (unit,) = units_of(stream)
        scales.append(int.from_bytes(unit.payload[:2], "big"))
        sizes.append(len(unit.payload))
    assert scales == [240, 137, 79, 45], "four rates even in the logarithm, from the first anchor to the last"
    assert sizes == sorted(sizes)


def networks(model: str, seed: int = 0):
    known = find_model(model)
    state = known.random_parameters("image")
    opened = networks_from_state({"image": state}, {"image": known.z_table("image", state)}, Precision.FLOAT32, 1)
    return known.graph, opened["image"]


def test_a_told_number_of_encoders_is_one_of_the_candidates():
    graph, network = networks("tiny-evc-scale")
    values = np.random.default_rng(1).random((3, 64, 128), np.float32)
    free = EvcFrameEncoder(graph, network)
    payload = free.encode(values, 100, 2)
    told = [EvcFrameEncoder(graph, network, count) for count in (1, 2, 3, 4)]
    payloads = [encoder.encode(values, 100, 2) for encoder in told]
    assert len(set(payloads)) == 4
    assert [encoder.candidate for encoder in told] == [0, 1, 2, 3]
    assert payload == payloads[free.candidate]
    decoder = EvcFrameDecoder(graph, network, (64, 128))
    decoder.decode(payload, 100)
    assert torch.equal(decoder.frame, free.frame)


def test_estimated_bits_are_near_those_of_the_payload():
    graph, network = networks("tiny-evc")
    encoder = EvcFrameEncoder(graph, network)
    payload = encoder.encode(np.random.default_rng(2).random((3, 128, 128), np.float32), 60, 0)
    header_and_states = 3 + 2 * 8
    assert estimated_bits(encoder.side) == pytest.approx(8 * (len(payload) - header_and_states), rel=0.1)


def test_damage_is_told(call: Call, tmp_path: Path):
    graph, network = networks("tiny-evc")
    payload = EvcFrameEncoder(graph, network).encode_i(np.zeros((3, 64, 64), np.float32), 30)
    decoder = EvcFrameDecoder(graph, network, (64, 64))
    for broken in (b"", payload[:1], payload[:2], payload[:4], payload[:-1], b"\0\0" + payload[2:]):
        with pytest.raises(StreamError):
            decoder.decode_i(broken)
    with pytest.raises(StreamError, match="P frame"):
        decoder.decode_p(payload)


def test_the_published_file():
    data = write_file(PictureSize(75, 53), 45, b"abc")
    assert data == bytes.fromhex("00000035 0000004b 002d 00000003") + b"abc"
    assert read_file(data) == (PictureSize(75, 53), 45, b"abc")
    for broken in (data[:13], data[:-1], data + b"x", b"\0\0\0\0" + data[4:]):
        with pytest.raises(StreamError):
            read_file(broken)


@pytest.fixture
def state() -> dict[str, torch.Tensor]:
    return {f"module.{k}": torch.from_numpy(v) for k, v in find_model("tiny-evc").random_parameters("image").items()}


def test_a_checkpoint_is_recognised_and_kept_in_float(
    call: Call, tmp_path: Path, state: dict[str, torch.Tensor], capsys: pytest.CaptureFixture[str]
):
    torch.save({"state_dict": state}, tmp_path / "a.pth.tar")
    assert call("models", "add", tmp_path / "a.pth.tar", "--name", "mine") == ExitCode.DONE
    assert "added mine (tiny-evc, float)" in capsys.readouterr().out
    clip = tmp_path / "clip.y4m"
    clip.write_bytes(y4m_clip(20, 18, 1))
    exact = ("--model", "mine", "--precision", "exact", "-q")
    assert call("encode", clip, "-o", tmp_path / "a.dcvc", *exact) == ExitCode.ENVIRONMENT
    assert "is not coded in exact (use fp32, fp64)" in capsys.readouterr().err


def test_bad_checkpoints_are_told(
    call: Call, tmp_path: Path, state: dict[str, torch.Tensor], capsys: pytest.CaptureFixture[str]
):
    torch.save({key: value for key, value in state.items() if "hyper_enc.1.weight" not in key}, tmp_path / "a.pth")
    assert call("models", "add", tmp_path / "a.pth") == ExitCode.ENVIRONMENT
    assert "hyper_enc.1.weight is missing" in capsys.readouterr().err
    torch.save(state | {"module.dec.7.0.bias": torch.zeros(13)}, tmp_path / "b.pth")
    assert call("models", "add", tmp_path / "b.pth") == ExitCode.ENVIRONMENT
    assert "dec.7.0.bias has shape (13,), expected (12,)" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("model", "tensors", "values"),
    [
        ("evc", 229, 17_381_776),
        ("evc-lm", 229, 16_337_296),
        ("evc-ls", 229, 15_147_792),
        ("evc-ml", 229, 16_271_376),
        ("evc-sl", 229, 15_012_240),
        ("evc-mm", 229, 15_226_896),
        ("evc-ss", 229, 12_778_256),
        ("evc-scale-sl", 379, 17_466_960),
        ("evc-scale-ss", 379, 15_232_976),
    ],
)
def test_published_sizes(model: str, tensors: int, values: int):
    shapes = dict(find_model(model).networks["image"].shapes())
    assert (len(shapes), sum(math.prod(shape) for shape in shapes.values())) == (tensors, values)
