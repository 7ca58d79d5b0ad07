"""`dcvc decode --on-error` and `dcvc concat --repair`: what comes out of a damaged stream, and what is said of the
rest."""

import io
import subprocess
import sys
from pathlib import Path

import pytest

from dcvc_cli.app import run
from dcvc_cli.bitstream.stream_reader import StreamReader
from dcvc_cli.bitstream.stream_writer import StreamWriter
from dcvc_cli.bitstream.units import FrameUnit
from dcvc_cli.bitstream.validate import validate_stream
from dcvc_cli.errors import ExitCode

WITNESSES = Path(__file__).resolve().parents[1] / "data" / "witnesses"
SOURCE = (WITNESSES / "tiny_partitioned.dcvc").read_bytes()
"""45x35, 6 frames, I frames 0 and 3, a hash on each of them and on the last one."""
FRAME_SIZE = 45 * 35 + 2 * 23 * 18
UNITS = list(StreamReader(io.BytesIO(SOURCE)))
FRAMES = [unit for unit in UNITS if isinstance(unit, FrameUnit)]
pytestmark = pytest.mark.native


def with_damage(number: int) -> bytes:
    """Returns the stream with one byte of frame `number`'s payload changed."""
    place = FRAMES[number].offset + 12
    return SOURCE[:place] + bytes([SOURCE[place] ^ 1]) + SOURCE[place + 1 :]


def without_frames(*numbers: int) -> bytes:
    """Returns the stream with whole frame units cut out."""
    data = SOURCE
    for number in sorted(numbers, reverse=True):
        unit = FRAMES[number]
        data = data[: unit.offset] + data[unit.offset + unit.size_bytes :]
    return data


def with_hash_of_another_picture(number: int) -> bytes:
    """Makes a stream whose units are intact: frame `number` carries the hash of a picture that nobody decodes."""
    sink = io.BytesIO()
    writer = StreamWriter(sink)
    for unit in UNITS:
        if isinstance(unit, FrameUnit):
            writer.write_frame(unit.frame_type, writer.use_sps(unit.sps), unit.qp, unit.reset, unit.payload)
            if unit.frame_index == number:
                writer.write_hash(unit.sps.hash_kind, b"\0\1\2\3")
    writer.finish()
    return sink.getvalue()


@pytest.fixture(autouse=True)
def weights_of_the_witnesses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DCVC_HOME", str(WITNESSES))
    monkeypatch.setenv("NO_COLOR", "1")


def decode(data: bytes, folder: Path, *options: str) -> tuple[int, list[bytes] | None]:
    """Returns (exit code, pictures written)."""
    (folder / "in.dcvc").write_bytes(data)
    output = folder / "out.yuv"
    output.unlink(missing_ok=True)
    code = run(["decode", str(folder / "in.dcvc"), "-o", str(output), "--threads", "1", *options])
    if not output.exists():
        return code, None
    raw = output.read_bytes()
    return code, [raw[start : start + FRAME_SIZE] for start in range(0, len(raw), FRAME_SIZE)]


@pytest.fixture
def expected(tmp_path: Path) -> list[bytes]:
    code, pictures = decode(SOURCE, tmp_path)
    assert code == ExitCode.DONE
    assert pictures is not None
    return pictures


CASES = {
    "damaged P frame": (with_damage(1), [0, 3, 4, 5], [0, 0, 0, 3, 4, 5], 2),
    "damaged last P frame": (with_damage(5), [0, 1, 2, 3, 4], [0, 1, 2, 3, 4, 4], 1),
    "damaged I frame": (with_damage(3), [0, 1, 2], [0, 1, 2, 2, 2, 2], 3),
    "damaged first I frame": (with_damage(0), [3, 4, 5], [3, 4, 5], 3),
    "lost P frame": (without_frames(1), [0, 3, 4, 5], [0, 0, 0, 3, 4, 5], 2),
    "cut inside the last frame": (SOURCE[: FRAMES[5].offset + 20], [0, 1, 2, 3, 4], [0, 1, 2, 3, 4], 0),
    "cut before the end unit": (SOURCE[:-26], [0, 1, 2, 3, 4, 5], [0, 1, 2, 3, 4, 5], 0),
    "wrong hash": (with_hash_of_another_picture(1), [0, 3, 4, 5], [0, 0, 0, 3, 4, 5], 2),
    "wrong hash of an I frame": (with_hash_of_another_picture(3), [0, 1, 2], [0, 1, 2, 2, 2, 2], 3),
}


