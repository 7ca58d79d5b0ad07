"""`dcvc models`: import of checkpoints in every nesting, refusal of what does not fit, and damage that verify must
see."""

import json
import os
import types
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner, Result

from dcvc_cli.bitstream.sps import Precision
from dcvc_cli.codec.backends import open_networks
from dcvc_cli.coding.transmux import template_sps
from dcvc_cli.commands.models import app
from dcvc_cli.errors import EnvironmentFault, UsageError
from dcvc_cli.families.registry import find_model
from dcvc_cli.families.rt.image import ImageModel
from dcvc_cli.families.rt.sizes import TINY
from dcvc_cli.families.rt.video import VideoModel
from dcvc_cli.format.entropy_format import EntropyFormat
from dcvc_cli.format.types import Rational
from dcvc_cli.learning.parameters import random_parameters
from dcvc_cli.preparing.checkpoints import CheckpointError, read_checkpoint
from dcvc_cli.weights.file import read_header, read_weights
from dcvc_cli.weights.store import weights_by_fingerprints, weights_by_name
from tests.support.published import CONFORMANCE


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DCVC_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture(scope="module")
def states() -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    return random_parameters(ImageModel(TINY.image), 1), random_parameters(VideoModel(TINY.video), 2)


@pytest.fixture
def checkpoints(tmp_path: Path, states: tuple[dict, dict]) -> tuple[Path, Path]:
    paths = tmp_path / "image.pth.tar", tmp_path / "video.pth.tar"
    for path, state in zip(paths, states, strict=True):
        torch.save({"state_dict": state}, path)
    return paths


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def added(checkpoints: tuple[Path, Path], home: Path, name: str = "tiny") -> Path:
    """Adds them in float, which takes no time."""
    result = run("add", *checkpoints, "--float", "--name", name)
    assert result.exit_code == 0, result.exception
    return home / "weights" / f"{name}.safetensors"


def test_add_list_show_verify_remove(checkpoints: tuple[Path, Path], home: Path, states: tuple[dict, dict]):
    result = run("add", *checkpoints, "--float")
    assert result.exit_code == 0, result.exception
    path = home / "weights" / "tiny.safetensors"
    weights = read_weights(path)
    assert all(network.published_z_table is not None for network in weights.networks.values())
    assert f"image fingerprint {weights.fingerprints[0]:016x}" in result.stdout
    assert f"video fingerprint {weights.fingerprints[1]:016x}" in result.stdout
    for network, state in zip(weights.networks.values(), states, strict=True):
        assert all(np.array_equal(value, state[key].numpy()) for key, value in network.parameters().items())
    listed = {entry["name"]: entry for entry in json.loads(run("list", "--json").stdout)["models"]}
    assert listed["tiny"]["image_fingerprint"] == f"{weights.fingerprints[0]:016x}"
    assert listed["tiny"]["path"] == str(path)
    assert "tiny" in run("list").stdout
    shown = json.loads(run("show", "tiny", "--json").stdout)
    assert shown["image_parameters"] == sum(value.size for value in weights.networks["image"].parameters().values())
    assert shown["exact"] is False
    assert f"{weights.fingerprints[1]:016x}" in run("show", "tiny").stdout
    assert "ok     tiny" in run("verify", "tiny").stdout
    assert run("remove", "tiny").exit_code == 0
    assert not path.exists()
    assert isinstance(run("remove", "tiny").exception, UsageError)
    assert isinstance(run("show", "tiny").exception, EnvironmentFault)


def test_same_checkpoints_give_the_same_bytes(checkpoints: tuple[Path, Path], home: Path):
    first = added(checkpoints, home).read_bytes()
    assert isinstance(run("add", *checkpoints, "--float").exception, UsageError)
    assert run("add", *checkpoints, "--float", "-y", "--name", "tiny").exit_code == 0
    assert added(checkpoints, home, "twin").read_bytes() != b""
    assert (home / "weights" / "tiny.safetensors").read_bytes() == first


def test_an_import_is_exact_and_holds_what_coding_needs(
    checkpoints: tuple[Path, Path], home: Path, states: tuple[dict, dict], little_material: None
):
    result = run("add", *checkpoints)
    assert result.exit_code == 0, result.exception
    assert "tiny, exact" in result.stdout
    path = home / "weights" / "tiny.safetensors"
    weights = read_weights(path)
    assert weights.is_exact
    shown = json.loads(run("show", "tiny", "--json").stdout)
    assert shown["exact"] is True
    assert shown["note_calibration"] == "material 1"
    assert shown["image_fingerprint"] == f"{weights.fingerprints[0]:016x}"
    for network, state in zip(weights.networks.values(), states, strict=True):
        assert not {key for key, _ in network.model.decoder_shapes()} & set(network.arrays)
        assert network.published_z_table is None
        for key, value in network.parameters().items():
            if key.endswith(".weight") and key.startswith(network.model.encoder_only):
                assert network.arrays[key].dtype == np.int16
                assert np.abs(value - state[key].numpy()).max() <= np.abs(state[key].numpy()).max() * 2.0**-15
    first = path.read_bytes()
    path.unlink()
    assert run("add", *checkpoints).exit_code == 0
    assert path.read_bytes() == first


