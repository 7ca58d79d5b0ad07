"""What a video file says beside its samples: its film, chroma position, times, and what is not coded."""

import struct
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dcvc_cli.errors import InputError
from dcvc_cli.format.hdr import ContentLight, MasteringDisplay
from dcvc_cli.format.types import PictureSize, Rational
from dcvc_cli.media import open_reader
from dcvc_cli.media.container_facts import chroma_location_of, parse_stream_text
from dcvc_cli.media.timing import StampClock, timing_of

av = pytest.importorskip("av")


def write_video(
    path: Path,
    *,
    codec: str = "mpeg4",
    size: tuple[int, int] = (64, 48),
    stamps: Sequence[int] = tuple(range(0, 400, 40)),
    pixel_format: str = "yuv420p",
    container_options: dict[str, str] | None = None,
    tracks: int = 1,
    **options: str,
) -> None:
    """Writes a moving square, one picture for each time stamp in milliseconds; further tracks are twice as wide
    each."""
    with av.open(str(path), "w", options=container_options or {}) as container:
        streams = []
        for track in range(tracks):
            stream = container.add_stream(codec, rate=25, options=options)
            stream.width, stream.height, stream.pix_fmt = size[0] << track, size[1], pixel_format
            # MPEG-2 and AVI know no time but the frame rate's.
            is_constant = codec == "mpeg2video" or path.suffix == ".avi"
            stream.codec_context.time_base = Fraction(1, 25 if is_constant else 1000)
            streams.append(stream)
        for number, stamp in enumerate(stamps):
            for stream in streams:
                pixels = np.full((stream.height, stream.width, 3), 60, np.uint8)
                pixels[8:24, 2 * number : 2 * number + 16] = 200
                frame = av.VideoFrame.from_ndarray(pixels, format="rgb24").reformat(format=pixel_format)
                frame.pts, frame.time_base = stamp, Fraction(1, 1000)
                container.mux(stream.encode(frame))
        for stream in streams:
            container.mux(stream.encode())


def box(kind: bytes, *parts: bytes) -> bytes:
    data = b"".join(parts)
    return struct.pack(">I", 8 + len(data)) + kind + data


def put_artwork_first(path: Path, tmp_path: Path, *, keep_tracks: bool = True) -> None:
    """Adds a cover to an mp4 file, ahead of its tracks, as tag editors do."""
    write_video(tmp_path / "cover.mjpeg", codec="mjpeg", pixel_format="yuvj420p", size=(32, 32), stamps=[0])
    jpeg = (tmp_path / "cover.mjpeg").read_bytes()
    data = path.read_bytes()
    start = data.index(b"moov") - 4
    header_end = start + 8 + struct.unpack(">I", data[start + 8 : start + 12])[0]
    cover = box(b"covr", box(b"data", struct.pack(">II", 13, 0), jpeg))
    handler = box(b"hdlr", bytes(8), b"mdirappl", bytes(9))
    artwork = box(b"udta", box(b"meta", bytes(4), handler, box(b"ilst", cover)))
    tracks = data[header_end:] if keep_tracks else b""
    path.write_bytes(data[:start] + box(b"moov", data[start + 8 : header_end], artwork, tracks))


def notes_of(path: Path, **options: Any) -> tuple[int, str]:
    """Returns (pictures read, all notes)."""
    with open_reader(str(path), **options) as reader:
        num_pictures = sum(1 for _ in reader)
        return num_pictures, "\n".join(reader.notes)


