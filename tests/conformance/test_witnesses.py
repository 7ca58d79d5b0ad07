"""Streams that an earlier build made decode to the bytes that it decoded them to (tests/data/witnesses/README.md)."""

import hashlib
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dcvc_cli.app import run
from dcvc_cli.bitstream.sps import Precision
from dcvc_cli.codec.networks import CodecNetworks
from dcvc_cli.coding.decode import OpenedStream
from dcvc_cli.coding.stream_source import StreamSource
from dcvc_cli.conformance.cases import read_case
from dcvc_cli.errors import ExitCode
from dcvc_cli.families.case_files import load_generator
from dcvc_cli.families.conformance_form import CaseRun
from dcvc_cli.families.rt.conformance import RtCase
from tests.support.published import CONFORMANCE

ROOT = Path(__file__).resolve().parents[2]
WITNESSES = ROOT / "tests" / "data" / "witnesses"
ROW = re.compile(r"^\| `(\w+\.dcvc)` \|.*\| `([0-9a-f]{32})` \|$", re.MULTILINE)
SUMS = dict(ROW.findall((WITNESSES / "README.md").read_text(encoding="utf-8")))
RT_STREAMS = [name for name in SUMS if name.startswith("rt_")]
SHIPPED_STREAMS = [name for name in SUMS if name.startswith("lite_shipped")]
TINY_STREAMS = [name for name in SUMS if name not in {*RT_STREAMS, *SHIPPED_STREAMS}]
pytestmark = pytest.mark.native


def decoded_sum(name: str, folder: Path) -> tuple[int, str]:
    """Returns (exit code of `dcvc decode`, MD5 of the planes of all pictures)."""
    digest = hashlib.md5(usedforsecurity=False)
    output = folder / ("pictures" if name.endswith("_png.dcvc") else "pictures.yuv")
    code = run(["decode", str(WITNESSES / name), "-o", str(output), "--threads", "1", "--quiet"])
    if output.is_dir():
        for path in sorted(output.iterdir()):
            digest.update(np.asarray(Image.open(path)).transpose(2, 0, 1).tobytes())
    elif output.exists():
        digest.update(output.read_bytes())
    return code, digest.hexdigest()


def test_every_witness_is_listed():
    assert set(SUMS) == {path.name for path in WITNESSES.glob("*.dcvc")}
    assert RT_STREAMS
    assert SHIPPED_STREAMS
    assert sum(path.stat().st_size for path in WITNESSES.rglob("*") if path.is_file()) < 500_000


@pytest.mark.parametrize("name", TINY_STREAMS)
def test_streams_of_tiny_models(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("DCVC_HOME", str(WITNESSES))
    assert decoded_sum(name, tmp_path) == (ExitCode.DONE, SUMS[name])


@pytest.mark.parametrize("name", SHIPPED_STREAMS)
def test_streams_of_default_weights(name: str, tmp_path: Path):
    """Whatever weights ship now, those of the stream are found by their fingerprints once they are added."""
    code, found = decoded_sum(name, tmp_path)
    if code == ExitCode.ENVIRONMENT:
        pytest.fail(
            f"the weights of {name} neither ship nor are they in the user's folder: add them as docs/weights.md,"
            ' "Default weights of earlier versions", says, then run this test again'
        )
    assert (code, found) == (ExitCode.DONE, SUMS[name])


@pytest.fixture(scope="module")
def rt_networks() -> CodecNetworks:
    case = read_case(CONFORMANCE / "tiny_18x10")
    assert isinstance(case, RtCase)
    return case.networks(CaseRun(load_generator(CONFORMANCE), Precision.FLOAT64, threads=1))[0]


class _OneModel:
    """What a decoder asks for networks, with one answer."""

    def __init__(self, networks: CodecNetworks) -> None:
        self.networks = networks

    def for_sps(self, sps: object) -> CodecNetworks:
        return self.networks


@pytest.mark.parametrize("name", RT_STREAMS)
def test_streams_of_rt(name: str, rt_networks: CodecNetworks):
    digest = hashlib.md5(usedforsecurity=False)
    with StreamSource(str(WITNESSES / name)) as source:
        for frame in OpenedStream(source).frames(_OneModel(rt_networks)):  # type: ignore[arg-type]
            for plane in frame.picture.planes:
                digest.update(np.ascontiguousarray(plane).data)
    assert digest.hexdigest() == SUMS[name]


@pytest.mark.parametrize("name", [name for name in SUMS if name != "joined_cat.dcvc"])
def test_a_witness_passes_through_concat_byte_for_byte(name: str, tmp_path: Path):
    assert run(["concat", str(WITNESSES / name), "-o", str(tmp_path / "out.dcvc"), "--quiet"]) == ExitCode.DONE
    assert (tmp_path / "out.dcvc").read_bytes() == (WITNESSES / name).read_bytes()