@pytest.mark.parametrize("case", CASES)
def test_skip_and_conceal(case: str, expected: list[bytes], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data, skipped, concealed, num_lost = CASES[case]
    assert decode(data, tmp_path) == (ExitCode.STREAM, None)
    capsys.readouterr()
    assert decode(data, tmp_path, "--on-error", "skip") == (ExitCode.STREAM, [expected[n] for n in skipped])
    told = " ".join(capsys.readouterr().err.split())
    assert (
        f"in.dcvc: {num_lost} frame{'s' if num_lost != 1 else ''} lost, {len(skipped)} decoded; first fault: " in told
    )
    assert decode(data, tmp_path, "--on-error", "conceal") == (ExitCode.STREAM, [expected[n] for n in concealed])
    num_repeated = len(concealed) - len(skipped)
    repeated = f" ({num_repeated} replaced by the picture before)" if num_repeated else ""
    assert f" lost{repeated}, {len(skipped)} decoded" in " ".join(capsys.readouterr().err.split())


def test_an_intact_stream_decodes_alike_in_every_mode(expected: list[bytes], tmp_path: Path) -> None:
    for mode in ("stop", "skip", "conceal"):
        assert decode(SOURCE, tmp_path, "--on-error", mode) == (ExitCode.DONE, expected)
        assert decode(SOURCE, tmp_path, "--on-error", mode, "--seek", "2", "--frames", "3") == (
            ExitCode.DONE,
            expected[2:5],
        )


def test_frames_keep_their_numbers_past_damage(expected: list[bytes], tmp_path: Path) -> None:
    """--seek and --frames count lost frames too."""
    data = with_damage(1)
    assert decode(data, tmp_path, "--on-error", "skip", "--seek", "2", "--frames", "2")[1] == [expected[3]]
    assert decode(data, tmp_path, "--on-error", "conceal", "--seek", "1", "--frames", "3")[1] == [
        expected[0],
        expected[0],
        expected[3],
    ]
    assert decode(data, tmp_path, "--on-error", "conceal", "--seek", "4") == (ExitCode.DONE, expected[4:])


def test_nothing_left_writes_nothing(tmp_path: Path) -> None:
    for mode in ("skip", "conceal"):
        assert decode(SOURCE[:200], tmp_path, "--on-error", mode) == (ExitCode.STREAM, None)


def test_an_end_unit_that_counts_more_frames_than_there_was_room_for_conceals_none(tmp_path: Path) -> None:
    from tests.cli.test_lying_streams import remade

    lying = remade(SOURCE, num_frames=1 << 31)
    code, pictures = decode(lying, tmp_path, "--on-error", "conceal")
    assert code == ExitCode.STREAM
    assert pictures is not None
    assert len(pictures) == 6


def test_pipes_on_both_sides(expected: list[bytes]) -> None:
    command = [sys.executable, "-m", "dcvc_cli", "decode", "-", "-o", "-", "--on-error", "conceal", "--threads", "1"]
    done = subprocess.run(command, input=with_damage(1), capture_output=True, check=False, timeout=120)
    assert done.returncode == ExitCode.STREAM
    frames = done.stdout.split(b"FRAME\n")[1:]
    assert frames == [expected[n] for n in (0, 0, 0, 3, 4, 5)]
    assert b"standard input: 2 frames lost (2 replaced by the picture before), 4 decoded" in b" ".join(
        done.stderr.split()
    )


def test_repair_makes_a_whole_stream(expected: list[bytes], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for data, kept in (
        (with_damage(1), [0, 3, 4, 5]),
        (SOURCE[: FRAMES[5].offset + 20], [0, 1, 2, 3, 4]),
        (SOURCE, [0, 1, 2, 3, 4, 5]),
    ):
        (tmp_path / "bad.dcvc").write_bytes(data)
        capsys.readouterr()
        assert (
            run(["concat", "--repair", str(tmp_path / "bad.dcvc"), "-o", str(tmp_path / "good.dcvc"), "-y"])
            == ExitCode.DONE
        )
        assert ("warning: byte" in capsys.readouterr().err) is (data != SOURCE)
        repaired = (tmp_path / "good.dcvc").read_bytes()
        assert validate_stream(io.BytesIO(repaired)) == []
        assert decode(repaired, tmp_path) == (ExitCode.DONE, [expected[n] for n in kept])
    assert repaired == SOURCE
    (tmp_path / "bad.dcvc").write_bytes(SOURCE[:200])
    assert run(["concat", "--repair", str(tmp_path / "bad.dcvc"), "-o", str(tmp_path / "none.dcvc")]) == ExitCode.STREAM
    assert not (tmp_path / "none.dcvc").exists()
    assert run(["concat", "--repair", "a.dcvc", "b.dcvc", "-o", str(tmp_path / "none.dcvc")]) == ExitCode.USAGE
