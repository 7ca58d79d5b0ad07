"""Streams on the emulated GPU through the real commands: the CPU's bytes and pictures, and what is said where something
is missing."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from dcvc_cli.backend.cuda import driver
from dcvc_cli.backend.exact_cuda import ExactCuda
from dcvc_cli.backend.float_torch import FloatOperations
from dcvc_cli.codec import backends
from dcvc_cli.preparing.random_weights import random_weights
from dcvc_cli.weights.file import NetworkWeights, write_weights
from tests.cuda.layer_checks import engine_on
from tests.support.processes import ROOT

pytestmark = pytest.mark.native


def write_clip(path: Path, num_frames: int, side: int) -> Path:
    """A textured scene that moves: so that vectors, filters and symbols all have something to do."""
    rng = np.random.default_rng(5)
    scene = np.clip(rng.normal(120, 40, (6 * side // 4, 6 * side // 4)).repeat(4, 0).repeat(4, 1), 0, 255).astype(
        np.uint8
    )
    data = bytearray(f"YUV4MPEG2 W{side} H{side} F25:1 Ip A1:1 C420\n".encode())
    for k in range(num_frames):
        luma = scene[2 * k : 2 * k + side, 3 * k : 3 * k + side]
        chroma = scene[k : k + side // 2, :side][:, : side // 2]
        data += b"FRAME\n" + luma.tobytes() + chroma.tobytes() + (255 - chroma).tobytes()
    path.write_bytes(data)
    return path


@pytest.fixture
def gpu(emulator, monkeypatch):
    """`--device cuda` means the emulator; the names that were asked for."""
    opened = []
    monkeypatch.setattr(driver, "open_engine", lambda name: opened.append(name) or engine_on(emulator))
    return opened


def test_a_stream_on_gpu_and_cpu(call, gpu, tmp_path, monkeypatch):
    """Both ways: the bytes of the tiny model are the same, and so are the pictures; no half runs in float."""
    monkeypatch.setattr(backends, "_float_operations", None)
    clip = write_clip(tmp_path / "clip.y4m", 3, 32)
    for device in ("cpu", "cuda:0"):
        stream = tmp_path / f"{device[:3]}.dcvc"
        assert call("encode", clip, "-o", stream, "--model", "tiny-exact", "--device", device) == 0
    assert (tmp_path / "cpu.dcvc").read_bytes() == (tmp_path / "cud.dcvc").read_bytes()
    for device in ("cpu", "cuda"):
        assert call("decode", tmp_path / "cpu.dcvc", "-o", tmp_path / f"{device}.y4m", "--device", device) == 0
    assert (tmp_path / "cpu.y4m").read_bytes() == (tmp_path / "cuda.y4m").read_bytes()
    assert gpu == ["cuda:0", "cuda"]


@pytest.mark.parametrize("model", ["witness-tiny-lite", "witness-tiny"])
def test_10_bit_pictures_on_gpu_and_cpu(call, gpu, tmp_path, monkeypatch, model):
    """Floor and output of 10 bits run on the device, as those of 8 bits do."""
    home = tmp_path / "weights"
    home.mkdir()
    shutil.copy(ROOT / "tests" / "data" / "witnesses" / "weights" / f"{model}.safetensors.gz", home)
    monkeypatch.setenv("DCVC_HOME", str(tmp_path))
    levels = np.random.default_rng(2).integers(300, 700, (3, 8, 12)).repeat(4, 1).repeat(4, 2).astype("<u2")
    frames = [b"FRAME\n" + plane.tobytes() + bytes([0, 2]) * 2 * (16 * 24) for plane in levels]
    (tmp_path / "clip.y4m").write_bytes(b"YUV4MPEG2 W48 H32 F25:1 C420p10\n" + b"".join(frames))
    for device in ("cpu", "cuda:0"):
        words = ("--model", model, "--qp", "55", "--device", device)
        assert call("encode", tmp_path / "clip.y4m", "-o", tmp_path / f"{device[:3]}.dcvc", *words) == 0
        assert call("decode", tmp_path / "cpu.dcvc", "-o", tmp_path / f"{device[:3]}.y4m", "--device", device) == 0
    assert (tmp_path / "cpu.dcvc").read_bytes() == (tmp_path / "cud.dcvc").read_bytes()
    assert (tmp_path / "cpu.y4m").read_bytes() == (tmp_path / "cud.y4m").read_bytes()


def test_the_analysis_beside_the_gpu(call, emulator, tmp_path, monkeypatch):
    """Where PyTorch works on the device too, contexts and latents cross as its tensors: the same stream."""
    # As weights are that carry no exponents of the encoder's half.
    monkeypatch.setattr(NetworkWeights, "analysis", None)
    clip = write_clip(tmp_path / "clip.y4m", 2, 32)
    assert call("encode", clip, "-o", tmp_path / "cpu.dcvc", "--model", "tiny-exact", "--device", "cpu") == 0
    engine = engine_on(emulator)
    engine.device.shares_with_torch = True
    monkeypatch.setattr(driver, "open_engine", lambda name: engine)
    monkeypatch.setattr(ExactCuda, "to_float", None)
    monkeypatch.setattr(FloatOperations, "to_float", None)
    assert call("encode", clip, "-o", tmp_path / "gpu.dcvc", "--model", "tiny-exact", "--device", "cuda") == 0
    assert (tmp_path / "cpu.dcvc").read_bytes() == (tmp_path / "gpu.dcvc").read_bytes()


def test_integer_latents_beside_the_gpu(call, emulator, tmp_path, monkeypatch):
    """Where PyTorch works on the device too, latents in integers cross to it and back without the host."""
    clip = write_clip(tmp_path / "clip.y4m", 2, 32)
    assert call("encode", clip, "-o", tmp_path / "cpu.dcvc", "--model", "tiny-exact", "--device", "cpu") == 0
    engine = engine_on(emulator)
    engine.device.shares_with_torch = True
    monkeypatch.setattr(driver, "open_engine", lambda name: engine)
    monkeypatch.setattr(backends, "_float_operations", None)
    assert call("encode", clip, "-o", tmp_path / "gpu.dcvc", "--model", "tiny-exact", "--device", "cuda") == 0
    assert (tmp_path / "cpu.dcvc").read_bytes() == (tmp_path / "gpu.dcvc").read_bytes()


WITNESSES = Path(__file__).resolve().parents[1] / "data" / "witnesses" / "weights"


@pytest.mark.parametrize("model", ["witness-tiny-lite", "tiny-uf-hts"])
def test_streams_of_the_other_families(model, call, gpu, tmp_path, monkeypatch):
    """Motion, filters and floor of `lite`; units of several pictures of DCVC-UF."""
    home = tmp_path / "home"
    if model.startswith("witness"):
        shutil.copytree(WITNESSES, home / "weights")
    else:
        write_weights(home / "weights" / f"{model}.safetensors", random_weights(model, exact=True))
    monkeypatch.setenv("DCVC_HOME", str(home))
    clip = write_clip(tmp_path / "clip.y4m", *((3, 16) if "uf" in model else (5, 32)))
    for device in ("cpu", "cuda"):
        assert call("encode", clip, "-o", tmp_path / f"{device}.dcvc", "--model", model, "--device", device) == 0
    assert (tmp_path / "cpu.dcvc").read_bytes() == (tmp_path / "cuda.dcvc").read_bytes()
    for device in ("cpu", "cuda"):
        assert call("decode", tmp_path / "cpu.dcvc", "-o", tmp_path / f"{device}.y4m", "--device", device) == 0
    assert (tmp_path / "cpu.y4m").read_bytes() == (tmp_path / "cuda.y4m").read_bytes()


def test_the_slow_twin_in_its_place(call, tmp_path, monkeypatch):
    clip = write_clip(tmp_path / "clip.y4m", 2, 16)
    assert call("encode", clip, "-o", tmp_path / "s.dcvc", "--model", "tiny-exact") == 0
    assert call("decode", tmp_path / "s.dcvc", "-o", tmp_path / "cpu.y4m") == 0
    monkeypatch.setenv("DCVC_CUDA", "twin")
    assert call("decode", tmp_path / "s.dcvc", "-o", tmp_path / "twin.y4m", "--device", "cuda") == 0
    assert call("encode", clip, "-o", tmp_path / "t.dcvc", "--model", "tiny-exact", "--device", "cuda") == 0
    assert (tmp_path / "s.dcvc").read_bytes() == (tmp_path / "t.dcvc").read_bytes()
    assert (tmp_path / "cpu.y4m").read_bytes() == (tmp_path / "twin.y4m").read_bytes()
    monkeypatch.setenv("DCVC_CUDA", "abacus")
    assert call("decode", tmp_path / "s.dcvc", "-o", tmp_path / "x.y4m", "--device", "cuda") == 5


def test_without_a_gpu_one_line_says_what_is_missing(call, tmp_path, monkeypatch, capsys):
    torch = pytest.importorskip("torch")
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    clip = write_clip(tmp_path / "clip.y4m", 1, 16)
    assert call("encode", clip, "-o", tmp_path / "s.dcvc", "--model", "tiny-exact", "--device", "auto") == 0
    capsys.readouterr()
    assert call("decode", tmp_path / "s.dcvc", "-o", tmp_path / "x.y4m", "--device", "cuda") == 5
    told = capsys.readouterr().err
    assert "no CUDA driver is installed" in told or "cuda-bindings is missing" in told
    assert not (tmp_path / "x.y4m").exists()
    words = ("--model", "tiny-exact", "--precision", "fp16", "--device", "cuda")
    assert call("encode", clip, "-o", tmp_path / "x.dcvc", *words) == 5
    told = capsys.readouterr().err
    assert "this PyTorch is built without CUDA" in told or "PyTorch finds no CUDA driver or no GPU" in told
    for name in ("cuda:", "cuda:x", "gpu"):
        assert call("decode", tmp_path / "s.dcvc", "-o", tmp_path / "x.y4m", "--device", name) == 5
        assert "names no device" in capsys.readouterr().err
