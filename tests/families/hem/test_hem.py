"""DCVC-HEM: the published strings and tables, clips through the command line, references, damage, checkpoints. The
published cases take the real sizes: the one in the tree runs with the slow tests."""

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from dcvc_cli.app import run
from dcvc_cli.bitstream.sps import Precision
from dcvc_cli.codec.backends import networks_from_state
from dcvc_cli.conformance.cases import run_cases, run_vectors
from dcvc_cli.errors import ExitCode, StreamError
from dcvc_cli.families.hem.family import HemModel
from dcvc_cli.families.hem.frames import HemFrameDecoder, HemFrameEncoder
from dcvc_cli.families.registry import find_model
from dcvc_cli.preparing.random_weights import random_weights
from dcvc_cli.weights.file import write_weights
from tests.support.clips import y4m_clip
from tests.support.published import FAMILY_CASES
from tests.support.streams import units_of

CASES = FAMILY_CASES / "dcvc-hem"
MODEL = "tiny-dcvc-hem"
Call = Callable[..., int]


@pytest.fixture(scope="module")
def hem_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("hem-home")
    write_weights(home / "weights" / f"{MODEL}.safetensors", random_weights(MODEL, exact=False))
    return home


@pytest.fixture
def call(hem_home: Path, monkeypatch: pytest.MonkeyPatch) -> Call:
    monkeypatch.setenv("DCVC_HOME", str(hem_home))
    monkeypatch.setenv("NO_COLOR", "1")
    return lambda *arguments: run([str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def coders() -> tuple[HemFrameEncoder, Callable[[], HemFrameDecoder]]:
    model = find_model(MODEL)
    assert isinstance(model, HemModel)
    states = {name: model.random_parameters(name) for name in model.networks}
    tables = {name: model.z_table(name, state) for name, state in states.items()}
    networks = networks_from_state(states, tables, Precision.FLOAT32, 1)
    encoder = HemFrameEncoder(model.image, model.video, networks)
    return encoder, lambda: HemFrameDecoder(model.image, model.video, networks, (64, 128))


def moving(number: int) -> np.ndarray:
    """Makes a picture 64x128 whose content moves two samples a frame."""
    texture = np.random.default_rng(3).random((3, 64, 256), np.float32)
    return np.ascontiguousarray(texture[:, :, 2 * number : 2 * number + 128])


@pytest.mark.native
def test_the_published_tables_and_strings():
    results = list(run_vectors(CASES))
    assert [result.name for result in results] == ["tables", "coder"]
    assert {result.name: result.faults for result in results if not result.ok} == {}


@pytest.mark.slow
def test_the_published_case():
    (result,) = run_cases(CASES, threads=1)
    assert (result.name, result.faults) == ("i_64x64", ())


def test_a_clip_comes_back_as_the_encoder_saw_it(call: Call, tmp_path: Path):
    clip, stream = tmp_path / "clip.y4m", tmp_path / "a.dcvc"
    clip.write_bytes(y4m_clip(70, 34, 5))
    options = ("--model", MODEL, "--threads", 1, "-q", "--recon", tmp_path / "recon.y4m", "--hash", "md5")
    assert call("encode", clip, "-o", stream, "--keyint", 3, *options) == ExitCode.DONE
    assert [unit.frame_type.name for unit in units_of(stream)] == ["I", "P", "P", "I", "P"]
    assert call("decode", stream, "-o", tmp_path / "out.y4m", "--threads", 1, "-q") == ExitCode.DONE
    assert (tmp_path / "out.y4m").read_bytes() == (tmp_path / "recon.y4m").read_bytes()
    assert call("decode", stream, "-o", tmp_path / "last.y4m", "--seek", 4, "--threads", 1, "-q") == ExitCode.DONE
    last = (tmp_path / "last.y4m").read_bytes().split(b"FRAME\n")
    assert last[1:] == (tmp_path / "out.y4m").read_bytes().split(b"FRAME\n")[5:]


def test_both_ends_keep_the_same_reference(coders: tuple[HemFrameEncoder, Callable[[], HemFrameDecoder]]):
    encoder, make_decoder = coders
    decoder = make_decoder()
    for number in range(4):
        if number == 0:
            decoder.decode_i(encoder.encode_i(moving(number), 40))
        else:
            decoder.decode_p(encoder.encode_p(moving(number), 40))
        own, other = encoder.reference, decoder.reference
        assert own is not None
        assert other is not None
        for name in ("frame", "feature", "latents", "motion"):
            pair = getattr(own, name), getattr(other, name)
            assert (pair[0] is None) == (pair[1] is None) == (number == 0 and name != "frame")
            assert pair[0] is None or torch.equal(*pair), name


def test_payloads_say_their_scales(coders: tuple[HemFrameEncoder, Callable[[], HemFrameDecoder]]):
    encoder, _ = coders
    coarse, fine = encoder.encode_i(moving(0), 0), encoder.encode_i(moving(0), 63)
    assert [int.from_bytes(payload[:2], "big") for payload in (coarse, fine)] == [160, 45]
    payload = encoder.encode_p(moving(1), 0)
    assert [int.from_bytes(payload[k : k + 2], "big") for k in (0, 2)] == [120, 150]


def test_damage_is_told(coders: tuple[HemFrameEncoder, Callable[[], HemFrameDecoder]]):
    encoder, make_decoder = coders
    key, other = encoder.encode_i(moving(0), 30), encoder.encode_p(moving(1), 30)
    with pytest.raises(StreamError, match="before the first I frame"):
        make_decoder().decode_p(other)
    decoder = make_decoder()
    decoder.decode_i(key)
    before = decoder.reference
    for broken in (b"", other[:3], other[:-4], other + b"\0\0\0\0", b"\0\0" + other[2:]):
        with pytest.raises(StreamError):
            decoder.decode_p(broken)
        decoder.reference = before


def test_checkpoints_of_both_networks(call: Call, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    model = find_model(MODEL)
    for name in model.networks:
        state = {f"module.{key}": torch.from_numpy(value) for key, value in model.random_parameters(name).items()}
        torch.save({"state_dict": state}, tmp_path / f"{name}.pth.tar")
    paths = [tmp_path / f"{name}.pth.tar" for name in ("image", "video")]
    assert call("models", "add", *paths, "--name", "mine") == ExitCode.DONE
    assert f"added mine ({MODEL}, float)" in capsys.readouterr().out
    assert call("models", "add", *reversed(paths)) == ExitCode.ENVIRONMENT
    assert "in another order" in capsys.readouterr().err
    assert call("models", "add", paths[0]) == ExitCode.ENVIRONMENT
    assert f"the file holds the image model of '{MODEL}'" in capsys.readouterr().err
    broken = torch.load(paths[1])["state_dict"]
    del broken["module.bit_estimator_z_mv.f1.h"]
    torch.save(broken, paths[1])
    assert call("models", "add", *paths) == ExitCode.ENVIRONMENT
    assert "video: bit_estimator_z_mv.f1.h is missing" in capsys.readouterr().err


@pytest.mark.parametrize(("network", "tensors", "values"), [("image", 175, 31_168_967), ("video", 406, 17_523_323)])
def test_published_sizes(network: str, tensors: int, values: int):
    shapes = dict(find_model("dcvc-hem").networks[network].shapes())
    assert (len(shapes), sum(math.prod(shape) for shape in shapes.values())) == (tensors, values)
