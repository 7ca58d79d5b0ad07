"""A family is a folder and a line: the toy family is registered, coded, decoded, listed and benched, and no other code
knows it."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from dcvc_cli.app import run
from dcvc_cli.bitstream.stream_reader import StreamReader
from dcvc_cli.bitstream.units import FrameUnit, SeiUnit
from dcvc_cli.errors import ExitCode
from dcvc_cli.families import registry
from tests.families.toy.family import CHUNK, ToyFamily
from tests.support.clips import y4m_clip
from tests.support.processes import ROOT


@pytest.fixture(autouse=True)
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("DCVC_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("NO_COLOR", "1")
    with registry.guest(ToyFamily()):
        yield


@pytest.fixture
def added(tmp_path: Path) -> None:
    """Returns the toy family's checkpoint, written in the form of published ones, and imported."""
    state = {
        key: torch.from_numpy(value)
        for key, value in registry.find_model("toy-small").random_parameters("only").items()
    }
    torch.save({"state_dict": state}, tmp_path / "toy.pth.tar")
    assert run(["models", "add", str(tmp_path / "toy.pth.tar"), "--float", "--name", "toy"]) == ExitCode.DONE


def test_nothing_else_knows_it() -> None:
    names = [path for path in (ROOT / "dcvc_cli").rglob("*.py") if "toy" in path.read_text(encoding="utf-8").split()]
    assert names == []


@pytest.mark.usefixtures("added")
def test_it_is_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["models", "list", "--json"]) == ExitCode.DONE
    listed = {entry["name"]: entry for entry in json.loads(capsys.readouterr().out)["models"]}
    assert listed["toy"]["spec"] == "toy-small"
    assert int(listed["toy"]["only_fingerprint"], 16) > 0


@pytest.mark.usefixtures("added")
@pytest.mark.parametrize("num_pictures", [1, 3, 8])
def test_chunks_are_coded_and_decoded(num_pictures: int, tmp_path: Path) -> None:
    clip, stream, out = tmp_path / "in.y4m", tmp_path / "a.dcvc", tmp_path / "out.y4m"
    clip.write_bytes(y4m_clip(34, 18, num_pictures))
    options = ["--model", "toy", "--qp", "7", "--recon", str(tmp_path / "recon.y4m"), "--threads", "1", "-q"]
    assert run(["encode", str(clip), "-o", str(stream), *options]) == ExitCode.DONE
    with stream.open("rb") as file:
        units = list(StreamReader(file))
    frames = [unit for unit in units if isinstance(unit, FrameUnit)]
    sizes = [unit.pictures.num_pictures for unit in frames]
    assert sizes == [CHUNK] * (num_pictures // CHUNK) + [num_pictures % CHUNK] * (num_pictures % CHUNK > 0)
    hashes = [unit.message for unit in units if isinstance(unit, SeiUnit) and hasattr(unit.message, "digests")]
    assert [len(message.digests) for message in hashes] == sizes
    assert run(["decode", str(stream), "-o", str(out), "--threads", "1", "-q"]) == ExitCode.DONE
    assert out.read_bytes() == (tmp_path / "recon.y4m").read_bytes()
    assert out.stat().st_size == clip.stat().st_size
    assert (
        run(["decode", str(stream), "-o", str(tmp_path / "last.y4m"), "--seek", str(num_pictures - 1), "-q"])
        == ExitCode.DONE
    )
    assert (tmp_path / "last.y4m").read_bytes()[-900:] == out.read_bytes()[-900:]


@pytest.mark.usefixtures("added")
def test_a_damaged_chunk_is_told(tmp_path: Path) -> None:
    clip, stream = tmp_path / "in.y4m", tmp_path / "a.dcvc"
    clip.write_bytes(y4m_clip(34, 18, 4))
    assert run(["encode", str(clip), "-o", str(stream), "--model", "toy", "--qp", "7", "-q"]) == ExitCode.DONE
    data = bytearray(stream.read_bytes())
    data[len(data) // 2] ^= 1
    stream.write_bytes(data)
    assert run(["decode", str(stream), "-o", str(tmp_path / "out.y4m"), "-q"]) == ExitCode.STREAM


def test_it_is_benched_without_weights(capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        run(
            [
                "bench",
                "--model",
                "toy-small",
                "--frames",
                "7",
                "--size",
                "34x18",
                "--qp",
                "5",
                "--threads",
                "1",
                "--json",
            ]
        )
        == ExitCode.DONE
    )
    (result,) = json.loads(capsys.readouterr().out)["results"]
    assert result["weights_are_random"] is True
    assert result["encode"]["I"]["num_frames"] == 7
    assert {"analysis", "entropy coding", "synthesis"} <= result["encode"]["I"]["stage_ms"].keys() | result["decode"][
        "I"
    ]["stage_ms"].keys()


def test_a_stream_of_a_family_that_is_not_here(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clip, stream = tmp_path / "in.y4m", tmp_path / "a.dcvc"
    clip.write_bytes(y4m_clip(34, 18, 2))
    from dcvc_cli.preparing.random_weights import random_weights
    from dcvc_cli.weights.file import write_weights
    from dcvc_cli.weights.store import user_folder

    write_weights(user_folder() / "toy.safetensors", random_weights("toy-small", exact=False))
    assert run(["encode", str(clip), "-o", str(stream), "--model", "toy", "--qp", "7", "-q"]) == ExitCode.DONE
    known, registry._guests = registry._guests, {}
    try:
        assert run(["decode", str(stream), "-o", str(tmp_path / "out.y4m")]) == ExitCode.ENVIRONMENT
    finally:
        registry._guests = known
    assert "model family 'toy'" in capsys.readouterr().err
