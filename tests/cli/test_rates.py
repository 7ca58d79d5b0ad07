"""What `dcvc encode` does with a rate: the buffer of a receiver is never emptied, or it is said loudly."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

pytestmark = pytest.mark.native
Call = Callable[..., int]
WIDTH, HEIGHT, NUM_FRAMES = 64, 48, 24
SIGNATURE_SIZE, CHECK_SIZE = 8, 4


def clip_with_bursts() -> bytes:
    """Makes a still picture, then noise, then the picture again, as y4m."""
    random = np.random.default_rng(0)
    still = random.integers(90, 130, (HEIGHT // 8, WIDTH // 8)).repeat(8, 0).repeat(8, 1)
    chroma = bytes([128]) * (WIDTH * HEIGHT // 4)
    parts = [f"YUV4MPEG2 W{WIDTH} H{HEIGHT} F25:1 Ip A1:1 C420jpeg\n".encode()]
    for index in range(NUM_FRAMES):
        luma = random.integers(16, 235, (HEIGHT, WIDTH)) if 10 <= index < 14 else still
        parts += [b"FRAME\n", luma.astype(np.uint8).tobytes(), chroma, chroma]
    return b"".join(parts)


def frame_bits(stream: bytes) -> Iterator[int]:
    """Counts the bits that each frame unit takes out of a buffer, with what stands before it; read by docs/bitstream.md
    alone."""
    offset, start = SIGNATURE_SIZE, 0
    while offset < len(stream):
        unit_type = stream[offset] >> 4
        offset += 2 if unit_type in (1, 2) else 1
        num_bytes, value_bits = {0: (1, 7), 1: (1, 7), 2: (2, 14), 3: (4, 30)}[stream[offset] >> 6]
        value = int.from_bytes(stream[offset : offset + num_bytes], "big") % (1 << value_bits)
        offset += num_bytes + value + CHECK_SIZE
        if unit_type in (1, 2):
            yield 8 * (offset - start)
            start = offset


def lowest_fullness(stream: bytes, max_rate: int, size: int) -> float:
    """Finds the fewest bits in a buffer of 25 pictures a second, nine tenths full at first."""
    fullness = lowest = size * 9 / 10
    for index, bits in enumerate(frame_bits(stream)):
        fullness = (min(size, fullness + max_rate / 25) if index else fullness) - bits
        lowest = min(lowest, fullness)
    return lowest


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clip") / "clip.y4m"
    path.write_bytes(clip_with_bursts())
    return path


@pytest.mark.parametrize("passes", [1, 2])
def test_noise_does_not_empty_the_buffer(call: Call, clip: Path, tmp_path: Path, passes: int):
    stream = tmp_path / "out.dcvc"
    rates = ("--bitrate", 60, "--maxrate", 72, "--bufsize", 12, "--passes", passes, "--model", "lite")
    assert call("encode", clip, "-o", stream, *rates, "--json", tmp_path / "out.json") == 0
    content = stream.read_bytes()
    assert len([*frame_bits(content)]) == NUM_FRAMES
    assert lowest_fullness(content, 72_000, 12_000) >= 0
    assert call("info", "--validate", stream) == 0
    assert json.loads((tmp_path / "out.json").read_text())["summary"]["vbv_underflows"] == 0


def test_a_rate_below_that_of_qp_0_is_said(call: Call, clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    stream = tmp_path / "out.dcvc"
    assert call("encode", clip, "-o", stream, "--bitrate", 1, "--maxrate", 1, "--json", tmp_path / "out.json") == 0
    assert "at QP 0 still take more than the buffer of --maxrate and --bufsize holds" in capsys.readouterr().err
    assert json.loads((tmp_path / "out.json").read_text())["summary"]["vbv_underflows"] > 0
    assert call("info", "--validate", stream) == 4