def test_remux_tells_where_only_integers_are_at_hand(checkpoints: tuple[Path, Path], home: Path, little_material: None):
    assert run("add", *checkpoints).exit_code == 0
    added(checkpoints, home, "tiny-float")
    notes = [template_sps(name, "fp32", Rational(25, 1), None)[1] for name in ("tiny", "tiny-float")]
    assert "dcvc models add --float" in notes[0]
    assert notes[1] is None


def test_the_published_table_is_no_part_of_a_fingerprint(checkpoints: tuple[Path, Path], home: Path):
    """PyTorch's float32 functions differ between machines, and this table with them."""
    weights = read_weights(added(checkpoints, home)).networks["image"]
    table = weights.published_z_table
    assert table is not None
    assert table.num_rows == weights.z_table.num_rows
    without = {key: value for key, value in weights.arrays.items() if not key.startswith("published_z_table")}
    assert replace(weights, arrays=without).fingerprint == weights.fingerprint
    other = {**weights.arrays, "published_z_table.offset": weights.arrays["published_z_table.offset"][:-1]}
    with pytest.raises(EnvironmentFault, match="z table"):
        replace(weights, arrays=other)


def test_the_published_table_codes_the_published_formats_only(checkpoints: tuple[Path, Path], home: Path):
    networks = open_networks(read_weights(added(checkpoints, home)).networks, Precision.FLOAT32)
    for entropy_format in EntropyFormat:
        expected = networks["image"].published_z_table if entropy_format.is_published else networks["image"].z_table
        assert networks["image"].table_of_z(entropy_format) is expected


@pytest.mark.parametrize(
    "wrap",
    [lambda s: s, lambda s: {"net": s}, lambda s: {"state_dict": {"net": s}}, lambda s: {"state_dict": s, "epoch": 3}],
)
def test_nesting_and_prefix(wrap, tmp_path: Path, states: tuple[dict, dict]):
    state = {f"module.{key}": value for key, value in states[0].items()}
    torch.save(wrap(state), tmp_path / "image.pth.tar")
    assert set(read_checkpoint(tmp_path / "image.pth.tar")) == set(states[0])


def test_legacy_serialisation(tmp_path: Path, states: tuple[dict, dict]):
    torch.save(states[0], tmp_path / "image.pth.tar", _use_new_zipfile_serialization=False)
    assert set(read_checkpoint(tmp_path / "image.pth.tar")) == set(states[0])


def test_every_wrong_key_is_named(tmp_path: Path, states: tuple[dict, dict], home: Path):
    image, video = dict(states[0]), dict(states[1])
    del image["enc.enc_1.dc.0.bias"]
    image["enc.extra"] = torch.zeros(1)
    video["q_recon"] = torch.zeros(72, 23, 1, 1)
    del video["bit_estimator_z.f4.h"]
    torch.save(image, tmp_path / "image.pth.tar")
    torch.save(video, tmp_path / "video.pth.tar")
    result = run("add", tmp_path / "image.pth.tar", tmp_path / "video.pth.tar")
    assert isinstance(result.exception, CheckpointError)
    assert set(result.exception.problems) == {
        "image: enc.enc_1.dc.0.bias is missing",
        "image: enc.extra is not part of the model",
        "video: bit_estimator_z.f4.h is missing",
        "video: q_recon has shape (72, 23, 1, 1), expected (72, 24, 1, 1)",
    }
    assert not (home / "weights").exists()


def test_swapped_files_are_recognised(checkpoints: tuple[Path, Path], home: Path):
    result = run("add", checkpoints[1], checkpoints[0])
    assert isinstance(result.exception, CheckpointError)
    assert "first holds the video model and the second the image model" in str(result.exception)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_values_that_are_not_finite(value: float, tmp_path: Path, states: tuple[dict, dict]):
    state = {key: tensor.clone() for key, tensor in states[0].items()}
    state["q_scale_enc"][3] = value
    torch.save(state, tmp_path / "image.pth.tar")
    with pytest.raises(CheckpointError, match="q_scale_enc has values that are not finite"):
        read_checkpoint(tmp_path / "image.pth.tar")


