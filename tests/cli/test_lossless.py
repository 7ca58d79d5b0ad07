"""`dcvc encode --lossless` through the real command: decoding gives back the source."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from dcvc_cli.media import open_reader
from tests.cli.test_films import write_film
from tests.support.clips import y4m_clip
from tests.support.processes import Run
from tests.support.streams import pictures_of

pytestmark = pytest.mark.native
Call = Callable[..., int]
TWINS = dict.fromkeys(("DCVC_MOTION", "DCVC_OUTPUT_FILTER", "DCVC_FLOOR", "DCVC_LOSSLESS"), "twin")


@pytest.fixture
def clip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Makes in.y4m in the working directory: odd sides, five frames."""
    monkeypatch.chdir(tmp_path)
    Path("in.y4m").write_bytes(y4m_clip(51, 39, 5))
    return tmp_path / "in.y4m"


@pytest.mark.parametrize("entropy_format", ["compact", "partitioned", "published-two"])
def test_every_sample_comes_back(call: Call, clip: Path, entropy_format: str) -> None:
    options = ("--model", "lite", "--lossless", "--keyint", "3", "--entropy-format", entropy_format, "-q")
    assert call("encode", "in.y4m", "-o", "a.dcvc", "--recon", "recon.y4m", *options) == 0
    assert call("decode", "a.dcvc", "-o", "a.y4m", "-q") == 0
    assert pictures_of(Path("a.y4m")) == pictures_of(Path("recon.y4m")) == pictures_of(clip)
    assert call("info", "--validate", "a.dcvc") == 0
    assert call("decode", "a.dcvc", "-o", "seek.y4m", "--seek", "4", "-q") == 0
    assert pictures_of(Path("seek.y4m")) == pictures_of(clip)[4:]


def test_every_sample_of_10_bits_comes_back(call: Call, clip: Path) -> None:
    levels = np.random.default_rng(1).integers(0, 1024, (3, 26, 34)).astype("<u2")
    frames = [b"FRAME\n" + plane.tobytes() + plane[::2, ::2].tobytes() * 2 for plane in levels]
    Path("deep.y4m").write_bytes(b"YUV4MPEG2 W34 H26 F25:1 C420p10\n" + b"".join(frames))
    assert call("encode", "deep.y4m", "-o", "a.dcvc", "--model", "lite", "--lossless", "-q") == 0
    assert call("decode", "a.dcvc", "-o", "a.y4m", "-q") == 0
    assert pictures_of(Path("a.y4m")) == pictures_of(Path("deep.y4m"))


def test_every_sample_of_full_chroma_comes_back(call: Call, clip: Path) -> None:
    levels = np.random.default_rng(2).integers(0, 256, (2, 3 * 19 * 21)).astype(np.uint8)
    Path("full.y4m").write_bytes(
        b"YUV4MPEG2 W19 H21 F25:1 C444\n" + b"".join(b"FRAME\n" + one.tobytes() for one in levels)
    )
    assert call("encode", "full.y4m", "-o", "a.dcvc", "--model", "lite", "--lossless", "-q") == 0
    assert call("decode", "a.dcvc", "-o", "a.y4m", "-q") == 0
    assert pictures_of(Path("a.y4m")) == pictures_of(Path("full.y4m"))


def test_other_sampling_is_refused(call: Call, clip: Path, capfd: pytest.CaptureFixture[str]) -> None:
    Path("half.y4m").write_bytes(b"YUV4MPEG2 W16 H16 F25:1 C422\nFRAME\n" + bytes(512))
    assert call("encode", "half.y4m", "-o", "a.dcvc", "--model", "lite", "--lossless") == 3
    assert "--lossless codes 4:2:0 and 4:4:4, and the pictures are 8-bit 4:2:2" in capfd.readouterr().err
    assert not Path("a.dcvc").exists()


