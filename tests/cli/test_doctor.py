"""`dcvc doctor`: the report names what is used and what is missing, and its exit code says whether coding can work."""

import json
import sys
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from dcvc_cli.commands.doctor import doctor
from dcvc_cli.errors import EnvironmentFault
from dcvc_cli.families.rt.image import ImageModel
from dcvc_cli.families.rt.sizes import TINY
from dcvc_cli.families.rt.video import VideoModel
from dcvc_cli.learning.parameters import random_parameters
from dcvc_cli.training.export import export_model
from dcvc_cli.weights.file import ModelWeights, write_weights


@pytest.fixture
def box(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Makes a folder of shipped weights with a small default model."""
    networks = {"image": ImageModel(TINY.image), "video": VideoModel(TINY.video)}
    states = {name: {k: v.numpy() for k, v in random_parameters(model, 1).items()} for name, model in networks.items()}
    write_weights(tmp_path / "box" / "weights" / "lite.safetensors", export_model("tiny", states, ""))
    monkeypatch.setattr("dcvc_cli.weights.store.presets_folder", lambda: tmp_path / "box")
    monkeypatch.setenv("DCVC_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("DCVC_CPU_ISA", raising=False)
    return tmp_path / "box" / "weights"


def run(*arguments: str) -> Result:
    app = typer.Typer()
    app.command()(doctor)
    return CliRunner().invoke(app, arguments)


def findings(result: Result) -> dict[tuple[str, str], dict]:
    return {(entry["section"], entry["name"]): entry for entry in json.loads(result.stdout)["findings"]}


@pytest.mark.native
def test_a_machine_that_has_everything(box: Path):
    result = run("--json")
    assert result.exit_code == 0, result.exception
    document = json.loads(result.stdout)
    assert document["ok"] is True
    assert document["schema_version"] == 1
    found = findings(result)
    assert found["software", "torch"]["value"]
    assert all(
        found["kernels", name]["status"] == "ok" for name in ("entropy coder", "block motion", "exact arithmetic")
    )
    assert found["weights", "lite"]["value"].startswith("tiny, float only, image ")
    assert "precision fp32" in found["in use", "encode"]["value"]
    assert "fingerprint" in run().stdout or "image " in run().stdout


def test_codecs_to_compare_with_are_told(box: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from dcvc_cli.evaluating import encoders

    has = {"/opt/new/ffmpeg": frozenset({"libvvenc"}), "/usr/bin/ffmpeg": frozenset({"libx264", "libvvenc"})}
    monkeypatch.setattr(encoders, "ffmpeg_programs", lambda: iter(has))
    monkeypatch.setattr(encoders, "encoders_of", has.__getitem__)
    monkeypatch.setattr("dcvc_cli.measuring.diagnosis.versions", lambda program, codec: ("1.15.0", "9.0"))
    found = findings(run("--json"))
    assert found["software", "vvenc"]["value"] == "libvvenc 1.15.0 in ffmpeg 9.0, /opt/new/ffmpeg"
    assert found["software", "x264"]["value"].endswith("/usr/bin/ffmpeg")
    assert found["software", "aom"]["status"] == "absent"
    assert "dcvc[metrics]" in found["software", "aom"]["remark"]


def test_what_a_gpu_would_need_is_told(box: Path, monkeypatch: pytest.MonkeyPatch):
    """Without the bindings, and so without a driver, all else is as it was."""
    monkeypatch.setitem(sys.modules, "cuda.bindings.driver", None)
    result = run("--json")
    found = findings(result)["kernels", "exact on a GPU"]
    assert (found["value"], found["status"]) == ("not available", "absent")
    assert found["remark"] == "the package cuda-bindings is missing (pip install 'dcvc[cuda]')"


@pytest.mark.native
@pytest.mark.parametrize(("is_exact", "expected"), [(True, "exact, device cpu"), (False, "fp32, device cuda:0")])
def test_the_device_in_use_is_that_of_the_precision(is_exact, expected, box: Path, monkeypatch: pytest.MonkeyPatch):
    """With a GPU, exact coding takes another device by itself than float coding does."""
    monkeypatch.setattr("dcvc_cli.coding.opened_models.choose_device", lambda name: "cuda:0")
    monkeypatch.setattr(ModelWeights, "is_exact", is_exact)
    assert findings(run("--json"))["in use", "encode"]["value"].endswith(f"precision {expected}")


@pytest.mark.native
def test_missing_weights_end_with_code_5(box: Path):
    (box / "lite.safetensors").unlink()
    result = run("--json")
    assert isinstance(result.exception, EnvironmentFault)
    assert result.exception.exit_code == 5
    assert findings(result)["weights", "lite"]["status"] == "missing"


@pytest.mark.native
def test_damaged_default_weights(box: Path):
    data = bytearray((box / "lite.safetensors").read_bytes())
    data[-1] ^= 1
    (box / "lite.safetensors").write_bytes(data)
    result = run("--json")
    assert isinstance(result.exception, EnvironmentFault)
    assert "damaged" in findings(result)["weights", "lite"]["remark"]


def test_missing_entropy_coder(box: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "dcvc_cli._entropy", None)
    result = run("--json")
    assert isinstance(result.exception, EnvironmentFault)
    assert findings(result)["kernels", "entropy coder"]["status"] == "missing"


def test_optional_package_that_is_absent_or_broken(box: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "av", None)
    found = findings(run("--json"))["software", "av"]
    assert (found["status"], found["remark"]) == ("absent", "mp4 and mkv input: pip install 'dcvc[video]'")


def test_why_not_the_faster_kernels(box: Path, monkeypatch: pytest.MonkeyPatch):
    usable = pytest.importorskip("dcvc_cli._kernels").usable_isas()
    monkeypatch.setenv("DCVC_CPU_ISA", "scalar")
    found = findings(run("--json"))["kernels", "exact arithmetic"]
    assert found["value"].startswith("scalar")
    assert (found["status"] == "slow") == (len(usable) > 1)
    monkeypatch.setenv("DCVC_CPU_ISA", "abacus")
    assert findings(run("--json"))["kernels", "exact arithmetic"]["status"] == "missing"
