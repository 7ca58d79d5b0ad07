"""`dcvc remux` keeps a .dcvc stream in a Matroska file and gives it back byte for byte."""

import io
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from dcvc_cli.bitstream.nal import SIGNATURE
from tests.cli.test_films import write_film
from tests.support.clips import y4m_clip

Call = Callable[..., int]
KNOWN, OWN = b"\x86\x86V_SNOW", b"\x86\x86V_DCVC"
"""CodecID elements: id 0x86, length 6, characters."""


@pytest.fixture
def stream(call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Makes stream.dcvc in the working directory: seven frames, I frames 0, 3 and 6."""
    monkeypatch.chdir(tmp_path)
    Path("in.y4m").write_bytes(y4m_clip(40, 24, 7))
    assert call("encode", "in.y4m", "-o", "stream.dcvc", "--keyint", "3", "--no-scenecut", "-q") == 0
    return tmp_path / "stream.dcvc"


def test_bytes_come_back(call: Call, stream: Path) -> None:
    assert call("remux", "stream.dcvc", "-o", "stream.mkv", "-q") == 0
    assert call("remux", "stream.mkv", "-o", "back.dcvc", "-q") == 0
    assert Path("back.dcvc").read_bytes() == stream.read_bytes()
    held = Path("stream.mkv").read_bytes()
    assert held.count(OWN) == 1
    assert KNOWN not in held


def test_one_file_each_time(call: Call, stream: Path) -> None:
    for name in ("a.mkv", "b.mkv"):
        assert call("remux", "stream.dcvc", "-o", name, "-q") == 0
    assert Path("a.mkv").read_bytes() == Path("b.mkv").read_bytes()


def test_blocks_are_frames_with_their_times(call: Call, stream: Path) -> None:
    """30 frames a second; blocks of I frames are key frames, and the first starts with the signature."""
    assert call("remux", "stream.dcvc", "-o", "stream.mkv", "-q") == 0
    with av.open("stream.mkv") as file:
        (track,) = file.streams
        packets = [packet for packet in file.demux(track) if packet.size]
        assert track.type == "video"
    assert [packet.pts for packet in packets] == [round(Fraction(1000 * number, 30)) for number in range(7)]
    assert [number for number, packet in enumerate(packets) if packet.is_keyframe] == [0, 3, 6]
    assert bytes(packets[0]).startswith(SIGNATURE)
    assert b"".join(bytes(packet) for packet in packets) == stream.read_bytes()


def test_a_joined_stream(call: Call, stream: Path) -> None:
    """It holds two signatures."""
    assert call("concat", "stream.dcvc", "stream.dcvc", "-o", "joined.dcvc", "-q") == 0
    Path("twice.dcvc").write_bytes(stream.read_bytes() * 2)
    for name in ("joined", "twice"):
        assert call("remux", f"{name}.dcvc", "-o", f"{name}.mkv", "-q") == 0
        assert call("remux", f"{name}.mkv", "-o", "back.dcvc", "-y", "-q") == 0
        assert Path("back.dcvc").read_bytes() == Path(f"{name}.dcvc").read_bytes()


def test_payload_that_looks_like_the_header_stays(call: Call, stream: Path) -> None:
    """A track inside the stream holds the bytes of the codec id; only those of the header change."""
    write_film(Path("film.mkv"), attachment=KNOWN * 100)
    assert call("encode", "film.mkv", "-o", "film.dcvc", "-q") == 0
    assert KNOWN in Path("film.dcvc").read_bytes()
    assert call("remux", "film.dcvc", "-o", "kept.mkv", "-q") == 0
    assert call("remux", "kept.mkv", "-o", "back.dcvc", "-q") == 0
    assert Path("back.dcvc").read_bytes() == Path("film.dcvc").read_bytes()


def test_the_track_among_others(call: Call, stream: Path) -> None:
    """A muxer that copies tracks may put ours after another."""
    with av.open("two.mkv", "w", options={"write_crc32": "0"}) as file:
        other = file.add_stream("mpeg4", rate=25)
        other.width, other.height, other.pix_fmt = 64, 48, "yuv420p"
        own = file.add_mux_stream("snow", rate=25, width=40, height=24)
        frame = av.VideoFrame.from_ndarray(np.zeros((72, 64), np.uint8), "yuv420p")
        frame.pts = 0
        file.mux(other.encode(frame))
        file.mux(other.encode(None))
        packet = av.Packet(stream.read_bytes())
        packet.pts = packet.dts = 0
        packet.time_base, packet.stream = Fraction(1, 1000), own
        file.mux(packet)
    Path("two.mkv").write_bytes(Path("two.mkv").read_bytes().replace(KNOWN, OWN, 1))
    assert call("remux", "two.mkv", "-o", "back.dcvc", "-q") == 0
    assert Path("back.dcvc").read_bytes() == stream.read_bytes()


def test_files_without_our_track(call: Call, stream: Path, capfd: pytest.CaptureFixture[str]) -> None:
    write_film(Path("film.mkv"))
    assert call("remux", "film.mkv", "-o", "back.dcvc") == 3
    assert "film.mkv: no track of this Matroska file holds a .dcvc stream" in capfd.readouterr().err
    assert not Path("back.dcvc").exists()


def test_files_cut_short(call: Call, stream: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert call("remux", "stream.dcvc", "-o", "stream.mkv", "-q") == 0
    whole = Path("stream.mkv").read_bytes()
    for size, code in ((20, 3), (len(whole) * 3 // 4, 4)):
        Path("cut.mkv").write_bytes(whole[:size])
        assert call("remux", "cut.mkv", "-o", "back.dcvc") == code
        assert "cut.mkv" in capfd.readouterr().err
        assert not Path("back.dcvc").exists()


def test_a_damaged_stream_is_refused(call: Call, stream: Path, capfd: pytest.CaptureFixture[str]) -> None:
    damaged = bytearray(stream.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    Path("damaged.dcvc").write_bytes(damaged)
    assert call("remux", "damaged.dcvc", "-o", "out.mkv") == 4
    assert "damaged.dcvc: " in capfd.readouterr().err
    assert not Path("out.mkv").exists()


def test_options_of_elementary_streams_are_refused(call: Call, stream: Path) -> None:
    assert call("remux", "stream.dcvc", "-o", "stream.mkv", "-q") == 0
    assert call("remux", "stream.mkv", "-o", "back.dcvc", "--fps", "25") == 2


def test_a_pipe_takes_matroska(stream: Path) -> None:
    """Written forward only, as a live file; ffprobe's library and remux read it."""
    write = [sys.executable, "-m", "dcvc_cli", "remux", "stream.dcvc", "-o", "-", "--output-format", "mkv", "-q"]
    read = [sys.executable, "-m", "dcvc_cli", "remux", "-", "-o", "back.dcvc", "-q"]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).resolve().parents[2])}
    with subprocess.Popen(write, stdout=subprocess.PIPE, env=environment) as writer:
        data = writer.communicate(timeout=120)[0]
    assert writer.returncode == 0
    assert data.count(OWN) == 1
    assert KNOWN not in data
    subprocess.run(read, input=data, env=environment, check=True, timeout=120)
    assert Path("back.dcvc").read_bytes() == stream.read_bytes()
    with av.open(io.BytesIO(data)) as file:
        assert [packet.pts for packet in file.demux() if packet.size] == [0, 33, 67, 100, 133, 167, 200]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("stream.dcvc", "-o", "x.mp4"), ("only .mkv holds a .dcvc stream", "-o OUT.mkv", "-o OUT.bin", "dcvc decode")),
        (("stream.dcvc", "-o", "x.webm"), ("only .mkv holds a .dcvc stream",)),
        (("stream.dcvc", "-o", "x.dcvc"), ("is a .dcvc stream already", "-o OUT.mkv", "-o OUT.bin")),
        (("stream.dcvc", "-o", "-", "--output-format", "dcvc"), ("is a .dcvc stream already",)),
        (("kept.mkv", "-o", "x.bin", "--output-format", "bin"), ("kept.mkv is no .dcvc stream",)),
        (("kept.mkv", "-o", "x.mkv"), ("x.mkv is the name of a video file", "-o x.dcvc")),
    ],
)
def test_every_ending_is_named(
    call: Call, stream: Path, capfd: pytest.CaptureFixture[str], arguments: tuple[str, ...], words: tuple[str, ...]
) -> None:
    assert call("remux", "stream.dcvc", "-o", "kept.mkv", "-q") == 0
    assert call("remux", *arguments) == 2
    told = capfd.readouterr().err
    for word in words:
        assert word in told
    assert not any(Path(name).exists() for name in ("x.mp4", "x.webm", "x.dcvc", "x.bin", "x.mkv"))


def test_the_format_counts_whatever_the_name_says(call: Call, stream: Path) -> None:
    assert call("remux", "stream.dcvc", "-o", "kept.archive", "--output-format", "mkv", "-q") == 0
    assert call("remux", "kept.archive", "-o", "back.dcvc", "-q") == 0
    assert Path("back.dcvc").read_bytes() == stream.read_bytes()


def test_other_commands_name_the_way_out(call: Call, stream: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert call("remux", "stream.dcvc", "-o", "stream.mkv", "-q") == 0
    assert call("info", "stream.mkv") == 4
    assert "a stream in an .mkv file, goes through `dcvc remux`" in capfd.readouterr().err


@pytest.mark.parametrize("num_bytes", [100, 1000])
def test_a_full_disk_names_the_file(
    call: Call, stream: Path, capfd: pytest.CaptureFixture[str], num_bytes: int
) -> None:
    """A limit on file sizes stands in for a full disk. The muxer meets it as it writes, or as it goes back."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    signals = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, before[1]))
    try:
        code = call("remux", "stream.dcvc", "-o", "o.mkv")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, signals)
    assert code == 3
    assert "cannot write o.mkv: File too large" in capfd.readouterr().err
    assert not Path("o.mkv").exists()
