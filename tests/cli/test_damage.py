"""A damaged stream ends in an error, a hash mismatch or the right picture: nothing else, whatever byte is wrong, in
bounded time and memory."""

import io
import time
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from dcvc_cli.bitstream.stream_reader import StreamReader
from dcvc_cli.bitstream.stream_writer import StreamWriter
from dcvc_cli.bitstream.units import FrameUnit, SeiUnit
from dcvc_cli.coding.decode import decode_units
from dcvc_cli.coding.opened_models import StreamNetworks
from dcvc_cli.errors import StreamError
from tests.support.clips import y4m_clip

MAX_SECONDS_A_STREAM = 20
MAX_PEAK_BYTES = 64 << 20


@pytest.fixture(scope="module", params=["tiny", "tiny-exact"])
def stream(request: pytest.FixtureRequest, tiny_home: Path, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Makes a stream of three frames of 17x18 with hashes on the first and last: a few hundred bytes."""
    from dcvc_cli.app import run

    folder = tmp_path_factory.mktemp("stream")
    (folder / "clip.y4m").write_bytes(y4m_clip(17, 18, 3))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DCVC_HOME", str(tiny_home))
        words = [
            "encode",
            str(folder / "clip.y4m"),
            "-o",
            str(folder / "a.dcvc"),
            "--model",
            request.param,
            "--threads",
            "1",
            "--qp",
            "50",
        ]
        assert run(words) == 0
    return (folder / "a.dcvc").read_bytes()


@pytest.fixture
def networks(tiny_home: Path, monkeypatch: pytest.MonkeyPatch) -> StreamNetworks:
    monkeypatch.setenv("DCVC_HOME", str(tiny_home))
    return StreamNetworks("cpu", threads=1)


def decoded(data: bytes, networks: StreamNetworks) -> tuple[list[bytes], StreamError | None]:
    """Returns the pictures that came out, and the error that ended it. Anything but a StreamError fails the test."""
    pictures: list[bytes] = []
    try:
        for frame in decode_units(StreamReader(io.BytesIO(data)), networks):
            pictures.append(frame.picture.tobytes())  # noqa: PERF401 - those before an error count
    except StreamError as error:
        return pictures, error
    return pictures, None


def flips(data: bytes) -> Iterator[bytes]:
    for position in range(len(data)):
        for mask in (0x01, 0x80, 0xFF):
            yield data[:position] + bytes([data[position] ^ mask]) + data[position + 1 :]


def test_every_flip(stream: bytes, networks: StreamNetworks) -> None:
    right, error = decoded(stream, networks)
    assert error is None
    assert len(right) == 3
    tracemalloc.start()
    num_errors = 0
    for damaged in flips(stream):
        start = time.monotonic()
        pictures, error = decoded(damaged, networks)
        assert time.monotonic() - start < MAX_SECONDS_A_STREAM
        num_errors += error is not None
        assert pictures == right[: len(pictures)]
        assert error is not None or len(pictures) == 3
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < MAX_PEAK_BYTES
    assert num_errors == 3 * len(stream), "every byte is under a check"


def test_every_cut(stream: bytes, networks: StreamNetworks) -> None:
    right, _ = decoded(stream, networks)
    for length in range(len(stream)):
        pictures, error = decoded(stream[:length], networks)
        assert error is not None
        assert pictures == right[: len(pictures)]
    ends = [unit.offset + unit.size_bytes for unit in StreamReader(io.BytesIO(stream)) if isinstance(unit, FrameUnit)]
    assert [len(decoded(stream[:end], networks)[0]) for end in ends] == [1, 2, 3], "all whole units are decoded"


def test_hostile_payloads(stream: bytes, networks: StreamNetworks) -> None:
    """Units whose checks are right around payloads of an attacker: an error, or a picture that its hash refuses."""
    random = np.random.default_rng(3)
    for trial in range(60):
        sink = io.BytesIO()
        writer = StreamWriter(sink)
        for unit in StreamReader(io.BytesIO(stream)):
            if isinstance(unit, FrameUnit):
                payload = bytearray(unit.payload)
                if trial % 3 == 0:
                    payload = bytearray(random.bytes(int(random.integers(0, 400))))
                elif trial % 3 == 1 and payload:
                    payload[int(random.integers(len(payload)))] ^= int(random.integers(1, 256))
                qp = int(random.integers(0, 64)) if trial % 3 == 2 else unit.qp
                writer.write_frame(unit.frame_type, writer.use_sps(unit.sps), qp, unit.reset, bytes(payload))
            elif isinstance(unit, SeiUnit):
                writer.write_message(unit.message)
        writer.finish()
        _, error = decoded(sink.getvalue(), networks)
        assert error is not None
