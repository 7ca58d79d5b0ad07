"""DCVC-UF in exact arithmetic: the kernels give the twin's bits on every instruction set and thread count, and one
stream is one sequence of samples."""

import hashlib
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dcvc_cli.backend.exact_network import ExactNetwork
from dcvc_cli.backend.exact_twin import ExactTwin
from dcvc_cli.backend.operations import Operations
from dcvc_cli.backend.reproducible import ReproducibleOperations
from dcvc_cli.families.registry import find_model
from dcvc_cli.families.uf.recipe import (
    code_i_frame,
    code_p_unit,
    memory_after_picture,
    memory_after_unit,
    next_contexts,
)
from dcvc_cli.preparing.quantise import prepare_exact
from dcvc_cli.preparing.random_weights import random_weights
from dcvc_cli.weights.file import read_weights, write_weights
from tests.families.uf.conftest import UF_MODELS
from tests.support.clips import y4m_clip
from tests.support.random_layers import random_network

_kernels = pytest.importorskip("dcvc_cli._kernels")
from dcvc_cli.backend.exact_native import ExactNative, make_engine  # noqa: E402

pytestmark = pytest.mark.native
ISAS = _kernels.usable_isas()
LATENT_SIZE = 3, 5
"""Odd, and no multiple of 4."""


