"""Streams whose checks are right and whose index or end unit is not: exit code 4 or the right picture, never another
one."""

import io
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from dcvc_cli.app import run
from dcvc_cli.bitstream.nal import NalType, write_unit
from dcvc_cli.bitstream.stream_reader import StreamReader
from dcvc_cli.bitstream.units import FrameUnit, IndexEntry, IndexUnit, write_end, write_index
from dcvc_cli.coding.decode import OpenedStream
from dcvc_cli.coding.on_error import OnError
from dcvc_cli.coding.opened_models import StreamNetworks
from dcvc_cli.coding.stream_source import StreamSource
from dcvc_cli.errors import DcvcError, ExitCode, StreamError

WITNESSES = Path(__file__).resolve().parents[1] / "data" / "witnesses"
pytestmark = pytest.mark.native
NUM_FRAMES, KEYINT, WIDTH, HEIGHT = 6, 3, 18, 10
FRAME_SIZE = WIDTH * HEIGHT + 2 * (WIDTH // 2) * (HEIGHT // 2)


def clip(seed: int) -> bytes:
    frames = (bytes((7 * n + 31 * t + seed) % 256 for n in range(FRAME_SIZE)) for t in range(NUM_FRAMES))
    return b"YUV4MPEG2 W18 H10 F25:1 C420jpeg\n" + b"".join(b"FRAME\n" + frame for frame in frames)


def run_here(*arguments: object) -> int:
    """Returns the exit code of `dcvc` inside this process, one thread."""
    words = [str(argument) for argument in arguments]
    return run(words + (["--threads", "1"] if words[0] != "info" else []))


@pytest.fixture(scope="module")
def streams(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, bytes]:
    """Makes two streams of six frames, I frames at 0 and 3, and at 0, 2 and 4."""
    folder = tmp_path_factory.mktemp("streams")
    made = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DCVC_HOME", str(WITNESSES))
        for seed, keyint in ((0, KEYINT), (90, 2)):
            (folder / "in.y4m").write_bytes(clip(seed))
            options = [
                "--keyint",
                str(keyint),
                "--model",
                "witness-tiny",
                "--threads",
                "1",
                "-q",
                "-y",
                "--qp",
                str(30 + seed // 9),
            ]
            assert run(["encode", str(folder / "in.y4m"), "-o", str(folder / "out.dcvc"), *options]) == ExitCode.DONE
            made.append((folder / "out.dcvc").read_bytes())
    return made[0], made[1]


def entries_of(data: bytes) -> list[IndexEntry]:
    return list(next(unit.entries for unit in StreamReader(io.BytesIO(data)) if isinstance(unit, IndexUnit)))


def remade(
    data: bytes,
    entries: list[IndexEntry] | None = None,
    num_frames: int = NUM_FRAMES,
    num_indexes: int = 1,
    index_shift: int = 0,
) -> bytes:
    """Returns the stream with another index and end unit, all checks right."""
    units = list(StreamReader(io.BytesIO(data)))
    index = next(unit for unit in units if isinstance(unit, IndexUnit))
    start = index.offset
    checks = b"".join(
        data[u.offset + u.size_bytes - 4 : u.offset + u.size_bytes] for u in units[1:] if u.offset < start
    )
    body = data[:start]
    index_unit = write_unit(NalType.INDEX, 0, write_index(list(index.entries) if entries is None else entries))
    for _ in range(num_indexes):
        body += index_unit
        checks += index_unit[-4:]
    distance = len(index_unit) + index_shift if num_indexes else 0
    return body + write_unit(NalType.END, 0, write_end(num_frames, distance, len(body), zlib.crc32(checks)))


def second(data: bytes, **changes: int | NalType) -> list[IndexEntry]:
    entries = entries_of(data)
    return [entries[0], replace(entries[1], **changes)]


def p_offset(data: bytes) -> int:
    return next(u.offset for u in StreamReader(io.BytesIO(data)) if isinstance(u, FrameUnit) and u.frame_index == 4)


LIES: dict[str, Callable[[bytes, bytes], bytes]] = {
    "number too small": lambda data, other: remade(data, second(data, frame_number=2)),
    "number too large": lambda data, other: remade(data, second(data, frame_number=4)),
    "number and count too large": lambda data, other: remade(data, second(data, frame_number=4), 7),
    "offset of a P frame": lambda data, other: remade(data, second(data, offset=p_offset(data))),
    "offset inside a unit": lambda data, other: remade(data, second(data, offset=entries_of(data)[1].offset + 1)),
    "I frame listed as P": lambda data, other: remade(data, second(data, frame_type=NalType.P)),
    "P frame listed as I": lambda data, other: remade(
        data, [*entries_of(data), IndexEntry(NalType.I, 4, p_offset(data))]
    ),
    "I frame not listed": lambda data, other: remade(data, entries_of(data)[:1]),
    "first I frame not listed": lambda data, other: remade(data, entries_of(data)[1:]),
    "nothing listed": lambda data, other: remade(data, []),
    "entries out of order": lambda data, other: remade(data, entries_of(data)[::-1]),
    "count too large": lambda data, other: remade(data, num_frames=9),
    "count far too large": lambda data, other: remade(data, num_frames=(1 << 32) - 1),
    "count too small": lambda data, other: remade(data, num_frames=4),
    "count 0": lambda data, other: remade(data, num_frames=0),
    "two indexes": lambda data, other: remade(data, num_indexes=2),
    "index distance": lambda data, other: remade(data, index_shift=1),
    "index that the end unit does not tell": lambda data, other: remade(data, index_shift=-(2 + 2 * 13 + 4)),
    "index of another stream": lambda data, other: remade(data, entries_of(other)),
}


def decoded(
    path: Path, networks: StreamNetworks, seek: int, max_frames: int | None, on_error: OnError
) -> tuple[list[bytes], DcvcError | None]:
    """Returns pictures, and what ended the decode; with on_error, a StreamError of what was passed over."""
    pictures: list[bytes] = []
    try:
        with StreamSource(str(path)) as source:
            stream = OpenedStream(source, seek, max_frames, on_error=on_error)
            for frame in stream.frames(networks):
                pictures.append(frame.picture.tobytes())  # noqa: PERF401 - those before an error count
            if stream.losses.num_faults:
                return pictures, StreamError(stream.losses.summary)
    except DcvcError as error:
        return pictures, error
    return pictures, None


@pytest.mark.parametrize("lie", LIES)
def test_a_lie_is_found_or_harmless(
    lie: str, streams: tuple[bytes, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DCVC_HOME", str(WITNESSES))
    networks = StreamNetworks(threads=1)
    right, path = tmp_path / "right.dcvc", tmp_path / "lying.dcvc"
    right.write_bytes(streams[0])
    path.write_bytes(LIES[lie](*streams))
    expected, error = decoded(right, networks, 0, None, OnError.STOP)
    assert error is None
    assert len(expected) == NUM_FRAMES
    pictures, error = decoded(path, networks, 0, None, OnError.STOP)
    assert pictures == expected
    assert isinstance(error, StreamError)
    for seek in range(1, NUM_FRAMES):
        for max_frames in (1, None):
            pictures, error = decoded(path, networks, seek, max_frames, OnError.STOP)
            wanted = expected[seek:][:max_frames]
            assert pictures == wanted[: len(pictures)], f"--seek {seek}"
            assert isinstance(error, StreamError) or (error is None and pictures == wanted), f"--seek {seek}: {error}"
    for on_error in (OnError.SKIP, OnError.CONCEAL):
        for seek in (0, 2, 3, 5):
            pictures, _ = decoded(path, networks, seek, None, on_error)
            assert pictures == expected[seek:], f"--seek {seek} --on-error {on_error}"


def test_a_lie_ends_with_exit_code_4_and_the_name_of_the_file(
    streams: tuple[bytes, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DCVC_HOME", str(WITNESSES))
    path, output = tmp_path / "lying.dcvc", tmp_path / "out.yuv"
    path.write_bytes(LIES["number too small"](*streams))
    assert run_here("decode", path, "--seek", 2, "--frames", 1, "-o", output) == ExitCode.STREAM
    assert not output.exists()
    told = " ".join(capsys.readouterr().err.split())
    assert f"{path}: stream damaged at byte" in told
    assert "[index-mismatch]" in told
    assert run_here("decode", path, "-o", output) == ExitCode.STREAM
    assert not output.exists()
    assert run_here("decode", path, "-o", output, "--keep-partial") == ExitCode.STREAM
    assert output.stat().st_size == NUM_FRAMES * FRAME_SIZE
    assert run_here("info", path) == ExitCode.STREAM
    assert f"{path}: the stream is damaged at byte" in " ".join(capsys.readouterr().err.split())


def test_joined_streams_are_counted_part_by_part(
    streams: tuple[bytes, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A lie in the first part would move every frame of the second."""
    monkeypatch.setenv("DCVC_HOME", str(WITNESSES))
    networks = StreamNetworks(threads=1)
    path = tmp_path / "joined.dcvc"
    path.write_bytes(streams[0] + streams[1])
    expected, _ = decoded(path, networks, 0, None, OnError.STOP)
    assert decoded(path, networks, 8, 2, OnError.STOP) == (expected[8:10], None)
    path.write_bytes(LIES["count too small"](*streams) + streams[1])
    pictures, error = decoded(path, networks, 8, 2, OnError.STOP)
    assert pictures == []
    assert isinstance(error, StreamError)
    assert decoded(path, networks, 8, 2, OnError.SKIP)[0] == expected[8:10]


def test_more_frames_to_skip_than_there_are(
    streams: tuple[bytes, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DCVC_HOME", str(WITNESSES))
    path = tmp_path / "a.dcvc"
    path.write_bytes(streams[0])
    assert run_here("decode", path, "--seek", NUM_FRAMES, "-o", tmp_path / "out.yuv") == ExitCode.INPUT
    path.write_bytes(LIES["count too small"](*streams))
    assert run_here("decode", path, "--seek", 4, "-o", tmp_path / "out.yuv") == ExitCode.STREAM