class TestTracks:
    def test_artwork_ahead_of_the_film_is_passed_over(self, tmp_path: Path) -> None:
        path = tmp_path / "a.mp4"
        write_video(path)
        put_artwork_first(path, tmp_path)
        with av.open(str(path)) as container:
            assert (container.streams.video[0].width, len(container.streams.video)) == (32, 2)
        with open_reader(str(path)) as reader:
            assert (reader.format.size, reader.format.frame_rate) == (PictureSize(64, 48), Rational(25, 1))
            assert len(list(reader)) == 10
            assert any("also holds 1 artwork picture: only video track 1 is coded" in note for note in reader.notes)

    def test_nothing_but_artwork_is_refused(self, tmp_path: Path) -> None:
        write_video(tmp_path / "a.mp4")
        put_artwork_first(tmp_path / "a.mp4", tmp_path, keep_tracks=False)
        with pytest.raises(InputError, match="artwork and no video stream"):
            open_reader(str(tmp_path / "a.mp4"))

    def test_the_default_track_counts_then_the_largest(self, tmp_path: Path) -> None:
        write_video(tmp_path / "a.mkv", tracks=2)
        with av.open(str(tmp_path / "a.mkv")) as container:
            defaults = [int(stream.disposition) & 1 for stream in container.streams.video]
        with open_reader(str(tmp_path / "a.mkv")) as reader:
            assert reader.format.size.width == (128 if defaults[0] == defaults[1] else 64)
            assert any("also holds 1 video track: only video track" in note for note in reader.notes)

    def test_sound_subtitles_and_tags_are_told(self, tmp_path: Path) -> None:
        path = tmp_path / "a.mkv"
        with av.open(str(path), "w") as container:
            container.metadata["title"] = "Film"
            video = container.add_stream("mpeg4", rate=25)
            video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
            audio = container.add_stream("pcm_s16le", rate=8000, layout="mono")
            container.mux(video.encode(av.VideoFrame(64, 48, "yuv420p")))
            sound = av.AudioFrame.from_ndarray(np.zeros((1, 320), np.int16), format="s16", layout="mono")
            sound.sample_rate = 8000
            container.mux(audio.encode(sound))
            container.mux(video.encode() + audio.encode())
        count, notes = notes_of(path)
        assert count == 1
        assert "also holds 1 audio track and tags (title): only video track 0 is coded" in notes

    def test_a_plain_film_has_nothing_to_tell(self, tmp_path: Path) -> None:
        for name in ("a.mp4", "a.mkv", "a.avi", "a.ts"):
            write_video(tmp_path / name, codec="mpeg2video" if name == "a.ts" else "mpeg4")
            assert notes_of(tmp_path / name) == (10, "")


class TestChromaPosition:
    @pytest.mark.parametrize(
        ("codec", "options", "location"),
        [
            ("libx264", {}, "mpeg2"),
            ("libx264", {"x264-params": "chromaloc=1"}, "jpeg"),
            ("libx264", {"x264-params": "chromaloc=2"}, "paldv"),
            ("libx265", {"x265-params": "chromaloc=2:log-level=none"}, "paldv"),
            ("mpeg2video", {}, "mpeg2"),
            ("mpeg4", {}, "mpeg2"),
        ],
    )
    def test_the_file_says_it(self, tmp_path: Path, codec: str, options: dict[str, str], location: str) -> None:
        if codec not in av.codecs_available:
            pytest.skip(f"this PyAV has no {codec}")
        write_video(tmp_path / "a.mkv", codec=codec, **options)
        with open_reader(str(tmp_path / "a.mkv")) as reader:
            assert reader.format.chroma_location == location
            assert not any("chroma" in note for note in reader.notes)

    def test_motion_jpeg_is_centred(self, tmp_path: Path) -> None:
        write_video(tmp_path / "a.avi", codec="mjpeg", pixel_format="yuvj420p")
        with open_reader(str(tmp_path / "a.avi")) as reader:
            assert reader.format.chroma_location == "jpeg"

    def test_a_guess_is_told(self, tmp_path: Path) -> None:
        write_video(tmp_path / "a.mkv", codec="ffv1")
        with open_reader(str(tmp_path / "a.mkv")) as reader:
            assert reader.format.chroma_location == "mpeg2"
            assert "does not say where its chroma samples lie: left assumed, as is usual for ffv1" in reader.notes[-1]

    def test_a_position_without_a_field_is_told(self) -> None:
        text = (
            "  Stream #0:0[0x1]: Video: h264 (High), 1 reference frame (avc1 / 0x31), yuv420p(progressive, "
            "bottomleft), 9x9\n"
        )
        location, note = chroma_location_of("a.mp4", parse_stream_text(text, 0), "h264")
        assert (location, "bottomleft, which streams have no field for" in str(note)) == ("", True)

    def test_other_text_gives_no_facts(self) -> None:
        for text in (
            "",
            "  Stream #0:1: Video: h264, yuv420p(left)\n",
            "    title: Stream #0:0: Video: h264, yuv420p(left)\n",
        ):
            assert parse_stream_text(text, 0).chroma_location is None

    def test_side_data_is_named(self) -> None:
        text = (
            "  Stream #0:0: Video: hevc (Main), 1 reference frame, yuv420p(tv, left), 9x9\n    Metadata:\n      title "
            ": x\n"
            "    Side data:\n      DOVI configuration record: version: 1.0\n      Mastering Display Metadata, "
            "has_primaries:1\n"
            "  Stream #0:1: Audio: aac\n    Side data:\n      other: 1\n"
        )
        assert parse_stream_text(text, 0).side_data == ("DOVI configuration record", "Mastering Display Metadata")