@dataclass
class InventedSide:
    """A decoder's side whose symbols come from a random generator; keeps the table rows and flags of every step."""

    ops: Operations
    rng: np.random.Generator
    num_z_channels: int
    latent_size: tuple[int, int] = LATENT_SIZE
    seen: list[bytes] = field(default_factory=list)

    def hyper_latents(self, analysis: Any, hyper_analysis: Any, scaled: Any, qp: int) -> Any:
        shape = (self.num_z_channels, *(-(-side // 4) for side in self.latent_size))
        return self.ops.z_from_symbols(self.rng.normal(0, 3, shape).round().clip(-64, 63).astype(np.int8))

    def begin(self, step_size_inverse: Any) -> None:
        pass

    def share_scales(self, steps: Any, scales: Any) -> None:
        for step in steps:
            self.seen += [part.tobytes() for part in self.ops.step_index(step, scales, 0.0)]

    def step(self, step: Any, scales: Any, means: Any) -> Any:
        index, coded = self.ops.step_index(step, scales, 0.0)
        self.seen += [index.tobytes(), coded.tobytes()]
        symbols = np.where(coded, self.rng.normal(0, 3, index.shape).round(), 0).clip(-128, 127).astype(np.int8)
        return self.ops.restore_step(step, symbols, means)

    def finish(self) -> None:
        pass


def decode(name: str, make: Callable[[ExactNetwork], Operations]) -> tuple[list[bytes], list[bytes]]:
    """Returns the pictures of an I frame, two P units, a reset and another P unit, and what the entropy coder is
    told."""
    image, video = find_model(name).networks.values()
    ops = {part: make(random_network(graph, 1)) for part, graph in (("image", image), ("video", video))}
    side = InventedSide(ops["image"], np.random.default_rng(5), image.num_z_channels)
    picture = code_i_frame(image, ops["image"], side, 40)
    kept, shown = memory_after_picture(ops["image"], picture), [ops["image"].from_centre(picture)]
    side.ops, side.num_z_channels = ops["video"], video.num_z_channels
    for number in range(4):
        contexts = next_contexts(video, ops["video"], kept)
        feature = code_p_unit(video, ops["video"], side, contexts, 20)
        kept = memory_after_unit(video, ops["video"], contexts, feature, reset=number == 2)
        pictures = (video.picture(ops["video"], feature, index) for index in range(video.sizes.pictures))
        shown += [ops["video"].from_centre(one) for one in pictures]
    planes = [ops["video"].export_planes(one, halve_chroma=True, truncate_chroma=False) for one in shown]
    return [b"".join(plane.tobytes() for plane in picture) for picture in planes], side.seen


@pytest.mark.parametrize("name", UF_MODELS)
def test_kernels_decode_as_the_twin(name: str) -> None:
    pictures, seen = decode(name, ExactTwin)
    assert len(set(pictures)) > len(pictures) * 3 // 4, "pictures are alike: this test would see nothing"
    for number, isa in enumerate(ISAS):
        engine = make_engine(1 + number % 3, isa)
        assert decode(name, lambda network, engine=engine: ExactNative(network, engine)) == (pictures, seen), isa


@pytest.fixture(scope="module")
def exact_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Makes a DCVC_HOME with the small models, prepared on little."""
    home = tmp_path_factory.mktemp("exact-uf-home")
    scene = np.random.default_rng(0).random((3, 2, 3)).repeat(16, 1).repeat(16, 2).astype(np.float32)
    clip = [np.roll(scene, 5 * step, 2) for step in range(3)]
    for name in UF_MODELS:
        weights = random_weights(name, exact=False)
        integers = {part: network.for_exact_coding() for part, network in weights.networks.items()}
        exact = prepare_exact(replace(weights, networks=integers), [clip, clip])
        write_weights(home / "weights" / f"{name}.safetensors", exact)
    return home


@pytest.mark.parametrize("kind", ["ld", "hts", "htl"])
def test_one_stream_is_one_sequence_of_samples(
    kind: str, exact_home: Path, call_uf: Callable[..., int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DCVC_HOME", str(exact_home))
    clip, stream, recon = tmp_path / "clip.y4m", tmp_path / "a.dcvc", tmp_path / "recon.y4m"
    clip.write_bytes(y4m_clip(34, 18, 20))
    coding = ("--model", f"tiny-uf-{kind}", "--keyint", 18, "--reset-interval", 8, "--threads", 1, "-q")
    assert call_uf("encode", clip, "-o", stream, "--recon", recon, *coding) == 0
    for number, isa in enumerate(ISAS):
        monkeypatch.setenv("DCVC_CPU_ISA", isa)
        output = tmp_path / f"{isa}.y4m"
        assert call_uf("decode", stream, "-o", output, "--threads", 1 + number % 3, "-q") == 0
        assert hashlib.md5(output.read_bytes()).digest() == hashlib.md5(recon.read_bytes()).digest(), isa


@pytest.mark.parametrize("kind", ["ld", "hts", "htl"])
def test_encode_writes_the_same_bytes_without_torch(
    kind: str, exact_home: Path, call_uf: Callable[..., int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DCVC_HOME", str(exact_home))
    monkeypatch.setitem(sys.modules, "torch", None)
    clip, streams = tmp_path / "clip.y4m", []
    clip.write_bytes(y4m_clip(34, 18, 12))
    for number, isa in enumerate(ISAS):
        monkeypatch.setenv("DCVC_CPU_ISA", isa)
        stream = tmp_path / f"{isa}.dcvc"
        coding = ("--model", f"tiny-uf-{kind}", "--threads", 1 + number % 3, "-q")
        assert call_uf("encode", clip, "-o", stream, *coding) == 0
        streams.append(stream.read_bytes())
    assert streams == streams[:1] * len(ISAS)


@pytest.mark.parametrize("part", ["image", "video"])
def test_the_encoders_half_in_integers_is_near_the_numbers_that_it_stands_for(part: str, exact_home: Path) -> None:
    network = read_weights(exact_home / "weights" / "tiny-uf-hts.safetensors").networks[part]
    model: Any = network.model
    integers = network.analysis
    assert integers is not None
    rng = np.random.default_rng(3)
    samples = rng.random((24 if part == "video" else 3, 2, 3)).repeat(16, 1).repeat(16, 2).astype(np.float32)
    context = None
    if part == "video":
        room = np.ldexp(1, 12 - integers.context_exponent)  # an eighth of what 16 bits hold there
        context = rng.uniform(-room, room, (model.sizes.feature, 4, 6)).astype(np.float32).astype(np.float64)
    numbers = ReproducibleOperations(network.parameters())
    contexts = [] if context is None else [context]
    wanted = model.analysis(numbers, numbers.centre(numbers.frame_from_values(samples)), *contexts, 30)
    for exact in (ExactTwin(integers), ExactNative(integers, make_engine(1))):
        contexts = [] if context is None else [exact.context_from(numbers, context)]
        found = exact.to_float(model.analysis(exact, exact.centre(exact.frame_from_values(samples)), *contexts, 30))
        assert np.abs(found - wanted).max() < 0.05 * np.abs(wanted).max()