class Payload:
    """What an unsafe loader would run."""

    def __reduce__(self):
        return os.mkdir, ("ran",)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"junk",
        b"PK\x03\x04junk",
        3,
        {"a": 1},
        {1: torch.zeros(1)},
        {"a": torch.zeros(1, dtype=torch.bool)},
        {"a": torch.zeros(1, dtype=torch.complex64)},
        {},
        Payload(),
    ],
)
def test_files_that_are_no_checkpoints(content, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "image.pth.tar"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        torch.save(content, path)
    with pytest.raises(CheckpointError):
        read_checkpoint(path)
    with pytest.raises(CheckpointError, match="is not a file"):
        read_checkpoint(tmp_path / "absent")
    assert not (tmp_path / "ran").exists()


def test_weights_of_dcvc_are_not_imported_again(tmp_path: Path):
    """torch reads such files too; the answer says what they are."""
    path = tmp_path / "mine.safetensors"
    path.write_bytes(bytes(64))
    with pytest.raises(CheckpointError, match=r"mine\.safetensors is named as a weights file of dcvc"):
        read_checkpoint(path)


def test_integers_of_16_bits_are_checked_as_others(tmp_path: Path):
    torch.save({"a": torch.full((2,), 65535, dtype=torch.uint16)}, tmp_path / "image.pth.tar")
    assert read_checkpoint(tmp_path / "image.pth.tar")["a"].tolist() == [65535.0, 65535.0]


def test_names_that_cannot_be_used(
    checkpoints: tuple[Path, Path], home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    for name in ("../up", ".hidden", "", "a b", "a/b"):
        assert isinstance(run("add", *checkpoints, "--name", name).exception, UsageError)
    (tmp_path / "box" / "weights").mkdir(parents=True)
    (tmp_path / "box" / "weights" / "shipped.safetensors").write_bytes(b"")
    monkeypatch.setattr("dcvc_cli.weights.store.presets_folder", lambda: tmp_path / "box")
    result = run("add", *checkpoints, "--name", "shipped")
    assert isinstance(result.exception, UsageError)
    assert "came with dcvc" in str(result.exception)


def test_verify_sees_every_flipped_byte_it_is_given(checkpoints: tuple[Path, Path], home: Path):
    path = added(checkpoints, home)
    whole = path.read_bytes()
    header_size = 8 + int.from_bytes(whole[:8], "little")
    for position in np.linspace(header_size, len(whole) - 1, 12).astype(int):
        damaged = bytearray(whole)
        damaged[position] ^= 1
        path.write_bytes(damaged)
        result = run("verify", path)
        assert isinstance(result.exception, EnvironmentFault), position
        assert "FAILED tiny" in result.stdout
    path.write_bytes(whole[:-1])
    assert isinstance(run("verify", "tiny").exception, EnvironmentFault)


def test_search_by_fingerprint_reads_headers_only(
    checkpoints: tuple[Path, Path], home: Path, monkeypatch: pytest.MonkeyPatch
):
    path = added(checkpoints, home)
    header = read_header(path)
    (home / "weights" / "broken.safetensors").write_bytes(b"not weights")
    opened = []
    module = "dcvc_cli.weights.store"
    monkeypatch.setattr(f"{module}.presets_folder", lambda: home / "none")
    monkeypatch.setattr(f"{module}.read_weights", lambda candidate: opened.append(candidate) or read_weights(candidate))
    with pytest.raises(EnvironmentFault, match=r"0000000000000001 \(image\).*broken"):
        weights_by_fingerprints((1, 2), header.model)
    assert opened == []
    assert weights_by_fingerprints(header.fingerprints, header.model).path == path
    assert opened == [path]


@pytest.mark.slow
def test_checkpoints_of_the_published_sizes(tmp_path: Path, home: Path):
    make_params = types.ModuleType("make_params")
    exec((CONFORMANCE / "make_params.py").read_text(), make_params.__dict__)
    paths = []
    for kind in ("dmci", "dmc"):
        state = {f"module.{key}": torch.from_numpy(value) for key, value in make_params.state_dict(kind, 7).items()}
        paths.append(tmp_path / f"{kind}.pth.tar")
        torch.save({"state_dict": state}, paths[-1])
    result = run("add", *paths, "--float")
    assert result.exit_code == 0, result.exception
    weights = weights_by_name("rt")
    assert weights.model is find_model("rt")
    estimators = 11 * 128 * (64 + 72)
    assert (
        sum(v.size for n in weights.networks.values() for v in n.parameters().values())
        == 45_651_314 + 20_691_456 - estimators
    )


def test_no_advice_to_load_without_protection(tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    """torch's own message tells how to run what is in the file."""
    torch.save(Payload(), tmp_path / "image.pth.tar")
    with pytest.raises(CheckpointError, match="something other than tensors") as caught:
        read_checkpoint(tmp_path / "image.pth.tar")
    assert "weights_only" not in str(caught.value)