class TestTime:
    @pytest.mark.parametrize("suffix", ["mkv", "mp4", "webm"])
    def test_a_variable_rate_keeps_its_times_and_is_told(self, tmp_path: Path, suffix: str) -> None:
        stamps = [0, 33, 66, 100, 133, 300, 500, 700, 900]
        write_video(tmp_path / f"a.{suffix}", codec="libvpx" if suffix == "webm" else "mpeg4", stamps=stamps)
        with open_reader(str(tmp_path / f"a.{suffix}")) as reader:
            duration = len(stamps) / float(reader.format.frame_rate)
            assert 0.9 < duration < 1.1
            assert any("variable frame rate: its pictures are 0.033 to 0.200 s apart" in note for note in reader.notes)
            times = [picture.time for picture in reader]
            ticks = float(reader.format.time_base)
            assert [round(1000 * time / ticks) for time in times] == stamps

    def test_skipped_pictures_take_their_time_with_them(self, tmp_path: Path) -> None:
        write_video(tmp_path / "a.mkv", stamps=[0, 40, 400, 440, 900])
        with open_reader(str(tmp_path / "a.mkv"), skip_frames=2) as reader:
            assert reader.format.time_base == Rational(1000, 1)
            assert [picture.time for picture in reader] == [0, 40, 500]

    def test_ticks_are_coarser_where_a_stream_could_not_count_so_many(self) -> None:
        clock = StampClock(Fraction(1, 10**9), 100, 5 * 2**30)
        assert float(clock.time_base) == pytest.approx(10**9 / 6, rel=1e-6)
        assert [clock.time(stamp) for stamp in (100, 105, 106, 107, None, 118)] == [0, 1, 2, 3, 4, 5]

    def test_a_rate_of_the_user_counts(self, tmp_path: Path) -> None:
        write_video(tmp_path / "a.mkv", stamps=[0, 40, 400])
        with open_reader(str(tmp_path / "a.mkv"), frame_rate=Rational(50, 1)) as reader:
            assert (reader.format.frame_rate, reader.notes) == (Rational(50, 1), ())

    def test_a_late_start_is_told(self, tmp_path: Path) -> None:
        write_video(tmp_path / "a.mkv", stamps=range(500, 900, 40))
        count, notes = notes_of(tmp_path / "a.mkv")
        assert count == 10
        assert "begins its pictures 0.50 s after its start; every picture carries its time" in notes
        assert "variable" not in notes
        with open_reader(str(tmp_path / "a.mkv")) as reader:
            assert [picture.time for picture in reader][:2] == [500, 540]

    def test_rounded_time_stamps_are_even(self) -> None:
        nominal = Fraction(24000, 1001)
        stamps = [round(1000 * index / nominal) for index in range(2000)]
        assert timing_of(stamps, Fraction(1, 1000), 42, nominal) == timing_of(
            stamps[::-1], Fraction(1, 1000), 42, nominal
        )
        assert timing_of(stamps, Fraction(1, 1000), 42, nominal).frame_rate == nominal
        assert not timing_of(stamps, Fraction(1, 1000), 42, nominal).faults

    @pytest.mark.parametrize("missing", [1, 50, 98])
    def test_one_missing_picture_is_a_gap(self, missing: int) -> None:
        stamps = [40 * index for index in range(100) if index != missing]
        timing = timing_of(stamps, Fraction(1, 1000), 40, Fraction(25))
        assert "variable frame rate: its pictures are 0.040 to 0.080 s apart" in timing.faults[0]
        assert timing.frame_rate == Fraction(99, 4)

    def test_doubled_time_stamps_are_told(self) -> None:
        timing = timing_of([0, 40, 40, 80, 120], Fraction(1, 1000), 40, Fraction(25))
        assert "1 picture has the time stamp of another" in timing.faults[-1]

    def test_a_header_with_another_rate_is_told(self) -> None:
        timing = timing_of(range(0, 800, 80), Fraction(1, 1000), 80, Fraction(25))
        assert timing.frame_rate == Fraction(25, 2)
        assert "states 25 frames per second and its pictures are 0.080 s apart" in timing.faults[0]

    def test_hostile_time_stamps_give_a_rate_or_none(self) -> None:
        for stamps in ([-(1 << 63), 0, (1 << 63) - 1], [0, 1, (1 << 63) - 1], [0, 0, 1]):
            for time_base in (Fraction(1, 1), Fraction(1, (1 << 31) - 1), Fraction((1 << 31) - 1, 1)):
                rate = timing_of(stamps, time_base, (1 << 62), Fraction(25)).frame_rate
                assert rate is not None
                assert rate >= 0

    def test_nothing_to_go_by(self) -> None:
        for stamps in ([], [7], [7, 7, 7]):
            assert timing_of(stamps, Fraction(1, 1000), 0, Fraction(25)).frame_rate == 25
        assert timing_of([], Fraction(1, 1000), 0, None).frame_rate is None


