"""A machine without PyTorch: exact streams are coded, decoded, joined and checked, and the same bytes come out."""

from pathlib import Path

import pytest

from tests.support.clips import y4m_clip
from tests.support.processes import Run


@pytest.fixture
def no_torch(tmp_path: Path, dcvc_environment: dict[str, str]) -> dict[str, str]:
    """Makes an environment in which importing torch fails as where it is not installed."""
    (tmp_path / "hidden").mkdir()
    (tmp_path / "hidden" / "torch.py").write_text(
        "raise ModuleNotFoundError(\"No module named 'torch'\", name='torch')\n"
    )
    return {"PYTHONPATH": f"{tmp_path / 'hidden'}:{dcvc_environment['PYTHONPATH']}"}


@pytest.mark.parametrize("model", ["lite", "tiny-exact"])
def test_encode_writes_the_same_bytes_with_any_instruction_set_and_threads(
    dcvc: Run, tmp_path: Path, no_torch: dict[str, str], model: str
) -> None:
    clip = tmp_path / "clip.y4m"
    clip.write_bytes(y4m_clip(66, 50, 3))
    streams = []
    for threads, isa in ((1, ""), (3, ""), (2, "scalar")):
        stream = tmp_path / f"{threads}{isa}.dcvc"
        environment = no_torch | ({"DCVC_CPU_ISA": isa} if isa else {})
        arguments = ("encode", clip, "-o", stream, "--model", model, "--qp", 25, "--threads", threads)
        done = dcvc(*arguments, environment=environment)
        assert done.returncode == 0, done.stderr.decode()
        streams.append(stream.read_bytes())
    assert streams[1:] == streams[:1] * 2
    for command in (("decode", "-o", tmp_path / "a.y4m"), ("info", "--validate")):
        done = dcvc(command[0], tmp_path / "1.dcvc", *command[1:], environment=no_torch)
        assert done.returncode == 0, done.stderr.decode()


def test_float_says_what_to_install(dcvc: Run, tmp_path: Path, no_torch: dict[str, str]) -> None:
    clip = tmp_path / "clip.y4m"
    clip.write_bytes(y4m_clip(32, 32, 1))
    done = dcvc(
        "encode", clip, "-o", tmp_path / "a.dcvc", "--model", "tiny", "--precision", "fp32", environment=no_torch
    )
    assert done.returncode == 5
    assert b"dcvc[torch]" in done.stderr
    assert not (tmp_path / "a.dcvc").exists()
