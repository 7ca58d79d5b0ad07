"""Small inputs that ask for much: refused at the size, before anything of that size is made, by limits that a service
sets once."""

import json
import os
import resource
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from dcvc_cli.bitstream.sps import Precision, Sps
from dcvc_cli.coding.memory import decoding_memory
from dcvc_cli.errors import InputError, StreamError, UsageError
from dcvc_cli.format.limits import DEFAULT_MAX_PIXELS, Limits, parse_memory
from dcvc_cli.format.types import PictureSize
from dcvc_cli.media import open_reader
from tests.support.clips import y4m_clip

Call = Callable[..., int]
MEMORY_BYTES = 1_500_000 << 10
INPUT, STREAM = 3, 4


def png_of(width: int, height: int) -> bytes:
    """Makes a black picture, a thousandth of what it expands to."""
    pack = zlib.compressobj(9)
    row = bytes(1 + 3 * width)
    data = b"".join(pack.compress(row) for _ in range(height)) + pack.flush()

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def large_stream(stream: bytes, width: int, height: int) -> bytes:
    """Returns the same stream under an SPS of another picture size; every unit's check is right, and payloads are
    empty."""
    from dataclasses import replace
    from io import BytesIO

    from dcvc_cli.bitstream.stream_reader import StreamReader
    from dcvc_cli.bitstream.stream_writer import StreamWriter
    from dcvc_cli.bitstream.units import FrameUnit

    sink = BytesIO()
    writer = StreamWriter(sink)
    for unit in StreamReader(BytesIO(stream)):
        if isinstance(unit, FrameUnit):
            sps = replace(unit.sps, width=width, height=height)
            writer.write_frame(unit.frame_type, writer.use_sps(sps), unit.qp, unit.reset, b"")
    writer.finish()
    return sink.getvalue()


@pytest.fixture
def place(call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("clip.y4m").write_bytes(y4m_clip(24, 20, 3))
    assert call("encode", "clip.y4m", "-o", "a.dcvc") == 0
    Path("bomb.dcvc").write_bytes(large_stream(Path("a.dcvc").read_bytes(), 8192, 8192))
    Path("bomb.y4m").write_bytes(b"YUV4MPEG2 W8192 H8192 F25:1 C420\nFRAME\n")
    return tmp_path


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("decode bomb.dcvc -o o.y4m", STREAM),
        ("decode bomb.dcvc -o - ", STREAM),
        ("info bomb.dcvc", STREAM),
        ("decode a.dcvc -o o.y4m --max-pixels 479", STREAM),
        ("decode a.dcvc -o o.y4m --max-frames 2", STREAM),
        ("decode a.dcvc -o o.y4m --seek 2 --max-frames 2", STREAM),
        ("decode a.dcvc -o o.y4m --max-memory 1M", STREAM),
        ("info a.dcvc --max-pixels 479", STREAM),
        ("info a.dcvc --max-frames 2", STREAM),
        ("info a.dcvc --max-memory 1M", STREAM),
        ("encode clip.y4m -o o.dcvc --max-pixels 479", INPUT),
        ("encode clip.y4m -o o.dcvc --max-frames 2", INPUT),
        ("encode clip.y4m -o o.dcvc --max-memory 100M", INPUT),
    ],
)
def test_beyond_the_limits(place: Path, call: Call, capfd: pytest.CaptureFixture[str], line: str, code: int) -> None:
    before = sorted(place.iterdir())
    capfd.readouterr()
    assert call(*line.split()) == code
    told = capfd.readouterr().err.splitlines()[-1]
    assert told.startswith("dcvc: error: ")
    assert "limit" in told
    assert "--max-" in told
    assert sorted(place.iterdir()) == before


def test_within_the_limits(place: Path, call: Call) -> None:
    granted = ("--max-pixels", "480", "--max-frames", "3", "--max-memory", "2G")
    assert call("encode", "clip.y4m", "-o", "b.dcvc", *granted) == 0
    assert call("decode", "b.dcvc", "-o", "b.y4m", *granted) == 0
    assert call("info", "b.dcvc", *granted) == 0
    assert call("decode", "a.dcvc", "-o", "c.y4m", "--frames", "2", "--max-frames", "2") == 0
    assert call("encode", "clip.y4m", "-o", "c.dcvc", "--frames", "2", "--max-frames", "2") == 0


