"""A film with sound, subtitles, chapters and an attachment goes into a stream and comes back whole."""

import json
import subprocess
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from dcvc_cli.media import open_reader
from tests.support.clips import y4m_clip
from tests.support.programs import tool

Call = Callable[..., int]
NUM_PICTURES = 12


def write_film(path: Path, *, subtitles: str = "srt", attachment: bytes = b"font" * 50) -> None:
    """64x48 at 25 a second, AAC with its priming packet, subtitles, two chapters, tags and, in mkv, an attachment."""
    with av.open(str(path), "w") as film:
        film.metadata["title"] = "A film"
        video = film.add_stream("mpeg4", rate=25)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        audio = film.add_stream("aac", rate=44100)
        audio.codec_context.layout = "mono"
        audio.metadata["language"] = "deu"
        text = film.add_mux_stream("mov_text" if subtitles == "mov_text" else "subrip", time_base=Fraction(1, 1000))
        text.metadata["language"] = "fra"
        film.set_chapters(
            [
                {
                    "id": n,
                    "start": 240 * n,
                    "end": 240 * n + 240,
                    "time_base": Fraction(1, 1000),
                    "metadata": {"title": name},
                }
                for n, name in enumerate(("first", "second"))
            ]
        )
        if path.suffix == ".mkv":
            film.add_attachment("letters.ttf", "font/ttf", attachment)
        for number in range(NUM_PICTURES):
            pixels = np.full((48, 64, 3), 10 * number, np.uint8)
            frame = av.VideoFrame.from_ndarray(pixels, "rgb24").reformat(format="yuv420p")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            film.mux(video.encode(frame))
            sound = av.AudioFrame.from_ndarray(np.zeros((1, 1764), np.float32), "fltp", "mono")
            sound.pts, sound.sample_rate, sound.time_base = 1764 * number, 44100, Fraction(1, 44100)
            film.mux(audio.encode(sound))
        for start, words in ((80, "one"), (240, "two")):
            data = words.encode()
            packet = av.Packet(len(data).to_bytes(2, "big") + data if subtitles == "mov_text" else data)
            packet.pts = packet.dts = start
            packet.duration, packet.time_base, packet.stream = 100, Fraction(1, 1000), text
            film.mux(packet)
        film.mux(video.encode(None))
        film.mux(audio.encode(None))


def contents(path: Path) -> dict[str, Any]:
    """Returns what PyAV finds: packets of sound and subtitles and times of pictures in milliseconds from the first
    picture."""
    with av.open(str(path)) as film:
        first = next(packet for packet in film.demux(video=0))
        zero = 1000 * first.pts * first.time_base
    with av.open(str(path)) as film:
        found: dict[str, Any] = {"video": [], "audio": [], "subtitle": []}
        for packet in film.demux():
            if packet.size and packet.pts is not None and packet.stream.type in found:
                data = bytes(packet)
                if packet.stream.codec_context.name == "mov_text":
                    data = data[2:]
                row = (
                    float(1000 * packet.pts * packet.time_base - zero),
                    b"" if packet.stream.type == "video" else data,
                )
                if data:
                    found[packet.stream.type].append(row)
        found["video"].sort()
        found["languages"] = [stream.language for stream in film.streams if stream.type in ("audio", "subtitle")]
        found["chapters"] = [
            (chapter["metadata"].get("title"), float(chapter["start"] * chapter["time_base"]))
            for chapter in film.chapters()
        ]
        found["attachments"] = [(s.name, s.mimetype, s.data) for s in film.streams if s.type == "attachment"]
        found["title"] = film.metadata.get("title")
        return found


def assert_same(found: dict[str, Any], expected: dict[str, Any]) -> None:
    for kind in ("video", "audio", "subtitle"):
        assert [row[1] for row in found[kind]] == [row[1] for row in expected[kind]], kind
        # Matroska counts in milliseconds, and rounds the first picture's time too.
        differences = [abs(a[0] - b[0]) for a, b in zip(found[kind], expected[kind], strict=True)]
        assert max(differences, default=0) <= 1.01, kind
    for name in ("languages", "chapters", "attachments", "title"):
        assert found[name] == expected[name], name


