"""`dcvc models quantize`: from float weights to weights that code exactly."""

import numpy as np
import pytest

from dcvc_cli.app import run
from dcvc_cli.weights.file import read_header, read_weights

pytest.importorskip("dcvc_cli._kernels")


def write_clip(path, num_pictures):
    rng = np.random.default_rng(0)
    scene = rng.integers(0, 256, (6, 8)).repeat(16, 0).repeat(16, 1).astype(np.uint8)
    with path.open("wb") as file:
        file.write(b"YUV4MPEG2 W128 H96 F25:1 Ip A1:1 C420jpeg\n")
        for k in range(num_pictures):
            luma = np.roll(scene, 2 * k, axis=1)
            file.write(b"FRAME\n" + luma.tobytes() + luma[::2, ::2].tobytes() * 2)


pytestmark = pytest.mark.usefixtures("little_material")


def test_no_clip_is_needed(tmp_path, tiny_home, monkeypatch):
    monkeypatch.setenv("DCVC_HOME", str(tiny_home))
    weights = tmp_path / "exact.safetensors"
    assert run(["models", "quantize", "tiny", "-o", str(weights)]) == 0
    assert read_weights(weights).is_exact
    assert read_header(weights).notes == {"calibration": "material 1, 0 clips"}


def test_quantized_weights_code_exactly(tmp_path, tiny_home, monkeypatch, capsys):
    monkeypatch.setenv("DCVC_HOME", str(tiny_home))
    clip, weights = tmp_path / "clip.y4m", tmp_path / "exact.safetensors"
    write_clip(clip, 4)
    assert run(["models", "quantize", "tiny", str(clip), "-o", str(weights)]) == 0
    stream, decoded = tmp_path / "clip.dcvc", []
    assert run(["encode", str(clip), "-o", str(stream), "--model", str(weights), "-q"]) == 0
    capsys.readouterr()
    assert run(["info", str(stream), "--json"]) == 0
    assert '"precision": "exact"' in capsys.readouterr().out
    monkeypatch.setenv("DCVC_HOME", str(tmp_path))
    (tmp_path / "weights").mkdir()
    weights.rename(tmp_path / "weights" / "exact.safetensors")
    for isa, threads in (("scalar", "1"), ("", "2"), ("", "3")):
        monkeypatch.setenv("DCVC_CPU_ISA", isa)
        output = tmp_path / f"out{isa}{threads}.y4m"
        assert run(["decode", str(stream), "-o", str(output), "--threads", threads, "-q"]) == 0
        decoded.append(output.read_bytes())
    assert decoded[0] == decoded[1] == decoded[2]


def test_too_short_clip_is_refused(tmp_path, tiny_home, monkeypatch, capsys):
    monkeypatch.setenv("DCVC_HOME", str(tiny_home))
    write_clip(tmp_path / "clip.y4m", 2)
    assert run(["models", "quantize", "tiny", str(tmp_path / "clip.y4m"), "-o", str(tmp_path / "x.safetensors")]) == 3
    assert "expected 4 pictures" in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "x.safetensors").exists()