@pytest.mark.parametrize("variable", ["DCVC_MAX_PIXELS", "DCVC_MAX_FRAMES", "DCVC_MAX_MEMORY"])
def test_a_service_sets_them_once(place: Path, call: Call, monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    monkeypatch.setenv(variable, "2")
    assert call("encode", "clip.y4m", "-o", "o.dcvc") == INPUT
    assert call("decode", "a.dcvc", "-o", "o.y4m") == STREAM
    assert call("info", "a.dcvc") == STREAM
    option = variable.removeprefix("DCVC_").lower().replace("_", "-")
    assert call("decode", "a.dcvc", "-o", "o.y4m", f"--{option}", "4000000000") == 0
    for wrong in ("x", "-1", "0", "1e3"):
        monkeypatch.setenv(variable, wrong)
        assert call("decode", "a.dcvc", "-o", "p.y4m") == 2


def test_info_tells_the_memory_of_decoding(place: Path, call: Call, capfd: pytest.CaptureFixture[str]) -> None:
    capfd.readouterr()
    assert call("info", "bomb.dcvc", "--json", "--max-pixels", "67108864") == 0
    large = json.loads(capfd.readouterr().out)["sps"][0]["memory_bytes"]
    assert call("info", "a.dcvc", "--json") == 0
    small = json.loads(capfd.readouterr().out)["sps"][0]["memory_bytes"]
    assert 100 << 20 < small < 1 << 30 < large


@pytest.mark.parametrize(
    ("precision", "width", "height", "measured"),
    [(Precision.EXACT, 640, 352, 664), (Precision.EXACT, 1920, 1088, 903), (Precision.FLOAT32, 640, 352, 765)],
)
def test_the_estimate_for_rt_is_a_little_above_what_was_measured(
    precision: Precision, width: int, height: int, measured: int
) -> None:
    sps = Sps(width, height, precision, model_family="dcvc-rt", model_variant="rt")
    assert measured <= decoding_memory(sps) / (1 << 20) < 1.2 * measured


@pytest.mark.parametrize("size", [(8192, 8192), (16384, 16384), (16384, 2177)])
def test_every_reader_asks_before_it_allocates(tmp_path: Path, size: tuple[int, int]) -> None:
    """PNG, y4m and raw; video files have a test beside their reader."""
    width, height = size
    (tmp_path / "a.y4m").write_bytes(b"YUV4MPEG2 W%d H%d F25:1 C420\nFRAME\n" % size)
    (tmp_path / f"a_{width}x{height}.yuv").write_bytes(b"")
    os.truncate(tmp_path / f"a_{width}x{height}.yuv", width * height * 3 // 2 + (height % 2) * width // 2)
    small = png_of(1, 1)
    # Long enough that its size is believed.
    (tmp_path / "a.png").write_bytes(small[:16] + struct.pack(">II", width, height) + small[24:] + bytes(800_000))
    for path in sorted(tmp_path.iterdir()):
        with pytest.raises(InputError, match=r"--max-pixels|ends inside|expected 1x1"):
            open_reader(str(path), limits=Limits())


def test_default_admits_what_cameras_make() -> None:
    for width, height in ((3840, 2160), (7680, 4320), (8192, 4320), (4320, 7680)):
        Limits().check_input("x", width, height)
    assert DEFAULT_MAX_PIXELS < 8192 * 8192
    with pytest.raises(InputError):
        Limits().check_input("x", 8192, 8192)
    with pytest.raises(StreamError):
        Limits().check_stream("x", 8192, 8192, 0)


def test_memory_is_written_as_people_write_it() -> None:
    assert [parse_memory(text, "") for text in ("1", "2k", "3M", "4g", "1T")] == [1, 2048, 3 << 20, 4 << 30, 1 << 40]
    for wrong in ("", "M", "2GG", "-1", "1.5G", "٣", "9" * 19):
        with pytest.raises(UsageError):
            parse_memory(wrong, "--max-memory")


def test_a_bomb_costs_no_memory(place: Path, dcvc_environment: dict[str, str]) -> None:
    def bound() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))

    Path("bomb.png").write_bytes(png_of(8192, 4353))
    for words, code in (
        (("decode", "bomb.dcvc", "-o", "o.y4m"), STREAM),
        (("encode", "bomb.png", "-o", "o.dcvc"), INPUT),
    ):
        command = [sys.executable, "-m", "dcvc_cli", *words]
        done = subprocess.run(
            command, env=dcvc_environment, capture_output=True, timeout=60, check=False, preexec_fn=bound
        )
        assert done.returncode == code, done.stderr
        assert b"--max-pixels" in done.stderr


def test_size_of_a_reader_is_checked_by_every_command(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DCVC_MAX_PIXELS", "479")
    with pytest.raises(InputError, match="limit is 479"):
        open_reader("clip.y4m")
    monkeypatch.setenv("DCVC_MAX_PIXELS", "480")
    with open_reader("clip.y4m") as reader:
        assert reader.format.size == PictureSize(24, 20)
