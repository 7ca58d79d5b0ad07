"""A tiny model with motion, output filter and floor through the real command, each step a fresh process."""

import json
import shutil
from functools import partial
from pathlib import Path

import pytest

from tests.support.clips import y4m_clip
from tests.support.processes import ROOT, Run
from tests.support.streams import pictures_of

pytestmark = pytest.mark.native
MODEL = "witness-tiny-lite"
TWINS = dict.fromkeys(("DCVC_MOTION", "DCVC_OUTPUT_FILTER", "DCVC_FLOOR"), "twin")
NUM_FRAMES, KEYINT = 7, 4


@pytest.fixture(scope="module")
def tiny_lite(dcvc: Run, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Runs `dcvc` with the tiny weights of the witness streams."""
    home = tmp_path_factory.mktemp("home")
    (home / "weights").mkdir()
    for path in (ROOT / "tests" / "data" / "witnesses" / "weights").glob(f"{MODEL}.*"):
        shutil.copy(path, home / "weights")
    return partial(dcvc, environment={"DCVC_HOME": str(home)})


@pytest.fixture(scope="module")
def folder(tiny_lite: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Makes a stream, what its encoder saw, and what a decoder made of it; both as y4m."""
    folder = tmp_path_factory.mktemp("streams")
    (folder / "clip.y4m").write_bytes(y4m_clip(50, 38, NUM_FRAMES))
    options = ("--model", MODEL, "--keyint", KEYINT, "--threads", 1, "--recon", folder / "recon.y4m")
    done = tiny_lite("encode", folder / "clip.y4m", "-o", folder / "a.dcvc", *options)
    assert done.returncode == 0, done.stderr
    done = tiny_lite("decode", folder / "a.dcvc", "-o", folder / "a.y4m", "--threads", 1)
    assert done.returncode == 0, done.stderr
    return folder


def test_a_decoder_puts_out_what_the_encoder_saw(folder: Path):
    assert len(pictures_of(folder / "a.y4m")) == NUM_FRAMES
    assert (folder / "a.y4m").read_bytes() == (folder / "recon.y4m").read_bytes()


def test_the_twins_put_out_the_same(dcvc: Run, tiny_lite: Run, folder: Path):
    environment = tiny_lite.keywords["environment"] | TWINS  # type: ignore[attr-defined]
    done = dcvc("decode", folder / "a.dcvc", "-o", folder / "twins.y4m", "--threads", 1, environment=environment)
    assert done.returncode == 0, done.stderr
    assert (folder / "twins.y4m").read_bytes() == (folder / "a.y4m").read_bytes()


def test_info_names_family_syntax_and_format(tiny_lite: Run, folder: Path):
    done = tiny_lite("info", "--json", folder / "a.dcvc")
    assert done.returncode == 0, done.stderr
    (sps,) = json.loads(done.stdout)["sps"]
    assert (sps["model_family"], sps["model_variant"], sps["syntax"]) == ("lite", "tiny-lite", 4)
    assert (sps["precision"], sps["entropy_format"]) == ("exact", "compact")


def test_a_seek_puts_out_the_same_frames(tiny_lite: Run, folder: Path):
    """Frame 5 is a P frame: decoding starts at the I frame before it, frame 4."""
    done = tiny_lite("decode", folder / "a.dcvc", "-o", folder / "seek.y4m", "--seek", 5, "--frames", 2, "--threads", 1)
    assert done.returncode == 0, done.stderr
    assert pictures_of(folder / "seek.y4m") == pictures_of(folder / "a.y4m")[5:7]


def test_joined_streams_decode_one_after_the_other(tiny_lite: Run, folder: Path):
    done = tiny_lite("concat", folder / "a.dcvc", folder / "a.dcvc", "-o", folder / "twice.dcvc")
    assert done.returncode == 0, done.stderr
    done = tiny_lite("decode", folder / "twice.dcvc", "-o", folder / "twice.y4m", "--threads", 1)
    assert done.returncode == 0, done.stderr
    assert pictures_of(folder / "twice.y4m") == 2 * pictures_of(folder / "a.y4m")


def test_remux_refuses_the_compact_format(tiny_lite: Run, folder: Path):
    done = tiny_lite("remux", folder / "a.dcvc", "-o", folder / "a.bin")
    assert done.returncode == 4
    assert b"the frame payload is in the compact format" in done.stderr
    assert not (folder / "a.bin").exists()
