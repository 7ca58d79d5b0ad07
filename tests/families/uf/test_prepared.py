"""Preparation of DCVC-UF's checkpoints: the same integers on every machine, and refusals that say what is wrong."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from dcvc_cli.families.registry import find_model
from dcvc_cli.families.uf.calibration import back_and_forth
from dcvc_cli.preparing.calibration_material import strange_clips, typical_clips
from dcvc_cli.preparing.quantise import prepare_exact
from dcvc_cli.weights.compression import table_arrays
from dcvc_cli.weights.file import ModelWeights, NetworkWeights, coding_shapes
from tests.support.integer_parameters import integer_parameters

FINGERPRINTS = {
    "tiny-uf-ld": "1084e3febad9d8af 133bda177fbcc871",
    "tiny-uf-hts": "873789b3e343feb2 7e2ff1229ef2cc76",
}
"""Of small networks made from integers and prepared on little, on every machine."""


def prepared(name: str) -> ModelWeights:
    model, networks = find_model(name), {}
    for seed, (part, network) in enumerate(model.networks.items(), 1):
        state = integer_parameters(network.shapes(), seed)
        kept = {key: state[key] for key in coding_shapes(network)}
        networks[part] = NetworkWeights(network, kept | table_arrays(model.z_table(part, state)))
    typical, strange = ([picture[:, :32, :32] for picture in clips()[0]] for clips in (typical_clips, strange_clips))
    return prepare_exact(ModelWeights(model, networks, name), [typical, typical], strange=[strange])


def fingerprints(name: str) -> str:
    return " ".join(f"{value:016x}" for value in prepared(name).fingerprints)


@pytest.mark.parametrize("name", FINGERPRINTS)
def test_the_same_integers_on_every_machine(name: str) -> None:
    assert fingerprints(name) == FINGERPRINTS[name]


@pytest.mark.parametrize(
    "environment",
    [
        {"OPENBLAS_NUM_THREADS": "1", "OPENBLAS_CORETYPE": "NEHALEM", "NPY_DISABLE_CPU_FEATURES": "X86_V4 X86_V3"},
        {"OPENBLAS_NUM_THREADS": "8", "MKL_CBWR": "COMPATIBLE", "DCVC_CPU_ISA": "scalar"},
    ],
)
def test_the_same_integers_with_other_threads_and_instruction_sets(environment: dict[str, str]) -> None:
    code = "from tests.families.uf.test_prepared import fingerprints; print(fingerprints('tiny-uf-ld'))"
    found = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        env={**os.environ, **environment, "PYTHONPATH": str(Path(__file__).parents[3])},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert found.stdout.strip() == FINGERPRINTS["tiny-uf-ld"], found.stderr


def test_a_chunk_takes_a_clip_back_and_forth() -> None:
    clip = [np.full((3, 16, 16), index, np.float32) for index in range(4)]
    pictures = back_and_forth(clip)
    assert [int(next(pictures)[0, 0, 0]) for _ in range(10)] == [1, 2, 3, 2, 1, 0, 1, 2, 3, 2]


def write_checkpoint(path: Path, network: object, change: Callable[[dict], object] = lambda state: None) -> Path:
    torch = pytest.importorskip("torch")
    state = {key: torch.from_numpy(value) for key, value in integer_parameters(network.shapes(), 1).items()}
    change(state)
    torch.save({"state_dict": state}, path)
    return path


CHANGES: dict[str, tuple[Callable[[dict], object], str]] = {
    "missing": (lambda state: state.pop("recon_head.head.bias"), "video: recon_head.head.bias is missing"),
    "shape": (
        lambda state: state.update({"q_decoder": state["q_decoder"][:, :-1].clone()}),
        "video: q_decoder has shape (64, 23), expected (64, 24)",
    ),
    "extra": (lambda state: state.update({"more": state["q_decoder"]}), "video: more is not part of the model"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_wrong_key_is_named(
    change: str, call_uf: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image, video = find_model("tiny-uf-ld").networks.values()
    make, message = CHANGES[change]
    files = write_checkpoint(tmp_path / "image.pth", image), write_checkpoint(tmp_path / "video.pth", video, make)
    assert call_uf("models", "add", *files) == 5
    told = " ".join(capsys.readouterr().err.split())
    assert "tiny-uf-ld" in told
    assert message in told


def test_checkpoints_of_two_families_are_refused(
    call_uf: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image, video = find_model("tiny").networks["image"], find_model("tiny-uf-ld").networks["video"]
    files = write_checkpoint(tmp_path / "image.pth", image), write_checkpoint(tmp_path / "video.pth", video)
    assert call_uf("models", "add", *files) == 5
    told = " ".join(capsys.readouterr().err.split())
    assert "the first holds the image model of 'tiny', the second the video model of 'tiny-uf-ld'" in told