class TestCounts:
    @pytest.mark.parametrize("announced", [3, 1000])
    def test_a_header_that_lies_does_not_decide(self, tmp_path: Path, announced: int) -> None:
        path = tmp_path / "a.avi"
        write_video(path, codec="mjpeg", pixel_format="yuvj420p")
        data = path.read_bytes()
        length = data.index(b"strh") + 8 + 32
        path.write_bytes(data[:length] + struct.pack("<I", announced) + data[length + 4 :])
        assert notes_of(path)[0] == 10
        assert f"announces {announced} pictures and holds 10" in notes_of(path)[1]
        assert notes_of(path, skip_frames=6)[0] == 4
        assert notes_of(path, skip_frames=6, max_frames=2)[0] == 2
        with open_reader(str(path), skip_frames=6) as reader:
            assert reader.num_frames == 4
        with pytest.raises(InputError, match="holds 10 pictures, expected more than the 20 to skip"):
            notes_of(path, skip_frames=20)

    def test_a_file_that_was_cut_short_says_so(self, tmp_path: Path) -> None:
        path = tmp_path / "a.mp4"
        write_video(path, container_options={"movflags": "faststart"})
        data = path.read_bytes()
        path.write_bytes(data[: len(data) - 150])
        with open_reader(str(path)) as reader:
            assert reader.format.frame_rate == Rational(25, 1)
        count, notes = notes_of(path)
        assert count < 10
        assert "announces 10 pictures and holds" in notes

    def test_a_matroska_file_that_was_cut_short_says_so(self, tmp_path: Path) -> None:
        path = tmp_path / "a.mkv"
        write_video(path, codec="mjpeg", pixel_format="yuvj420p")
        data = path.read_bytes()
        path.write_bytes(data[: len(data) // 2])
        count, notes = notes_of(path)
        assert 0 < count < 10
        assert "says that it lasts 0.40 s and its pictures end at" in notes


class TestWhatStreamsHaveNoFieldFor:
    def test_hdr10(self, tmp_path: Path) -> None:
        if "libx265" not in av.codecs_available:
            pytest.skip("this PyAV has no libx265")
        master = "G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,1)"
        hdr = f"master-display={master}:max-cll=1000,400:colorprim=9:transfer=16:colormatrix=9:log-level=none"
        write_video(tmp_path / "a.mkv", codec="libx265", stamps=[0, 40], **{"x265-params": hdr})
        with open_reader(str(tmp_path / "a.mkv")) as reader:
            primaries = (13250, 34500, 7500, 3000, 34000, 16000)
            assert reader.format.mastering_display == MasteringDisplay(primaries, (15635, 16450), 10_000_000, 1)
            assert reader.format.content_light == ContentLight(1000, 400)
            assert reader.notes == ()
            assert (reader.format.colour.primaries, reader.format.colour.transfer, reader.format.colour.matrix) == (
                9,
                16,
                9,
            )

    def test_alpha(self, tmp_path: Path) -> None:
        if "libvpx" not in av.codecs_available:
            pytest.skip("this PyAV has no libvpx")
        write_video(tmp_path / "a.webm", codec="libvpx", pixel_format="yuva420p", stamps=[0], **{"auto-alt-ref": "0"})
        assert "alpha channel" in notes_of(tmp_path / "a.webm")[1]

    @pytest.mark.parametrize("matrix", [(0, 1, -1, 0), (-1, 0, 0, 1), (1, 0, 0, -1)])
    def test_rotations_and_flips(self, tmp_path: Path, matrix: tuple[int, int, int, int]) -> None:
        path = tmp_path / "a.mp4"
        write_video(path)
        data = bytearray(path.read_bytes())
        place = data.index(b"tkhd") + 4 + 40
        a, b, c, d = (value << 16 for value in matrix)
        data[place : place + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
        path.write_bytes(data)
        assert "asks for a rotation or flip on display; it is ignored" in notes_of(path)[1]

    @pytest.mark.parametrize(
        ("codec", "pixel_format"), [("gif", "rgb8"), ("ffv1", "yuv410p"), ("ffv1", "yuv420p12le"), ("ffv1", "bgra")]
    )
    def test_other_samples_are_refused_with_the_way_out(self, tmp_path: Path, codec: str, pixel_format: str) -> None:
        path = tmp_path / ("a.gif" if codec == "gif" else "a.mkv")
        write_video(path, codec=codec, pixel_format=pixel_format, stamps=[0, 40])
        with pytest.raises(InputError, match=r"pixel format \w+, dcvc codes 4:2:0.*-pix_fmt yuv420p"):
            open_reader(str(path))


@pytest.mark.parametrize(
    "suffix", ["mp4", "mkv", "mov", "webm", "avi", "ts", "mpg", "ogv", "flv", "3gp", "mjpeg", "ivf", "m2v"]
)
def test_every_kind_of_file_is_known_without_its_name(tmp_path: Path, suffix: str) -> None:
    codec = {
        "webm": "libvpx",
        "ts": "mpeg2video",
        "mpg": "mpeg2video",
        "m2v": "mpeg2video",
        "ogv": "libtheora",
        "flv": "flv",
    }.get(suffix, "mpeg4")
    codec = {"mjpeg": "mjpeg", "ivf": "libvpx"}.get(suffix, codec)
    if codec not in av.codecs_available:
        pytest.skip(f"this PyAV has no {codec}")
    write_video(tmp_path / f"a.{suffix}", codec=codec, pixel_format="yuvj420p" if codec == "mjpeg" else "yuv420p")
    (tmp_path / f"a.{suffix}").rename(tmp_path / "name")
    assert notes_of(tmp_path / "name")[0] == 10