def test_bytes_do_not_depend_on_the_machine(dcvc: Run, clip: Path) -> None:
    """One thread and two, scalar code and the best; and the twins read it."""
    streams = set()
    for threads, environment in ((1, {"DCVC_CPU_ISA": "scalar"}), (2, {})):
        options = ("--model", "lite", "--lossless", "--threads", threads, "--frames", 3, "-y")
        done = dcvc("encode", clip, "-o", clip.with_name("a.dcvc"), *options, environment=environment)
        assert done.returncode == 0, done.stderr
        streams.add(clip.with_name("a.dcvc").read_bytes())
    assert len(streams) == 1
    done = dcvc("decode", clip.with_name("a.dcvc"), "-o", clip.with_name("twins.y4m"), environment=TWINS)
    assert done.returncode == 0, done.stderr
    assert pictures_of(clip.with_name("twins.y4m")) == pictures_of(clip)[:3]


def test_strange_content(call: Call, clip: Path) -> None:
    """Black, white, noise, and a jump between them."""
    header, frame = clip.read_bytes().split(b"FRAME\n")[:2]
    noise = bytes((997 * i * i + 31 * i) % 256 for i in range(len(frame)))
    pictures = [b"\0" * len(frame), b"\xff" * len(frame), noise, noise, b"\0" * len(frame)]
    Path("strange.y4m").write_bytes(header + b"".join(b"FRAME\n" + picture for picture in pictures))
    assert call("encode", "strange.y4m", "-o", "a.dcvc", "--model", "lite", "--lossless", "--no-scenecut", "-q") == 0
    assert call("decode", "a.dcvc", "-o", "a.y4m", "-q") == 0
    assert pictures_of(Path("a.y4m")) == pictures


def test_settings_say_it(call: Call, clip: Path, capfd: pytest.CaptureFixture[str]) -> None:
    Path("lossless.yaml").write_text("lossless: true\n")
    assert call("encode", "in.y4m", "-o", "a.dcvc", "--config", "lossless.yaml", "--model", "lite") == 0
    assert "lossless, networks at QP 18" in capfd.readouterr().err
    options = ("--model", "lite", "--lossless", "--json", "a.json", "-y", "-q")
    assert call("encode", "in.y4m", "-o", "a.dcvc", *options) == 0
    said = json.loads(Path("a.json").read_text())["settings"]
    assert (said["qp_base"], said["qp_i"], said["qp_p"], said["lossless"]) == (18, 18, 18, True)
    capfd.readouterr()
    assert call("info", "--json", "a.dcvc") == 0
    told = json.loads(capfd.readouterr().out)
    assert told["sps"][0]["syntax"] == 3
    assert any("lossless=1" in text for text in told["texts"])


def test_what_does_not_go_with_it(call: Call, clip: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for options, told in (
        (("--qp", "30"), "--lossless has one quality"),
        (("--bitrate", "100"), "--bitrate does not go with it"),
        (("--precision", "fp32", "--model", "lite"), "float arithmetic differs"),
        (("--model", "tiny"), "have no coding without loss"),
    ):
        assert call("encode", "in.y4m", "-o", "a.dcvc", "--lossless", *options) == 2, options
        assert told in capfd.readouterr().err
        assert not Path("a.dcvc").exists()


def test_a_film_keeps_its_pictures(call: Call, clip: Path) -> None:
    write_film(Path("film.mkv"))
    assert call("encode", "film.mkv", "-o", "film.dcvc", "--model", "lite", "--lossless", "-q") == 0
    assert call("decode", "film.dcvc", "-o", "film.y4m", "-q") == 0
    with open_reader("film.mkv") as source, open_reader("film.y4m") as decoded:
        pairs = list(zip(source, decoded, strict=True))
    assert pairs
    assert all((a == b).all() for one, other in pairs for a, b in zip(one.planes, other.planes, strict=True))


def test_damage_is_found(call: Call, clip: Path) -> None:
    assert call("encode", "in.y4m", "-o", "a.dcvc", "--model", "lite", "--lossless", "-q") == 0
    damaged = bytearray(Path("a.dcvc").read_bytes())
    damaged[len(damaged) // 2] ^= 4
    Path("b.dcvc").write_bytes(damaged)
    assert call("decode", "b.dcvc", "-o", "b.y4m", "-q") == 4
    assert not Path("b.y4m").exists()
