"""Intact streams that hold what this dcvc does not decode: one clear sentence; and what `info` and `concat` tell of
streams."""

import io
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from dcvc_cli.app import run
from dcvc_cli.bitstream.concat import concat_streams
from dcvc_cli.bitstream.nal import NalType
from dcvc_cli.bitstream.picture_header import PictureHeader
from dcvc_cli.bitstream.sps import Precision, Sps
from dcvc_cli.bitstream.sps_blocks import TimeBase
from dcvc_cli.bitstream.stream_reader import StreamReader
from dcvc_cli.bitstream.stream_writer import StreamWriter
from dcvc_cli.bitstream.tracks import TrackHeader
from dcvc_cli.bitstream.units import FrameUnit
from dcvc_cli.errors import ExitCode
from dcvc_cli.format.entropy_format import EntropyFormat
from dcvc_cli.format.hdr import ContentLight, MasteringDisplay

WITNESSES = Path(__file__).resolve().parents[1] / "data" / "witnesses"
FRAMES = [
    unit
    for unit in StreamReader(io.BytesIO((WITNESSES / "tiny_partitioned.dcvc").read_bytes()))
    if isinstance(unit, FrameUnit)
]
pytestmark = pytest.mark.native


@pytest.fixture(autouse=True)
def weights_of_the_witnesses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DCVC_HOME", str(WITNESSES))
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "200")


def stream_of(sps: Sps, pictures: PictureHeader | None = None, qp: int | None = None) -> bytes:
    """Returns the frames of the witness under another SPS."""
    sink = io.BytesIO()
    writer = StreamWriter(sink)
    for unit in FRAMES:
        sps_id = writer.use_sps(sps)
        writer.write_frame(unit.frame_type, sps_id, unit.qp if qp is None else qp, unit.reset, unit.payload, pictures)
    writer.finish()
    return sink.getvalue()


SPS = replace(FRAMES[0].sps, format_version=2)
UF = replace(SPS, model_family="dcvc-uf", model_variant="uf-ld", qp_offsets=())
NEWER: dict[str, tuple[Sps, PictureHeader | None, int | None, int, str]] = {
    "10 bits": (replace(UF, bit_depth=10), None, None, 4, "10-bit 4:2:0, which model uf-ld of"),
    "4:2:2": (
        replace(UF, chroma_format="yuv422"),
        None,
        None,
        4,
        "8-bit 4:2:2, which model uf-ld of",
    ),
    "several pictures": (replace(SPS, max_pictures=2), None, None, 4, "model family 'dcvc-rt'"),
    "reordered": (replace(SPS, max_reorder=1), PictureHeader(1, (0,)), None, 4, "coded in another order"),
    "family block": (replace(SPS, family_block=b"x"), None, None, 4, "model family 'dcvc-rt'"),
    "own entropy format": (replace(SPS, entropy_format=EntropyFormat.FAMILY), None, None, 4, "model family 'dcvc-rt'"),
    "syntax": (replace(SPS, syntax=2), None, None, 5, "with syntax 2"),
    "family": (replace(SPS, model_family="toy"), None, None, 5, "model family 'toy'"),
    "networks": (replace(SPS, fingerprints=(1, 2, 3)), None, None, 5, "of family 'dcvc-rt'"),
    "QP of another family": (SPS, None, 100, 4, "QP 100 of a unit of type I is above 63 [qp-range]"),
}