@pytest.fixture
def film(call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Path:
    """Makes film.mkv and its stream film.dcvc, in the working directory."""
    monkeypatch.chdir(tmp_path)
    write_film(tmp_path / "film.mkv")
    assert call("encode", "film.mkv", "-o", "film.dcvc") == 0
    assert "also holds" not in capfd.readouterr().err
    return tmp_path


def test_a_film_comes_back_whole(call: Call, film: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert call("decode", "film.dcvc", "-o", "back.mkv") == 0
    assert "is not written" not in capfd.readouterr().err
    expected = contents(film / "film.mkv")
    assert (len(expected["audio"]) >= 12, len(expected["subtitle"]), len(expected["chapters"])) == (True, 2, 2)
    assert_same(contents(film / "back.mkv"), expected)
    assert call("decode", "film.dcvc", "-o", "back.y4m", "-q") == 0
    with open_reader("back.mkv") as ours, open_reader("back.y4m") as plain:
        assert [picture.tobytes() for picture in ours] == [picture.tobytes() for picture in plain]


def test_info_names_the_tracks(call: Call, film: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert call("info", "film.dcvc", "--validate") == 0
    assert call("info", "film.dcvc", "--json") == 0
    out = capfd.readouterr().out
    tracks = json.loads(out[out.index("{") :])["tracks"]
    assert [(track["kind"], track["codec"], track["language"]) for track in tracks] == [
        ("audio", "aac", "deu"),
        ("subtitles", "subrip", "fra"),
        ("other", "matroska", ""),
    ]


def test_mp4_in_and_out(call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_film(tmp_path / "film.mp4", subtitles="mov_text")
    assert call("encode", "film.mp4", "-o", "film.dcvc", "-q") == 0
    assert call("decode", "film.dcvc", "-o", "back.mkv", "-q") == 0
    assert_same(contents(tmp_path / "back.mkv"), contents(tmp_path / "film.mp4"))
    assert call("decode", "film.dcvc", "-o", "back.mp4", "--codec", "mpeg4 b=100000", "-q") == 0
    back = contents(tmp_path / "back.mp4")
    assert [row[1] for row in back["audio"]] == [row[1] for row in contents(tmp_path / "film.mp4")["audio"]]
    with av.open("back.mp4") as file:
        assert file.streams.video[0].codec_context.name == "mpeg4"


def test_sound_that_an_edit_list_leaves_out_stays_out(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """The sound of cut.mp4 begins 150 ms before its pictures, and the edit list hides that part. The packet before the
    first one that is heard stays: AAC decoders start with it."""
    monkeypatch.chdir(tmp_path)
    write_film(tmp_path / "film.mp4", subtitles="mov_text")
    with av.open("film.mp4") as whole, av.open("cut.mp4", "w") as cut:
        copies = {s.index: cut.add_stream_from_template(s) for s in whole.streams if s.type in ("video", "audio")}
        for packet in whole.demux([whole.streams[index] for index in copies]):
            if packet.pts is None:
                continue
            if packet.stream.type == "audio":
                packet.pts = packet.dts = packet.pts - 6615
            packet.stream = copies[packet.stream.index]
            cut.mux(packet)
    with av.open("cut.mp4") as cut:
        packets = [packet for packet in cut.demux(audio=0) if packet.size]
    heard = [not packet.is_discard for packet in packets].index(True)
    assert heard > 2
    assert call("encode", "cut.mp4", "-o", "cut.dcvc", "-q") == 0
    assert call("decode", "cut.dcvc", "-o", "back.mkv", "-q") == 0
    expected = contents(Path("cut.mp4"))["audio"][heard - 1 :]
    found = contents(Path("back.mkv"))["audio"]
    assert [data for _, data in found] == [data for _, data in expected]
    assert max(abs(a[0] - b[0]) for a, b in zip(found, expected, strict=True)) <= 1.01


def test_no_tracks(call: Call, film: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert call("encode", "film.mkv", "-o", "plain.dcvc", "--no-tracks") == 0
    assert "also holds 1 attachment, 1 audio track, 1 subtitle track" in capfd.readouterr().err
    assert call("decode", "plain.dcvc", "-o", "plain.mkv", "-q") == 0
    found = contents(film / "plain.mkv")
    assert (found["audio"], found["title"]) == ([], None)
    assert call("decode", "plain.dcvc", "-o", "muxed.mkv", "--mux", "film.mkv", "-q") == 0
    assert_same(contents(film / "muxed.mkv"), contents(film / "film.mkv"))
    assert call("decode", "plain.dcvc", "-o", "p.y4m", "--mux", "film.mkv", "-q") == 2


def test_a_part_of_a_film(call: Call, film: Path) -> None:
    assert call("decode", "film.dcvc", "-o", "part.mkv", "--seek", "5", "--frames", "4", "-q") == 0
    part, whole = contents(film / "part.mkv"), contents(film / "film.mkv")
    assert [row[0] for row in part["video"]] == pytest.approx([0, 40, 80, 120], abs=1)
    assert part["chapters"] == []
    later = [row for row in whole["audio"] if row[0] >= 200]
    assert [row[1] for row in part["audio"]] == [row[1] for row in later[: len(part["audio"])]]
    assert [row[0] + 200 for row in part["audio"]] == pytest.approx(
        [row[0] for row in later[: len(part["audio"])]], abs=1.01
    )
    assert 3 <= len(part["audio"]) <= len(later)


def test_outputs_without_tracks_say_so(call: Call, film: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert call("decode", "film.dcvc", "-o", "back.y4m") == 0
    told = capfd.readouterr().err
    assert "track 1 of the stream (audio) is not written" in told
    assert "-o OUT.mkv holds both" in told
    assert "(other)" not in told


def test_colour_rate_and_aspect(call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd) -> None:
    monkeypatch.chdir(tmp_path)
    data = y4m_clip(32, 16, 2).replace(b" A0:0", b" A4:3").replace(b" A1:1", b" A4:3")
    Path("in.y4m").write_bytes(data)
    tags = ("--colorprim", "bt2020", "--transfer", "smpte2084", "--colormatrix", "bt2020nc", "--range", "limited")
    assert call("encode", "in.y4m", "-o", "s.dcvc", "--fps", "24000/1001", "-q", *tags) == 0
    for name, codec in (("a.mkv", "mpeg4"), ("b.mkv", "ffv1")):
        assert call("decode", "s.dcvc", "-o", name, "--codec", codec) == 0
        with open_reader(name) as reader:
            colour = reader.format.colour
            assert (colour.primaries, colour.transfer, colour.matrix, colour.full_range) == (9, 16, 9, False)
            assert float(reader.format.frame_rate) == pytest.approx(24000 / 1001)
            assert str(reader.format.sample_aspect_ratio) == "4/3"
    assert "aspect" not in capfd.readouterr().err
    assert call("decode", "s.dcvc", "-o", "c.avi") == 0
    assert "ffv1 has no field for the sample aspect ratio 4:3" in capfd.readouterr().err


def test_rgb_stays_rgb_in_ffv1(call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from PIL import Image

    monkeypatch.chdir(tmp_path)
    pixels = np.random.default_rng(1).integers(0, 256, (16, 24, 3), np.uint8)
    Image.fromarray(pixels).save("a.png")
    assert call("encode", "a.png", "-o", "s.dcvc", "-q") == 0
    assert call("decode", "s.dcvc", "-o", "b.png", "-q") == 0
    assert call("decode", "s.dcvc", "-o", "b.mkv", "-q") == 0
    with av.open("b.mkv") as file, Image.open("b.png") as expected:
        frame = next(file.decode(video=0))
        assert np.array_equal(frame.to_ndarray(format="rgb24"), np.asarray(expected))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["-o", "a.webm"], "a.webm cannot hold ffv1"),
        (["-o", "a.mkv", "--codec", "nothing"], "a.mkv cannot hold nothing"),
        (["-o", "a.mkv", "--codec", "libx264 crf"], "expected a codec and options"),
        (["-o", "a.mkv", "--codec", ""], "expected a codec and options"),
        (["-o", "a.y4m", "--mux", "film.mkv"], "--mux is for video files"),
    ],
)
def test_what_cannot_be(call: Call, film: Path, capfd, arguments: list[str], words: str) -> None:
    assert call("decode", "film.dcvc", *arguments) == 2
    assert words in capfd.readouterr().err
    assert not (film / arguments[1]).exists()


def test_a_film_through_a_pipe(dcvc, film: Path) -> None:
    result = dcvc("decode", "film.dcvc", "-o", "-", "--output-format", "mkv", cwd=film)
    assert result.returncode == 0, result.stderr
    (film / "piped.mkv").write_bytes(result.stdout)
    assert_same(contents(film / "piped.mkv"), contents(film / "film.mkv"))
    result = dcvc("decode", "film.dcvc", "-o", "-", "--output-format", "mp4", cwd=film)
    assert (result.returncode, result.stdout) == (2, b"")
    assert b"standard output is a pipe" in result.stderr


def test_a_stream_whose_matroska_header_is_hostile(call: Call, film: Path, capfd) -> None:
    from dcvc_cli.bitstream.stream_reader import StreamReader
    from dcvc_cli.bitstream.stream_writer import StreamWriter
    from dcvc_cli.bitstream.tracks import TrackPacket
    from dcvc_cli.bitstream.units import FrameUnit, SpsUnit, TrackUnit

    with open("film.dcvc", "rb") as source, open("bad.dcvc", "wb") as sink:
        writer = StreamWriter(sink)
        for unit in StreamReader(source):
            if isinstance(unit, SpsUnit):
                writer.use_sps(unit.sps)
            elif isinstance(unit, TrackUnit):
                message = unit.message
                if isinstance(message, TrackPacket) and message.track == 255:
                    message = TrackPacket(255, 0, 0, message.data[:200] + b"\xff" * 300)
                writer.write_track(message)
            elif isinstance(unit, FrameUnit):
                sps_id = writer.use_sps(unit.sps)
                writer.write_frame(unit.frame_type, sps_id, unit.qp, unit.reset, unit.payload, unit.pictures)
        writer.finish()
    assert call("decode", "bad.dcvc", "-o", "back.mkv") == 0
    assert len(contents(film / "back.mkv")["video"]) == NUM_PICTURES


@pytest.mark.ffmpeg
def test_ffprobe_finds_it_whole(call: Call, film: Path) -> None:
    assert call("decode", "film.dcvc", "-o", "back.mkv", "-q") == 0
    command = [tool("ffprobe"), "-v", "error", "-show_chapters", "-show_streams", "-count_frames", "-of", "json"]
    found = [
        json.loads(subprocess.run([*command, name], capture_output=True, check=True).stdout)
        for name in ("film.mkv", "back.mkv")
    ]
    theirs, ours = ([(s["codec_type"], s.get("nb_read_frames")) for s in each["streams"]] for each in found)
    assert ours == theirs
    assert [c["tags"] for c in found[1]["chapters"]] == [c["tags"] for c in found[0]["chapters"]]


def test_a_film_gives_the_same_stream_each_time(call: Call, tmp_path: Path) -> None:
    write_film(tmp_path / "film.mkv")
    for name in ("a", "b"):
        assert call("encode", tmp_path / "film.mkv", "-o", tmp_path / f"{name}.dcvc") == 0
    assert (tmp_path / "a.dcvc").read_bytes() == (tmp_path / "b.dcvc").read_bytes()


def test_a_join_keeps_the_tracks_of_a_later_stream(call: Call, film: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """The first stream has no sound: what the later one says of its tracks comes to stand before the first frame."""
    assert call("decode", "film.dcvc", "-o", "silent.y4m", "-q") == 0
    assert call("encode", "silent.y4m", "-o", "silent.dcvc", "-q") == 0
    assert call("concat", "silent.dcvc", "film.dcvc", "silent.dcvc", "-o", "both.dcvc") == 0
    assert call("info", "both.dcvc", "--validate") == 0
    assert call("decode", "both.dcvc", "-o", "both.mkv") == 0
    assert "track" not in capfd.readouterr().err
    alone, joined = contents(film / "film.mkv"), contents(film / "both.mkv")
    for kind in ("audio", "subtitle"):
        assert [row[1] for row in joined[kind]] == [row[1] for row in alone[kind]]
        # The silent stream lasts 12 frames at 25 a second.
        assert all(abs(late[0] - early[0] - 480) < 25 for late, early in zip(joined[kind], alone[kind], strict=True)), (
            kind
        )
    assert len(joined["video"]) == 36


def test_a_join_tells_a_track_that_no_video_file_gets(
    call: Call, film: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with av.open("film.mkv") as whole, av.open("sound.mkv", "w") as sound:
        kept = {stream: sound.add_stream_from_template(stream) for stream in whole.streams if stream.type != "subtitle"}
        for packet in whole.demux([stream for stream in kept if stream.type in ("video", "audio")]):
            if packet.dts is not None:
                packet.stream = kept[packet.stream]
                sound.mux(packet)
    assert call("encode", "sound.mkv", "-o", "sound.dcvc", "-q") == 0
    capfd.readouterr()
    assert call("concat", "sound.dcvc", "film.dcvc", "-o", "both.dcvc", "-y") == 0
    told = capfd.readouterr().err
    assert "track 2 of film.dcvc (subtitles, subrip) begins behind the first frame" in told
    assert "tags, chapters and attachments of film.dcvc are left out" in told
    assert call("concat", "film.dcvc", "film.dcvc", "-o", "twice.dcvc", "-y") == 0
    assert "left out" not in capfd.readouterr().err


def test_films_joined_by_cat_go_on_with_their_tracks(call: Call, film: Path, capfd: pytest.CaptureFixture[str]) -> None:
    Path("twice.dcvc").write_bytes(2 * Path("film.dcvc").read_bytes())
    assert call("decode", "twice.dcvc", "-o", "twice.mkv") == 0
    assert "not written" not in capfd.readouterr().err
    alone, joined = contents(film / "film.mkv"), contents(film / "twice.mkv")
    for kind in ("audio", "subtitle"):
        assert [row[1] for row in joined[kind]] == 2 * [row[1] for row in alone[kind]]
        times = [row[0] for row in joined[kind]]
        assert times == sorted(times)
        second = times[len(alone[kind]) :]
        # The film begins with 21 ms of sound that its pictures wait for, and lasts 12 frames at 25 a second.
        shifts = [late - early[0] for late, early in zip(second, alone[kind], strict=True)]
        assert all(480 <= shift <= 525 for shift in shifts), kind


def test_a_track_that_comes_late_is_told(call: Call, film: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert call("encode", "film.mkv", "-o", "silent.dcvc", "-q", "--no-tracks") == 0
    Path("both.dcvc").write_bytes(Path("silent.dcvc").read_bytes() + Path("film.dcvc").read_bytes())
    capfd.readouterr()
    assert call("decode", "both.dcvc", "-o", "both.mkv") == 0
    told = capfd.readouterr().err
    assert "track 1 of the stream (audio) begins behind the first frame: not written" in told
    assert "track 2 of the stream (subtitles) begins behind the first frame: not written" in told