@pytest.mark.parametrize("what", NEWER)
def test_what_is_not_decoded_is_refused_and_still_listed(
    what: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sps, pictures, qp, code, words = NEWER[what]
    path, output = tmp_path / "in.dcvc", tmp_path / "out.yuv"
    path.write_bytes(stream_of(sps, pictures, qp))
    assert run(["decode", str(path), "-o", str(output), "--threads", "1"]) == code
    told = " ".join(capsys.readouterr().err.split())
    assert words in told
    assert told.count("dcvc: error:") == 1
    assert not output.exists()
    assert run(["info", str(path), "--json"]) == ExitCode.DONE
    values = json.loads(capsys.readouterr().out)
    assert values["num_frames"] == len(FRAMES)
    assert values["sps"][0]["bit_depth"] == sps.bit_depth
    assert values["sps"][0]["syntax"] == sps.syntax


def test_the_same_frames_decode_alike_in_both_versions(tmp_path: Path) -> None:
    pictures = []
    for version in (1, 2):
        (tmp_path / "in.dcvc").write_bytes(stream_of(replace(SPS, format_version=version)))
        words = ["decode", str(tmp_path / "in.dcvc"), "-o", str(tmp_path / "out.yuv"), "--threads", "1", "-y"]
        assert run(words) == ExitCode.DONE
        pictures.append((tmp_path / "out.yuv").read_bytes())
    assert pictures[0] == pictures[1]


def test_info_lists_other_tracks_and_pictures_of_units(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sink = io.BytesIO()
    writer = StreamWriter(sink)
    chunks = Sps(64, 48, max_pictures=8, content_light=ContentLight(1000, 400))
    writer.write_sps(0, chunks)
    writer.write_track(TrackHeader(1, "audio", "aac\x1b[31m", "eng", TimeBase(48000, 1), b""))
    writer.write_frame(NalType.I, 0, 9, False, b"x", PictureHeader(1))
    writer.write_frame(NalType.P, 0, 9, False, b"x", PictureHeader(8))
    writer.write_metadata(7, 0, b"message")
    writer.finish()
    path = tmp_path / "in.dcvc"
    path.write_bytes(sink.getvalue())
    assert run(["info", str(path), "--json"]) == ExitCode.DONE
    values = json.loads(capsys.readouterr().out)
    assert values["num_frames"] == 9
    assert values["num_metadata"] == 1
    assert values["tracks"] == [{"track": 1, "kind": "audio", "codec": "aac?[31m", "language": "eng"}]
    assert run(["info", str(path)]) == ExitCode.DONE
    shown = capsys.readouterr().out
    assert "9 (1 I, 1 P units)" in shown
    assert "audio aac?[31m eng" in shown
    assert "max_content 1000, max_frame_average 400" in shown


def test_decode_says_what_the_output_has_no_place_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sink = io.BytesIO()
    writer = StreamWriter(sink)
    sps = replace(SPS, time_base=TimeBase(1000, 1))
    writer.write_sps(0, sps)
    writer.write_track(TrackHeader(2, "subtitles", "subrip", "deu", TimeBase(1000, 1), b""))
    for number, unit in enumerate(FRAMES):
        times = (41 * number,) if unit.frame_type is NalType.I else (41 * unit.number,)
        writer.write_frame(unit.frame_type, 0, unit.qp, unit.reset, unit.payload, PictureHeader(1, (), times))
    writer.finish()
    (tmp_path / "in.dcvc").write_bytes(sink.getvalue())
    assert (
        run(["decode", str(tmp_path / "in.dcvc"), "-o", str(tmp_path / "out.yuv"), "--threads", "1"]) == ExitCode.DONE
    )
    told = " ".join(capsys.readouterr().err.split())
    assert "the pictures carry times, and the output has no place for them" in told
    assert "track 2 of the stream (subtitles) is not written" in told
    assert (
        run(["decode", str(tmp_path / "in.dcvc"), "-o", str(tmp_path / "out.mkv"), "--threads", "1"]) == ExitCode.DONE
    )
    told = " ".join(capsys.readouterr().err.split())
    assert "track 2 of the stream comes without its parameters: not written" in told


DISPLAY = MasteringDisplay((0, 1, 2, 3, 4, 5), (6, 7), 9, 1)
CHANGES: dict[str, Callable[[Sps], Sps]] = {
    "picture size changes from 45x35 to 46x35": lambda sps: replace(sps, width=46),
    "chroma format changes from yuv420 to yuv444": lambda sps: replace(sps, chroma_format="yuv444"),
    "bit depth changes from 8 to 10": lambda sps: replace(sps, bit_depth=10),
    "frame rate changes from 25/1 to 24/1": lambda sps: replace(sps, frame_rate_num=24),
    "colour changes from 2/2/2 to 9/16/9": lambda sps: replace(sps, colour_primaries=9, transfer=16, matrix=9),
    "colour range changes from unknown to full": lambda sps: replace(sps, full_range=True),
    "chroma location changes from jpeg to not said": lambda sps: replace(sps, chroma_location=""),
    "sample aspect ratio changes from 1:1 to 4:3": lambda sps: replace(sps, sar_num=4, sar_den=3),
    "interlacing changes from p to t": lambda sps: replace(sps, interlacing="t"),
    "mastering display changes from none to": lambda sps: replace(sps, mastering_display=DISPLAY),
    "content light level changes from none to": lambda sps: replace(sps, content_light=ContentLight(1, 1)),
    "model changes from dcvc-rt/tiny": lambda sps: replace(sps, fingerprints=(1, 2)),
    "precision changes from exact to float64": lambda sps: replace(sps, precision=Precision.FLOAT64),
}


@pytest.mark.parametrize("words", CHANGES)
def test_concat_tells_every_difference_that_a_viewer_would_see(words: str) -> None:
    parts = [stream_of(SPS), stream_of(CHANGES[words](SPS)), stream_of(CHANGES[words](SPS))]
    report = concat_streams([(f"{n}.dcvc", io.BytesIO(part)) for n, part in enumerate(parts)], io.BytesIO())
    assert len(report.notes) == 1, "told once, where it changes"
    assert report.notes[0].startswith(words)
    assert " in 1.dcvc" in report.notes[0]


def test_concat_is_silent_about_what_nobody_sees() -> None:
    other = replace(SPS, skip_threshold_millionths=5, reset_interval=3, qp_offsets=())
    parts = [stream_of(SPS), stream_of(other)]
    report = concat_streams([(f"{n}.dcvc", io.BytesIO(part)) for n, part in enumerate(parts)], io.BytesIO())
    assert report.notes == ()


def test_every_field_of_a_video_format_comes_back_from_its_sps() -> None:
    """What the SPS has a field for and an encoder leaves out would vanish without a word."""
    from dataclasses import fields

    from dcvc_cli.codec.choices import CodingChoices
    from dcvc_cli.codec.pictures import video_format_of
    from dcvc_cli.coding.stream_format import sps_for
    from dcvc_cli.format.types import ColourDescription, PictureSize, Rational, VideoFormat
    from dcvc_cli.weights.store import weights_by_name

    video_format = VideoFormat(
        PictureSize(45, 35),
        frame_rate=Rational(24, 1),
        sample_aspect_ratio=Rational(4, 3),
        colour=ColourDescription(9, 16, 9, True),
        interlacing="t",
        chroma_location="mpeg2",
        mastering_display=DISPLAY,
        content_light=ContentLight(1000, 400),
        time_base=Rational(90000, 1),
    )
    plain = VideoFormat(PictureSize(45, 35))
    same = {
        field.name for field in fields(VideoFormat) if getattr(plain, field.name) == getattr(video_format, field.name)
    }
    assert same == {"size", "chroma", "bit_depth"}, "every other field is given a value of its own"
    sps = sps_for(video_format, weights_by_name("witness-tiny"), Precision.EXACT, CodingChoices())
    assert video_format_of(sps) == video_format


@pytest.mark.parametrize("words", [["decode", "--on-error", "stop"], ["decode", "--on-error", "skip"]])
def test_missing_weights_are_told_with_the_stream(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DCVC_HOME", str(tmp_path))
    stream = WITNESSES / "tiny_partitioned.dcvc"
    assert run([*words, str(stream), "-o", str(tmp_path / "out.yuv"), "--threads", "1"]) == ExitCode.ENVIRONMENT
    told = capsys.readouterr().err
    assert told.startswith(f"dcvc: error: {stream}: the stream needs weights 'tiny' with fingerprints ")
    assert list(tmp_path.iterdir()) == []
